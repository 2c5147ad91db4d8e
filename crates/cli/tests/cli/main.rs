//! The program `redis-lock`, as a user starts it, on real nodes.

mod demo;
mod lost;
#[cfg(target_os = "linux")]
mod mixed;
#[cfg(target_os = "linux")]
mod other_user;
mod run;
mod signals;
mod support;
mod terminal;
mod usage;
mod watch;
#[cfg(target_os = "linux")]
mod watchdog;
