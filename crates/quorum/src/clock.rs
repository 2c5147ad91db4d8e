//! The clock that the validity is counted on, and the clock that tokens follow.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// This clock goes on while the machine is suspended, as the nodes' clocks do. `Instant` does not, and a lock
/// would be held for too long.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
/// On other systems the monotonic clock does that, or there is no better one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A point in time, in nanoseconds since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub fn from_nanos(nanos: u64) -> Moment {
        Moment(nanos)
    }

    pub fn nanos(self) -> u64 {
        self.0
    }

    /// Returns the moment that is `time` later.
    pub fn after(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Returns how much later this is than `earlier`, or zero if it is not later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Returns nanoseconds since the machine was started.
pub(crate) fn boot_time() -> u64 {
    let time = clock_gettime(CLOCK);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Returns microseconds since 1970 by the wall clock.
pub(crate) fn wall_clock() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
