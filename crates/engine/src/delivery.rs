//! A grant to one who waited, until it is known whether its client was told.
//!
//! A waiting request is *resolved* when its fate is decided, and its client answered at the end of that cycle of
//! the event loop. In between, and until the reply has left, the server may let the client go: by CLIENT UNBLOCK,
//! a closed connection, a change of role. Servers differ in the order of these events; here they may come in any.
//! A grant that nobody was told of is revoked, and goes to the next.

use std::collections::BTreeMap;

use redis_lock_core::{Bytes, Error};

use crate::wait_queue::Waiter;
use crate::wait_queues::Ticket;

/// What a client that waited is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has the lock, under this token.
    Granted(u64),
    /// It does not.
    Nil,
    /// What is wrong.
    Failed(Error),
}

/// A hold that was given to one who waited, while it is open whether anybody was told.
#[derive(Clone, Debug)]
pub(crate) struct PendingGrant {
    /// Where it was given: database and key. It may have been renamed or moved since.
    pub place: (i32, Bytes),
    pub owner: Bytes,
    pub token: u64,
    /// How many of the requests that it answers are neither answered nor given up.
    undecided: usize,
    told: bool,
}

impl PendingGrant {
    /// One that answers this many requests.
    pub fn new(place: (i32, Bytes), owner: Bytes, token: u64, requests: usize) -> Self {
        PendingGrant { place, owner, token, undecided: requests, told: false }
    }
}

/// The number of a pending grant.
pub(crate) type GrantId = u64;

/// A request whose fate is decided, and whose client is not answered.
pub(crate) struct Resolved<C> {
    pub client: C,
    pub client_id: u64,
    pub outcome: Outcome,
    pub grant: Option<GrantId>,
    /// Whether the server was asked to have it answered: until then, what it asks for is its own doing.
    pub called: bool,
}

/// All that is on its way to clients.
pub(crate) struct Delivery<C> {
    pub resolved: BTreeMap<Ticket, Resolved<C>>,
    pub uncalled: Vec<Ticket>,
    pending: BTreeMap<GrantId, PendingGrant>,
    last: GrantId,
    /// Grants whose reply was written in this cycle, and to which client.
    pub told: Vec<(u64, GrantId)>,
    undelivered: Vec<PendingGrant>,
    revoking: Vec<((i32, Bytes), Bytes, u64)>,
    /// Where locks were renamed or moved to while grants were pending.
    moved: Vec<(i32, Bytes)>,
}

impl<C> Default for Delivery<C> {
    fn default() -> Self {
        Delivery {
            resolved: BTreeMap::new(),
            uncalled: Vec::new(),
            pending: BTreeMap::new(),
            last: 0,
            told: Vec::new(),
            undelivered: Vec::new(),
            revoking: Vec::new(),
            moved: Vec::new(),
        }
    }
}

impl<C> Delivery<C> {
    /// Returns whether no grant is to be revoked.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.undelivered.is_empty() && self.revoking.is_empty()
    }

    /// Returns whether it is open for any grant whether its client was told.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn begin(&mut self, grant: PendingGrant) -> GrantId {
        self.last += 1;
        self.pending.insert(self.last, grant);
        self.last
    }

    /// This request has left its queue; `grant` if it is answered with a hold that was made for it.
    pub fn resolve(
        &mut self,
        (ticket, waiter): (Ticket, Waiter<C>),
        outcome: Outcome,
        grant: Option<GrantId>,
    ) {
        let Waiter { client, client_id, .. } = waiter;
        self.resolved.insert(ticket, Resolved { client, client_id, outcome, grant, called: false });
        self.uncalled.push(ticket);
    }

    /// One of the requests that a grant answers was told, or never will be.
    pub fn decide(&mut self, id: GrantId, told: bool) {
        let Some(grant) = self.pending.get_mut(&id) else { return };
        grant.undecided = grant.undecided.saturating_sub(1);
        grant.told |= told;
        if grant.undecided == 0 {
            let grant = self.pending.remove(&id).filter(|grant| !grant.told);
            self.undelivered.extend(grant);
        }
    }

    /// A client is closed, whose reply was sent or not.
    pub fn close(&mut self, client: u64, told: bool) {
        let (its, others) = self.told.drain(..).partition(|(other, _)| *other == client);
        self.told = others;
        let its: Vec<(u64, GrantId)> = its;
        its.into_iter().for_each(|(_, grant)| self.decide(grant, told));
    }

    /// A lock was renamed or moved, and is here now.
    pub fn note_move(&mut self, db: i32, name: &[u8]) {
        if self.is_pending() {
            self.moved.push((db, name.into()));
        }
    }

    /// No grant is open any more that a lock could have been moved with.
    #[inline]
    pub fn forget_moves(&mut self) {
        if !self.moved.is_empty() && !self.is_pending() && self.is_idle() {
            self.moved.clear();
        }
    }

    /// The next place where the hold of a grant may be that was not delivered: database and key, owner, token.
    pub fn next_revocation(&mut self) -> Option<((i32, Bytes), Bytes, u64)> {
        if self.revoking.is_empty() {
            let PendingGrant { place, owner, token, .. } = self.undelivered.pop()?;
            let places = self.moved.iter().cloned().chain([place]);
            self.revoking = places.map(|place| (place, owner.clone(), token)).collect();
        }
        self.revoking.pop()
    }
}
