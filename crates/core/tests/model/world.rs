//! Runs every step on the crate and on the naive model, and compares all that can be asked.

use redis_lock_core::decision::{
    decide_acquire, decide_extend, key_status, AcquireDecision, Grant, Granted, KeyStatus,
};
use redis_lock_core::time::after_ms;
use redis_lock_core::{Error, Hold, Limit, Lock, Tokens};

use crate::naive::{NaiveHold, NaiveLock, NaiveServer, Outcome, Request};

pub const KEYS: usize = 3;
/// The wall clock at the start, in microseconds since 1970.
const WALL: u64 = 1_700_000_000_000_000;
/// The server's monotonic clock then: deadlines cross zero soon.
const START: i64 = -4_000;

/// A step; FENCE and tokens are given as distances from the server's last token, so that they
/// fall on both sides of every bound.
#[derive(Clone, Debug)]
pub enum Step {
    Acquire(Request, Option<i64>),
    Extend(Request, Option<i64>),
    Release {
        key: usize,
        owner: Vec<u8>,
    },
    /// An effect from elsewhere: a hold as it is, whatever the rule says.
    Put {
        key: usize,
        hold: NaiveHold,
        token: i64,
    },
    /// The hold is changed in place, in any direction.
    Edit {
        key: usize,
        owner: Vec<u8>,
        deadline: i64,
        token: i64,
    },
    Reclaim {
        key: usize,
    },
    Pass(i64),
    Promote,
}

pub struct World {
    locks: Vec<Lock>,
    tokens: Tokens,
    naive: NaiveServer,
    now: i64,
    /// The highest token ever granted or put in.
    highest: u64,
}

pub fn limit(wire: Option<u64>) -> Limit {
    Limit::from_wire(wire.map_or(0, |n| n as i64)).expect("a limit that is allowed")
}

fn naive(hold: &Hold) -> NaiveHold {
    NaiveHold {
        owner: hold.owner().to_vec(),
        limit: Some(u64::from(hold.limit().to_wire())).filter(|&n| n > 0),
        deadline: hold.deadline,
        since: hold.since,
        token: hold.token,
        meta: hold.meta().to_vec(),
    }
}

fn naive_all<'a>(holds: impl Iterator<Item = &'a Hold>) -> Vec<NaiveHold> {
    holds.map(naive).collect()
}

impl World {
    pub fn new() -> Self {
        let (tokens, naive) = (Tokens::starting_at(WALL), NaiveServer::start(KEYS, WALL));
        World { locks: vec![Lock::default(); KEYS], tokens, naive, now: START, highest: 0 }
    }

    pub fn run(&mut self, step: &Step) {
        match step {
            Step::Acquire(request, fence) => {
                let request = self.with_fence(request, *fence);
                let outcome = self.acquire(&request);
                assert_eq!(outcome, self.naive.acquire(&request, self.now, self.clock()), "{request:?}");
            }
            Step::Extend(request, fence) => {
                let request = self.with_fence(request, *fence);
                let outcome = self.extend(&request);
                assert_eq!(outcome, self.naive.extend(&request, self.now, self.clock()), "{request:?}");
            }
            Step::Release { key, owner } => {
                self.reclaim(*key);
                let removed = self.locks[*key].remove(owner);
                assert!(removed.as_ref().is_none_or(|hold| hold.owner() == owner));
                assert_eq!(removed.is_some(), self.naive.release(*key, owner, self.now));
            }
            Step::Put { key, hold, token } => self.put(*key, hold, *token),
            Step::Edit { key, owner, deadline, token } => self.edit(*key, owner, *deadline, *token),
            Step::Reclaim { key } => {
                self.reclaim(*key);
                self.naive.locks[*key].drop_expired(self.now);
            }
            Step::Pass(micros) => self.now += micros,
            Step::Promote => {
                self.tokens.restart(self.clock());
                self.naive.promote(self.clock());
            }
        }
        self.compare();
    }

    fn clock(&self) -> u64 {
        WALL + self.now.abs_diff(START)
    }

    fn token_at(&self, distance: i64) -> u64 {
        self.tokens.last().saturating_add_signed(distance).max(1)
    }

    fn with_fence(&self, request: &Request, fence: Option<i64>) -> Request {
        Request { fence: fence.map(|distance| self.token_at(distance)), ..request.clone() }
    }

    /// All that is due goes, the earliest first, and is handed over as it was.
    fn reclaim(&mut self, key: usize) {
        let mut due = self.naive.locks[key].0.clone();
        due.retain(|hold| hold.deadline <= self.now);
        let mut before = i64::MIN;
        while !due.is_empty() {
            let taken = self.locks[key].take_expired(self.now).map(|hold| naive(&hold)).expect("one is due");
            assert!(before <= taken.deadline, "{taken:?} after {before}");
            before = taken.deadline;
            let place = due.iter().position(|hold| *hold == taken).expect("it is one of those that are due");
            due.swap_remove(place);
        }
        assert!(self.locks[key].take_expired(self.now).is_none());
    }

    fn acquire(&mut self, request: &Request) -> Outcome {
        request.keys.iter().for_each(|&key| self.reclaim(key));
        if self.refuses(request.fence) {
            return Outcome::TooFarAhead;
        }
        let standing = |&key: &usize| {
            let lock = Some(&self.locks[key]).filter(|lock| !lock.is_empty());
            key_status(lock, false, &request.owner, limit(request.limit), self.now)
        };
        let token = match decide_acquire(request.keys.iter().map(standing)) {
            Ok(AcquireDecision::New) => self.tokens.next(self.clock(), request.fence).expect("below the end"),
            Ok(AcquireDecision::Again(token)) => token.max(request.fence.unwrap_or(0)),
            Ok(AcquireDecision::Refused) => return Outcome::No,
            Err(error) => {
                assert_eq!(error, Error::OtherLimit);
                return Outcome::OtherLimit;
            }
        };
        for &key in &request.keys {
            self.grant(key, request, token);
        }
        self.tokens.accept(token);
        self.highest = self.highest.max(token);
        Outcome::Token(token)
    }

    fn grant(&mut self, key: usize, request: &Request, token: u64) {
        let lock = &mut self.locks[key];
        let before = lock.get(&request.owner).map(naive);
        let granted = lock.grant(&Grant {
            owner: &request.owner,
            limit: limit(request.limit),
            now: self.now,
            ttl_ms: request.ttl_ms,
            token,
            meta: request.meta.as_deref(),
            session: None,
        });
        let after = lock.get(&request.owner).map(naive).expect("it holds now");
        match (granted, before) {
            (Granted::New, None) => {
                assert!(token > self.highest, "{token} after {}", self.highest);
                assert!(lock.holds().all(|hold| hold.limit().tolerates(lock.len())), "{lock:?}");
            }
            (Granted::Again(renewal), Some(before)) => {
                assert!(after.deadline >= before.deadline && after.token >= before.token);
                assert_eq!(renewal.deadline, after.deadline != before.deadline);
                assert_eq!(renewal.token, after.token != before.token);
                assert_eq!(renewal.meta, after.meta != before.meta);
                assert_eq!(renewal.any(), after != before);
            }
            (granted, before) => panic!("{granted:?} where before there was {before:?}"),
        }
    }

    fn extend(&mut self, request: &Request) -> Outcome {
        request.keys.iter().for_each(|&key| self.reclaim(key));
        if self.refuses(request.fence) {
            return Outcome::TooFarAhead;
        }
        let own = |&key: &usize| self.locks[key].get(&request.owner).map(|hold| hold.token);
        let Some(token) = decide_extend(request.keys.iter().map(own), request.fence) else {
            return Outcome::No;
        };
        let deadline = after_ms(self.now, request.ttl_ms);
        for &key in &request.keys {
            let renewal = self.locks[key].change(&request.owner, |hold| hold.renew(deadline, token, None));
            assert!(renewal.is_some_and(|renewal| !renewal.meta));
        }
        let Some(token) = token else {
            return Outcome::One;
        };
        self.tokens.accept(token);
        self.highest = self.highest.max(token);
        Outcome::Token(token)
    }

    fn refuses(&self, fence: Option<u64>) -> bool {
        let refused = Err(Error::TokenTooFarAhead);
        fence.is_some_and(|fence| self.tokens.check_fence(self.clock(), fence) == refused)
    }

    fn put(&mut self, key: usize, hold: &NaiveHold, token: i64) {
        let token = self.token_at(token);
        let hold = NaiveHold { token, since: self.now, deadline: self.now + hold.deadline, ..hold.clone() };
        let mut real = Hold::new(&hold.owner, limit(hold.limit), hold.since, 0, token).with_meta(&hold.meta);
        real.deadline = hold.deadline;
        self.locks[key].put(real);
        self.naive.locks[key].put(hold);
        self.saw(token);
    }

    fn edit(&mut self, key: usize, owner: &[u8], deadline: i64, token: i64) {
        let (deadline, token) = (self.now + deadline, self.token_at(token));
        let changed = self.locks[key].change(owner, |hold| (hold.deadline, hold.token) = (deadline, token));
        let mut expected = self.naive.locks[key].of(owner).cloned();
        assert_eq!(changed.is_some(), expected.is_some());
        if let Some(hold) = &mut expected {
            (hold.deadline, hold.token) = (deadline, token);
            self.naive.locks[key].put(hold.clone());
            self.saw(token);
        }
    }

    /// A token that arrived raises the counter.
    fn saw(&mut self, token: u64) {
        self.tokens.accept(token);
        self.naive.last = self.naive.last.max(token);
        self.highest = self.highest.max(token);
    }

    fn compare(&self) {
        assert_eq!(self.tokens.last(), self.naive.last);
        for (lock, expected) in self.locks.iter().zip(&self.naive.locks) {
            assert_eq!(naive_all(lock.holds()), expected.0);
            assert_eq!(naive_all(lock.live(self.now)), expected.live(self.now));
            assert_eq!((lock.len(), lock.is_empty()), (expected.0.len(), expected.0.is_empty()));
            assert_eq!(lock.earliest(), expected.0.iter().map(|hold| hold.deadline).min());
            assert_eq!(lock.latest(), expected.0.iter().map(|hold| hold.deadline).max());
            let live = NaiveLock(expected.live(self.now));
            for wire in [None, Some(1), Some(2), Some(3), Some(4), Some(10_000)] {
                assert_eq!(
                    lock.admits(limit(wire), self.now),
                    live.admits(wire),
                    "{wire:?} beside {expected:?}"
                );
            }
            self.compare_owners(lock, expected.0.as_slice());
            self.compare_tokens(lock, expected.live(self.now));
        }
    }

    fn compare_owners(&self, lock: &Lock, expected: &[NaiveHold]) {
        for hold in expected {
            assert_eq!(lock.get(&hold.owner).map(naive).as_ref(), Some(hold));
            if hold.deadline <= self.now {
                continue;
            }
            assert_eq!(
                key_status(Some(lock), false, &hold.owner, limit(hold.limit), self.now),
                KeyStatus::Own(hold.token)
            );
            let other = if hold.limit == Some(7) { None } else { Some(7) };
            assert_eq!(
                key_status(Some(lock), false, &hold.owner, limit(other), self.now),
                KeyStatus::OtherLimit
            );
        }
        assert!(lock.get(b"nobody").is_none());
    }

    /// Asks for every token of any lock, and its neighbours.
    fn compare_tokens(&self, lock: &Lock, live: Vec<NaiveHold>) {
        let all = self.naive.locks.iter().flat_map(|lock| &lock.0).map(|hold| hold.token);
        for token in all.flat_map(|token| [token - 1, token, token + 1]) {
            let expected = live.iter().any(|hold| hold.token == token);
            assert_eq!(lock.has_live_token(token, self.now), expected, "{token}");
        }
    }
}
