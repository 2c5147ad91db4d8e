//! The command: started, waited for, told what this process is told, and ended when the lock is lost.

use super::family::Family;
#[cfg(target_os = "linux")]
use super::guard::{self, Guard};
use super::{Arguments, renewal};
use crate::signals::{Signal, Signals};
use crate::{child, say};
use redis_lock_quorum::Lock;
use rustix::process::{Pid, Signal as Number, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGCONT};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Where the token is handed over.
const FENCE: &str = "REDIS_LOCK_FENCE";
/// Processes that are to end are looked for so often, and after each end of a child.
const LOOK: Duration = Duration::from_millis(50);

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
    let _guard = guarded(&mut command);
    let mut family = match Family::start(|| start(&mut command)) {
        Ok(family) => family,
        Err(error) => return Ending::NotRun(error),
    };
    let why = {
        let mut renewal = std::pin::pin!(renewal::renew(lock, arguments.ttl));
        loop {
            tokio::select! {
                biased;
                signal = signals.next() => {
                    if let Some(ending) = hear(signal, &mut family) {
                        return if lock.validity().is_zero() { too_late() } else { ending };
                    }
                    // Stopped for a while, this process may have renewed too late.
                    if signal.number == SIGCONT && lock.validity().is_zero() {
                        break "it was stopped for too long to renew it".to_owned();
                    }
                }
                error = &mut renewal => break error.to_string(),
                () = lock.lost() => break "it could not be renewed in time".to_owned(),
            }
        }
    };
    // Others may have it already: no time to lose.
    let grace = if lock.validity().is_zero() { Duration::ZERO } else { arguments.grace() };
    say(&format!("the lock is lost ({why}): ending the command"));
    end(&mut family, grace, signals).await;
    Ending::Lost
}

fn too_late() -> Ending {
    say("the command ended by itself, but the lock was not valid any more by then");
    Ending::Lost
}

fn command(arguments: &Arguments, token: u64) -> Command {
    let mut command = Command::new(&arguments.command[0]);
    command.args(&arguments.command[1..]).env(FENCE, token.to_string());
    command
}

/// Has it ended with all that it starts where this process is killed.
#[cfg(target_os = "linux")]
fn guarded(command: &mut Command) -> Option<Guard> {
    match Guard::start() {
        Ok(guard) => {
            command.env(guard::MARK, guard.mark());
            Some(guard)
        }
        Err(error) => {
            say(&format!(
                "a kill -9 of this process would leave running what the command starts: no guard: {error}"
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
fn hear(signal: Signal, family: &mut Family) -> Option<Ending> {
    if signal.number == SIGCHLD {
        return family.reap().and_then(ending);
    }
    // What is typed, the command has got as well.
    if !signal.typed
        && let Some(number) = Number::from_named_raw(signal.number)
    {
        family.tell(number);
    }
    None
}

fn ending(status: WaitStatus) -> Option<Ending> {
    let exited = |code| Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX));
    status.exit_status().map(exited).or_else(|| status.terminating_signal().map(Ending::Signalled))
}

/// Ends the command and all that it started: SIGTERM, and SIGKILL for what is left after the grace time.
async fn end(family: &mut Family, grace: Duration, signals: &mut Signals) {
    let kill_at = Instant::now() + grace;
    family.tell_all(Number::TERM);
    // One that is stopped must go on to be ended in order.
    family.tell_all(Number::CONT);
    loop {
        let left = kill_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            family.tell_all(Number::KILL);
        }
        family.reap();
        if family.is_gone() {
            return;
        }
        let pause = if left.is_zero() { LOOK / 5 } else { LOOK.min(left) };
        // It ends anyway: no signal adds to that, but the end of a process comes by one.
        let _ = tokio::time::timeout(pause, signals.next()).await;
    }
}
