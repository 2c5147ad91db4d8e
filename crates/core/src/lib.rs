//! The lock itself: a pure state machine. No Redis, no clock, no I/O; time is an argument.
//!
//! One rule covers mutex, readers-writer lock and counting semaphore (see [`Lock`]): every hold
//! states how many holders it tolerates, itself included, and a request is granted if the lock
//! would then have no more holders than the smallest limit among its holders and the request.
//!
//! What is where:
//!
//! - [`Lock`]: the holds of one key, and the rule.
//! - [`Hold`]: one owner's hold: limit, deadline, fencing token.
//! - [`decision`]: what a request for one or several locks comes to, all or nothing.
//! - [`Tokens`]: where fencing tokens come from.
//! - [`request`], [`effect`]: arguments of commands and of replicated effects, parsed and checked.
//! - [`slot`]: a second name in the slot of a key.
//! - [`payload`]: how a lock travels in RDB, DUMP and MIGRATE.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bytes;
pub mod decision;
pub mod effect;
mod error;
mod hold;
mod hold_set;
mod limit;
mod lock;
pub mod number;
pub mod payload;
pub mod request;
pub mod slot;
pub mod time;
mod token;

pub use bytes::Bytes;
pub use error::Error;
pub use hold::{Hold, Renewal};
pub use limit::Limit;
pub use lock::Lock;
pub use token::{Tokens, TOKEN_END};

/// Longest owner, in bytes.
pub const MAX_OWNER: usize = 512;
/// Longest META text, in bytes.
pub const MAX_META: usize = 512;
