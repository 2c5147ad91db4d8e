//! The state of an acquired lock, and what was sent for it. Extensions and releases change it.

use crate::cleanup::Cleanup;
use crate::clock::Moment;
use crate::error::NodeAnswer;
use crate::inner::Inner;
use crate::line_lock::LineLock;
use crate::node::PendingReply;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Longest interval at which `lost` checks the clock, as its timer stops while the machine is suspended.
const LOOK: Duration = Duration::from_millis(250);

pub(crate) struct LockState {
    pub quorum: Arc<Inner>,
    token: u64,
    /// When the validity ends, in nanoseconds of the clock.
    end: AtomicU64,
    /// The latest ttl, in nanoseconds.
    ttl: AtomicU64,
    lost: AtomicBool,
    claim: Mutex<Held>,
    /// Notified when the lock is released or found lost.
    pub over: Notify,
}

/// What requests for this lock share, one at a time. Nothing is sent after a release.
pub(crate) struct Held {
    pub claim: Cleanup,
    /// The line's lock, if the holder has it.
    pub line: Option<LineLock>,
    pub released: bool,
    /// Which nodes hold it without a gap since the grant or the last extension, as far as is known.
    pub holding: Vec<bool>,
    /// Requests that the grant did not need. They must not be dropped before they are written.
    under_way: Vec<PendingReply>,
}

/// The terms on which a lock was granted.
pub(crate) struct Granted {
    pub token: u64,
    pub ttl: Duration,
    pub end: Moment,
    pub line: Option<LineLock>,
    /// Which nodes have granted it.
    pub holding: Vec<bool>,
    pub under_way: Vec<PendingReply>,
}

impl LockState {
    pub fn new(claim: Cleanup, granted: Granted) -> LockState {
        let Granted { token, ttl, end, line, holding, under_way } = granted;
        LockState {
            quorum: Arc::clone(&claim.quorum),
            token,
            end: AtomicU64::new(end.nanos()),
            ttl: AtomicU64::new(ttl.as_nanos() as u64),
            lost: AtomicBool::new(false),
            claim: Mutex::new(Held { claim, line, released: false, holding, under_way }),
            over: Notify::new(),
        }
    }

    pub fn token(&self) -> u64 {
        self.token
    }

    pub fn end(&self) -> Moment {
        Moment::from_nanos(self.end.load(Ordering::Acquire))
    }

    /// Sets the ttl, and moves the end of the validity to `end` unless it is already later.
    pub fn extend_to(&self, end: Moment, ttl: Duration) {
        self.ttl.store(ttl.as_nanos() as u64, Ordering::Release);
        self.end.fetch_max(end.nanos(), Ordering::AcqRel);
    }

    pub fn ttl(&self) -> Duration {
        Duration::from_nanos(self.ttl.load(Ordering::Acquire))
    }

    pub fn validity(&self) -> Duration {
        match self.is_over() {
            true => Duration::ZERO,
            false => self.end().since(self.quorum.now()),
        }
    }

    /// Returns whether the lock is released or found lost.
    pub fn is_over(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Ends the lock for everyone who asks.
    pub fn end_now(&self) {
        self.lost.store(true, Ordering::Release);
        self.over.notify_waiters();
    }

    pub fn claimed(&self) -> MutexGuard<'_, Held> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn resources(&self) -> Vec<String> {
        self.claimed().claim.terms.resources.names().to_vec()
    }

    pub fn failure(&self, answers: &[NodeAnswer]) -> crate::Failure {
        let claimed = self.claimed();
        self.quorum.failure(&claimed.claim.terms, answers, self.validity())
    }

    /// Has the servers report when somebody else changes what is locked, if they can.
    fn track(&self) {
        let terms = Arc::clone(&self.claimed().claim.terms);
        let links = self.quorum.nodes.iter().filter_map(|node| node.link()).filter(|link| link.tracks());
        for link in links {
            for look in terms.look() {
                let Ok(asked) = link.ask(&look) else { continue };
                // The answer is not needed, but a future dropped now would not be sent.
                self.quorum.spawn(async move { drop(asked.await) });
            }
        }
    }

    /// Returns after this time, or as soon as a server reports a change of the lock: time to extend it.
    pub async fn renewal_due(&self, after: Duration) {
        let mut changes = self.quorum.changes.listen();
        let names = self.resources();
        self.track();
        tokio::select! {
            biased;
            () = tokio::time::sleep(after) => {}
            () = changes.changed(&names) => {}
        }
    }

    pub async fn lost_before(&self, margin: Option<Duration>) {
        loop {
            let mut over = std::pin::pin!(self.over.notified());
            over.as_mut().enable();
            let margin = margin.unwrap_or_else(|| self.quorum.options.lost_margin(self.ttl()));
            let left = self.validity().saturating_sub(margin);
            if left.is_zero() {
                return;
            }
            let _ = tokio::time::timeout(left.min(LOOK), over).await;
        }
    }

    pub fn describe(&self, mut debug: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        debug
            .field("resources", &self.resources())
            .field("fencing_token", &self.token)
            .field("validity", &self.validity())
            .finish()
    }
}

impl Held {
    /// Returns the releases. Nothing else is sent from now on.
    pub fn release(&mut self) -> Vec<(usize, PendingReply)> {
        self.released = true;
        let in_flight = self.claim.release_all();
        self.under_way.clear();
        // Released right after the votes: the next request finds them free.
        self.line = None;
        in_flight
    }
}
