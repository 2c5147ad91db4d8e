//! The holds of a lock that has several: by owner, age, deadline, token and limit, each found in logarithmic
//! time, so that the ten-thousandth holder costs as much as the second.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::time::Micros;
use crate::{Bytes, Hold, Limit};

/// Rises with every new hold: a lower one has been held longer.
type Age = u64;

#[derive(Clone, Debug, Default)]
pub(crate) struct HoldSet {
    holds: BTreeMap<Age, Hold>,
    owners: HashMap<Bytes, Age>,
    deadlines: BTreeSet<(Micros, Age)>,
    tokens: BTreeSet<(u64, Age)>,
    limits: BTreeMap<Limit, usize>,
    next: Age,
}

impl HoldSet {
    pub fn len(&self) -> usize {
        self.holds.len()
    }

    pub fn get(&self, owner: &[u8]) -> Option<&Hold> {
        self.holds.get(self.owners.get(owner)?)
    }

    /// See [`crate::Lock::admits`]. If the rule allows it with all holds, it does so with the live ones.
    /// Otherwise the live ones are counted, no further than the smallest limit among them.
    pub fn admits(&self, limit: Limit, now: Micros) -> bool {
        let smallest = self.limits.keys().next().map_or(limit, |&smallest| smallest.min(limit));
        if smallest.tolerates(self.len() + 1) {
            return true;
        }
        let live = self.deadlines.range((now + 1, 0)..).filter_map(|(_, age)| self.holds.get(age));
        let mut smallest = limit;
        live.zip(2..).all(|(hold, holders)| {
            smallest = smallest.min(hold.limit());
            smallest.tolerates(holders)
        })
    }

    /// Replaces the same owner's hold, or adds the youngest one.
    pub fn put(&mut self, hold: Hold) {
        let age = match self.owners.get(hold.owner()) {
            Some(&age) => age,
            None => {
                self.next += 1;
                self.next
            }
        };
        self.take(age);
        self.insert(age, hold);
    }

    pub fn change<R>(&mut self, owner: &[u8], change: impl FnOnce(&mut Hold) -> R) -> Option<R> {
        let age = *self.owners.get(owner)?;
        let hold = self.holds.get_mut(&age)?;
        let (deadline, token) = (hold.deadline, hold.token);
        let result = change(hold);
        if hold.deadline != deadline {
            self.deadlines.remove(&(deadline, age));
            self.deadlines.insert((hold.deadline, age));
        }
        if hold.token != token {
            self.tokens.remove(&(token, age));
            self.tokens.insert((hold.token, age));
        }
        Some(result)
    }

    pub fn remove(&mut self, owner: &[u8]) -> Option<Hold> {
        let age = *self.owners.get(owner)?;
        self.take(age)
    }

    pub fn earliest(&self) -> Option<&Hold> {
        self.holds.get(&self.deadlines.first()?.1)
    }

    pub fn latest(&self) -> Option<Micros> {
        self.deadlines.last().map(|&(deadline, _)| deadline)
    }

    pub fn by_age(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }

    pub fn with_token(&self, token: u64) -> impl Iterator<Item = &Hold> {
        self.tokens.range((token, 0)..=(token, Age::MAX)).filter_map(|(_, age)| self.holds.get(age))
    }

    /// Approximate: entries of trees and tables are counted by their own size.
    pub fn heap_size(&self) -> usize {
        use std::mem::size_of;
        let entry = size_of::<(Age, Hold)>() + size_of::<(Bytes, Age)>() + 4 * size_of::<(u64, Age)>();
        let own: usize =
            self.holds.values().map(|hold| hold.heap_size() + hold.owner_bytes().heap_size()).sum();
        size_of::<HoldSet>() + self.len() * entry + own
    }

    fn insert(&mut self, age: Age, hold: Hold) {
        self.owners.insert(hold.owner_bytes().clone(), age);
        self.deadlines.insert((hold.deadline, age));
        self.tokens.insert((hold.token, age));
        *self.limits.entry(hold.limit()).or_insert(0) += 1;
        self.holds.insert(age, hold);
    }

    fn take(&mut self, age: Age) -> Option<Hold> {
        let hold = self.holds.remove(&age)?;
        self.owners.remove(hold.owner());
        self.deadlines.remove(&(hold.deadline, age));
        self.tokens.remove(&(hold.token, age));
        if let Some(count) = self.limits.get_mut(&hold.limit()) {
            *count -= 1;
            if *count == 0 {
                self.limits.remove(&hold.limit());
            }
        }
        Some(hold)
    }
}
