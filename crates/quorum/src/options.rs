//! The options of a quorum, and their checks.

use crate::Error;
use std::time::Duration;

/// Longest time limit of a node that is derived from the ttl, if there are other nodes.
const MAX_NODE_TIMEOUT: Duration = Duration::from_millis(50);
/// Longest time limit that is derived from the ttl, if there is only one node.
const MAX_ONLY_NODE_TIMEOUT: Duration = Duration::from_secs(5);
const MIN_NODE_TIMEOUT: Duration = Duration::from_millis(5);
const MAX_LOST_MARGIN: Duration = Duration::from_secs(1);
const FIRST_TURN_PAUSE: Duration = Duration::from_micros(500);
const MIN_LOST_MARGIN: Duration = Duration::from_millis(5);
/// Inexactness of the timers of both sides, subtracted from the validity beside the drift.
const TIMER_ERROR: Duration = Duration::from_millis(2);

/// How a [`Quorum`](crate::Quorum) behaves. The defaults suit a local network.
///
/// ```
/// use redis_lock_quorum::Options;
/// use std::time::Duration;
///
/// let patient = Options { retry_count: 20, retry_delay: Duration::from_millis(50), ..Options::default() };
/// assert_eq!(patient.drift, 0.01);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How much the *rates* of two clocks may differ, as a part of the ttl: 0.01. Each clock may be wrong by
    /// half of it. It is subtracted from the validity, with 2 ms for the timers.
    pub drift: f64,
    /// How often a failed attempt is repeated: 3 (so there are up to four attempts). While others hold a
    /// single resource, the time that the repetitions would take is spent in line. A time given with
    /// [`Acquire::wait`](crate::Acquire::wait) replaces it.
    pub retry_count: u32,
    /// Time between two attempts: 200 ms.
    pub retry_delay: Duration,
    /// Greatest random difference of that time, in either direction: 100 ms.
    pub retry_jitter: Duration,
    /// How long a node may take to answer a request, including connecting. Default: 5 % of the ttl, at least
    /// 5 ms and at most 50 ms; for a single node, a quarter of the ttl and at most 5 s.
    pub node_timeout: Option<Duration>,
    /// How long before the end of the validity [`Lock::lost`](crate::Lock::lost) returns, so that work can
    /// stop in time. Default: a tenth of the ttl, at least 5 ms (a quarter of the ttl if that is less) and at
    /// most 1 s.
    pub lost_margin: Option<Duration>,
    /// How long it may take to make one connection: 2 s. It is made in the background; no request waits for
    /// it longer than `node_timeout`.
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            drift: 0.01,
            retry_count: 3,
            retry_delay: Duration::from_millis(200),
            retry_jitter: Duration::from_millis(100),
            node_timeout: None,
            lost_margin: None,
            connect_timeout: Duration::from_secs(2),
        }
    }
}

impl Options {
    /// # Errors
    /// Returns [`Error::Config`] if an option is wrong.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(0.0..1.0).contains(&self.drift) {
            return Err(Error::Config(format!("drift is {}: it must be at least 0 and below 1", self.drift)));
        }
        let zero =
            |name: &str| Err(Error::Config(format!("{name} is zero: give it a time, or leave it unset")));
        if self.node_timeout == Some(Duration::ZERO) {
            return zero("node_timeout");
        }
        if self.connect_timeout.is_zero() {
            return zero("connect_timeout");
        }
        Ok(())
    }

    /// # Errors
    /// Returns [`Error::Config`] if the ttl leaves no validity, or no room for the margin.
    pub(crate) fn check_ttl(&self, ttl: Duration) -> Result<(), Error> {
        if ttl.as_millis() > i64::MAX as u128 {
            return Err(Error::Config(format!("a ttl of {ttl:?} is too long")));
        }
        let allowance = self.allowance(ttl);
        if ttl <= allowance {
            return Err(Error::Config(format!(
                "a ttl of {ttl:?} is too short: {allowance:?} of it are for clock drift and timers"
            )));
        }
        match self.lost_margin {
            Some(margin) if margin >= ttl - allowance => Err(Error::Config(format!(
                "lost_margin is {margin:?}: with a ttl of {ttl:?} a lock would be lost at once"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns what is subtracted from a ttl to get the validity.
    pub(crate) fn allowance(&self, ttl: Duration) -> Duration {
        let drift = Duration::from_millis((ttl.as_millis() as f64 * self.drift).ceil() as u64);
        drift + TIMER_ERROR
    }

    pub(crate) fn node_timeout(&self, ttl: Duration, nodes: usize) -> Duration {
        let derived = || match nodes {
            1 => (ttl / 4).clamp(MIN_NODE_TIMEOUT, MAX_ONLY_NODE_TIMEOUT),
            _ => (ttl / 20).clamp(MIN_NODE_TIMEOUT, MAX_NODE_TIMEOUT),
        };
        self.node_timeout.unwrap_or_else(derived)
    }

    pub(crate) fn lost_margin(&self, ttl: Duration) -> Duration {
        let derived = || (ttl / 10).clamp(MIN_LOST_MARGIN, MAX_LOST_MARGIN).min(ttl / 4);
        self.lost_margin.unwrap_or_else(derived)
    }

    /// Returns the time until the next attempt: delay ± jitter, chosen by a random number from 0 to 1.
    pub(crate) fn pause(&self, random: f64) -> Duration {
        let jitter = self.retry_jitter.mul_f64(2.0 * random);
        self.retry_delay.saturating_add(jitter).saturating_sub(self.retry_jitter)
    }

    /// Returns the pause in a request's turn after this number of failed attempts. It doubles up to the retry
    /// delay, and differs by up to half, chosen by a random number from 0 to 1.
    pub(crate) fn turn_pause(&self, failures: u32, random: f64) -> Duration {
        let doubled = FIRST_TURN_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.retry_delay).mul_f64(0.5 + random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_node_timeout_follows_the_ttl_within_bounds() {
        let options = Options::default();
        for (ttl, timeout) in [(10, 5), (100, 5), (400, 20), (1_000, 50), (60_000, 50)] {
            assert_eq!(options.node_timeout(ms(ttl), 3), ms(timeout), "{ttl}");
        }
        for (ttl, timeout) in [(10, 5), (400, 100), (10_000, 2_500), (60_000, 5_000)] {
            assert_eq!(options.node_timeout(ms(ttl), 1), ms(timeout), "{ttl}");
        }
        let options = Options { node_timeout: Some(ms(900)), ..options };
        assert_eq!([1, 3].map(|nodes| options.node_timeout(ms(10), nodes)), [ms(900); 2]);
    }

    #[test]
    fn drift_is_rounded_up() {
        assert_eq!(Options::default().allowance(ms(10_000)), ms(102));
        assert_eq!(Options::default().allowance(ms(10_001)), ms(103));
        assert_eq!(Options { drift: 0.0, ..Options::default() }.allowance(ms(5)), ms(2));
    }

    #[test]
    fn pauses_lie_around_the_delay() {
        let options = Options { retry_delay: ms(20), retry_jitter: ms(30), ..Options::default() };
        let pauses: Vec<_> = (0..1_000).map(|_| options.pause(rand::random_range(0.0..=1.0))).collect();
        assert!(pauses.iter().all(|pause| *pause <= ms(50)));
        assert!(pauses.iter().any(|pause| *pause > ms(40)) && pauses.contains(&ms(0)));
    }

    #[test]
    fn whose_turn_it_is_asks_ever_more_seldom() {
        let options = Options { retry_delay: ms(5), ..Options::default() };
        let pauses =
            [1, 2, 3, 4, 5, 60, u32::MAX].map(|failures| options.turn_pause(failures, 0.5).as_micros());
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        assert_eq!([0.0, 1.0].map(|random| options.turn_pause(5, random)), [ms(5) / 2, ms(5) * 3 / 2]);
    }

    #[test]
    fn bad_options_are_told_apart() {
        let default = Options::default;
        for (options, word) in [
            (Options { drift: -0.1, ..default() }, "drift is -0.1"),
            (Options { drift: 1.0, ..default() }, "drift is 1"),
            (Options { drift: f64::NAN, ..default() }, "drift is NaN"),
            (Options { node_timeout: Some(ms(0)), ..default() }, "node_timeout is zero"),
            (Options { connect_timeout: ms(0), ..default() }, "connect_timeout is zero"),
        ] {
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(default().check().is_ok());
    }

    #[test]
    fn a_ttl_needs_room() {
        let options = Options { lost_margin: Some(ms(50)), ..Options::default() };
        for (ttl, word) in [
            (ms(0), "too short"),
            (ms(3), "too short"),
            (ms(50), "lost_margin is 50ms"),
            (Duration::MAX, "too long"),
        ] {
            let error = options.check_ttl(ttl).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(options.check_ttl(ms(54)).is_ok());
        assert!(Options::default().check_ttl(ms(4)).is_ok());
    }
}
