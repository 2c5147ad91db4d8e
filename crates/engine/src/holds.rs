//! Changes to the holds of an open lock, and their consequences: totals, sessions, events, effects.

use redis_lock_core::decision::{Grant, Granted};
use redis_lock_core::effect::Cause;
use redis_lock_core::time::{after_ms, ms_since, Micros};
use redis_lock_core::{Hold, Limit, Lock, Renewal};

use crate::engine::{Conditions, Engine};
use crate::open_lock::{Event, OpenLock};
use crate::slot::Slot;
use crate::totals::{add, Totals};

/// How many holds of one lock are removed at a time, so that a large number does not block clients.
const MAX_PURGED: usize = 128;

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Opens the lock of a key to decide about it, or `to_follow` a decision made elsewhere. `lock` is empty
    /// if the key is. `expires` is whether the key has an expiry that somebody set.
    // Always inlined: the result is large, and is built in place.
    #[inline(always)]
    pub fn open<'k>(
        &self,
        place: (i32, &'k [u8]),
        lock: &'k mut Lock,
        expires: bool,
        to_follow: bool,
    ) -> OpenLock<'k> {
        let (db, name) = place;
        let queue = if self.queues.is_empty() { None } else { self.queues.find(db, name) };
        OpenLock::new(place, lock, expires, queue, !to_follow && !self.is_passive())
    }

    /// Updates the deadline of the changed lock in this slot.
    #[inline]
    pub fn on_stored(&mut self, slot: S, lock: &Lock) {
        match (lock.earliest(), slot.place()) {
            (Some(deadline), crate::NOWHERE) => self.deadlines.insert(deadline, slot),
            (Some(deadline), place) => self.deadlines.reschedule(place, deadline),
            (None, place) => {
                self.deadlines.remove(place);
            }
        }
    }

    /// Removes expired holds, so that their end is announced before the next decision. Returns whether there
    /// were any. Of a large number, some are left to later visits, as an expired hold counts in no decision.
    /// A server that only follows expires nothing.
    #[inline]
    pub(crate) fn purge(&mut self, open: &mut OpenLock, now: Micros) -> bool {
        let any = open.decided && open.lock.earliest().is_some_and(|deadline| deadline <= now);
        if any {
            self.purge_some(open, now);
        }
        any
    }

    #[cold]
    fn purge_some(&mut self, open: &mut OpenLock, now: Micros) {
        for _ in 0..MAX_PURGED {
            let Some(hold) = open.lock.take_expired(now) else { break };
            self.record_end(open, Cause::Expired, hold, now);
        }
    }

    /// Removes this owner's hold if it has expired.
    #[inline]
    pub(crate) fn purge_owner(&mut self, open: &mut OpenLock, owner: &[u8], now: Micros) {
        if open.decided && open.hold(owner).is_some_and(|hold| !hold.is_live(now)) {
            self.remove(open, owner, Cause::Expired, now);
        }
    }

    /// Carries a grant out. `own` is whether the running command is granted what it asked for.
    #[inline]
    pub(crate) fn grant(&mut self, open: &mut OpenLock, grant: &Grant, own: bool, at: &Conditions<C>) {
        let persisted = open.persist();
        if !self.sessions.is_empty() {
            self.unbind(open, grant.owner);
        }
        let granted = open.lock.grant(grant);
        if grant.session.is_some() {
            self.bind(open, grant.owner);
        }
        match granted {
            Granted::New => {
                self.held += 1;
                self.count(open, |totals| add(&mut totals.acquired, 1));
                open.touched = true;
                open.events.push(Event::Acquired);
                let bare = grant.limit == Limit::EXCLUSIVE && grant.meta.unwrap_or_default().is_empty();
                if own && bare && open.gone.is_empty() {
                    if open.decided && at.propagate {
                        open.granted = Some(grant.token);
                    }
                } else {
                    propagate(open, grant.owner, at);
                }
            }
            Granted::Again(renewal) => {
                self.count(open, |totals| add(&mut totals.reacquired, 1));
                renewed(open, grant.owner, renewal, persisted, at);
            }
        }
    }

    /// Extends this owner's hold, and raises its token to at least `token` if one is given.
    pub(crate) fn extend_hold(
        &mut self,
        open: &mut OpenLock,
        (owner, ttl_ms, token): (&[u8], i64, Option<u64>),
        at: &Conditions<C>,
    ) {
        let deadline = after_ms(at.now, ttl_ms);
        let renewal = open.lock.change(owner, |hold| hold.renew(deadline, token, None));
        if let Some(renewal) = renewal {
            let persisted = open.persist();
            renewed(open, owner, renewal, persisted, at);
            self.count(open, |totals| add(&mut totals.extended, 1));
        }
    }

    /// Removes this owner's hold. Returns whether there was one.
    #[inline]
    pub(crate) fn remove(&mut self, open: &mut OpenLock, owner: &[u8], cause: Cause, now: Micros) -> bool {
        match open.lock.remove(owner) {
            Some(hold) => {
                self.record_end(open, cause, hold, now);
                true
            }
            None => false,
        }
    }

    /// Stores a whole hold, as another server has it.
    pub(crate) fn put(&mut self, open: &mut OpenLock, hold: Hold) {
        let differs =
            |old: &Hold| old.token != hold.token || old.meta() != hold.meta() || old.limit() != hold.limit();
        let (event, touched) = match open.hold(hold.owner()) {
            Some(old) => (Event::Extended, differs(old)),
            None => (Event::Acquired, true),
        };
        self.unbind(open, hold.owner());
        let persisted = open.persist();
        open.lock.put(hold);
        self.held += u64::from(event == Event::Acquired);
        open.touched |= touched || persisted;
        open.events.push(event);
    }

    #[inline]
    fn record_end(&mut self, open: &mut OpenLock, cause: Cause, hold: Hold, now: Micros) {
        self.held = self.held.saturating_sub(1);
        if !hold.sessions().is_empty() {
            self.sessions.forget(open.place, &hold);
        }
        self.count(open, |totals| {
            // Never negative.
            add(&mut totals.hold_ms_sum, ms_since(hold.since, now) as u64);
            let total = match cause {
                Cause::Expired => &mut totals.expired,
                Cause::Released => &mut totals.released,
                Cause::SessionClosed => &mut totals.sessions_dropped,
            };
            add(total, 1);
        });
        open.events.push(if cause == Cause::Expired { Event::Expired } else { Event::Released });
        open.touched = true;
        open.gone.push((cause, hold.into_owner()));
    }

    /// Unbinds this owner's hold from a closed connection. If it was the last one, the hold ends.
    pub(crate) fn close_session(&mut self, open: &mut OpenLock, owner: &[u8], client: u64, now: Micros) {
        if open.lock.change(owner, |hold| hold.unbind(client)) == Some(true) {
            self.remove(open, owner, Cause::SessionClosed, now);
        }
    }

    #[cold]
    pub(crate) fn bind(&mut self, open: &OpenLock, owner: &[u8]) {
        self.watches_clients = true;
        if let Some(hold) = open.hold(owner) {
            self.sessions.remember(open.place, hold);
        }
    }

    /// Removes this owner's hold from the index. The hold stays bound.
    #[cold]
    pub(crate) fn unbind(&mut self, open: &OpenLock, owner: &[u8]) {
        if let Some(hold) = open.hold(owner).filter(|hold| !hold.sessions().is_empty()) {
            self.sessions.forget(open.place, hold);
        }
    }

    /// Revokes an undelivered grant, if its hold is unchanged: an owner that asked again meanwhile got a
    /// reply that told of it.
    pub(crate) fn revoke(&mut self, open: &mut OpenLock, (owner, token): (&[u8], u64), now: Micros) {
        if open.hold(owner).is_some_and(|hold| hold.undelivered && hold.token == token) {
            self.remove(open, owner, Cause::Released, now);
        }
    }

    #[inline]
    fn count(&mut self, open: &OpenLock, count: impl FnOnce(&mut Totals)) {
        if open.decided {
            count(&mut self.totals);
        }
    }
}

/// A changed deadline alone is no change for clients that watch the key.
fn renewed<C>(open: &mut OpenLock, owner: &[u8], renewal: Renewal, persisted: bool, at: &Conditions<C>) {
    if renewal.any() || persisted {
        open.touched |= renewal.token || renewal.meta || persisted;
        open.events.push(Event::Extended);
        propagate(open, owner, at);
    }
}

/// Records this owner's hold as it is now, after the holds that ended.
fn propagate<C>(open: &mut OpenLock, owner: &[u8], at: &Conditions<C>) {
    if open.decided && at.propagate {
        let gone = std::mem::take(&mut open.gone);
        if let Some(hold) = open.hold(owner).cloned() {
            open.effects.push((hold, gone));
        }
    }
}
