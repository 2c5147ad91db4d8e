//! `redis-lock watch`: who holds which lock, and who waits for it.

mod changes;
mod locks;
mod report;
mod server;
mod table;

use crate::exit::{self, Status};
use crate::say;
use crate::signals::Signals;
use crate::writer::Writer;
use report::Report;
use server::{Known, Problem, Server};
use signal_hook::consts::SIGTSTP;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Interval between attempts to connect to a lost server.
const RECONNECT: Duration = Duration::from_secs(1);
/// Capacity of the queue of what is written. Nothing more is looked up while it is full.
const CAPACITY: usize = 8;
/// Shortest time between two drawings, as nobody reads faster.
const REDRAW: Duration = Duration::from_millis(100);

/// Show the locks of a server: who holds them, since when, for how much longer, and who waits
///
/// In a terminal this is a table that follows what happens; elsewhere a line is written for each change. What the
/// server tells by keyspace events (notify-keyspace-events with K or E, and d) is seen at once, the rest when it is next
/// looked for. In names, whatever is not text, or would upset a terminal, is written as \xNN, byte by byte, and a
/// backslash as \x5c.
///
/// If a lock has no holder but somebody waits, as when the server refuses to write for want of replicas, there is no
/// key to be found: it is shown if it was held before while watched, or if PATTERN is its name (with a \ before each
/// * ? [ and \ in it).
///
/// An owner's name is all that is needed to release its lock: show it only to those who may.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server: redis://host:6379, rediss://user:password@host:6379/db, redis+unix:///path/of/socket
    #[arg(long, value_name = "URL", env = "REDIS_LOCK_NODE", hide_env_values = true)]
    node: String,
    /// Only locks whose names match, with * ? [abc] as in KEYS
    #[arg(default_value = "*")]
    pattern: String,
    /// Write a line of JSON for each change
    #[arg(long)]
    json: bool,
    /// How often to look for what no event tells, such as who waits
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = crate::duration)]
    interval: Duration,
}

/// Watches until a signal ends it.
pub async fn watch(arguments: Arguments) -> Status {
    let mut signals = match Signals::with(&[SIGTSTP]) {
        Ok(signals) => signals,
        Err(error) => {
            say(&format!("can't receive signals: {error}"));
            return exit::OS_ERROR;
        }
    };
    if arguments.interval.is_zero() {
        say("--interval is zero: give it a time");
        return exit::USAGE;
    }
    let output = match Writer::start("output", CAPACITY, std::io::stdout()) {
        Ok(output) => output,
        Err(error) => {
            say(&format!("can't write to standard output: {error}"));
            return exit::OS_ERROR;
        }
    };
    let status = until_ended(&arguments, &mut signals, &output).await;
    output.settle();
    status
}

async fn until_ended(arguments: &Arguments, signals: &mut Signals, output: &Writer) -> Status {
    let mut report = Report::new(arguments.json, output.clone());
    let mut following = std::pin::pin!(follow(arguments, &mut report));
    loop {
        tokio::select! {
            biased;
            signal = signals.next() => match signal.number {
                SIGTSTP => stop(output),
                number if signal.ends() => return exit::by_signal(number),
                _ => {}
            },
            () = output.closed() => return exit::OK,
            status = &mut following => return status,
        }
    }
}

/// Ctrl-Z: the shell must find its terminal as it was. The next look after `fg` draws the table again.
fn stop(output: &Writer) {
    table::leave(output);
    output.settle();
    // If the signal can't be sent, the watch just goes on.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

/// Connects and reconnects. Returns on an error that a retry does not help against.
async fn follow(arguments: &Arguments, report: &mut Report) -> Status {
    let mut before = false;
    let mut known = Known::default();
    loop {
        let problem = match Server::connect(&arguments.node, &arguments.pattern).await {
            Ok(mut server) => {
                before = true;
                server.resume(std::mem::take(&mut known));
                report.begin(server.about());
                let looked = look(&mut server, arguments.interval, report).await;
                known = server.into_known();
                match looked {
                    Ok(never) => match never {},
                    Err(problem) => problem,
                }
            }
            Err(problem) => problem,
        };
        match problem {
            Problem::Usage(message) => {
                say(&message);
                return exit::USAGE;
            }
            Problem::Refused(message) => {
                report.end();
                say(&message);
                return exit::UNAVAILABLE;
            }
            Problem::Server(message) if !before => {
                say(&message);
                return exit::UNAVAILABLE;
            }
            Problem::Server(message) => report.trouble(&format!("{message}: trying again")),
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Looks at each tick and after each event.
async fn look(server: &mut Server, interval: Duration, report: &Report) -> Result<Infallible, Problem> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn: Option<Instant> = None;
    loop {
        let told = tokio::select! {
            biased;
            _ = ticks.tick() => false,
            told = server.has_told() => {
                told?;
                true
            }
        };
        while_full(server, report).await?;
        if !told {
            server.search().await?;
        }
        let changes = server.look(told).await?;
        if told && drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            report.changes(&changes).await;
        } else {
            drawn = Some(Instant::now());
            report.changes(&changes).await;
            report.draw(server);
        }
    }
}

/// Waits while the output is full. Events that arrive meanwhile are counted, not stored.
async fn while_full(server: &mut Server, report: &Report) -> Result<(), Problem> {
    loop {
        tokio::select! {
            biased;
            () = report.ready() => return Ok(()),
            told = server.told() => told?,
        }
    }
}
