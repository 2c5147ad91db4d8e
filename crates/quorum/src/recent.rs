//! What a client remembers of a resource for a short time, to spare other requests.

use crate::clock::Moment;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a client that found a resource held asks one node first, or waits in line at once.
const HELD: Duration = Duration::from_secs(1);
/// How long a client that may not use the line's lock does not try again.
const NOT_ALLOWED: Duration = Duration::from_secs(60);
/// Number of resources from which on expired ones are forgotten.
const MANY: usize = 64;

#[derive(Default)]
pub(crate) struct Recent(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    resources: BTreeMap<String, Resource>,
    /// How many there were after expired ones were last forgotten.
    current: usize,
}

/// Until when each fact about a resource is remembered.
#[derive(Clone, Copy, Default)]
struct Resource {
    held: Option<Moment>,
    not_allowed: Option<Moment>,
}

impl Resource {
    fn is_over(self, now: Moment) -> bool {
        [self.held, self.not_allowed].into_iter().flatten().all(|until| until <= now)
    }
}

impl Recent {
    /// Notes that the resource was found held.
    pub fn found_held(&self, resource: &str, now: Moment) {
        self.change(resource, now, |seen| seen.held = Some(now.after(HELD)));
    }

    /// Notes that this user was refused the line's lock.
    pub fn found_not_allowed(&self, resource: &str, now: Moment) {
        self.change(resource, now, |seen| seen.not_allowed = Some(now.after(NOT_ALLOWED)));
    }

    /// Returns whether it was found held within the last second.
    pub fn is_held(&self, resource: &str, now: Moment) -> bool {
        self.get(resource).held.is_some_and(|until| now < until)
    }

    /// Returns whether the line's lock may be used, as far as is known.
    pub fn is_allowed(&self, resource: &str, now: Moment) -> bool {
        self.get(resource).not_allowed.is_none_or(|until| until <= now)
    }

    fn get(&self, resource: &str) -> Resource {
        self.seen().resources.get(resource).copied().unwrap_or_default()
    }

    fn change(&self, resource: &str, now: Moment, change: impl FnOnce(&mut Resource)) {
        let mut seen = self.seen();
        if seen.resources.len() >= MANY.max(2 * seen.current) {
            seen.resources.retain(|_, resource| !resource.is_over(now));
            seen.current = seen.resources.len();
        }
        match seen.resources.get_mut(resource) {
            Some(known) => change(known),
            None => change(seen.resources.entry(resource.into()).or_default()),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_forgotten_after_a_while() {
        let (recent, start) = (Recent::default(), Moment::from_nanos(1));
        recent.found_held("a", start);
        recent.found_not_allowed("b", start);
        let soon = start.after(HELD / 2);
        assert_eq!(["a", "b"].map(|name| recent.is_held(name, soon)), [true, false]);
        assert_eq!(["a", "b"].map(|name| recent.is_allowed(name, soon)), [true, false]);
        assert!(!recent.is_held("a", start.after(HELD)));
        assert!(recent.is_allowed("b", start.after(NOT_ALLOWED)));
    }

    #[test]
    fn it_takes_no_room_without_end() {
        let recent = Recent::default();
        for second in 0..10_000 {
            let now = Moment::from_nanos(0).after(second * HELD / 10);
            recent.found_held(&format!("key:{second}"), now);
            assert!(recent.seen().resources.len() <= MANY);
        }
    }
}
