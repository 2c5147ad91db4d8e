//! One server, as a pure state machine over `redis-lock-core`: everything that is decided about its locks.
//!
//! No Redis, no clock, no I/O, no randomness. What the engine cannot know is an input: time, role, what the
//! server allows, and what became of a client that waits ([`Conditions`], and the methods named `on_…`). What
//! it wants done is an output: an [`OpenLock`] comes back with its lock changed and with the effects to carry
//! out; [`Engine::take_resolved`] names the clients to be answered; [`Engine::next_visit`] the keys to be opened.
//!
//! The engine never calls the server, so nothing changes while one of its methods runs. Its caller carries
//! effects out only when the method has returned: other modules may send commands right there.
//!
//! What is where:
//!
//! - [`OpenLock`]: the lock of one open key, and what was done to it; `holds` does it.
//! - `commands`: ACQUIRE, EXTEND, RELEASE, and the effects of another server.
//! - `handoff`: whose turn it is, is given the lock.
//! - `waiting`, [`WaitQueues`], [`Search`]: who waits, and whether somebody would wait for itself.
//! - `delivery`, `replies`: a grant to one who waited, until it is known whether the client was told.
//! - `sessions`: holds that end with a connection.
//! - `keyspace`: DEL, RENAME, MOVE, SWAPDB, FLUSH, RESTORE.
//! - `visits`, `deadlines`: what is due outside commands.
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
