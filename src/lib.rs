//! `redis-lock`: a server module that gives Redis and Valkey real locks.
//!
//! The way of a command, with no way back: the table below, its file in [`commands`] (arguments to
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
mod chores;
mod commands;
mod configuration;
mod docs;
mod ffi;
mod info;
mod server;
mod service;
mod sessions;
mod state;
mod subject;
mod turn;
mod waiting;

use commands::{
    acquire, check, effect_drop, effect_hold, effect_last, extend, info as lock_info, macquire, mextend,
};
use commands::{mrelease, owner, probe, release, ttl};
use ffi::entry::{register, Register};

/// The module's name: what MODULE LIST shows and what settings and INFO fields begin with.
const NAME: &std::ffi::CStr = c"lock";

/// 0.1.0 as the server counts: ten thousands, hundreds, ones.
const VERSION: i32 = 100;

/// Every command.
const COMMANDS: &[Register] = &[
    register::<acquire::Acquire>,
    register::<release::Release>,
    register::<extend::Extend>,
    register::<owner::Owner>,
    register::<ttl::Ttl>,
    register::<lock_info::Info>,
    register::<check::Check>,
    register::<macquire::Macquire>,
    register::<mextend::Mextend>,
    register::<mrelease::Mrelease>,
    register::<effect_hold::Hold>,
    register::<effect_drop::DropHolds>,
    register::<effect_last::Last>,
    register::<probe::Probe>,
];
