//! Time as `core` sees it: microseconds on a clock that only goes forward, handed in.

/// Microseconds on the server's monotonic clock. Signed: what another process held longer than
/// this one runs began before its zero.
pub type Micros = i64;

/// The moment `ms` milliseconds after `now`; far beyond any use it saturates.
#[inline]
pub fn after_ms(now: Micros, ms: i64) -> Micros {
    now.saturating_add(ms.saturating_mul(1000))
}

/// Milliseconds from `now` until `moment`, rounded up; 0 where it has passed.
#[inline]
pub fn ms_until(moment: Micros, now: Micros) -> i64 {
    let micros = moment.saturating_sub(now).max(0);
    micros / 1000 + i64::from(micros % 1000 > 0)
}

/// Whole milliseconds from `moment` until `now`; 0 where it is yet to come.
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
