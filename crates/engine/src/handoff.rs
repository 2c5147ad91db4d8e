//! Handoff: granting a lock to the next waiters as soon as it is free.

use redis_lock_core::decision::{key_status, KeyStatus};
use redis_lock_core::time::{ms_since, Micros};
use redis_lock_core::Error;

use crate::delivery::{Outcome, PendingGrant};
use crate::engine::{Conditions, Engine};
use crate::open_lock::OpenLock;
use crate::slot::Slot;
use crate::totals::add;
use crate::wait_queue::Waiter;
use crate::wait_queues::{QueueId, Ticket};

/// How many owners are granted one lock at a time: about 1 ms of work. The rest follows with the next visit,
/// or with the next command on the key.
const MAX_GRANTED: usize = 128;

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Updates an open lock before any decision about it: timed-out waiters leave, expired holds are removed,
    /// and the queue is served.
    #[inline]
    pub(crate) fn expire_and_serve(&mut self, open: &mut OpenLock, at: &Conditions<C>) {
        if let Some(queue) = open.queue {
            self.expire_and_serve_queue(open, queue, at);
        } else {
            self.purge(open, at.now);
        }
    }

    #[cold]
    fn expire_and_serve_queue(&mut self, open: &mut OpenLock, queue: QueueId, at: &Conditions<C>) {
        self.time_out_all(queue, at.now);
        if self.purge(open, at.now) || self.queues.wants_serving(queue) {
            self.grant_waiters(open, queue, at);
        }
    }

    /// Grants the lock to waiters from the front, up to the first that does not fit. Returns whether there
    /// are more of them than are served at a time.
    #[cold]
    pub(crate) fn grant_waiters(&mut self, open: &mut OpenLock, queue: QueueId, at: &Conditions<C>) -> bool {
        if self.check_cooldown(at).is_err() {
            self.defer(queue, at.now);
            return false;
        }
        for _ in 0..MAX_GRANTED {
            let Some(waiters) = self.queues.admit(queue, open.lock, at.now) else { return false };
            let (allowed, forbidden): (Vec<_>, Vec<_>) =
                waiters.into_iter().partition(|(_, waiter)| (at.may_acquire)(&waiter.client));
            for waiter in forbidden {
                self.delivery.resolve(waiter, Outcome::Failed(Error::NoPermission), None);
            }
            self.hand_over(open, allowed, at);
        }
        self.queues.keep_unserved(queue);
        true
    }

    /// Grants the lock to one owner, whose requests these are, in their order. The first makes the hold
    /// (unless it exists), the others renew it. They are answered only after that.
    fn hand_over(&mut self, open: &mut OpenLock, waiters: Vec<(Ticket, Waiter<C>)>, at: &Conditions<C>) {
        let Some(owner) = waiters.first().map(|(_, waiter)| waiter.owner.clone()) else { return };
        self.purge_owner(open, owner.as_slice(), at.now);
        let held_before = open.hold(owner.as_slice()).is_some();
        let results: Vec<_> = waiters.iter().map(|(_, waiter)| self.grant_one(open, waiter, at)).collect();
        let token = open.hold(owner.as_slice()).map_or(0, |hold| hold.token);
        let granted = results.iter().filter(|result| result.is_ok()).count();
        let pending = (!held_before && granted > 0).then(|| {
            add(&mut self.totals.handed_over, 1);
            self.watches_clients = true;
            open.lock.change(owner.as_slice(), |hold| hold.undelivered = true);
            let (db, name) = open.place;
            self.delivery.begin(PendingGrant::new((db, name.into()), owner, token, granted))
        });
        for (waiter, result) in waiters.into_iter().zip(results) {
            match result {
                Ok(()) => {
                    // Never negative.
                    add(&mut self.totals.wait_ms_sum, ms_since(waiter.1.since, at.now) as u64);
                    self.delivery.resolve(waiter, Outcome::Granted(token), pending);
                }
                Err(error) => self.delivery.resolve(waiter, Outcome::Failed(error), None),
            }
        }
    }

    fn grant_one(
        &mut self,
        open: &mut OpenLock,
        waiter: &Waiter<C>,
        at: &Conditions<C>,
    ) -> Result<(), Error> {
        let token = match key_status(open.lock, false, waiter.owner.as_slice(), waiter.limit, at.now) {
            KeyStatus::Own(token) => token.max(waiter.fence.unwrap_or(0)),
            KeyStatus::OtherLimit => return Err(Error::OtherLimit),
            // It can't be held by others, as it is this waiter's turn.
            KeyStatus::Free | KeyStatus::Held => self.next_token(at.now, waiter.fence)?,
        };
        self.accept_token(token);
        self.grant(open, &waiter.grant(at.now, token), false, at);
        Ok(())
    }

    /// Removes all timed-out waiters from a queue.
    pub(crate) fn time_out_all(&mut self, queue: QueueId, now: Micros) {
        while self.time_out(queue, now) {}
    }
}
