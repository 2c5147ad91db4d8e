//! `redis-lock`: a server module that gives Redis and Valkey real locks.
//!
//! The adapter between the server and `redis-lock-engine`, which decides. A command passes, without return:
//! its file in [`commands`] (arguments to a request), [`lock_txn`] (open keys), the engine, again
//! [`lock_txn`] (value, deadline, replication, events), and the reply. A request that must wait goes to
//! [`waiting`], and is answered by [`before_sleep`]. Server events come through `ffi::events` to [`server`],
//! which informs the engine; [`before_sleep`] does the work that the engine defers.
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
