//! `redis-lock`: a server module that gives Redis and Valkey real locks.
//!
//! The way of a command, with no way back: its file in [`commands`] (arguments to
//! a request), [`subject`] (the open key), `redis-lock-core` (what the request comes to), again
//! [`subject`] (value, index of deadlines, replication, events, counters), reply. One that has to wait
//! goes to [`waiting`] instead, and comes back by [`service`]. What happens without a command comes in
//! through `ffi::events` and goes to [`arrivals`], [`sessions`] and [`server`]; [`chores`] notes what
//! is to be done, and [`turn`] does it.
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(target_os = "linux"))]
compile_error!("redis-lock needs Linux: its deadlines are kept by a timerfd");

mod arrivals;
mod budget;
mod chores;
mod commands;
mod configuration;
mod ffi;
mod info;
mod module;
mod server;
mod service;
mod sessions;
mod subject;
mod turn;
mod waiting;

ffi::load::entry_point!(module::Module);
