//! The counters of INFO.

/// Totals since load, of this server's own decisions as a master. They wrap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// New holds.
    pub acquired: u64,
    /// Holds granted again to their owner.
    pub reacquired: u64,
    /// Requests answered nil at once.
    pub refused: u64,
    /// New holds of waiters.
    pub handed_over: u64,
    /// Holds released.
    pub released: u64,
    /// Holds extended.
    pub extended: u64,
    /// Holds that expired.
    pub expired: u64,
    /// Holds that core commands removed.
    pub removed: u64,
    /// Requests refused because they would have waited in a cycle.
    pub deadlocks: u64,
    /// Requests that timed out waiting.
    pub wait_timeouts: u64,
    /// Holds that ended with their connection.
    pub sessions_dropped: u64,
    /// How long the waiters that were granted a lock had waited for it, in milliseconds.
    pub wait_ms_sum: u64,
    /// How long the holds that ended had been held, in milliseconds.
    pub hold_ms_sum: u64,
}

/// Adds to a total.
#[inline]
pub(crate) fn add(total: &mut u64, n: u64) {
    *total = total.wrapping_add(n);
}
