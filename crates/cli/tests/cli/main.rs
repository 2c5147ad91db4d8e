//! The program `redis-lock`, as a user starts it, on real nodes.

mod demo;
mod lost;
mod run;
mod signals;
mod support;
mod terminal;
mod usage;
mod watch;
