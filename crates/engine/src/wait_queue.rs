//! One key's queue: who waits for it, in order of arrival.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use redis_lock_core::decision::Grant;
use redis_lock_core::time::Micros;
use redis_lock_core::{Bytes, Limit, Lock};

/// Rises with every request that joins any queue: a smaller one is ahead.
pub(crate) type Seq = u64;

/// A request that waits. `T` is what its caller wants back with it.
#[derive(Clone, Debug)]
pub struct Waiter<T> {
    /// Who asks.
    pub owner: Bytes,
    /// With how many holders at most.
    pub limit: Limit,
    /// For how long it wants to hold, in milliseconds from the grant on.
    pub ttl_ms: i64,
    /// The least token it wants.
    pub fence: Option<u64>,
    /// A text to keep with the hold.
    pub meta: Option<Box<[u8]>>,
    /// The connection that the hold is to end with.
    pub session: Option<u64>,
    /// Since when it waits.
    pub since: Micros,
    /// When it stops waiting; `None` is never.
    pub until: Option<Micros>,
    /// The caller's own.
    pub client: T,
    /// The number of its client.
    pub client_id: u64,
}

impl<T> Waiter<T> {
    /// What it is granted, under this token.
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
    /// The requests with limit 1, and those whose owner waits in another queue too; of each owner's
    /// requests in this queue only the first, with which the others are answered. For the cycle search.
    pub exclusive: BTreeSet<Seq>,
    pub crossing: BTreeSet<Seq>,
    /// Whether the lock may be another one than the queue was last judged against.
    pub dirty: bool,
    /// Who waits here and held the lock when the queue was judged dirty: these are answered first.
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

    /// Where another lock has come to the key, those who wait for it may hold it: they are answered at once,
    /// wherever they stand. The next of them; the queue is gone through once for all.
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

    /// The earliest moment at which somebody stops waiting, and who.
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

    /// This request is the first of its owner here, who waits in another queue too or not.
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
