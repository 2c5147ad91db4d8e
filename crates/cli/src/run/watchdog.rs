//! Ends the command, and all that it has started, if this program can't do so itself: it was killed, or
//! stands still while its lock expires.
//!
//! The kernel ends the command's own process if this one is killed ([`crate::child::end_with_parent`]), but
//! not its descendants: a script's step would go on while others get the lock. And a stopped program ends
//! nothing. So another process, the watchdog, learns through a pipe how long the lock is held. It finds what
//! to end by a mark in the environment and, while this program lives, among its descendants. It asks that to
//! end a little later than this program would, and kills it before the lock or when the pipe ends.

use super::process_tree::{Refused, descendants, processes};
use crate::exit::{self, Status};
use crate::say;
use redis_lock_quorum::Lock;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, getpid, getppid};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// The environment variable that marks what was started under the lock.
pub const MARK: &str = "REDIS_LOCK_RUN";
/// Initial and greatest interval between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);
const MAX_LOOK: Duration = Duration::from_secs(1);

/// Returns nanoseconds since the machine was started, including suspended time; the same for all processes.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn later(moment: u64, time: Duration) -> u64 {
    moment.saturating_add(nanos(time))
}

fn earlier(moment: u64, time: Duration) -> u64 {
    moment.saturating_sub(nanos(time))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// When the command is asked to end, and when it must have ended: the messages on the pipe.
#[derive(Clone, Copy, PartialEq)]
struct Deadlines {
    ask: u64,
    kill: u64,
}

impl Deadlines {
    const NONE: Deadlines = Deadlines { ask: u64::MAX, kill: u64::MAX };
    /// The command has ended.
    const DISMISSED: Deadlines = Deadlines { ask: 0, kill: 0 };

    fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ask) << 64 | u128::from(self.kill)).to_le_bytes()
    }

    fn from_bytes(bytes: [u8; 16]) -> Deadlines {
        let both = u128::from_le_bytes(bytes);
        Deadlines { ask: (both >> 64) as u64, kill: both as u64 }
    }
}

/// The watchdog of this process. It is dismissed on drop, but not if this process ends without that.
pub struct Watchdog {
    mark: String,
    pid: Pid,
    pipe: ChildStdin,
    /// How long before the end of the validity the command is asked to end, and is killed.
    margins: (Duration, Duration),
    asks_at: Cell<u64>,
}

impl Watchdog {
    /// # Errors
    /// Returns the system's error if no further process can be started.
    pub fn start(strangers: &[Pid], margins: (Duration, Duration)) -> io::Result<Watchdog> {
        let mark = format!("{}-{:016x}", std::process::id(), rand::random::<u64>());
        let mut watchdog = Command::new("/proc/self/exe");
        // No mark: an outer watchdog must end this program, but not this program's watchdog.
        watchdog.env_clear().args(["watchdog", &mark, &std::process::id().to_string()]).current_dir("/");
        watchdog.args(strangers.iter().map(|stranger| stranger.to_string()));
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null());
        // What ends this process must not reach the watchdog: Ctrl-C, a terminal that goes away.
        watchdog.process_group(0);
        let mut watchdog: Child = watchdog.spawn()?;
        let pipe = watchdog.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // A watchdog that no longer reads must not stop the renewal of the lock.
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let asks_at = Cell::new(u64::MAX);
        Ok(Watchdog { mark, pid: Pid::from_child(&watchdog), pipe, margins, asks_at })
    }

    /// Returns the mark, which the command must get as [`MARK`].
    pub fn mark(&self) -> &str {
        &self.mark
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Allows the command to run while the lock is valid.
    pub fn allow(&self, lock: &Lock) {
        // In this order: if this process is stopped in between, it must not promise too much.
        let now = now();
        let end = later(now, lock.validity());
        let (ask, kill) = self.margins;
        self.tell(Deadlines { ask: earlier(end, ask), kill: earlier(end, kill) });
    }

    /// Announces that this process asks the command to end, and kills it after the grace time.
    pub fn leave_to_end(&self, grace: Duration) {
        let (_, slack) = self.margins;
        self.tell(Deadlines { ask: u64::MAX, kill: later(later(now(), grace), slack) });
    }

    /// Returns whether the watchdog has stepped in, since this process stood still.
    pub fn is_due(&self) -> bool {
        self.asks_at.get() <= now()
    }

    fn tell(&self, deadlines: Deadlines) {
        self.asks_at.set(deadlines.ask);
        // If the watchdog has ended, or no longer reads, nothing can be done.
        let _ = (&self.pipe).write_all(&deadlines.to_bytes());
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.tell(Deadlines::DISMISSED);
    }
}

/// (not for people) Ends the command of the `redis-lock run` that started it, should that not be able to
#[derive(clap::Args)]
#[command(hide = true)]
pub struct Arguments {
    mark: String,
    parent: i32,
    /// Children of its parent that have nothing to do with the command.
    strangers: Vec<i32>,
}

/// Why the watchdog ends the command.
enum Cause {
    Killed,
    Stands,
}

/// Waits for the end of `redis-lock run` or of its lock, and ends what that left running.
pub fn watch_over(arguments: &Arguments) -> Status {
    ignore_signals();
    let mut family = Family::new(arguments);
    let cause = match family.watch() {
        Ok(None) => return exit::OK,
        Ok(Some(cause)) => cause,
        Err(error) => {
            say(&format!("the watchdog can't hear from redis-lock run: {error}"));
            return exit::OS_ERROR;
        }
    };
    family.kill();
    match cause {
        _ if !family.had_some => {}
        Cause::Killed => {
            say("redis-lock run was killed, so nobody renews the lock: the command was ended with it");
        }
        Cause::Stands => say(
            "redis-lock run stands still, so nobody renews the lock: the command was ended before others can have it",
        ),
    }
    exit::OK
}

/// The watchdog ends when its pipe does, and not before: whoever asks all of `redis-lock` to end may kill the
/// program next. And a terminal may stop a process that writes to it from the background.
fn ignore_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTTOU] {
        // SAFETY: no handler is given.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// What was started under the lock.
struct Family {
    mark: Vec<u8>,
    parent: Option<Pid>,
    strangers: Vec<Pid>,
    refused: Refused,
    had_some: bool,
}

impl Family {
    fn new(arguments: &Arguments) -> Family {
        let strangers = arguments.strangers.iter().copied().filter_map(Pid::from_raw);
        Family {
            mark: format!("{MARK}={}", arguments.mark).into_bytes(),
            parent: Pid::from_raw(arguments.parent),
            strangers: strangers.chain([getpid()]).collect(),
            refused: Refused::default(),
            had_some: false,
        }
    }

    /// Waits until the command must end, and asks it to before. Returns `None` if it has ended by itself.
    fn watch(&mut self) -> io::Result<Option<Cause>> {
        // Not the library's own reader, which reads ahead: what it has buffered does not wake `poll`.
        let mut pipe = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        // The time limit of `poll` stands still while the machine is suspended.
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?;
        let mut deadlines = Deadlines::NONE;
        loop {
            set(&timer, deadlines.ask.min(deadlines.kill))?;
            let mut ready = [PollFd::new(&pipe, PollFlags::IN), PollFd::new(&timer, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                polled => polled?,
            };
            // Messages that came meanwhile are first: this process may have stood still itself.
            if ready[0].revents().is_empty() {
                if deadlines.kill <= now() {
                    return Ok(Some(Cause::Stands));
                }
                self.ask();
                deadlines.ask = u64::MAX;
                continue;
            }
            let mut bytes = [0; 16];
            deadlines = match pipe.read_exact(&mut bytes).map(|()| Deadlines::from_bytes(bytes)) {
                Ok(Deadlines::DISMISSED) => return Ok(None),
                Ok(deadlines) => deadlines,
                // The pipe's other end was closed with the process.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(Cause::Killed)),
                Err(error) => return Err(error),
            };
        }
    }

    fn ask(&mut self) {
        let all = self.all();
        // A stopped process must continue in order to end properly.
        for signal in [Signal::TERM, Signal::CONT] {
            self.send(&all, signal);
        }
    }

    /// Kills all processes until none is left.
    fn kill(&mut self) {
        let (mut looks_in_vain, mut pause) = (0, LOOK);
        // A process that was just being started is found at the second look.
        while looks_in_vain < 2 {
            let all = self.all();
            looks_in_vain = if all.is_empty() { looks_in_vain + 1 } else { 0 };
            self.send(&all, Signal::KILL);
            std::thread::sleep(pause);
            // A process that can't be ended at once may take a while.
            pause = if looks_in_vain == 0 { (pause * 2).min(MAX_LOOK) } else { LOOK };
        }
    }

    fn send(&mut self, processes: &[Pid], signal: Signal) {
        self.had_some |= !processes.is_empty();
        processes.iter().for_each(|process| self.refused.send(*process, signal));
    }

    /// Returns the processes with the mark, and the descendants of the program. A process of another user
    /// does not show its mark; an orphan of the killed program is no descendant.
    fn all(&self) -> Vec<Pid> {
        let processes = processes();
        let found = self.parent.map(|parent| descendants(parent, &self.strangers, &processes));
        // Checked after the search: once the program has ended, its number may be another's.
        let mut all = found.filter(|_| getppid() == self.parent).unwrap_or_default();
        let marked = processes.into_iter().filter(|process| is_marked(*process, &self.mark));
        for process in marked.filter_map(Pid::from_raw) {
            if !all.contains(&process) {
                all.push(process);
            }
        }
        all
    }
}

fn is_marked(process: i32, mark: &[u8]) -> bool {
    let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == mark)
}

/// Sets the timer to this moment.
fn set(timer: &OwnedFd, moment: u64) -> io::Result<()> {
    // Zero would turn it off, and the most distant moments are out of its range.
    let moment = moment.clamp(1, i64::MAX as u64);
    let it_value =
        Timespec { tv_sec: (moment / 1_000_000_000) as i64, tv_nsec: (moment % 1_000_000_000) as i64 };
    let once = Itimerspec { it_interval: Timespec::default(), it_value };
    Ok(timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &once).map(drop)?)
}
