//! The lock itself: a pure state machine. No Redis, no clock, no I/O; time is an argument.
//!
//! One rule covers mutex, readers-writer lock and counting semaphore (see [`Lock`]). Every hold states how
//! many holders it tolerates, itself included. A request is granted if the lock would then have no more
//! holders than the smallest limit among its holders and the request.
//!
//! The modules:
//!
//! - [`Lock`]: the holds of one key, and the rule.
//! - [`Hold`]: one owner's hold: limit, deadline, fencing token.
//! - [`decision`]: the decision about a request for one or several locks, all or nothing.
//! - [`Tokens`]: the source of fencing tokens.
//! - [`request`], [`effect`]: arguments of commands and of propagated effects, parsed and checked.
//! - [`slot`]: a second name in the slot of a key.
//! - [`payload`]: the encoding of a lock in RDB, DUMP and MIGRATE.
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

/// Greatest length of an owner, in bytes.
pub const MAX_OWNER: usize = 512;
/// Greatest length of a META text, in bytes.
pub const MAX_META: usize = 512;
