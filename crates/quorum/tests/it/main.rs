//! The quorum client against real servers, each behind a proxy that does what networks do.

mod clean;
mod clocks;
mod config;
mod examples;
mod extend;
mod failover;
mod frozen;
mod late;
mod line;
mod outcomes;
mod semaphore;
mod support;
mod tls;
mod tokens;
mod using;
mod waiting;
