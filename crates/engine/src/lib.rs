//! One server, as a pure state machine over `redis-lock-core`: all decisions about its locks.
//!
//! No Redis, no clock, no I/O, no randomness. What the engine cannot know is an input: time, role, what the
//! server allows, what became of a blocked client ([`Conditions`], and the methods `on_…`). The output is an
//! [`OpenLock`] with its lock changed and the effects to carry out, the clients to be answered
//! ([`Engine::take_resolved`]) and the keys to be opened ([`Engine::next_visit`]).
//!
//! The engine never calls the server, so nothing changes while one of its methods runs. The caller carries
//! effects out only after the method has returned, because other modules may send commands then.
//!
//! The modules:
//!
//! - [`OpenLock`]: the lock of one open key, and the changes to it, which `holds` makes.
//! - `commands`: ACQUIRE, EXTEND, RELEASE, and the effects of another server.
//! - `handoff`: grants the lock to the next waiters.
//! - `waiting`, [`WaitQueues`], [`Search`]: the waiters, and the search for cycles.
//! - `delivery`, `replies`: a grant to a waiter, until it is known whether it was delivered.
//! - `sessions`: holds that end with a connection.
//! - `keyspace`: DEL, RENAME, MOVE, SWAPDB, FLUSH, RESTORE.
//! - `visits`, `deadlines`: work outside commands.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod commands;
mod deadlines;
mod deadlock;
mod delivery;
mod engine;
mod handoff;
mod holds;
mod keyspace;
mod open_lock;
mod replies;
mod sessions;
mod slot;
mod totals;
mod visits;
mod wait_queue;
mod wait_queues;
mod waiting;

pub use deadlines::{Entry, NOWHERE};
pub use deadlock::{Search, Step};
pub use delivery::Outcome;
pub use engine::{Conditions, Engine};
pub use keyspace::Origin;
pub use open_lock::{Effect, Event, Gone, OpenLock, Rest};
pub use slot::Slot;
pub use totals::Totals;
pub use visits::{Visit, Visited};
pub use wait_queue::Waiter;
pub use wait_queues::{QueueId, Ticket, WaitQueues};
