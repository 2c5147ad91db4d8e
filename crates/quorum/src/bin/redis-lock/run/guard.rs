//! Ends the command, and all that it has started, where this program is killed and can't do so itself.
//!
//! The kernel ends the command's own process then ([`crate::child::end_with_parent`]), but not what that has started: a
//! script's current step would go on while others get the lock. So another process, the guard, waits on a pipe for this
//! one's end, and finds what is to end with it by a mark in its environment.

use crate::exit::{self, Status};
use crate::say;
use rustix::process::{Pid, Signal};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

/// What has this in its environment was started under the lock.
pub const MARK: &str = "REDIS_LOCK_RUN";
/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);

/// (not for people) Waits for the end of the `redis-lock run` that started it
#[derive(clap::Args)]
#[command(hide = true)]
pub struct Arguments {
    mark: String,
}

/// The guard of this process. It is dismissed when this is dropped, but not where this process ends without that.
pub struct Guard {
    mark: String,
    pipe: ChildStdin,
}

impl Guard {
    /// # Errors
    /// Where there can be no further process.
    pub fn start() -> io::Result<Guard> {
        let mark = format!("{}-{:016x}", std::process::id(), rand::random::<u64>());
        let mut guard = Command::new("/proc/self/exe");
        // A guard around this program looks for its own mark: it is to end this program, not this one's guard.
        guard.env_clear().args(["guard", &mark]).stdin(Stdio::piped()).stdout(Stdio::null()).current_dir("/");
        // Not there for what ends this one: Ctrl-C, a terminal that goes away.
        guard.process_group(0);
        let pipe = guard.spawn()?.stdin.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Guard { mark, pipe })
    }

    /// To be handed on to the command as [`MARK`].
    pub fn mark(&self) -> &str {
        &self.mark
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Where it is gone already there is nobody to dismiss.
        let _ = self.pipe.write_all(b".");
    }
}

/// What the guard does.
pub fn watch_over(arguments: &Arguments) -> Status {
    let mut pipe = [0];
    match io::stdin().read_exact(&mut pipe) {
        Ok(()) => return exit::OK,
        // The pipe's other end went with the process.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(_) => return exit::OS_ERROR,
    }
    let mark = format!("{MARK}={}", arguments.mark);
    // One that was just being started is found at the second look.
    let (mut looks_in_vain, mut found_some) = (0, false);
    while looks_in_vain < 2 {
        let marked = marked(mark.as_bytes());
        looks_in_vain = if marked.is_empty() { looks_in_vain + 1 } else { 0 };
        found_some |= !marked.is_empty();
        for process in marked {
            // It has just ended.
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
        std::thread::sleep(LOOK);
    }
    // Not before: a terminal may stop who writes to it from the background.
    if found_some {
        say("redis-lock run was killed, so nobody renews the lock: the command was ended with it");
    }
    exit::OK
}

/// All processes that have this in their environment. One that runs as another user does not show it.
fn marked(mark: &[u8]) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has_mark = |process: &i32| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    processes.filter(has_mark).filter_map(Pid::from_raw).collect()
}
