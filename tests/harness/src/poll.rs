//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// What a polled closure may return: `true` or `Some` end the wait.
pub trait Condition {
    /// What the wait results in.
    type Value;
    /// The result, if the condition holds.
    fn met(self) -> Option<Self::Value>;
}

impl Condition for bool {
    type Value = ();
    fn met(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Condition for Option<T> {
    type Value = T;
    fn met(self) -> Option<T> {
        self
    }
}

/// Asks `probe` again and again until it says yes, and returns what it found.
///
/// # Panics
/// With the caller's location, when `bound` has passed and the answer is still no.
#[track_caller]
pub fn eventually<C: Condition>(bound: Duration, mut probe: impl FnMut() -> C) -> C::Value {
    match within(bound, &mut probe) {
        Some(value) => value,
        None => panic!("the condition was not met within {bound:?}"),
    }
}

/// As [`eventually`], for callers with something better to say than that it took too long.
pub(crate) fn within<C: Condition>(bound: Duration, mut probe: impl FnMut() -> C) -> Option<C::Value> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        // Taken before the probe: a last look comes after the bound, however late this thread woke.
        let late = start.elapsed() >= bound;
        if let Some(value) = probe().met() {
            return Some(value);
        }
        if late {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}
