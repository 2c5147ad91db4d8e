//! `redis-lock demo`: five nodes on this machine, of which three are killed one after the other.

mod nodes;
mod script;

use crate::exit::{self, Status};
use crate::say;
use crate::signals::Signals;
use nodes::Nodes;
use std::path::PathBuf;

/// Start five local servers, take a lock over them, and kill one after the other
///
/// Shows what a quorum is good for, and cleans up everything, also on Ctrl-C. Needs redis-server or valkey-server, and
/// the module.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server program [default: redis-server, else valkey-server]
    #[arg(long, value_name = "PROGRAM", env = "REDIS_SERVER")]
    server: Option<PathBuf>,
    /// The module [default: libredis_lock.so beside this program]
    #[arg(long, value_name = "FILE", env = "REDIS_LOCK_MODULE")]
    module: Option<PathBuf>,
    /// Don't pause between the steps
    #[arg(long)]
    fast: bool,
}

/// Runs the whole script, or as much of it as there is time for.
pub async fn demo(arguments: Arguments) -> Status {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            say(&format!("can't receive signals: {error}"));
            return exit::OS_ERROR;
        }
    };
    let mut nodes = match Nodes::find(arguments.server, arguments.module) {
        Ok(nodes) => nodes,
        Err(message) => {
            say(&message);
            return exit::UNAVAILABLE;
        }
    };
    let told = tokio::select! {
        biased;
        signal = signals.end() => Err(signal),
        told = script::tell(&mut nodes, arguments.fast) => Ok(told),
    };
    drop(nodes);
    match told {
        Ok(Ok(())) => exit::OK,
        Ok(Err(message)) => {
            say(&message);
            exit::UNAVAILABLE
        }
        Err(signal) => {
            say("stopped; the nodes and their files are gone");
            exit::by_signal(signal.number)
        }
    }
}
