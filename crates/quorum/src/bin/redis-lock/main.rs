//! `redis-lock`: a lock around a command, a monitor of locks, and a demonstration.

mod child;
mod demo;
mod exit;
mod messages;
mod run;
mod signals;
mod watch;

use clap::{Parser, Subcommand};
use messages::say;
use std::process::ExitCode;
use std::time::Duration;

/// Locks over one or several Redis or Valkey servers that have the module redis-lock loaded.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Watch(watch::Arguments),
    Demo(demo::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // For TLS. That there is one already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread: what is waited for here is far away, and a child must be this thread's own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("can't start: {error}"));
            messages::settle();
            return exit::OS_ERROR.into();
        }
    };
    let status = match arguments.command {
        Command::Run(arguments) => runtime.block_on(run::run(arguments)),
        Command::Watch(arguments) => runtime.block_on(watch::watch(arguments)),
        Command::Demo(arguments) => runtime.block_on(demo::demo(arguments)),
    };
    // A name that is still being looked up would hold up the end.
    runtime.shutdown_background();
    messages::settle();
    status.into()
}

/// `500ms`, `30s`, `5m`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}. A duration looks like 500ms, 30s, 5m or 1h30m"))
}
