//! Work outside commands: the keys to be opened, in the order that the contract defines.

use redis_lock_core::time::Micros;
use redis_lock_core::Bytes;

use crate::engine::{Conditions, Engine};
use crate::open_lock::OpenLock;
use crate::sessions::Bound;
use crate::slot::Slot;
use crate::wait_queues::QueueId;

/// How many waiters for a key of another type are answered at a time.
const MAX_SENT_AWAY: usize = 1_000;

/// A key that must be opened outside a command, and the reason.
pub struct Visit<S> {
    /// The number of its database.
    pub db: i32,
    /// Its name.
    pub name: Bytes,
    task: Task<S>,
}

enum Task<S> {
    /// A grant of this owner under this token was not delivered, and must be revoked.
    Revoke(Bytes, u64),
    /// A client was closed.
    CloseSession(u64, Bound),
    /// A deadline of the lock in this slot has passed.
    Expire(S),
    /// A queue must be served.
    Serve(QueueId),
}

/// The result of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited {
    /// Holds were expired and the queue was served.
    Done {
        /// Whether holds have expired.
        purged: bool,
        /// Whether more waiters must be served than are served at a time.
        more: bool,
    },
    /// The key has another type.
    WrongType,
    /// There is no such database.
    NoDatabase,
}

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Returns the next key to be opened, or `None` if there is none or others decide. Each visit must be
    /// completed by [`Engine::end_visit`], even if it was given up.
    pub fn next_visit(&mut self, now: Micros) -> Option<Visit<S>> {
        if self.is_passive() {
            // Undelivered grants are revoked if this server decides again.
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

    /// Returns a visit for a hold of a closed client. One at a time, since the visit may end others.
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

    /// Carries a visit out. The queue of the key is served if the server accepts a write of it now.
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

    /// Completes a visit whose effects were carried out. No result makes the same visit recur forever.
    pub fn end_visit(&mut self, visit: Visit<S>, visited: Visited, now: Micros) {
        match (visit.task, visited) {
            (Task::Revoke(..), _) | (Task::Expire(_), Visited::Done { purged: true, .. }) => {}
            (Task::CloseSession(client, bound), _) => self.sessions.remove(client, &bound),
            // Opening the key may have removed it, by an expiry that somebody set: then its slot is gone.
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
