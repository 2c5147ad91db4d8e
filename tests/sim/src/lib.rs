//! Servers, the network and the real client crate on virtual time: one seed gives one history, bit by bit.
//!
//! A history runs on one thread, on tokio's paused clock. Everything that differs between two runs is an
//! input: clocks, randomness, connections. `run.rs` has the course of a history, `checks.rs` its properties.
//! `crowd.rs` compares one server with plain lists, step by step.
#![forbid(unsafe_code)]

mod checks;
mod clients;
pub mod crowd;
pub mod engine_node;
mod environment;
mod faults;
mod fingerprint;
mod front;
mod history;
mod host;
mod line;
pub mod memory;
pub mod mutants;
mod network;
pub mod node;
mod panics;
pub mod report;
mod resp;
mod run;
mod scenario;
mod search;
mod time;
mod world;

pub use history::{Line, Violation};
pub use run::{Report, Setup, run};
pub use search::{Limits, Totals, search};
