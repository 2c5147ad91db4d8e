//! One server, as far as one lock and its counter go: it decides with the code of the module.

use crate::naive::Rule;
use redis_lock_core::decision::{Grant, decide_acquire, decide_extend, key_status};
use redis_lock_core::{Error, Hold, Limit, Lock, Tokens};
use redis_lock_quorum::agreement::{Answer, Request};

/// A small number stands for a token this much higher: a counter that starts at the wall clock's zero.
const BASE: u64 = 60_000_000;
/// The moment of every command, and the ttl of every hold that has not ended by then.
const NOW: i64 = 0;
const TTL_MS: i64 = 1;

/// What time and other clients did to the node since it was last looked at. Nobody can tell when exactly, so
/// it happens just before a request is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Circumstances {
    /// Which attempts' holds have ended, a bit each: by expiry or by their release.
    pub ended: u8,
    /// The counter went on by one, for another lock's grant or with the clock.
    pub others: bool,
    /// The node's clock is far behind what FENCE asks for.
    pub behind: bool,
}

/// What a server remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<const A: usize> {
    /// The counter.
    pub last: u8,
    /// It came back without its data, and answers COOLDOWN.
    pub sits_out: bool,
    /// The token of each attempt's hold; 0 where there is none.
    pub holds: [u8; A],
}

impl<const A: usize> Node<A> {
    pub fn new(last: u8) -> Self {
        Node { last, sits_out: false, holds: [0; A] }
    }

    /// Serves a request of an attempt as the module's commands do, in their order.
    pub fn serve(
        &mut self,
        attempt: usize,
        request: Request,
        limits: [Limit; A],
        how: Circumstances,
        rule: Rule,
    ) -> Answer {
        if self.sits_out {
            return Answer::Failed;
        }
        let mut tokens = Tokens::starting_at(u64::from(self.last) + u64::from(how.others));
        let mut lock = self.lock(limits, how.ended);
        let answer = match request {
            Request::Acquire { fence } => {
                acquire(&mut lock, &mut tokens, attempt, limits[attempt], fence.map(large), how.behind)
            }
            Request::Extend { fence } => {
                extend(&mut lock, &mut tokens, attempt, large(fence), how.behind, rule)
            }
        };
        self.last = small(tokens.last());
        for (attempt, token) in self.holds.iter_mut().enumerate() {
            *token = lock.get(&owner(attempt)).map_or(0, |hold| small(hold.token));
        }
        match answer {
            Ok(answer) => answer,
            Err(Error::TokenTooFarAhead) => match request {
                Request::Acquire { .. } => Answer::AcquireTooFarAhead,
                Request::Extend { fence } => Answer::ExtendTooFarAhead(fence),
            },
            Err(error) => panic!("{error} to {request:?}"),
        }
    }

    /// It lost its data; its counter begins above all that it ever gave, if the clock is not behind.
    pub fn restart(&mut self, rule: Rule) {
        let last = if rule == Rule::ForgetCounter { 0 } else { self.last + 1 };
        *self = Node { last, sits_out: true, holds: [0; A] };
    }

    fn lock(&self, limits: [Limit; A], ended: u8) -> Lock {
        let mut lock = Lock::default();
        for (attempt, &token) in self.holds.iter().enumerate().filter(|(_, token)| **token > 0) {
            let since = if ended & (1 << attempt) == 0 { NOW } else { NOW - 1000 * TTL_MS };
            lock.put(Hold::new(&owner(attempt), limits[attempt], since, TTL_MS, large(token.into())));
        }
        while lock.take_expired(NOW).is_some() {}
        lock
    }
}

fn acquire(
    lock: &mut Lock,
    tokens: &mut Tokens,
    attempt: usize,
    limit: Limit,
    fence: Option<u64>,
    behind: bool,
) -> Result<Answer, Error> {
    let clock = clock(fence, behind);
    if let Some(fence) = fence {
        tokens.check_fence(clock, fence)?;
    }
    let owner = &owner(attempt);
    let decided = decide_acquire([key_status(lock, false, owner, limit, NOW)])?;
    let Some(token) = decided.token(*tokens, clock, fence)? else {
        return Ok(Answer::Held);
    };
    lock.grant(&Grant { owner, limit, now: NOW, ttl_ms: TTL_MS, token, meta: None, session: None });
    tokens.accept(token);
    Ok(Answer::Granted(small(token).into()))
}

fn extend(
    lock: &mut Lock,
    tokens: &mut Tokens,
    attempt: usize,
    fence: u64,
    behind: bool,
    rule: Rule,
) -> Result<Answer, Error> {
    tokens.check_fence(clock(Some(fence), behind), fence)?;
    let own = lock.get(&owner(attempt)).map(|hold| hold.token);
    let Some(token) = decide_extend([own], Some(fence)).flatten() else {
        if rule == Rule::RaiseWithoutHold {
            tokens.accept(fence);
            return Ok(Answer::Extended(small(fence).into()));
        }
        return Ok(Answer::Gone);
    };
    lock.change(&owner(attempt), |hold| hold.renew(NOW, Some(token), None));
    tokens.accept(token);
    Ok(Answer::Extended(small(token).into()))
}

/// A clock that allows this FENCE, or one that does not where the counter does not allow it.
fn clock(fence: Option<u64>, behind: bool) -> u64 {
    fence.filter(|_| !behind).unwrap_or(0)
}

fn owner(attempt: usize) -> [u8; 1] {
    [attempt as u8]
}

fn large(token: u64) -> u64 {
    BASE + token
}

fn small(token: u64) -> u8 {
    (token - BASE).try_into().expect("tokens of the model are small")
}
