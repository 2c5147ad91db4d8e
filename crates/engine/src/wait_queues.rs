//! All queues of a server: who waits for which key, who is next, and who has timed out.
//!
//! A queue belongs to a database number and a key name, whatever type the key has. Nothing here knows the
//! locks: the caller passes the lock of a queue.

use std::collections::{BTreeSet, HashMap};

use redis_lock_core::time::Micros;
use redis_lock_core::{Bytes, Lock};

use crate::wait_queue::{Seq, WaitQueue, Waiter};

/// The id of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub(crate) u64);

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub(crate) queue: QueueId,
    pub(crate) seq: Seq,
}

/// The queues of one database by key, and the places of each owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    pub queues: HashMap<Bytes, QueueId>,
    owners: HashMap<Bytes, BTreeSet<Ticket>>,
}

impl Database {
    /// Returns where this owner waits.
    pub fn tickets(&self, owner: &[u8]) -> Option<&BTreeSet<Ticket>> {
        self.owners.get(owner)
    }
}

/// The queues of all keys that have waiters. Every change of one takes time logarithmic in the number of
/// waiters.
#[derive(Clone, Debug)]
pub struct WaitQueues<T> {
    pub(crate) queues: HashMap<QueueId, WaitQueue<T>>,
    pub(crate) databases: HashMap<i32, Database>,
    time_outs: BTreeSet<(Micros, QueueId)>,
    unserved: BTreeSet<QueueId>,
    defer: BTreeSet<QueueId>,
    waiting: usize,
    last: u64,
}

impl<T> Default for WaitQueues<T> {
    fn default() -> Self {
        WaitQueues {
            queues: HashMap::new(),
            databases: HashMap::new(),
            time_outs: BTreeSet::new(),
            unserved: BTreeSet::new(),
            defer: BTreeSet::new(),
            waiting: 0,
            last: 0,
        }
    }
}

impl<T> WaitQueues<T> {
    /// Returns how many requests wait, in all queues.
    #[inline]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Returns whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Returns the queue of a key, or `None` if nobody waits for it.
    pub fn find(&self, db: i32, name: &[u8]) -> Option<QueueId> {
        self.databases.get(&db)?.queues.get(name).copied()
    }

    /// Returns database and name of the key of a queue.
    pub fn place(&self, queue: QueueId) -> Option<(i32, &Bytes)> {
        self.queues.get(&queue).map(|queue| (queue.db, &queue.name))
    }

    /// Returns the waiters of a queue, first come first.
    pub fn waiters(&self, queue: QueueId) -> impl Iterator<Item = &Waiter<T>> {
        self.queues.get(&queue).into_iter().flat_map(WaitQueue::iter).map(|(_, waiter)| waiter)
    }

    /// Puts a request at the end of a key's queue.
    pub fn join(&mut self, db: i32, name: &[u8], waiter: Waiter<T>) -> Ticket {
        let queue = self.find(db, name).unwrap_or_else(|| self.open(db, name));
        self.last += 1;
        let ticket = Ticket { queue, seq: self.last };
        let owner = waiter.owner.clone();
        self.change(queue, |queue| queue.push(ticket.seq, waiter));
        self.remember_owner(db, ticket, owner);
        self.waiting += 1;
        ticket
    }

    /// Removes a request from its queue, if it is still there. If it was the first, the queue must be served,
    /// as the next one may fit.
    pub fn leave(&mut self, ticket: Ticket) -> Option<(Ticket, Waiter<T>)> {
        let queue = self.queues.get(&ticket.queue)?;
        if queue.first().is_some_and(|(first, _)| first == ticket.seq) {
            self.unserved.insert(ticket.queue);
        }
        self.take(ticket).map(|waiter| (ticket, waiter))
    }

    /// Removes the first request of a queue.
    pub fn leave_first(&mut self, queue: QueueId) -> Option<(Ticket, Waiter<T>)> {
        let (seq, _) = self.queues.get(&queue)?.first()?;
        self.leave(Ticket { queue, seq })
    }

    /// Removes all requests of one owner from a queue, and returns them in order.
    pub fn leave_owner(&mut self, queue: QueueId, owner: &[u8]) -> Vec<(Ticket, Waiter<T>)> {
        self.tickets_in(queue, owner).into_iter().filter_map(|ticket| self.leave(ticket)).collect()
    }

    /// Returns the earliest moment at which a waiter times out, and its queue.
    pub fn first_time_out(&self) -> Option<(Micros, QueueId)> {
        self.time_outs.first().copied()
    }

    /// Removes a waiter that has timed out. This precedes serving the queue, so that nobody is granted
    /// anything after its time limit.
    pub fn time_out(&mut self, queue: QueueId, now: Micros) -> Option<(Ticket, Waiter<T>)> {
        let (until, seq) = self.queues.get(&queue)?.first_time_out()?;
        if now < until {
            return None;
        }
        self.leave(Ticket { queue, seq })
    }

    /// Removes the waiter that must be granted the lock next, with all other requests of that owner in this
    /// queue, which the same grant answers. Returns `None` if the first in the queue does not fit, as nobody
    /// overtakes it.
    ///
    /// A hold past its deadline does not count, but the admitted owner's must be removed.
    pub fn admit(&mut self, queue: QueueId, lock: &Lock, now: Micros) -> Option<Vec<(Ticket, Waiter<T>)>> {
        while let Some(owner) = self.queues.get_mut(&queue)?.next_holder(lock, now) {
            let waiters = self.leave_owner(queue, owner.as_slice());
            if !waiters.is_empty() {
                return Some(waiters);
            }
        }
        let (_, first) = self.queues.get(&queue)?.first()?;
        if lock.admits(first.limit, now) {
            let owner = first.owner.clone();
            return Some(self.leave_owner(queue, owner.as_slice()));
        }
        self.unserved.remove(&queue);
        self.defer.remove(&queue);
        None
    }

    /// Notes that a queue was not served to the end.
    pub fn keep_unserved(&mut self, queue: QueueId) {
        if self.queues.contains_key(&queue) {
            self.unserved.insert(queue);
        }
    }

    /// Returns whether a queue must be served before anything else happens to its key.
    pub fn wants_serving(&self, queue: QueueId) -> bool {
        self.unserved.contains(&queue) || self.defer.contains(&queue)
    }

    /// Returns a queue that must be served, and was not deferred.
    #[inline]
    pub fn next_unserved(&self) -> Option<QueueId> {
        self.unserved.first().copied()
    }

    /// Defers a queue that can't be served now until [`WaitQueues::retry_deferred`]. Others are not affected.
    pub fn defer(&mut self, queue: QueueId) {
        self.unserved.remove(&queue);
        if self.queues.contains_key(&queue) {
            self.defer.insert(queue);
        }
    }

    /// Marks all deferred queues to be served again.
    pub fn retry_deferred(&mut self) {
        self.unserved.append(&mut self.defer);
    }

    /// Notes that the lock of a key has changed other than by serving its queue.
    pub fn mark_dirty(&mut self, db: i32, name: &[u8]) {
        if let Some(queue) = self.find(db, name) {
            self.mark(queue);
        }
    }

    /// Notes the same for all keys of a database, or of all databases.
    pub fn mark_all_dirty(&mut self, db: Option<i32>) {
        let concerned = |queue: &WaitQueue<T>| db.is_none_or(|db| queue.db == db);
        let queues: Vec<QueueId> =
            self.queues.iter().filter(|(_, queue)| concerned(queue)).map(|(&queue, _)| queue).collect();
        queues.into_iter().for_each(|queue| self.mark(queue));
    }

    fn mark(&mut self, queue: QueueId) {
        if let Some(own) = self.queues.get_mut(&queue) {
            own.dirty = true;
            self.unserved.insert(queue);
        }
    }

    fn tickets_in(&self, queue: QueueId, owner: &[u8]) -> Vec<Ticket> {
        let tickets = || self.databases.get(&self.queues.get(&queue)?.db)?.tickets(owner);
        let range = Ticket { queue, seq: 0 }..=Ticket { queue, seq: Seq::MAX };
        tickets().map(|tickets| tickets.range(range).copied().collect()).unwrap_or_default()
    }

    fn open(&mut self, db: i32, name: &[u8]) -> QueueId {
        self.last += 1;
        let queue = QueueId(self.last);
        self.queues.insert(queue, WaitQueue::new(db, name));
        self.databases.entry(db).or_default().queues.insert(name.into(), queue);
        queue
    }

    fn take(&mut self, ticket: Ticket) -> Option<Waiter<T>> {
        let waiter = self.change(ticket.queue, |queue| queue.remove(ticket.seq))??;
        let queue = self.queues.get(&ticket.queue)?;
        let (db, empty) = (queue.db, queue.is_empty());
        self.waiting -= 1;
        self.forget_owner(db, ticket, waiter.owner.as_slice());
        if empty {
            self.close(ticket.queue);
        }
        Some(waiter)
    }

    /// Changes a queue, and updates its earliest time limit in the index.
    fn change<R>(&mut self, id: QueueId, change: impl FnOnce(&mut WaitQueue<T>) -> R) -> Option<R> {
        let queue = self.queues.get_mut(&id)?;
        let before = queue.first_time_out().map(|(until, _)| until);
        let result = change(queue);
        let after = queue.first_time_out().map(|(until, _)| until);
        if before != after {
            before.map(|before| self.time_outs.remove(&(before, id)));
            after.map(|after| self.time_outs.insert((after, id)));
        }
        Some(result)
    }

    fn close(&mut self, id: QueueId) {
        let Some(queue) = self.queues.remove(&id) else { return };
        self.unserved.remove(&id);
        self.defer.remove(&id);
        if let Some(database) = self.databases.get_mut(&queue.db) {
            database.queues.remove(queue.name.as_slice());
            if database.queues.is_empty() {
                self.databases.remove(&queue.db);
            }
        }
    }

    fn remember_owner(&mut self, db: i32, ticket: Ticket, owner: Bytes) {
        let tickets = self.databases.entry(db).or_default().owners.entry(owner).or_default();
        let crossed = crosses(tickets);
        let other = tickets.first().copied();
        tickets.insert(ticket);
        let crossing = crosses(tickets);
        let first = first_in(tickets, ticket.queue);
        self.lead(first, crossing);
        if crossing && !crossed {
            self.lead(other, true);
        }
    }

    fn forget_owner(&mut self, db: i32, ticket: Ticket, owner: &[u8]) {
        let Some(database) = self.databases.get_mut(&db) else { return };
        let Some(tickets) = database.owners.get_mut(owner) else { return };
        tickets.remove(&ticket);
        let crossing = crosses(tickets);
        let next = first_in(tickets, ticket.queue);
        let other = tickets.first().copied().filter(|_| !crossing);
        if tickets.is_empty() {
            database.owners.remove(owner);
        }
        self.lead(next, crossing);
        self.lead(other, false);
    }

    /// Makes this ticket the first of its owner in its queue.
    fn lead(&mut self, ticket: Option<Ticket>, crossing: bool) {
        let Some(ticket) = ticket else { return };
        if let Some(queue) = self.queues.get_mut(&ticket.queue) {
            queue.lead(ticket.seq, crossing);
        }
    }
}

/// Returns the first of these tickets that is in a queue.
fn first_in(tickets: &BTreeSet<Ticket>, queue: QueueId) -> Option<Ticket> {
    tickets.range(Ticket { queue, seq: 0 }..=Ticket { queue, seq: Seq::MAX }).next().copied()
}

/// Returns whether these tickets are in more than one queue.
fn crosses(tickets: &BTreeSet<Ticket>) -> bool {
    tickets.first().map(|ticket| ticket.queue) != tickets.last().map(|ticket| ticket.queue)
}
