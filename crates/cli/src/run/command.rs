//! The command: started, waited for, told what this process is told, and ended when the lock is lost.

use super::process_tree::ProcessTree;
#[cfg(target_os = "linux")]
use super::watchdog::{self, Watchdog};
use super::{Arguments, renewal};
use crate::signals::{Signal, Signals};
use crate::{child, say};
use redis_lock_quorum::Lock;
use rustix::process::{Pid, Signal as Number, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Where the token is handed over.
const FENCE: &str = "REDIS_LOCK_FENCE";
/// Processes that are to end are looked for so often, and after each end of a child.
const LOOK: Duration = Duration::from_millis(50);
/// And so often where they can't be ended.
const MAX_LOOK: Duration = Duration::from_secs(1);

/// How it ended.
pub enum Ending {
    Exited(u8),
    Signalled(i32),
    /// It was ended, or ended too late, because the lock is not held any more.
    Lost,
    NotRun(io::Error),
}

/// Runs the command until it has ended, or is ended because the lock is lost.
pub async fn supervise(lock: &Lock, arguments: &Arguments, signals: &mut Signals) -> Ending {
    // The command did not get what a terminal sent before it was there.
    if let Some(signal) = signals.has_ended() {
        return Ending::Signalled(signal.number);
    }
    let mut command = command(arguments, lock.fencing_token());
    #[cfg(target_os = "linux")]
    let mut watchdog = guarded(&mut command);
    let mut tree = match ProcessTree::start(|| start(&mut command)) {
        Ok(tree) => tree,
        Err(error) => return Ending::NotRun(error),
    };
    let kept = move || {
        #[cfg(target_os = "linux")]
        if let Some(watchdog) = &mut watchdog {
            watchdog.expect_end_in(lock.validity().saturating_sub(arguments.kill_margin() / 2));
        }
    };
    let why = {
        let mut renewal = std::pin::pin!(renewal::renew(lock, arguments.ttl, kept));
        tokio::select! {
            biased;
            ended = ended(lock, &mut tree, signals, arguments.grace()) => match ended {
                Ok(_) if lock.validity().is_zero() => return too_late(),
                Ok(ending) => return ending,
                Err(why) => why.to_owned(),
            },
            error = &mut renewal => error.to_string(),
            () = lock.lost() => "it could not be renewed in time".to_owned(),
        }
    };
    // Others may have it already: no time to lose.
    let grace = if lock.validity().is_zero() { Duration::ZERO } else { arguments.grace() };
    say(&format!("the lock is lost ({why}): ending the command"));
    end(&mut tree, grace, signals).await;
    Ending::Lost
}

/// How the command ended. Did it not do so by itself, the lock is kept until all that it started has gone too.
///
/// # Errors
/// Why the lock is lost meanwhile.
async fn ended(
    lock: &Lock,
    tree: &mut ProcessTree,
    signals: &mut Signals,
    grace: Duration,
) -> Result<Ending, &'static str> {
    let mut told_to_end = false;
    let ending = loop {
        let signal = signals.next().await;
        told_to_end |= [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&signal.number);
        if let Some(ending) = hear(signal, tree) {
            break ending;
        }
        // Stopped for a while, this process may have renewed too late.
        if signal.number == SIGCONT && lock.validity().is_zero() {
            return Err("it was stopped for too long to renew it");
        }
    };
    let by_itself = matches!(ending, Ending::Exited(_)) && !told_to_end;
    if !by_itself && !gone_within(grace, tree, signals).await {
        say(
            "the command was ended, and what it had started goes on: ending that too, before the lock is released",
        );
        end(tree, grace, signals).await;
    }
    Ok(ending)
}

/// Waits for the end of all of them; false where that takes longer. What this process is told meanwhile is passed on.
async fn gone_within(time: Duration, tree: &mut ProcessTree, signals: &mut Signals) -> bool {
    let until = Instant::now() + time;
    while !tree.is_gone() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if let Ok(signal) = tokio::time::timeout(left.min(LOOK), signals.next()).await {
            hear(signal, tree);
        }
    }
    true
}

fn too_late() -> Ending {
    say("the command has ended, but the lock was not valid any more by then");
    Ending::Lost
}

fn command(arguments: &Arguments, token: u64) -> Command {
    let mut command = Command::new(&arguments.command[0]);
    command.args(&arguments.command[1..]).env(FENCE, token.to_string());
    command
}

/// Has it ended with all that it starts where this process is killed, or stands still.
#[cfg(target_os = "linux")]
fn guarded(command: &mut Command) -> Option<Watchdog> {
    match Watchdog::start() {
        Ok(watchdog) => {
            command.env(watchdog::MARK, watchdog.mark());
            Some(watchdog)
        }
        Err(error) => {
            say(&format!(
                "a kill -9 of this process would leave running what the command starts: no watchdog: {error}"
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

/// Passes a signal on, or finds that the command has ended.
fn hear(signal: Signal, tree: &mut ProcessTree) -> Option<Ending> {
    if signal.number == SIGCHLD {
        return tree.reap().and_then(ending);
    }
    // What is typed, the command has got as well.
    if !signal.typed
        && let Some(number) = Number::from_named_raw(signal.number)
    {
        tree.tell(number);
    }
    None
}

fn ending(status: WaitStatus) -> Option<Ending> {
    let exited = |code| Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX));
    status.exit_status().map(exited).or_else(|| status.terminating_signal().map(Ending::Signalled))
}

/// Ends the command and all that it started: SIGTERM, and SIGKILL for what is left after the grace time.
async fn end(tree: &mut ProcessTree, grace: Duration, signals: &mut Signals) {
    let kill_at = Instant::now() + grace;
    tree.tell_all(Number::TERM);
    // One that is stopped must go on to be ended in order.
    tree.tell_all(Number::CONT);
    let mut pause = LOOK / 5;
    loop {
        let left = kill_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            tree.tell_all(Number::KILL);
            // What that does not end may go on for long: another user's, or one that waits for a disk.
            pause = (pause * 2).min(MAX_LOOK);
        }
        tree.reap();
        if tree.is_gone() {
            return;
        }
        let pause = if left.is_zero() { pause } else { LOOK.min(left) };
        // It ends anyway: no signal adds to that, but the end of a process comes by one.
        let _ = tokio::time::timeout(pause, signals.next()).await;
    }
}
