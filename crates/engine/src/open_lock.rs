//! The lock of one open key, which the engine changes, and the effects of that.

use redis_lock_core::effect::Cause;
use redis_lock_core::{Bytes, Hold, Lock};
use smallvec::SmallVec;

use crate::wait_queues::QueueId;

/// An event for subscribers, one for each hold that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new hold.
    Acquired,
    /// A hold that was extended.
    Extended,
    /// A hold that was released, or ended with its connection.
    Released,
    /// A hold that expired.
    Expired,
}

/// A hold that ended: the cause, and its owner.
pub type Gone = (Cause, Bytes);

/// A change for replicas and the AOF: a whole hold as it is now, after the ones that ended before it, so that
/// a lock that is handed over is never without a hold.
pub type Effect = (Hold, SmallVec<[Gone; 1]>);

/// What must be propagated after the effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest<'a> {
    /// Nothing.
    Nothing,
    /// The running command, verbatim.
    Verbatim,
    /// The end of these holds.
    Drop(&'a [Gone]),
}

/// The lock of a key that was opened for one command or one visit. The caller stores and propagates the
/// changes, and sends events once that is done for all keys of the command.
pub struct OpenLock<'k> {
    /// Database and name of the key.
    pub place: (i32, &'k [u8]),
    /// The lock as it is now; empty if the key is.
    pub lock: &'k mut Lock,
    pub(crate) queue: Option<QueueId>,
    /// Whether this server decides, rather than carry out what another one decided.
    pub(crate) decided: bool,
    /// Whether the key still has an expiry, which somebody has set.
    expires: bool,
    /// Whether that expiry must be removed.
    pub persist: bool,
    /// Whether clients that watch the key or have cached it must be notified.
    pub touched: bool,
    /// What to propagate, in order.
    pub effects: Vec<Effect>,
    /// Propagated next: the token of a new exclusive hold without META, if the running command was granted
    /// one. Then comes [`OpenLock::rest`].
    pub granted: Option<u64>,
    /// The events for subscribers, in order. If there are none, nothing has changed.
    pub events: SmallVec<[Event; 4]>,
    /// Holds that ended, and are not part of an effect so far.
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

    /// Returns this owner's hold.
    #[inline]
    pub(crate) fn hold(&self, owner: &[u8]) -> Option<&Hold> {
        self.lock.get(owner)
    }

    /// Returns what must be propagated after the effects. If nothing but a release happened, and the running
    /// command `is_release`, it is propagated verbatim.
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

    /// Removes the expiry. Returns whether there was one.
    #[inline]
    pub(crate) fn persist(&mut self) -> bool {
        let expired = std::mem::take(&mut self.expires);
        self.persist |= expired;
        expired
    }
}
