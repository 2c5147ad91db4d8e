//! Waiting requests: joining a queue, and leaving it without a grant.

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
    /// Puts a request of client `client_id` at the end of a key's queue. It must be followed by
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

    /// Decides whether a request that has just joined may stay. If not, it has left.
    ///
    /// # Errors
    /// Returns [`Error::Deadlock`] if the search found a `cycle` of that many locks, [`Error::MaxWaiters`] if
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

    /// Counts a request that is answered nil at once.
    pub fn on_refused(&mut self) {
        add(&mut self.totals.refused, 1);
    }

    /// Returns the next moment at which a waiter times out.
    #[inline]
    pub fn next_time_out(&self) -> Option<Micros> {
        self.queues.first_time_out().map(|(moment, _)| moment)
    }

    /// Answers nil to a waiter that has timed out. Returns whether there was one.
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

    /// Removes all requests of this owner from a queue. They get nil.
    #[cold]
    pub(crate) fn send_away_owner(&mut self, queue: QueueId, owner: &[u8]) {
        for waiter in self.queues.leave_owner(queue, owner) {
            self.delivery.resolve(waiter, Outcome::Nil, None);
        }
    }

    /// Answers up to `most` waiters for a key that has another type, so nobody gets a lock there.
    pub(crate) fn send_away(&mut self, queue: QueueId, most: usize) {
        for _ in 0..most {
            let Some(waiter) = self.queues.leave_first(queue) else { return };
            self.delivery.resolve(waiter, Outcome::Failed(Error::WrongType), None);
        }
    }
}
