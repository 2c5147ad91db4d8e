//! Requests that wait: how they join a queue, and how they leave it without a grant.

use redis_lock_core::request::Acquire;
use redis_lock_core::time::{after_ms, Micros};
use redis_lock_core::Error;

use crate::delivery::Outcome;
use crate::engine::Engine;
use crate::slot::Slot;
use crate::totals::add;
use crate::wait_queue::Waiter;
use crate::wait_queues::{QueueId, Ticket};

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Puts a request at the end of a key's queue: that of client number `client_id`. Next comes
    /// [`Engine::admit_waiter`].
    pub fn join(
        &mut self,
        (db, name): (i32, &[u8]),
        request: &Acquire,
        (client, client_id): (C, u64),
        now: Micros,
    ) -> Ticket {
        let block_ms = request.block_ms.filter(|&ms| ms > 0);
        let waiter = Waiter {
            owner: request.owner.into(),
            limit: request.limit,
            ttl_ms: request.ttl_ms,
            fence: request.fence,
            meta: request.meta.map(Into::into),
            session: request.session.then_some(client_id),
            since: now,
            until: block_ms.map(|ms| after_ms(now, ms)),
            client,
            client_id,
        };
        self.queues.join(db, name, waiter)
    }

    /// Decides whether a request that has just joined may stay; if not, it has left.
    ///
    /// # Errors
    /// Returns [`Error::Deadlock`] if the search found a `cycle` over that many locks, [`Error::MaxWaiters`] if
    /// more than `max_waiters` requests wait.
    pub fn admit_waiter(
        &mut self,
        ticket: Ticket,
        cycle: Option<usize>,
        max_waiters: i64,
    ) -> Result<(), Error> {
        let error = match cycle {
            Some(locks) => {
                add(&mut self.totals.deadlocks, 1);
                Error::Deadlock(locks)
            }
            None if self.queues.len() as i64 > max_waiters => Error::MaxWaiters,
            None => return Ok(()),
        };
        self.queues.leave(ticket);
        Err(error)
    }

    /// A request is answered nil at once.
    pub fn on_refused(&mut self) {
        add(&mut self.totals.refused, 1);
    }

    /// The next moment at which somebody has waited too long.
    #[inline]
    pub fn next_time_out(&self) -> Option<Micros> {
        self.queues.first_time_out().map(|(moment, _)| moment)
    }

    /// One who has waited too long is told nil. Returns whether there was one.
    pub fn time_out_next(&mut self, now: Micros) -> bool {
        match self.queues.first_time_out() {
            Some((until, queue)) if until <= now => self.time_out(queue, now),
            _ => false,
        }
    }

    pub(crate) fn time_out(&mut self, queue: QueueId, now: Micros) -> bool {
        let Some(waiter) = self.queues.time_out(queue, now) else { return false };
        add(&mut self.totals.wait_timeouts, 1);
        self.delivery.resolve(waiter, Outcome::Nil, None);
        true
    }

    /// All requests of this owner leave a queue, and are told nil.
    #[cold]
    pub(crate) fn send_away_owner(&mut self, queue: QueueId, owner: &[u8]) {
        for waiter in self.queues.leave_owner(queue, owner) {
            self.delivery.resolve(waiter, Outcome::Nil, None);
        }
    }

    /// A value of another type lies at the key: nobody gets a lock there. Up to so many are told at a time.
    pub(crate) fn send_away(&mut self, queue: QueueId, most: usize) {
        for _ in 0..most {
            let Some(waiter) = self.queues.leave_first(queue) else { return };
            self.delivery.resolve(waiter, Outcome::Failed(Error::WrongType), None);
        }
    }
}
