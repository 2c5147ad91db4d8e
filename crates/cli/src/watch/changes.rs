//! The differences between two looks at a lock.

use super::locks::{Holder, LockInfo, Waiter};
use std::time::Duration;

/// Inexactness of a deadline, which is read in whole milliseconds a moment after it was sent.
const INEXACT: Duration = Duration::from_millis(100);

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was held when the watch began.
    Held,
    Acquired,
    Extended,
    Released,
    Expired,
    /// No event tells how it ended.
    Ended,
    /// Acquired by someone, and ended, between two looks.
    Brief,
    Waiting,
    /// A request is no longer in line, and was not granted.
    Left,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Held => "held",
            What::Acquired => "acquired",
            What::Extended => "extended",
            What::Released => "released",
            What::Expired => "expired",
            What::Ended => "ended",
            What::Brief => "brief",
            What::Waiting => "waiting",
            What::Left => "left",
        }
    }
}

/// A change of a lock.
#[derive(Clone, Debug)]
pub struct Change {
    pub lock: String,
    pub what: What,
    pub holder: Option<Holder>,
    pub waiter: Option<Waiter>,
}

/// The events about a lock since the last look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub acquired: usize,
    pub released: usize,
    pub expired: usize,
}

impl Told {
    /// Moves from `late` the events that are missing to explain this many holds that began and ended.
    fn explain(&mut self, late: &mut Told, began: usize, ended: usize) {
        let take = |from: &mut usize, most: usize| {
            let taken = most.min(*from);
            *from -= taken;
            taken
        };
        self.acquired += take(&mut late.acquired, began.saturating_sub(self.acquired));
        let missing = ended.saturating_sub(self.released + self.expired);
        let released = take(&mut late.released, missing);
        self.released += released;
        self.expired += take(&mut late.expired, missing - released);
    }

    /// Returns how a hold ended, if that is certain.
    fn ending(self) -> What {
        match (self.released, self.expired) {
            (0, 0) => What::Ended,
            (_, 0) => What::Released,
            (0, _) => What::Expired,
            _ => What::Ended,
        }
    }
}

/// Returns the changes between two looks at a lock. The events in `late` came after the look began, and may
/// be older or newer than it: those that explain a change are taken, the others left for the next look.
pub fn changes(
    lock: &str,
    before: Option<&LockInfo>,
    now: Option<&LockInfo>,
    (mut told, late): (Told, &mut Told),
    first: bool,
) -> Vec<Change> {
    let mut found = Vec::new();
    let mut add = |what, holder: Option<&Holder>, waiter: Option<&Waiter>| {
        found.push(Change { lock: lock.into(), what, holder: holder.cloned(), waiter: waiter.cloned() });
    };
    let holders = |info: Option<&'_ LockInfo>| info.map_or(Vec::new(), |info| info.holders.clone());
    let (old, new) = (holders(before), holders(now));
    let age = before.map_or(Duration::ZERO, LockInfo::age);
    let began = new.iter().filter(|holder| earlier(&old, holder).is_none()).count();
    let ended: Vec<&Holder> = old.iter().filter(|holder| !holds(&new, holder)).collect();
    told.explain(late, began, ended.len());
    for holder in ended {
        add(told.ending(), Some(&holder.later(age)), None);
    }
    for holder in &new {
        match earlier(&old, holder) {
            None if first => add(What::Held, Some(holder), None),
            None => add(What::Acquired, Some(holder), None),
            Some(old) => {
                let passed = now.zip(before).map_or(Duration::ZERO, |(now, before)| now.at - before.at);
                if holder.ttl + passed > old.ttl + INEXACT || holder.token > old.token {
                    add(What::Extended, Some(holder), None);
                }
            }
        }
    }
    for _ in began..told.acquired {
        add(What::Brief, None, None);
    }
    let waiters = |info: Option<&'_ LockInfo>| info.map_or(Vec::new(), |info| info.waiters.clone());
    let (old, waiting) = (waiters(before), waiters(now));
    for waiter in waiting.iter().filter(|waiter| !waits(&old, waiter)) {
        add(What::Waiting, None, Some(waiter));
    }
    let turns = now.map_or(&[][..], |now| &now.turns);
    let granted = |waiter: &Waiter| {
        new.iter().any(|holder| holder.owner == waiter.owner) || turns.contains(&waiter.owner)
    };
    for waiter in old.iter().filter(|waiter| !waits(&waiting, waiter) && !granted(waiter)) {
        add(What::Left, None, Some(waiter));
    }
    found
}

/// Returns the same hold as it was before.
fn earlier<'h>(old: &'h [Holder], holder: &Holder) -> Option<&'h Holder> {
    old.iter().find(|old| old.owner == holder.owner && old.token <= holder.token)
}

fn holds(holders: &[Holder], one: &Holder) -> bool {
    holders.iter().any(|holder| holder.owner == one.owner && holder.token >= one.token)
}

fn waits(waiters: &[Waiter], one: &Waiter) -> bool {
    waiters.iter().any(|waiter| waiter.owner == one.owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn info(at: Instant, holders: &[(&str, i64, u64)], waiters: &[&str]) -> LockInfo {
        let holder = |&(owner, token, ttl): &(&str, i64, u64)| Holder {
            owner: owner.into(),
            token,
            limit: 1,
            ttl: Duration::from_millis(ttl),
            held: Duration::ZERO,
            meta: String::new(),
        };
        let waiter = |owner: &&str| Waiter { owner: (*owner).into(), limit: 1, waiting: Duration::ZERO };
        LockInfo {
            at,
            holders: holders.iter().map(holder).collect(),
            waiters: waiters.iter().map(waiter).collect(),
            turns: Vec::new(),
        }
    }

    fn found(before: Option<LockInfo>, now: Option<LockInfo>, told: Told) -> Vec<What> {
        let changes = changes("key", before.as_ref(), now.as_ref(), (told, &mut Told::default()), false);
        changes.iter().map(|change| change.what).collect()
    }

    /// An event that came with the look's reply may already be visible, or only at the next look.
    #[test]
    fn what_is_told_late_explains_what_is_seen_and_nothing_else() {
        let (at, none) = (Instant::now(), Told::default());
        let held = Some(info(at, &[("a", 5, 3_000)], &[]));
        let told = Told { acquired: 1, released: 1, expired: 0 };
        let look = |before: Option<&LockInfo>, now: Option<&LockInfo>, mut late: Told| {
            let changes = changes("key", before, now, (none, &mut late), false);
            (changes.iter().map(|change| change.what).collect::<Vec<_>>(), late)
        };
        let left = Told { acquired: 0, ..told };
        assert_eq!(look(None, held.as_ref(), told), (vec![What::Acquired], left));
        assert_eq!(look(held.as_ref(), None, left), (vec![What::Released], none));
        assert_eq!(look(None, None, told), (vec![], told));
    }

    #[test]
    fn each_kind_of_change() {
        let (at, none) = (Instant::now(), Told::default());
        let later = at + Duration::from_secs(1);
        let held = || Some(info(at, &[("a", 5, 3_000)], &[]));
        assert_eq!(found(None, held(), none), [What::Acquired]);
        assert_eq!(found(held(), None, none), [What::Ended]);
        assert_eq!(found(held(), None, Told { released: 1, ..none }), [What::Released]);
        assert_eq!(found(held(), None, Told { expired: 1, ..none }), [What::Expired]);
        assert_eq!(found(held(), Some(info(later, &[("a", 5, 2_000)], &[])), none), []);
        assert_eq!(found(held(), Some(info(later, &[("a", 5, 3_000)], &[])), none), [What::Extended]);
        assert_eq!(found(held(), Some(info(later, &[("a", 6, 2_000)], &[])), none), [What::Extended]);
        assert_eq!(
            found(held(), Some(info(later, &[("b", 6, 3_000)], &[])), none),
            [What::Ended, What::Acquired]
        );
        assert_eq!(found(None, None, Told { acquired: 1, released: 1, ..none }), [What::Brief]);
        let line = || Some(info(at, &[("a", 5, 3_000)], &["b"]));
        assert_eq!(found(held(), line(), none), [What::Waiting]);
        assert_eq!(found(line(), held(), none), [What::Left]);
        assert_eq!(
            found(line(), Some(info(at, &[("b", 6, 3_000)], &[])), none),
            [What::Ended, What::Acquired]
        );
        let turn = LockInfo { turns: vec!["b".into()], ..info(at, &[("c", 6, 3_000)], &[]) };
        assert_eq!(found(line(), Some(turn), none), [What::Ended, What::Acquired], "over several nodes");
    }
}
