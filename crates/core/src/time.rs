//! Time in `core`: microseconds on a clock that only goes forward, passed as arguments.

/// Microseconds on the server's monotonic clock. Signed, as a hold that another process held for longer than
/// this one runs began before zero.
pub type Micros = i64;

/// Returns the moment `ms` milliseconds after `now`. Saturates far beyond any use.
#[inline]
pub fn after_ms(now: Micros, ms: i64) -> Micros {
    now.saturating_add(ms.saturating_mul(1000))
}

/// Returns milliseconds from `now` until `moment`, rounded up; 0 if it has passed.
#[inline]
pub fn ms_until(moment: Micros, now: Micros) -> i64 {
    let micros = moment.saturating_sub(now).max(0);
    micros / 1000 + i64::from(micros % 1000 > 0)
}

/// Returns whole milliseconds from `moment` until `now`; 0 if it is still to come.
#[inline]
pub fn ms_since(moment: Micros, now: Micros) -> i64 {
    now.saturating_sub(moment).max(0) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remaining_time_is_rounded_up_so_that_no_hold_is_cut_short() {
        assert_eq!(ms_until(1000, 0), 1);
        assert_eq!(ms_until(1001, 0), 2);
        assert_eq!(ms_until(1, 0), 1);
        assert_eq!(ms_until(0, 0), 0);
        assert_eq!(ms_until(0, 5), 0);
        assert_eq!(ms_until(i64::MAX, i64::MIN), i64::MAX / 1000 + 1);
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(after_ms(7, i64::MAX), i64::MAX);
        assert_eq!(ms_since(i64::MIN, i64::MAX), i64::MAX / 1000);
        assert_eq!(ms_since(2_999, 5_000), 2);
    }
}
