//! The process of a server: starting it with its output in a file, signals, and waiting for it.

use crate::poll::within;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A server process. It is signalled only while it has not been waited for, so never another process that got
/// its number.
pub(crate) struct Process {
    child: Mutex<Child>,
}

impl Process {
    /// Starts `command`, with all of its output appended to `log`.
    pub fn start(mut command: Command, log: &Path) -> io::Result<Process> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output).spawn()?;
        Ok(Process { child: Mutex::new(child) })
    }

    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// Replaces a process that has ended.
    pub fn become_this(&self, other: Process) {
        *self.child() = other.child.into_inner().unwrap_or_else(PoisonError::into_inner);
    }

    /// Returns how it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("a child can be waited for")
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&self, signal: libc::c_int) {
        let mut child = self.child();
        if child.try_wait().expect("a child can be waited for").is_some() {
            return;
        }
        // SAFETY: no memory is involved; the number is this child's until it is waited for.
        let sent = unsafe { libc::kill(child.id() as libc::pid_t, signal) };
        assert_eq!(sent, 0, "signal {signal}: {}", io::Error::last_os_error());
    }

    /// Waits for the end. Returns whether it came within `bound`.
    pub fn wait(&self, bound: Duration) -> bool {
        within(bound, || self.ended()).is_some()
    }

    /// Kills it at once and waits.
    pub fn kill(&self) {
        let mut child = self.child();
        // Both fail only if it has already ended.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Allows this process, and the servers that it starts, as many connections as the system permits.
pub fn allow_connections() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given one rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
