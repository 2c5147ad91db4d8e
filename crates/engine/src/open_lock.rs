//! The lock of one open key: what the engine works on, and the effects that this has.

use redis_lock_core::effect::Cause;
use redis_lock_core::{Bytes, Hold, Lock};
use smallvec::SmallVec;

use crate::wait_queues::QueueId;

/// What is told to subscribers, one for each hold that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new hold.
    Acquired,
    /// A hold that goes on.
    Extended,
    /// A hold that was released, or ended with its connection.
    Released,
    /// A hold that ended at its deadline.
    Expired,
}

/// A hold that went: why, and whose.
pub type Gone = (Cause, Bytes);

/// What replicas and the AOF are told: a whole hold as it is now, after those that went before it, so that a lock
/// that passes on is at no time without a hold.
pub type Effect = (Hold, SmallVec<[Gone; 1]>);

/// What is left to replicate after the effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest<'a> {
    /// Nothing.
    Nothing,
    /// The running command as it is.
    Verbatim,
    /// These holds went.
    Drop(&'a [Gone]),
}

/// The lock of a key that was opened for one command or one visit. The order in which its caller carries out
/// what has changed: store, replicate, and when that is done for all keys of the command, tell.
pub struct OpenLock<'k> {
    /// Database and name of the key.
    pub place: (i32, &'k [u8]),
    /// The lock as it is now; empty if the key is.
    pub lock: &'k mut Lock,
    pub(crate) queue: Option<QueueId>,
    /// Whether this server decides, or carries out what another one decided.
    pub(crate) decided: bool,
    /// Whether somebody gave the key an expiry that is still there.
    expires: bool,
    /// Whether that expiry is to be removed.
    pub persist: bool,
    /// Whether clients that watch the key or have cached it are to be told.
    pub touched: bool,
    /// What to replicate, in order.
    pub effects: Vec<Effect>,
    /// After that: the running command was granted what it asked for, a new exclusive hold without META, under this
    /// token. Then comes [`OpenLock::rest`].
    pub granted: Option<u64>,
    /// What to tell subscribers, in order. If there is nothing, nothing has changed.
    pub events: SmallVec<[Event; 4]>,
    /// What went, and is in no effect so far.
    pub(crate) gone: SmallVec<[Gone; 1]>,
}

impl<'k> OpenLock<'k> {
    #[inline(always)]
    pub(crate) fn new(
        place: (i32, &'k [u8]),
        lock: &'k mut Lock,
        expires: bool,
        queue: Option<QueueId>,
        decided: bool,
    ) -> Self {
        OpenLock {
            place,
            lock,
            queue,
            decided,
            expires,
            persist: false,
            touched: false,
            effects: Vec::new(),
            granted: None,
            events: SmallVec::new(),
            gone: SmallVec::new(),
        }
    }

    /// This owner's hold.
    #[inline]
    pub(crate) fn hold(&self, owner: &[u8]) -> Option<&Hold> {
        self.lock.get(owner)
    }

    /// What is left to replicate. A release that is all that happened is told by the running command itself,
    /// if that `is_release`.
    #[inline]
    pub fn rest(&self, is_release: bool) -> Rest<'_> {
        if !self.decided || (is_release && matches!(self.events.as_slice(), [Event::Released])) {
            Rest::Verbatim
        } else if self.gone.is_empty() {
            Rest::Nothing
        } else {
            Rest::Drop(&self.gone)
        }
    }

    /// Returns whether an expiry is removed by this.
    #[inline]
    pub(crate) fn persist(&mut self) -> bool {
        let expired = std::mem::take(&mut self.expires);
        self.persist |= expired;
        expired
    }
}
