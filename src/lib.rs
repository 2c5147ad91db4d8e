//! `redis-lock`: a server module that gives Redis and Valkey real locks.
//!
//! The way of a command, with no way back: its file in [`commands`] (arguments to
//! a request), [`lock_txn`] (the open key), `redis-lock-core` (what the request comes to), again
//! [`lock_txn`] (value, index of deadlines, replication, events, counters), reply. One that has to wait
//! goes to [`blocked_client`] instead, and comes back by [`handoff`]. What happens without a command comes in
//! through `ffi::events` and goes to [`keyspace`], [`sessions`] and [`server`]; [`deferred`] notes what
//! is to be done, and [`before_sleep`] does it.
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(target_os = "linux"))]
compile_error!("redis-lock needs Linux: its deadlines are kept by a timerfd");

mod before_sleep;
mod blocked_client;
mod budget;
mod commands;
mod configuration;
mod deferred;
mod ffi;
mod handoff;
mod info;
mod keyspace;
mod lock_txn;
mod module;
mod server;
mod sessions;

ffi::load::entry_point!(module::Module);
