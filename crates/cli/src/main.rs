//! `redis-lock`: a lock around a command, a monitor of locks, and a demonstration.

mod child;
mod demo;
mod exit;
mod messages;
mod run;
mod signals;
mod watch;
mod writer;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use messages::say;
use std::process::ExitCode;
use std::time::Duration;

/// Locks over one or several Redis or Valkey servers that have the module redis-lock loaded.
#[derive(Parser)]
#[command(name = "redis-lock", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Watch(watch::Arguments),
    Demo(demo::Arguments),
    #[cfg(target_os = "linux")]
    Watchdog(run::watchdog::Arguments),
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    if let Some(("run", run)) = matches.subcommand()
        && let Err(message) = check_nodes(run)
    {
        say(&message);
        messages::settle();
        return exit::USAGE.into();
    }
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // The watchdog needs nothing of what follows.
    #[cfg(target_os = "linux")]
    if let Command::Watchdog(arguments) = &arguments.command {
        let status = run::watchdog::watch_over(arguments);
        messages::settle();
        return status.into();
    }
    // For TLS. An error means that a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread suffices, as all waits are for the network, and a child must be a child of this thread.
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
        #[cfg(target_os = "linux")]
        Command::Watchdog(_) => exit::OK,
    };
    // A pending name lookup would delay the exit.
    runtime.shutdown_background();
    messages::settle();
    status.into()
}

/// Checks the nodes for mistakes that a look at one URL alone does not show. No URL is shown, since it may
/// contain a password.
fn check_nodes(run: &ArgMatches) -> Result<(), String> {
    let nodes: Vec<&String> = run.get_many("nodes").unwrap_or_default().collect();
    if nodes.iter().all(|node| node.trim().is_empty()) {
        let what = match run.value_source("nodes") {
            Some(ValueSource::EnvVariable) => "REDIS_LOCK_NODES is set, but empty",
            _ => "the URL of --node is empty",
        };
        return Err(format!(
            "{what}: give the URLs of one or several servers, such as redis://host:6379, with commas between them"
        ));
    }
    // The part after a comma in a password is then taken for the next URL.
    if nodes.iter().any(|node| node.contains('@') && !node.contains("://")) {
        return Err(
            "the URL of a node does not begin with redis:// or the like: commas stand between URLs. A comma \
                    in a password is written as %2C, an @ as %40, a / as %2F"
                .into(),
        );
    }
    Ok(())
}

/// Parses `500ms`, `30s`, `5m` or `1h30m`; a bare number is in seconds, as for timeout(1).
fn duration(text: &str) -> Result<Duration, String> {
    if let Some(seconds) = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        return Ok(seconds);
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}. A duration looks like 500ms, 30s, 5m or 1h30m; 5 is 5s"))
}
