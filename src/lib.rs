//! `redis-lock`: a server module that gives Redis and Valkey real locks.
//!
//! The adapter between the server and `redis-lock-engine`, which decides. The way of a command, with no way back: its
//! file in [`commands`] (arguments to a request), [`lock_txn`] (open keys), the engine, again [`lock_txn`] (value,
//! deadline, replication, events), reply. A request that has to wait goes to [`waiting`], and is answered by
//! [`before_sleep`]. What happens without a command comes in through `ffi::events` and goes to [`server`],
//! which tells the engine; what that wants done outside commands, [`before_sleep`] does.
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(target_os = "linux"))]
compile_error!("redis-lock needs Linux: its deadlines are kept by a timerfd");

mod before_sleep;
mod commands;
mod configuration;
mod ffi;
mod info;
mod lock_txn;
mod module;
mod server;
mod waiting;

ffi::load::entry_point!(module::Module);
