//! Ends the command, and all that it has started, where this program can't do so itself: it was killed, or stands
//! still while its lock runs out.
//!
//! The kernel ends the command's own process where this one is killed ([`crate::child::end_with_parent`]), but not
//! what that has started: a script's current step would go on while others get the lock. So another process, the
//! watchdog, is told by a pipe until when the lock is certainly held. It finds what is to end by a mark in its
//! environment, and ends it shortly before that moment, or when the pipe ends.

use super::process_tree::{Refused, processes};
use crate::exit::{self, Status};
use crate::say;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

/// What has this in its environment was started under the lock.
pub const MARK: &str = "REDIS_LOCK_RUN";
/// Between two looks at what is left, at first and at most.
const LOOK: Duration = Duration::from_millis(20);
const MAX_LOOK: Duration = Duration::from_secs(1);
/// What the program says on the pipe in place of a moment: its command has ended.
const DISMISSED: u64 = 0;

/// (not for people) Ends the command of the `redis-lock run` that started it, should that not be able to
#[derive(clap::Args)]
#[command(hide = true)]
pub struct Arguments {
    mark: String,
}

/// Nanoseconds since the machine was started, the same for every process: suspended or not.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The watchdog of this process. It is dismissed when this is dropped, but not where this process ends without that.
pub struct Watchdog {
    mark: String,
    pipe: ChildStdin,
}

impl Watchdog {
    /// # Errors
    /// Where there can be no further process.
    pub fn start() -> io::Result<Watchdog> {
        let mark = format!("{}-{:016x}", std::process::id(), rand::random::<u64>());
        let mut watchdog = Command::new("/proc/self/exe");
        // One around this program looks for its own mark: it is to end this program, not this one's watchdog.
        watchdog.env_clear().args(["watchdog", &mark]).current_dir("/");
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null());
        // Not there for what ends this one: Ctrl-C, a terminal that goes away.
        watchdog.process_group(0);
        let pipe = watchdog.spawn()?.stdin.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Watchdog { mark, pipe })
    }

    /// To be handed on to the command as [`MARK`].
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The command must have ended so long from now, unless this is said again.
    pub fn expect_end_in(&mut self, left: Duration) {
        let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        self.tell(now().saturating_add(left));
    }

    fn tell(&mut self, moment: u64) {
        // Where it is gone already there is nobody to tell.
        let _ = self.pipe.write_all(&moment.to_le_bytes());
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.tell(DISMISSED);
    }
}

/// Why the watchdog ends the command.
enum Cause {
    Killed,
    Stands,
}

/// What the watchdog does.
pub fn watch_over(arguments: &Arguments) -> Status {
    let cause = match wait() {
        Ok(Some(cause)) => cause,
        Ok(None) => return exit::OK,
        Err(_) => return exit::OS_ERROR,
    };
    let ended_some = end_marked(format!("{MARK}={}", arguments.mark).as_bytes());
    // Not before: a terminal may stop who writes to it from the background.
    if ended_some {
        say(match cause {
            Cause::Killed => {
                "redis-lock run was killed, so nobody renews the lock: the command was ended with it"
            }
            Cause::Stands => {
                "redis-lock run stands still, so nobody renews the lock: the command was ended before others \
                 can have it"
            }
        });
    }
    exit::OK
}

/// Waits until the command is to be ended; `None` where it has ended by itself.
fn wait() -> io::Result<Option<Cause>> {
    // Not the library's own: that reads ahead, and what it has read does not wake `poll`.
    let mut pipe = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut until = u64::MAX;
    loop {
        let left = Duration::from_nanos(until.saturating_sub(now()));
        if left.is_zero() {
            return Ok(Some(Cause::Stands));
        }
        let left = Timespec::try_from(left.min(Duration::from_secs(3_600))).ok();
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], left.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            ready => ready?,
        };
        let mut moment = [0; 8];
        match pipe.read_exact(&mut moment) {
            Ok(()) if u64::from_le_bytes(moment) == DISMISSED => return Ok(None),
            Ok(()) => until = u64::from_le_bytes(moment),
            // The pipe's other end went with the process.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(Cause::Killed)),
            Err(error) => return Err(error),
        }
    }
}

/// Ends all that has this in its environment; whether there was any.
fn end_marked(mark: &[u8]) -> bool {
    let (mut looks_in_vain, mut found_some) = (0, false);
    let (mut refused, mut pause) = (Refused::default(), LOOK);
    // One that was just being started is found at the second look.
    while looks_in_vain < 2 {
        let marked = marked(mark);
        looks_in_vain = if marked.is_empty() { looks_in_vain + 1 } else { 0 };
        found_some |= !marked.is_empty();
        marked.into_iter().for_each(|process| refused.send(process, Signal::KILL));
        std::thread::sleep(pause);
        // What can't be ended at once may take its time.
        pause = if looks_in_vain == 0 { (pause * 2).min(MAX_LOOK) } else { LOOK };
    }
    found_some
}

/// All processes that have this in their environment. One that runs as another user does not show it.
fn marked(mark: &[u8]) -> Vec<Pid> {
    let has_mark = |process: &i32| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    processes().filter(has_mark).filter_map(Pid::from_raw).collect()
}
