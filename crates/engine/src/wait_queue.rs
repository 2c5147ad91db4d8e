//! The queue of one key: its waiters, in order of arrival.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use redis_lock_core::decision::Grant;
use redis_lock_core::time::Micros;
use redis_lock_core::{Bytes, Limit, Lock};

/// Rises with every request that joins any queue: a lower one is ahead.
pub(crate) type Seq = u64;

/// A waiting request. `T` is what its caller wants back with it.
#[derive(Clone, Debug)]
pub struct Waiter<T> {
    /// The owner.
    pub owner: Bytes,
    /// How many holders it tolerates.
    pub limit: Limit,
    /// The ttl of the hold, in milliseconds from the grant on.
    pub ttl_ms: i64,
    /// The least token that it accepts.
    pub fence: Option<u64>,
    /// A text to keep with the hold.
    pub meta: Option<Box<[u8]>>,
    /// The connection that the hold ends with.
    pub session: Option<u64>,
    /// Since when it waits.
    pub since: Micros,
    /// When it stops waiting; `None` means never.
    pub until: Option<Micros>,
    /// The caller's own data.
    pub client: T,
    /// The id of its client.
    pub client_id: u64,
}

impl<T> Waiter<T> {
    /// Returns the terms of its grant under this token.
    pub fn grant(&self, now: Micros, token: u64) -> Grant<'_> {
        Grant {
            owner: self.owner.as_slice(),
            limit: self.limit,
            now,
            ttl_ms: self.ttl_ms,
            token,
            meta: self.meta.as_deref(),
            session: self.session,
        }
    }
}

/// The queue of one key.
#[derive(Clone, Debug)]
pub(crate) struct WaitQueue<T> {
    pub db: i32,
    pub name: Bytes,
    waiters: BTreeMap<Seq, Waiter<T>>,
    time_outs: BTreeSet<(Micros, Seq)>,
    /// For the cycle search: the requests with limit 1, and those whose owner also waits in another queue.
    /// Only the first request of each owner in this queue counts, as it answers the others.
    pub exclusive: BTreeSet<Seq>,
    pub crossing: BTreeSet<Seq>,
    /// Whether the lock may differ from the one for which the queue was last served.
    pub dirty: bool,
    /// Waiters that held the lock when the queue was found dirty: these are answered first.
    holders: VecDeque<Bytes>,
}

impl<T> WaitQueue<T> {
    pub fn new(db: i32, name: &[u8]) -> Self {
        WaitQueue {
            db,
            name: name.into(),
            waiters: BTreeMap::new(),
            time_outs: BTreeSet::new(),
            exclusive: BTreeSet::new(),
            crossing: BTreeSet::new(),
            dirty: false,
            holders: VecDeque::new(),
        }
    }

    /// Returns the next waiter that already holds the lock, as after another lock has come to the key. These
    /// are answered at once, wherever they are in the queue, which is searched only once.
    pub fn next_holder(&mut self, lock: &Lock, now: Micros) -> Option<Bytes> {
        let holds = |owner: &Bytes| lock.get(owner.as_slice()).filter(|hold| hold.is_live(now));
        if std::mem::take(&mut self.dirty) {
            let owners = self.waiters.values().map(|waiter| &waiter.owner);
            self.holders = owners.filter(|owner| holds(owner).is_some()).cloned().collect();
        }
        std::iter::from_fn(|| self.holders.pop_front()).find(|owner| holds(owner).is_some())
    }

    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub fn first(&self) -> Option<(Seq, &Waiter<T>)> {
        self.waiters.first_key_value().map(|(&seq, waiter)| (seq, waiter))
    }

    pub fn get(&self, seq: Seq) -> Option<&Waiter<T>> {
        self.waiters.get(&seq)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Seq, &Waiter<T>)> {
        self.waiters.iter().map(|(&seq, waiter)| (seq, waiter))
    }

    /// Returns the earliest moment at which a waiter times out, and its number.
    pub fn first_time_out(&self) -> Option<(Micros, Seq)> {
        self.time_outs.first().copied()
    }

    pub fn push(&mut self, seq: Seq, waiter: Waiter<T>) {
        if let Some(until) = waiter.until {
            self.time_outs.insert((until, seq));
        }
        self.waiters.insert(seq, waiter);
    }

    pub fn remove(&mut self, seq: Seq) -> Option<Waiter<T>> {
        let waiter = self.waiters.remove(&seq)?;
        if let Some(until) = waiter.until {
            self.time_outs.remove(&(until, seq));
        }
        self.exclusive.remove(&seq);
        self.crossing.remove(&seq);
        Some(waiter)
    }

    /// Makes this the first request of its owner, who also waits in another queue if `crossing`.
    pub fn lead(&mut self, seq: Seq, crossing: bool) {
        if self.waiters.get(&seq).is_some_and(|waiter| waiter.limit == Limit::EXCLUSIVE) {
            self.exclusive.insert(seq);
        }
        if crossing {
            self.crossing.insert(seq);
        } else {
            self.crossing.remove(&seq);
        }
    }
}
