//! The command: starts it, waits for it, passes signals on, and ends it if the lock is lost.

use super::process_tree::{self, ProcessTree};
use super::watchdog::{self, Watchdog};
use super::{Arguments, renewal};
use crate::signals::{Signal, Signals};
use crate::{child, say};
use redis_lock_quorum::Lock;
use rustix::process::{Pid, Signal as Number, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// The environment variable that holds the token.
const FENCE: &str = "REDIS_LOCK_FENCE";
/// Initial and greatest interval at which processes that must end are checked, besides each SIGCHLD.
const LOOK: Duration = Duration::from_millis(10);
const MAX_LOOK: Duration = Duration::from_secs(1);

/// Why the lock counts as lost if the watchdog has stepped in.
const STOOD_STILL: &str = "redis-lock run stood still for too long to renew it";

/// How the command ended.
pub enum Ending {
    Exited(u8),
    Signalled(i32),
    /// It was ended, or ended too late, because the lock is no longer held.
    Lost,
    NotRun(io::Error),
}

impl Ending {
    /// Returns whether a signal has ended the command or, as shells report it, what the command ran.
    fn tells_of_a_signal(&self) -> bool {
        matches!(self, Ending::Signalled(_) | Ending::Exited(129..=159))
    }
}

/// Runs the command until it has ended, or is ended because the lock is lost.
pub async fn supervise(lock: &Lock, arguments: &Arguments, signals: &mut Signals) -> Ending {
    // The command did not get a signal that the terminal sent before it was started.
    if let Some(signal) = signals.has_ended() {
        return Ending::Signalled(signal.number);
    }
    let mut command = command(arguments, lock.fencing_token());
    let mut strangers = process_tree::strangers();
    let watchdog = guarded(&mut command, arguments, &strangers);
    strangers.extend(watchdog.as_ref().map(Watchdog::pid));
    let kept = || {
        if let Some(watchdog) = &watchdog {
            watchdog.allow(lock);
        }
    };
    // From its start on the command has a deadline.
    kept();
    let tree = match start(&mut command) {
        Ok(child) => ProcessTree::new(child, strangers),
        Err(error) => return Ending::NotRun(error),
    };
    let mut running = Running { lock, tree, signals, watchdog: watchdog.as_ref(), grace: arguments.grace() };
    let why = {
        let mut renewal = std::pin::pin!(renewal::renew(lock, arguments.ttl, kept));
        tokio::select! {
            biased;
            ending = running.ended() => return ending,
            error = &mut renewal => error.to_string(),
            () = lock.lost() => "it could not be renewed in time".to_owned(),
        }
    };
    let why = if running.stood_still() { STOOD_STILL.to_owned() } else { why };
    // Others may already have the lock: no time to lose.
    let grace = if lock.validity().is_zero() { Duration::ZERO } else { arguments.grace() };
    say(&format!("the lock is lost ({why}): ending the command"));
    running.end(grace).await;
    Ending::Lost
}

/// The command and its supervision.
struct Running<'a> {
    lock: &'a Lock,
    tree: ProcessTree,
    signals: &'a mut Signals,
    watchdog: Option<&'a Watchdog>,
    grace: Duration,
}

impl Running<'_> {
    /// Returns how the command ended. After a signal the lock is kept until all that it started has ended.
    async fn ended(&mut self) -> Ending {
        let mut told_to_end = false;
        let ending = loop {
            let signal = self.signals.next().await;
            told_to_end |= [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&signal.number);
            if let Some(ending) = self.hear(signal) {
                break ending;
            }
        };
        let by_itself = !told_to_end && !ending.tells_of_a_signal();
        if !by_itself && !self.gone_within(self.grace).await {
            say(
                "the command was ended, and what it had started goes on: ending that too, before the lock is released",
            );
            self.end(self.grace).await;
        }
        if self.stood_still() {
            say(&format!(
                "the lock is lost ({STOOD_STILL}): the command has ended, or was ended by the watchdog"
            ));
            return Ending::Lost;
        }
        if self.lock.validity().is_zero() {
            say("the command has ended, but the lock was no longer valid by then");
            return Ending::Lost;
        }
        ending
    }

    /// Returns whether this process stood still too long, so that the watchdog may have ended the command.
    fn stood_still(&self) -> bool {
        self.watchdog.is_some_and(Watchdog::is_due)
    }

    /// Passes a signal on. Returns how the command ended, if it did.
    fn hear(&mut self, signal: Signal) -> Option<Ending> {
        if signal.number == SIGCHLD {
            return self.tree.reap().and_then(ending);
        }
        // The command has also got a signal that was typed.
        if !signal.typed
            && let Some(number) = Number::from_named_raw(signal.number)
        {
            self.tree.tell(number);
        }
        None
    }

    /// Ends the command and all that it started: SIGTERM, then SIGKILL for what is left after the grace time.
    async fn end(&mut self, grace: Duration) {
        self.leave_to_end(grace);
        self.tree.tell_all(Number::TERM);
        // A stopped process must continue in order to end properly.
        self.tree.tell_all(Number::CONT);
        let mut gone = self.gone_within(grace).await;
        let mut pause = LOOK;
        while !gone {
            // The watchdog takes over if this process does not look again by then.
            self.leave_to_end(2 * MAX_LOOK);
            self.tree.tell_all(Number::KILL);
            gone = self.gone_within(pause).await;
            // What that does not end may last: a process of another user, or one that waits for a disk.
            pause = (pause * 2).min(MAX_LOOK);
        }
    }

    fn leave_to_end(&self, grace: Duration) {
        if let Some(watchdog) = self.watchdog {
            watchdog.leave_to_end(grace);
        }
    }

    /// Waits until all have ended, and passes signals on. Returns whether they ended within `time`.
    async fn gone_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.tree.is_gone() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            // Orphans become children of this process, so the end of the last one comes as a signal.
            if let Ok(signal) = tokio::time::timeout(left.min(MAX_LOOK), self.signals.next()).await {
                self.hear(signal);
            }
        }
        true
    }
}

fn command(arguments: &Arguments, token: u64) -> Command {
    let mut command = Command::new(&arguments.command[0]);
    command.args(&arguments.command[1..]).env(FENCE, token.to_string());
    command
}

/// Has the command and all that it starts ended if this process is killed or stands still.
fn guarded(command: &mut Command, arguments: &Arguments, strangers: &[Pid]) -> Option<Watchdog> {
    if cfg!(not(target_os = "linux")) {
        return None;
    }
    match Watchdog::start(strangers, arguments.watchdog_margins()) {
        Ok(watchdog) => {
            command.env(watchdog::MARK, watchdog.mark());
            Some(watchdog)
        }
        Err(error) => {
            say(&format!(
                "a kill -9 or a stop of this process would leave running what the command starts: no watchdog: {error}"
            ));
            None
        }
    }
}

fn start(command: &mut Command) -> io::Result<Pid> {
    let parent = rustix::process::getpid();
    // Without this process nobody would renew the lock.
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(move || child::end_with_parent(parent)) };
    Ok(Pid::from_child(&command.spawn()?))
}

fn ending(status: WaitStatus) -> Option<Ending> {
    let exited = |code| Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX));
    status.exit_status().map(exited).or_else(|| status.terminating_signal().map(Ending::Signalled))
}
