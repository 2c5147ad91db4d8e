//! A lock over several independent servers that have the module loaded. The lock is held while a majority of
//! them holds it, under one fencing token.
//!
//! The algorithm is Redlock, with what Redlock lacks: a time limit per node, typed errors, a clean-up that
//! also happens if the caller is gone, validity on a clock that counts while the machine is suspended, and a
//! token that a protected resource can compare.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let cluster = redis_lock_harness::Cluster::start(3);
//! # let urls = cluster.urls();
//! use redis_lock_quorum::{Error, Options, Quorum};
//! use std::time::Duration;
//!
//! let quorum = Quorum::connect(urls, Options::default()).await?;
//! match quorum.acquire("report", Duration::from_secs(10)).await {
//!     Ok(lock) => {
//!         println!("working under token {}", lock.fencing_token());
//!         lock.release().await?;
//!     }
//!     Err(Error::Held(_)) => println!("someone else is at it"),
//!     Err(other) => return Err(other),
//! }
//! # Ok::<(), redis_lock_quorum::Error>(()) }).unwrap();
//! ```
//!
//! The promises and their conditions:
//!
//! 1. No assumption on time, while nodes keep their token counters: two acquisitions that exclude each other
//!    have different tokens. The one that was over before the other began has the lower token. A resource
//!    that refuses a token lower than one it has seen is safe.
//! 2. Validity intervals of two such locks do not overlap while clock *rates* differ by less than `drift`,
//!    nodes keep their holds or sit out `lock.cooldown` after a restart, and the process is not paused
//!    between checking the validity and acting.
//!
//! Both hold while any minority of the nodes is down.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod acquire;
pub mod agreement;
mod attempt;
mod changes;
mod cleanup;
mod clock;
mod command;
mod connection;
#[doc(hidden)]
pub mod environment;
mod error;
mod extend;
mod in_flight;
mod inner;
mod kind;
mod line_lock;
mod lock;
mod lock_state;
mod node;
mod options;
pub mod order;
mod quorum;
mod recent;
mod release;
mod renewal;
mod request;
mod resources;
mod server_error;
mod using;
mod waiting;
mod watched;

pub use acquire::Acquire;
pub use error::{Error, Failure, NodeAnswer, NodeError, NodeReport};
pub use kind::Kind;
pub use lock::{Lease, Lock};
pub use options::Options;
pub use quorum::Quorum;
pub use release::Released;
pub use renewal::Renewal;
pub use resources::Resources;
pub use server_error::{Meaning, ServerError};
