//! What is due outside commands: keys to be opened, in the order that the contract gives.

use redis_lock_core::time::Micros;
use redis_lock_core::Bytes;

use crate::engine::{Conditions, Engine};
use crate::open_lock::OpenLock;
use crate::sessions::Bound;
use crate::slot::Slot;
use crate::wait_queues::QueueId;

/// How many of those who wait for a key of another type are told at a time.
const MAX_SENT_AWAY: usize = 1_000;

/// A key that is to be opened outside a command, and why.
pub struct Visit<S> {
    /// The number of its database.
    pub db: i32,
    /// Its name.
    pub name: Bytes,
    task: Task<S>,
}

enum Task<S> {
    /// A grant of this owner, under this token, was not delivered.
    Revoke(Bytes, u64),
    /// A client was closed.
    CloseSession(u64, Bound),
    /// A deadline has come, of the lock in this slot.
    Expire(S),
    /// A queue is to be served.
    Serve(QueueId),
}

/// What a visit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited {
    /// The lock was brought up to date: whether holds have expired, and whether there are more of those whose turn
    /// it is than are served at a time.
    Done {
        /// Holds have expired.
        purged: bool,
        /// More are to be served.
        more: bool,
    },
    /// A value of another type lies there.
    WrongType,
    /// There is no such database.
    NoDatabase,
}

impl<S: Slot, C: Clone> Engine<S, C> {
    /// The next key to be opened; `None` if nothing is due, or others decide. Each visit that this returns is to be
    /// made, or given up, by [`Engine::end_visit`].
    pub fn next_visit(&mut self, now: Micros) -> Option<Visit<S>> {
        if self.is_passive() {
            // What was not delivered is revoked if this server decides again.
            return None;
        }
        self.next_revocation()
            .or_else(|| self.next_closed_session())
            .or_else(|| self.next_expired(now))
            .or_else(|| self.next_unserved(now))
    }

    fn next_revocation(&mut self) -> Option<Visit<S>> {
        let ((db, name), owner, token) = self.delivery.next_revocation()?;
        Some(Visit { db, name, task: Task::Revoke(owner, token) })
    }

    /// A hold of a client that was closed. One at a time: what the visit does may end others.
    fn next_closed_session(&mut self) -> Option<Visit<S>> {
        while let Some(&client) = self.closed.last() {
            if let Some(bound) = self.sessions.any_of(client).cloned() {
                let (db, name) = (bound.0, bound.1.clone());
                return Some(Visit { db, name, task: Task::CloseSession(client, bound) });
            }
            self.closed.pop();
        }
        None
    }

    fn next_expired(&mut self, now: Micros) -> Option<Visit<S>> {
        let (_, &slot) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        let (db, name) = slot.home();
        Some(Visit { db, name, task: Task::Expire(slot) })
    }

    fn next_unserved(&mut self, now: Micros) -> Option<Visit<S>> {
        self.retry_deferred(now);
        let queue = self.queues.next_unserved()?;
        let (db, name) = self.queues.place(queue)?;
        Some(Visit { db, name: name.clone(), task: Task::Serve(queue) })
    }

    /// Does what a visit is for. The queue of the key is served if the server takes a write of it now.
    pub fn visit(
        &mut self,
        open: &mut OpenLock,
        visit: &Visit<S>,
        takes_writes: bool,
        at: &Conditions<C>,
    ) -> Visited {
        if let Some(queue) = open.queue {
            self.time_out_all(queue, at.now);
        }
        let mut purged = false;
        match &visit.task {
            Task::Revoke(owner, token) => self.revoke(open, (owner.as_slice(), *token), at.now),
            Task::CloseSession(client, (.., owner)) => {
                self.purge(open, at.now);
                self.close_session(open, owner.as_slice(), *client, at.now);
            }
            Task::Expire(_) | Task::Serve(_) => purged = self.purge(open, at.now),
        }
        let mut more = false;
        match open.queue {
            Some(queue) if takes_writes => more = self.grant_waiters(open, queue, at),
            Some(queue) => self.defer(queue, at.now),
            None => {}
        }
        Visited::Done { purged, more }
    }

    /// A visit was made, and its effects carried out. Whatever it came to, nothing is met again forever.
    pub fn end_visit(&mut self, visit: Visit<S>, visited: Visited, now: Micros) {
        match (visit.task, visited) {
            (Task::Revoke(..), _) | (Task::Expire(_), Visited::Done { purged: true, .. }) => {}
            (Task::CloseSession(client, bound), _) => self.sessions.remove(client, &bound),
            // To open the key may have ended it, by an expiry that somebody gave it: then its slot is gone.
            (Task::Expire(slot), _) => {
                if self.deadlines.first().is_some_and(|(_, first)| *first == slot) {
                    self.on_vanished(slot, now);
                }
            }
            (Task::Serve(queue), Visited::WrongType) => self.send_away(queue, MAX_SENT_AWAY),
            (Task::Serve(_), Visited::Done { more: true, .. }) => {}
            (Task::Serve(queue), _) => {
                if self.queues.wants_serving(queue) {
                    self.defer(queue, now);
                }
            }
        }
    }
}
