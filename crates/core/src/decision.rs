//! What a request comes to, for one lock or for several at once: all or nothing.
//!
//! A command first asks how it stands with each of its locks, then decides, then carries the
//! decision out on each: so that nothing is changed where anything is refused.

use crate::time::{after_ms, Micros};
use crate::{Error, Hold, Limit, Lock, Renewal, Tokens};

/// How a request stands with one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// The rule admits it.
    Free,
    /// Others hold it or wait for it.
    Held,
    /// This owner holds it already, under this token.
    Own(u64),
    /// This owner holds it with another limit, and a hold's limit never changes.
    OtherLimit,
}

/// How a request of this owner stands with a lock, for which somebody waits or not. A hold past its deadline does not count; this owner's has to be taken out before a
/// grant. Serve the line before.
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

/// What an ACQUIRE or MACQUIRE comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcquireDecision {
    /// Granted under a new token: not all locks are this owner's under one token.
    New,
    /// This owner holds all of them under this token: granted again.
    Again(u64),
    /// Others hold one of them.
    Refused,
}

impl AcquireDecision {
    /// The token that it comes to; `None` where there is no grant.
    ///
    /// # Errors
    /// As [`Tokens::next`].
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
/// [`Error::OtherLimit`] where this owner holds one of them with another limit; also when another
/// one is held by others.
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
    /// To whom.
    pub owner: &'a [u8],
    /// With how many holders at most.
    pub limit: Limit,
    /// From when.
    pub now: Micros,
    /// For how long, in milliseconds.
    pub ttl_ms: i64,
    /// Under which token, at least.
    pub token: u64,
    /// With which META, where one is given.
    pub meta: Option<&'a [u8]>,
    /// The connection that it ends with, where it does.
    pub session: Option<u64>,
}

/// What a grant did to one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// There is one more hold.
    New,
    /// The owner's hold goes on.
    Again(Renewal),
}

impl Lock {
    /// Carries a grant out. Asks nothing: see [`decide_acquire`].
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

/// The token that holds extended with FENCE agree on: the highest of `fence` and their own.
/// `None` where one of them is not held.
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
