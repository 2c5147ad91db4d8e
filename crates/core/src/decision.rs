//! The decision about a request for one lock or several at once: all or nothing.
//!
//! A command first gets the status of each of its locks, then decides, then carries the decision out on each,
//! so that a refusal changes nothing.

use crate::time::{after_ms, Micros};
use crate::{Error, Hold, Limit, Lock, Renewal, Tokens};

/// The status of one lock for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// The rule allows the request.
    Free,
    /// Others hold it or wait for it.
    Held,
    /// This owner already holds it, under this token.
    Own(u64),
    /// This owner holds it with another limit, and a hold's limit never changes.
    OtherLimit,
}

/// Returns the status of a lock for a request of this owner. An expired hold does not count, but this owner's
/// must be removed before a grant. Serve the queue before.
#[inline]
pub fn key_status(lock: &Lock, waited_for: bool, owner: &[u8], limit: Limit, now: Micros) -> KeyStatus {
    match lock.get(owner).filter(|hold| hold.is_live(now)) {
        Some(hold) if hold.limit() == limit => KeyStatus::Own(hold.token),
        Some(_) => KeyStatus::OtherLimit,
        None if waited_for => KeyStatus::Held,
        None if lock.admits(limit, now) => KeyStatus::Free,
        None => KeyStatus::Held,
    }
}

/// The decision about an ACQUIRE or MACQUIRE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcquireDecision {
    /// Granted under a new token, as this owner does not hold all locks under one token.
    New,
    /// Granted again, as this owner holds all locks under this token.
    Again(u64),
    /// Others hold one of them.
    Refused,
}

impl AcquireDecision {
    /// Returns the token of the grant, or `None` if there is no grant.
    ///
    /// # Errors
    /// Returns the errors of [`Tokens::next`].
    #[inline]
    pub fn token(self, tokens: Tokens, clock: u64, fence: Option<u64>) -> Result<Option<u64>, Error> {
        match self {
            AcquireDecision::New => tokens.next(clock, fence).map(Some),
            AcquireDecision::Again(token) => Ok(Some(token.max(fence.unwrap_or(0)))),
            AcquireDecision::Refused => Ok(None),
        }
    }
}

/// Decides about all locks of a request.
///
/// # Errors
/// Returns [`Error::OtherLimit`] if this owner holds one of them with another limit, even if others hold
/// another one.
#[inline]
pub fn decide_acquire(statuses: impl IntoIterator<Item = KeyStatus>) -> Result<AcquireDecision, Error> {
    let mut refused = false;
    let mut again = None;
    let mut new = false;
    for standing in statuses {
        match standing {
            KeyStatus::OtherLimit => return Err(Error::OtherLimit),
            KeyStatus::Held => refused = true,
            KeyStatus::Free => new = true,
            KeyStatus::Own(token) => new |= again.replace(token).is_some_and(|before| before != token),
        }
    }
    Ok(match again {
        _ if refused => AcquireDecision::Refused,
        Some(token) if !new => AcquireDecision::Again(token),
        _ => AcquireDecision::New,
    })
}

/// The terms on which a request is granted.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The owner.
    pub owner: &'a [u8],
    /// How many holders it tolerates.
    pub limit: Limit,
    /// When it begins.
    pub now: Micros,
    /// How long it lasts, in milliseconds.
    pub ttl_ms: i64,
    /// The least token.
    pub token: u64,
    /// The META text, if one is given.
    pub meta: Option<&'a [u8]>,
    /// The connection that it ends with, if it does.
    pub session: Option<u64>,
}

/// The effect of a grant on one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// There is one more hold.
    New,
    /// The owner's hold was renewed.
    Again(Renewal),
}

impl Lock {
    /// Carries a grant out, without a check: see [`decide_acquire`].
    #[inline]
    pub fn grant(&mut self, grant: &Grant) -> Granted {
        debug_assert!(
            self.get(grant.owner).is_none_or(|hold| hold.is_live(grant.now)),
            "an expired hold would live on"
        );
        if self.is_empty() {
            self.begin(grant);
            return Granted::New;
        }
        let renew = |hold: &mut Hold| {
            hold.bind(grant.session);
            hold.renew(after_ms(grant.now, grant.ttl_ms), Some(grant.token), grant.meta)
        };
        if let Some(renewal) = self.change(grant.owner, renew) {
            return Granted::Again(renewal);
        }
        let mut hold = Hold::blank();
        hold.fill(grant);
        self.put(hold);
        Granted::New
    }
}

/// Returns the token that holds extended with FENCE agree on: the highest of `fence` and their own, or `None`
/// if one of them is not held.
#[inline]
pub fn decide_extend(
    tokens: impl IntoIterator<Item = Option<u64>>,
    fence: Option<u64>,
) -> Option<Option<u64>> {
    let mut highest = fence;
    for token in tokens {
        let token = token?;
        highest = highest.map(|high| high.max(token));
    }
    Some(highest)
}
