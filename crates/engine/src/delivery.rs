//! A grant to a waiter, until it is known whether it was delivered.
//!
//! A waiting request is *resolved* once its reply is decided. Its client is answered at the end of that cycle
//! of the event loop. Until the reply has been sent, the server may drop the client: by CLIENT UNBLOCK, a
//! closed connection, a change of role. Servers differ in the order of these events; here any order is right.
//! An undelivered grant is revoked, and the lock goes to the next waiter.

use std::collections::BTreeMap;

use redis_lock_core::{Bytes, Error};

use crate::wait_queue::Waiter;
use crate::wait_queues::Ticket;

/// The reply to a blocked client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client has the lock, under this token.
    Granted(u64),
    /// The client does not have the lock.
    Nil,
    /// What is wrong.
    Failed(Error),
}

/// A hold that was given to a waiter, until it is known whether the grant was delivered.
#[derive(Clone, Debug)]
pub(crate) struct PendingGrant {
    /// Database and key of the grant. The lock may have been renamed or moved since.
    pub place: (i32, Bytes),
    pub owner: Bytes,
    pub token: u64,
    /// How many of the requests that it answers are neither answered nor given up.
    undecided: usize,
    told: bool,
}

impl PendingGrant {
    /// Returns a grant that answers this many requests.
    pub fn new(place: (i32, Bytes), owner: Bytes, token: u64, requests: usize) -> Self {
        PendingGrant { place, owner, token, undecided: requests, told: false }
    }
}

/// The number of a pending grant.
pub(crate) type GrantId = u64;

/// A resolved request whose client is not answered.
pub(crate) struct Resolved<C> {
    pub client: C,
    pub client_id: u64,
    pub outcome: Outcome,
    pub grant: Option<GrantId>,
    /// Whether the server was asked to have it answered: until then, a reply is the server's own decision.
    pub called: bool,
}

/// All replies that have not been delivered.
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
    /// Returns whether no grant must be revoked.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.undelivered.is_empty() && self.revoking.is_empty()
    }

    /// Returns whether there is a grant of which it is open whether it was delivered.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn begin(&mut self, grant: PendingGrant) -> GrantId {
        self.last += 1;
        self.pending.insert(self.last, grant);
        self.last
    }

    /// Resolves a request that has left its queue. `grant` is the hold that was made for it, if any.
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

    /// Notes whether one of the requests that a grant answers was delivered, or never will be.
    pub fn decide(&mut self, id: GrantId, told: bool) {
        let Some(grant) = self.pending.get_mut(&id) else { return };
        grant.undecided = grant.undecided.saturating_sub(1);
        grant.told |= told;
        if grant.undecided == 0 {
            let grant = self.pending.remove(&id).filter(|grant| !grant.told);
            self.undelivered.extend(grant);
        }
    }

    /// Called when a client is closed. `told` is whether its reply was sent.
    pub fn close(&mut self, client: u64, told: bool) {
        let (its, others) = self.told.drain(..).partition(|(other, _)| *other == client);
        self.told = others;
        let its: Vec<(u64, GrantId)> = its;
        its.into_iter().for_each(|(_, grant)| self.decide(grant, told));
    }

    /// Notes that a lock was renamed or moved to this key.
    pub fn note_move(&mut self, db: i32, name: &[u8]) {
        if self.is_pending() {
            self.moved.push((db, name.into()));
        }
    }

    /// Forgets moves once no grant is open that a lock could have been moved with.
    #[inline]
    pub fn forget_moves(&mut self) {
        if !self.moved.is_empty() && !self.is_pending() && self.is_idle() {
            self.moved.clear();
        }
    }

    /// Returns the next place that may have the hold of an undelivered grant, its owner and its token.
    pub fn next_revocation(&mut self) -> Option<((i32, Bytes), Bytes, u64)> {
        if self.revoking.is_empty() {
            let PendingGrant { place, owner, token, .. } = self.undelivered.pop()?;
            let places = self.moved.iter().cloned().chain([place]);
            self.revoking = places.map(|place| (place, owner.clone(), token)).collect();
        }
        self.revoking.pop()
    }
}
