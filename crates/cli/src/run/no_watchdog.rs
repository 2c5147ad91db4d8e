//! Systems other than Linux have no watchdog, since processes can't be found there.

use redis_lock_quorum::Lock;
use rustix::process::Pid;
use std::io;
use std::time::Duration;

pub const MARK: &str = "REDIS_LOCK_RUN";

/// A watchdog that never exists.
pub enum Watchdog {}

impl Watchdog {
    /// # Errors
    /// Returns that the system does not support it.
    pub fn start(_: &[Pid], _: (Duration, Duration)) -> io::Result<Watchdog> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn mark(&self) -> &str {
        match *self {}
    }

    pub fn pid(&self) -> Pid {
        match *self {}
    }

    pub fn allow(&self, _: &Lock) {
        match *self {}
    }

    pub fn leave_to_end(&self, _: Duration) {
        match *self {}
    }

    pub fn is_due(&self) -> bool {
        match *self {}
    }
}
