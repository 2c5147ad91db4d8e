//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// The result of a polled closure: `true` or `Some` end the wait.
pub trait Condition {
    /// The result of the wait.
    type Value;
    /// Returns the result, if the condition holds.
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

/// Calls `probe` until its condition holds, and returns what it found.
///
/// # Panics
/// Panics with the caller's location if the condition does not hold within `bound`.
#[track_caller]
pub fn eventually<C: Condition>(bound: Duration, mut probe: impl FnMut() -> C) -> C::Value {
    match within(bound, &mut probe) {
        Some(value) => value,
        None => panic!("the condition was not met within {bound:?}"),
    }
}

/// Does what [`eventually`] does, for callers that report more than a timeout.
pub(crate) fn within<C: Condition>(bound: Duration, mut probe: impl FnMut() -> C) -> Option<C::Value> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        // Taken before the probe: the last probe comes after the bound, however late this thread woke.
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
