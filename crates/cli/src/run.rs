//! `redis-lock run`: a command under a lock, as flock(1) does it for one machine.

mod command;
mod process_tree;
mod renewal;
#[cfg_attr(not(target_os = "linux"), path = "run/no_watchdog.rs")]
pub mod watchdog;

use crate::exit::{self, Status};
use crate::say;
use crate::signals::Signals;
use command::Ending;
use redis_lock_quorum::{Acquire, Error, Kind, Lock, NodeAnswer, NodeError, NodeReport, Options, Quorum};
use std::ffi::OsString;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of characters of a command's name in META, which takes 512 bytes.
const MAX_NAME: usize = 64;
/// How long before the validity ends the command must have ended, as a part of the ttl.
const KILL_MARGIN: u32 = 20;
const MAX_KILL_MARGIN: Duration = Duration::from_secs(1);
/// Default time between SIGTERM and SIGKILL: this part of the ttl, and at most MAX_GRACE.
const GRACE: u32 = 6;
const MAX_GRACE: Duration = Duration::from_secs(5);
/// Minimum time to connect to a node, however short the wait: several round trips, more with TLS.
const MIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit at the end for releases that have not been answered.
const SETTLE: Duration = Duration::from_secs(1);

/// Run a command under a lock: acquire it, renew it while the command runs, release it
///
/// Exits with the command's own status (128+n if signal n ended it), or with 75: the lock could not be acquired within
/// --wait; 76: the lock was lost while the command ran, which was then ended, with everything that it had started, before
/// the lock's validity was over; 69: the servers refuse permanently, and say why; 126 or 127: the command can't be run or
/// found; 64 or 2: wrong use.
///
/// Signals are passed on to the command. It finds the fencing token in REDIS_LOCK_FENCE: hand it to whatever it
/// writes to, which must refuse a token lower than one that it has seen.
#[derive(clap::Args)]
pub struct Arguments {
    /// A server: redis://host:6379, rediss://user:password@host:6379/db, redis+unix:///path/of/socket. One, or several
    /// independent ones (best 3 or 5), of which a majority must agree
    #[arg(
        long = "node",
        value_name = "URL",
        required = true,
        env = "REDIS_LOCK_NODES",
        value_delimiter = ',',
        hide_env_values = true
    )]
    nodes: Vec<String>,
    /// The lock's name. Several are taken together or not at all
    #[arg(long = "key", value_name = "NAME", required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    keys: Vec<String>,
    /// How long the lock lasts if it is no longer renewed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = crate::duration)]
    ttl: Duration,
    /// How long to wait while others hold it, or servers can't be reached; 0 tries once
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = crate::duration)]
    wait: Duration,
    /// Share it with others who share it
    #[arg(long, conflicts_with = "limit")]
    shared: bool,
    /// Be one of at most N. (Over several nodes this needs more than a majority; from N = nodes−1 on, all)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(Kind::MAX_LIMIT)))]
    limit: Option<u16>,
    /// Time between SIGTERM and SIGKILL if the lock can't be renewed. If a server says that the lock is gone, others may
    /// have it already: then SIGKILL follows at once [default: a sixth of the ttl, at most 5s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration)]
    grace: Option<Duration>,
    /// How long a node may take to answer [default: a twentieth of the ttl, at most 50ms; for a single node a quarter
    /// of the ttl, at most 5s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration)]
    node_timeout: Option<Duration>,
    /// A text that others see beside the lock [default: command, process and host]
    #[arg(long, value_name = "TEXT")]
    meta: Option<String>,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Arguments {
    fn kind(&self) -> Kind {
        match (self.shared, self.limit) {
            (true, _) => Kind::Shared,
            (false, Some(holders)) => Kind::Limit(holders),
            (false, None) => Kind::Exclusive,
        }
    }

    fn grace(&self) -> Duration {
        self.grace.unwrap_or_else(|| (self.ttl / GRACE).min(MAX_GRACE))
    }

    /// Returns how long before the end of the validity the command must have ended.
    fn kill_margin(&self) -> Duration {
        (self.ttl / KILL_MARGIN).min(MAX_KILL_MARGIN)
    }

    /// Returns how long before the end of the validity the watchdog asks the command to end, and how long
    /// before it kills the command: each a little later than this process would.
    fn watchdog_margins(&self) -> (Duration, Duration) {
        let kill = self.kill_margin() / 2;
        (self.grace() + kill, kill)
    }

    /// Returns how long before the end of the validity the command is told to stop.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if there would be no time left to renew in.
    fn margin(&self) -> Result<Duration, Error> {
        let margin = self.grace() + self.kill_margin();
        if margin > self.ttl / 3 {
            return Err(Error::Config(format!(
                "--grace {} is too long for --ttl {}: at most a quarter of it",
                humantime::format_duration(self.grace()),
                humantime::format_duration(self.ttl)
            )));
        }
        Ok(margin)
    }

    fn meta(&self) -> String {
        self.meta.clone().unwrap_or_else(|| {
            let host = rustix::system::uname();
            let program = self.command[0].to_string_lossy();
            let program: String = program.chars().take(MAX_NAME).collect();
            format!("{program} (process {} on {})", std::process::id(), host.nodename().to_string_lossy())
        })
    }
}

/// Runs the command. Returns its status, or that of the failure.
pub async fn run(arguments: Arguments) -> Status {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            say(&format!("can't receive signals: {error}"));
            return exit::OS_ERROR;
        }
    };
    let begun = Instant::now();
    let quorum = tokio::select! {
        biased;
        signal = signals.end() => return exit::by_signal(signal.number),
        quorum = connect(&arguments) => quorum,
    };
    let quorum = match quorum {
        Ok(quorum) => quorum,
        Err(error) => return not_acquired(&error),
    };
    let acquired = tokio::select! {
        biased;
        signal = signals.end() => Err(exit::by_signal(signal.number)),
        acquired = acquire(&quorum, &arguments, begun) => acquired.map_err(|error| not_acquired(&error)),
    };
    let status = match acquired {
        Ok(lock) => run_under(lock, &arguments, &mut signals).await,
        Err(status) => status,
    };
    // Locks that are not released by then expire.
    let _ = tokio::time::timeout(SETTLE, quorum.settled()).await;
    status
}

async fn connect(arguments: &Arguments) -> Result<Quorum, Error> {
    let (lost_margin, node_timeout) = (Some(arguments.margin()?), arguments.node_timeout);
    let mut options = Options { lost_margin, node_timeout, ..Options::default() };
    // Connecting takes more than one answer, so the node's time limit does not bound it.
    let bound = arguments.wait.max(MIN_CONNECT_TIMEOUT).max(node_timeout.unwrap_or_default());
    options.connect_timeout = options.connect_timeout.min(bound);
    let quorum = Quorum::connect(&arguments.nodes, options).await?;
    let (nodes, needed) = (arguments.nodes.len(), arguments.kind().needed(arguments.nodes.len()));
    if needed == nodes && needed > Kind::Exclusive.needed(nodes) {
        say(&format!(
            "this limit over {nodes} nodes needs all of them: while one is down, nobody gets the lock"
        ));
    }
    Ok(quorum)
}

/// Asks once. If there is time to wait, it then reports the wait and its reason, and asks again.
async fn acquire(quorum: &Quorum, arguments: &Arguments, begun: Instant) -> Result<Lock, Error> {
    let request = || -> Acquire {
        let request = quorum.acquire(arguments.keys.clone(), arguments.ttl);
        request.kind(arguments.kind()).meta(arguments.meta())
    };
    match request().wait(Duration::ZERO).await {
        Err(error @ (Error::Held(_) | Error::NoQuorum(_) | Error::Late(_))) => {
            let left = arguments.wait.saturating_sub(begun.elapsed());
            if left.is_zero() || error.is_final() {
                return Err(error);
            }
            let wait = humantime::format_duration(arguments.wait);
            say(&match &error {
                Error::Held(failure) => {
                    format!("{} is locked; waiting up to {wait} ({})", failure.names(), failure.answers())
                }
                error => format!("waiting up to {wait}: {error}{}", hint(error)),
            });
            request().wait(left).await
        }
        result => result,
    }
}

fn not_acquired(error: &Error) -> Status {
    say(&format!("the command was not run: {error}{}", hint(error)));
    match error {
        Error::Config(_) => exit::USAGE,
        _ if error.is_final() => exit::UNAVAILABLE,
        _ => exit::NOT_ACQUIRED,
    }
}

/// Returns what to do about a node that took too long.
fn hint(error: &Error) -> &'static str {
    let late = |node: &NodeReport| matches!(node.answer, NodeAnswer::Failed(NodeError::NoAnswer(_)));
    match error.failure() {
        Some(failure) if failure.nodes.iter().any(late) => {
            ". A node that is far away may take longer with --node-timeout"
        }
        _ => "",
    }
}

async fn run_under(lock: Lock, arguments: &Arguments, signals: &mut Signals) -> Status {
    let ending = command::supervise(&lock, arguments, signals).await;
    if let Err(error) = lock.release().await {
        say(&format!("the lock is not released on every node; there it ends with its ttl: {error}"));
    }
    let program = arguments.command[0].to_string_lossy();
    match ending {
        Ending::Exited(code) => Status(code),
        Ending::Signalled(signal) => exit::by_signal(signal),
        Ending::Lost => exit::LOST,
        Ending::NotRun(error) if error.kind() == std::io::ErrorKind::NotFound => {
            say(&format!("{program}: no such command"));
            exit::NOT_FOUND
        }
        Ending::NotRun(error) => {
            say(&format!("{program} can't be run: {error}"));
            exit::NOT_EXECUTABLE
        }
    }
}
