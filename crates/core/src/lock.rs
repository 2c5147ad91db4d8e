//! The holds of one key, and the one rule.

use crate::decision::Grant;
use crate::hold_set::HoldSet;
use crate::time::Micros;
use crate::{Hold, Limit};

/// A lock: zero, one or many holds.
///
/// **The rule.** Every hold states how many holders it tolerates, itself included: an exclusive hold
/// tolerates 1, one of a semaphore n, a shared one any number. A request is granted if the lock would then
/// have no more holders than the smallest limit among its holders and the request.
///
/// No operation costs more than the logarithm of the number of holds, except those that visit all of them:
/// listing, and computing the size.
#[derive(Clone, Debug, Default)]
pub struct Lock(Holds);

/// Most locks have one hold, which needs no map around it.
#[derive(Clone, Debug, Default)]
enum Holds {
    #[default]
    None,
    One(Hold),
    /// Kept even if all but one are gone: converting back would cost more than it saves.
    Many(Box<HoldSet>),
}

impl Lock {
    /// Returns how many holds there are, including expired ones that have not been removed.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Holds::None => 0,
            Holds::One(_) => 1,
            Holds::Many(crowd) => crowd.len(),
        }
    }

    /// Returns whether nobody holds it. Such a lock has no reason to exist.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns this owner's hold.
    #[inline]
    pub fn get(&self, owner: &[u8]) -> Option<&Hold> {
        match &self.0 {
            Holds::None => None,
            Holds::One(hold) => (hold.owner() == owner).then_some(hold),
            Holds::Many(crowd) => crowd.get(owner),
        }
    }

    /// Returns whether the rule allows one more holder with this limit. An expired hold does not count, even
    /// if it has not been removed.
    #[inline]
    pub fn admits(&self, limit: Limit, now: Micros) -> bool {
        match &self.0 {
            Holds::None => true,
            Holds::One(hold) => hold.limit().min(limit).tolerates(2) || !hold.is_live(now),
            Holds::Many(crowd) => crowd.admits(limit, now),
        }
    }

    /// Gives an empty lock its first hold.
    #[inline]
    pub(crate) fn begin(&mut self, grant: &Grant) {
        self.0 = Holds::One(Hold::blank());
        if let Holds::One(hold) = &mut self.0 {
            hold.fill(grant);
        }
    }

    /// Stores a hold as it is, in place of the same owner's one (which keeps its age) or as the youngest,
    /// without a check: decisions are made before, see [`Lock::admits`].
    pub fn put(&mut self, hold: Hold) {
        self.0 = match std::mem::take(&mut self.0) {
            Holds::None => Holds::One(hold),
            Holds::One(old) if old.owner() == hold.owner() => Holds::One(hold),
            Holds::One(old) => {
                let mut crowd = Box::new(HoldSet::default());
                crowd.put(old);
                crowd.put(hold);
                Holds::Many(crowd)
            }
            Holds::Many(mut crowd) => {
                crowd.put(hold);
                Holds::Many(crowd)
            }
        };
    }

    /// Changes this owner's hold in place; owner and limit stay.
    pub fn change<R>(&mut self, owner: &[u8], change: impl FnOnce(&mut Hold) -> R) -> Option<R> {
        match &mut self.0 {
            Holds::None => None,
            Holds::One(hold) => (hold.owner() == owner).then(|| change(hold)),
            Holds::Many(crowd) => crowd.change(owner, change),
        }
    }

    /// Removes this owner's hold.
    pub fn remove(&mut self, owner: &[u8]) -> Option<Hold> {
        match std::mem::take(&mut self.0) {
            Holds::None => None,
            Holds::One(hold) if hold.owner() == owner => Some(hold),
            one @ Holds::One(_) => {
                self.0 = one;
                None
            }
            Holds::Many(mut crowd) => {
                let hold = crowd.remove(owner);
                if crowd.len() > 0 {
                    self.0 = Holds::Many(crowd);
                }
                hold
            }
        }
    }

    /// Removes the hold with the earliest deadline, if that has passed.
    pub fn take_expired(&mut self, now: Micros) -> Option<Hold> {
        if self.earliest().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match &self.0 {
            Holds::None => None,
            Holds::One(_) => match std::mem::take(&mut self.0) {
                Holds::One(hold) => Some(hold),
                _ => None,
            },
            Holds::Many(crowd) => {
                let owner = crowd.earliest().map(|hold| hold.owner().to_vec())?;
                self.remove(&owner)
            }
        }
    }

    /// Unbinds all holds from their connections.
    pub fn end_sessions(&mut self) {
        let bound = |hold: &&Hold| !hold.sessions().is_empty();
        let owners: Vec<Vec<u8>> = self.holds().filter(bound).map(|hold| hold.owner().to_vec()).collect();
        for owner in owners {
            self.change(&owner, |hold| hold.bind(None));
        }
    }

    /// Returns the earliest deadline, at which this lock must be visited next.
    #[inline]
    pub fn earliest(&self) -> Option<Micros> {
        match &self.0 {
            Holds::None => None,
            Holds::One(hold) => Some(hold.deadline),
            Holds::Many(crowd) => crowd.earliest().map(|hold| hold.deadline),
        }
    }

    /// Returns the latest deadline.
    pub fn latest(&self) -> Option<Micros> {
        match &self.0 {
            Holds::None => None,
            Holds::One(hold) => Some(hold.deadline),
            Holds::Many(crowd) => crowd.latest(),
        }
    }

    /// Returns all holds, the one held longest first.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        let (one, many) = match &self.0 {
            Holds::None => (None, None),
            Holds::One(hold) => (Some(hold), None),
            Holds::Many(crowd) => (None, Some(crowd.by_age())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Returns the holds that have not expired, the one held longest first.
    pub fn live(&self, now: Micros) -> impl Iterator<Item = &Hold> {
        self.holds().filter(move |hold| hold.is_live(now))
    }

    /// Returns whether a live hold has exactly this token.
    pub fn has_live_token(&self, token: u64, now: Micros) -> bool {
        match &self.0 {
            Holds::None => false,
            Holds::One(hold) => hold.token == token && hold.is_live(now),
            Holds::Many(crowd) => crowd.with_token(token).any(|hold| hold.is_live(now)),
        }
    }

    /// Returns how many bytes it has allocated besides its own size, approximately, for MEMORY USAGE.
    pub fn heap_size(&self) -> usize {
        match &self.0 {
            Holds::None => 0,
            Holds::One(hold) => hold.heap_size(),
            Holds::Many(crowd) => crowd.heap_size(),
        }
    }
}
