//! The clock for deadlines.

/// Returns microseconds on CLOCK_MONOTONIC, read each time. The kernel keeps its rate right and no one can
/// set it. The server's own monotonic clock may count processor ticks by the nominal frequency, which is too
/// inexact for locks.
#[inline]
pub fn monotonic_micros() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}
