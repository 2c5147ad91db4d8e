//! All lines of a server: who waits for which key, who is next, who has waited too long.
//!
//! A line belongs to a database number and a key name, whatever lies there. Nothing here knows the
//! locks: who asks shows the one that a line is for.

use std::collections::{BTreeSet, HashMap};

use crate::time::Micros;
use crate::wait_queue::{Seq, WaitQueue};
use crate::{Bytes, Lock, Waiter};

/// Which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub(crate) u64);

/// One place in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub(crate) line: QueueId,
    pub(crate) seq: Seq,
}

impl Ticket {
    /// The line that it is in.
    pub fn line(self) -> QueueId {
        self.line
    }
}

/// What is known of one database: its lines by key, and who waits where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    lines: HashMap<Bytes, QueueId>,
    owners: HashMap<Bytes, BTreeSet<Ticket>>,
}

impl Database {
    /// Where this owner waits.
    pub fn tickets(&self, owner: &[u8]) -> Option<&BTreeSet<Ticket>> {
        self.owners.get(owner)
    }
}

/// The lines of all keys for which somebody waits. Every change of one takes time logarithmic in
/// the number of waiters.
#[derive(Clone, Debug)]
pub struct WaitQueues<T> {
    pub(crate) lines: HashMap<QueueId, WaitQueue<T>>,
    pub(crate) databases: HashMap<i32, Database>,
    limits: BTreeSet<(Micros, QueueId)>,
    unserved: BTreeSet<QueueId>,
    defer: BTreeSet<QueueId>,
    waiting: usize,
    last: u64,
}

impl<T> Default for WaitQueues<T> {
    fn default() -> Self {
        WaitQueues {
            lines: HashMap::new(),
            databases: HashMap::new(),
            limits: BTreeSet::new(),
            unserved: BTreeSet::new(),
            defer: BTreeSet::new(),
            waiting: 0,
            last: 0,
        }
    }
}

impl<T> WaitQueues<T> {
    /// How many requests wait, in all lines.
    #[inline]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// The line of a key; `None` where nobody waits for it.
    pub fn find(&self, db: i32, name: &[u8]) -> Option<QueueId> {
        self.databases.get(&db)?.lines.get(name).copied()
    }

    /// Database and name of the key that a line is for.
    pub fn place(&self, line: QueueId) -> Option<(i32, &Bytes)> {
        self.lines.get(&line).map(|line| (line.db, &line.name))
    }

    /// Who waits in a line, first come first.
    pub fn waiters(&self, line: QueueId) -> impl Iterator<Item = &Waiter<T>> {
        self.lines.get(&line).into_iter().flat_map(WaitQueue::iter).map(|(_, waiter)| waiter)
    }

    /// Puts a request at the end of a key's line.
    pub fn join(&mut self, db: i32, name: &[u8], waiter: Waiter<T>) -> Ticket {
        let line = self.find(db, name).unwrap_or_else(|| self.open(db, name));
        self.last += 1;
        let ticket = Ticket { line, seq: self.last };
        let owner = waiter.owner.clone();
        self.change(line, |line| line.push(ticket.seq, waiter));
        self.remember_owner(db, ticket, owner);
        self.waiting += 1;
        ticket
    }

    /// Takes a request out of its line; `None` where it is there no more. If it was the first, the
    /// line wants to be served: the next one may fit where it did not.
    pub fn leave(&mut self, ticket: Ticket) -> Option<Waiter<T>> {
        let line = self.lines.get(&ticket.line)?;
        if line.first().is_some_and(|(first, _)| first == ticket.seq) {
            self.unserved.insert(ticket.line);
        }
        self.take(ticket)
    }

    /// Takes the first out of a line.
    pub fn leave_first(&mut self, line: QueueId) -> Option<Waiter<T>> {
        let (seq, _) = self.lines.get(&line)?.first()?;
        self.leave(Ticket { line, seq })
    }

    /// Takes all requests of one owner out of a line, in order.
    pub fn leave_owner(&mut self, line: QueueId, owner: &[u8]) -> Vec<Waiter<T>> {
        self.tickets_in(line, owner).into_iter().filter_map(|ticket| self.leave(ticket)).collect()
    }

    /// The earliest moment at which somebody stops waiting, and in which line.
    pub fn first_limit(&self) -> Option<(Micros, QueueId)> {
        self.limits.first().copied()
    }

    /// Takes one out of a line who has waited too long; before the line is served, so that nobody
    /// is granted anything after that moment.
    pub fn time_out(&mut self, line: QueueId, now: Micros) -> Option<Waiter<T>> {
        let (until, seq) = self.lines.get(&line)?.first_limit()?;
        if now < until {
            return None;
        }
        self.leave(Ticket { line, seq })
    }

    /// Takes out who is to be granted the lock next, with all other requests of that owner in this
    /// line: what is granted to one of them answers all. `None` where it is nobody's turn: the
    /// first in line does not fit, and nobody overtakes it.
    ///
    /// A hold past its deadline does not count, but that of an owner who is admitted has to be taken out.
    pub fn admit(&mut self, line: QueueId, lock: Option<&Lock>, now: Micros) -> Option<Vec<Waiter<T>>> {
        while let Some(owner) = self.lines.get_mut(&line)?.next_holder(lock, now) {
            let waiters = self.leave_owner(line, owner.as_slice());
            if !waiters.is_empty() {
                return Some(waiters);
            }
        }
        let (_, first) = self.lines.get(&line)?.first()?;
        if lock.is_none_or(|lock| lock.admits(first.limit, now)) {
            let owner = first.owner.clone();
            return Some(self.leave_owner(line, owner.as_slice()));
        }
        self.unserved.remove(&line);
        self.defer.remove(&line);
        None
    }

    /// A line was not served to the end.
    pub fn keep_unserved(&mut self, line: QueueId) {
        if self.lines.contains_key(&line) {
            self.unserved.insert(line);
        }
    }

    /// Whether a line wants to be served before anything else happens to its key.
    pub fn wants_serving(&self, line: QueueId) -> bool {
        self.unserved.contains(&line) || self.defer.contains(&line)
    }

    /// A line that wants to be served, and was not put off.
    #[inline]
    pub fn next_unserved(&self) -> Option<QueueId> {
        self.unserved.first().copied()
    }

    /// A line can't be served now: it waits for [`WaitQueues::retry_deferred`], and keeps nobody from the others.
    pub fn defer(&mut self, line: QueueId) {
        self.unserved.remove(&line);
        if self.lines.contains_key(&line) {
            self.defer.insert(line);
        }
    }

    /// All lines that were put off want to be served again.
    pub fn retry_deferred(&mut self) {
        self.unserved.append(&mut self.defer);
    }

    /// The lock of a key has changed in a way that its line was not asked about.
    pub fn mark_dirty(&mut self, db: i32, name: &[u8]) {
        if let Some(line) = self.find(db, name) {
            self.mark(line);
        }
    }

    /// The same for all keys of a database, or of all of them.
    pub fn mark_all_dirty(&mut self, db: Option<i32>) {
        let concerned = |line: &WaitQueue<T>| db.is_none_or(|db| line.db == db);
        let lines: Vec<QueueId> =
            self.lines.iter().filter(|(_, line)| concerned(line)).map(|(&line, _)| line).collect();
        lines.into_iter().for_each(|line| self.mark(line));
    }

    fn mark(&mut self, line: QueueId) {
        if let Some(own) = self.lines.get_mut(&line) {
            own.dirty = true;
            self.unserved.insert(line);
        }
    }

    fn tickets_in(&self, line: QueueId, owner: &[u8]) -> Vec<Ticket> {
        let tickets = || self.databases.get(&self.lines.get(&line)?.db)?.tickets(owner);
        let range = Ticket { line, seq: 0 }..=Ticket { line, seq: Seq::MAX };
        tickets().map(|tickets| tickets.range(range).copied().collect()).unwrap_or_default()
    }

    fn open(&mut self, db: i32, name: &[u8]) -> QueueId {
        self.last += 1;
        let line = QueueId(self.last);
        self.lines.insert(line, WaitQueue::new(db, name));
        self.databases.entry(db).or_default().lines.insert(name.into(), line);
        line
    }

    fn take(&mut self, ticket: Ticket) -> Option<Waiter<T>> {
        let waiter = self.change(ticket.line, |line| line.remove(ticket.seq))??;
        let line = self.lines.get(&ticket.line)?;
        let (db, empty) = (line.db, line.is_empty());
        self.waiting -= 1;
        self.forget_owner(db, ticket, waiter.owner.as_slice());
        if empty {
            self.close(ticket.line);
        }
        Some(waiter)
    }

    /// Changes a line, and keeps its earliest limit in the index of all.
    fn change<R>(&mut self, id: QueueId, change: impl FnOnce(&mut WaitQueue<T>) -> R) -> Option<R> {
        let line = self.lines.get_mut(&id)?;
        let before = line.first_limit().map(|(until, _)| until);
        let result = change(line);
        let after = line.first_limit().map(|(until, _)| until);
        if before != after {
            before.map(|before| self.limits.remove(&(before, id)));
            after.map(|after| self.limits.insert((after, id)));
        }
        Some(result)
    }

    fn close(&mut self, id: QueueId) {
        let Some(line) = self.lines.remove(&id) else { return };
        self.unserved.remove(&id);
        self.defer.remove(&id);
        if let Some(database) = self.databases.get_mut(&line.db) {
            database.lines.remove(line.name.as_slice());
            if database.lines.is_empty() {
                self.databases.remove(&line.db);
            }
        }
    }

    fn remember_owner(&mut self, db: i32, ticket: Ticket, owner: Bytes) {
        let tickets = self.databases.entry(db).or_default().owners.entry(owner).or_default();
        let crossed = crosses(tickets);
        let other = tickets.first().copied();
        tickets.insert(ticket);
        let crossing = crosses(tickets);
        let first = first_in(tickets, ticket.line);
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
        let next = first_in(tickets, ticket.line);
        let other = tickets.first().copied().filter(|_| !crossing);
        if tickets.is_empty() {
            database.owners.remove(owner);
        }
        self.lead(next, crossing);
        self.lead(other, false);
    }

    /// This ticket is the first of its owner in its line.
    fn lead(&mut self, ticket: Option<Ticket>, crossing: bool) {
        let Some(ticket) = ticket else { return };
        if let Some(line) = self.lines.get_mut(&ticket.line) {
            line.lead(ticket.seq, crossing);
        }
    }
}

/// The first of these in a line.
fn first_in(tickets: &BTreeSet<Ticket>, line: QueueId) -> Option<Ticket> {
    tickets.range(Ticket { line, seq: 0 }..=Ticket { line, seq: Seq::MAX }).next().copied()
}

/// Whether these are in more than one line.
fn crosses(tickets: &BTreeSet<Ticket>) -> bool {
    tickets.first().map(|ticket| ticket.line) != tickets.last().map(|ticket| ticket.line)
}
