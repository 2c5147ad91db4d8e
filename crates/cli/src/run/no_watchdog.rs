//! Other systems than Linux have no watchdog: processes are not found there.

use redis_lock_quorum::Lock;
use rustix::process::Pid;
use std::io;
use std::time::Duration;

pub const MARK: &str = "REDIS_LOCK_RUN";

/// There is none.
pub enum Watchdog {}

impl Watchdog {
    /// # Errors
    /// Returns that the system has none.
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
