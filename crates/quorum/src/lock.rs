//! A lock that was acquired.

use crate::cleanup::Cleanup;
use crate::clock::Moment;
use crate::error::{Error, NodeAnswer};
use crate::inner::Inner;
use crate::node::PendingReply;
use crate::release::Released;
use crate::renewal::Renewal;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// `lost` looks at the clock at least so often: its timer stands still while the machine is suspended.
const LOOK: Duration = Duration::from_millis(250);

/// A lock that is held, for as long as its [validity](Lock::validity) lasts. Dropped, it is released in the
/// background.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let cluster = redis_lock_harness::Cluster::start(3);
/// # let quorum = redis_lock_quorum::Quorum::connect(cluster.urls(), Default::default()).await?;
/// use std::time::Duration;
///
/// let lock = quorum.acquire("report", Duration::from_secs(10)).await?;
/// assert!(lock.validity() > Duration::from_secs(9));
/// println!("working under token {}", lock.fencing_token());
/// lock.release().await?;
/// # Ok::<(), redis_lock_quorum::Error>(()) }).unwrap();
/// ```
pub struct Lock(pub(crate) Arc<LockState>);

pub(crate) struct LockState {
    pub quorum: Arc<Inner>,
    token: u64,
    /// When the validity ends, in nanoseconds of the clock.
    end: AtomicU64,
    /// The latest ttl, in nanoseconds.
    ttl: AtomicU64,
    lost: AtomicBool,
    claim: Mutex<Held>,
    /// Told when it is released or found lost.
    pub over: Notify,
}

/// What requests for this lock go through, one at a time: after a release nothing is sent any more.
pub(crate) struct Held {
    pub claim: Cleanup,
    pub released: bool,
    /// Which nodes hold it, as far as is known: since the grant, or the last extension, without a gap.
    pub holding: Vec<bool>,
    /// Requests that were not needed for the grant. Not to be dropped before they are written.
    under_way: Vec<PendingReply>,
}

/// On what terms a lock was granted.
pub(crate) struct Granted {
    pub token: u64,
    pub ttl: Duration,
    pub end: Moment,
    /// Which nodes have granted it.
    pub holding: Vec<bool>,
    pub under_way: Vec<PendingReply>,
}

impl Lock {
    pub(crate) fn new(claim: Cleanup, granted: Granted) -> Lock {
        let Granted { token, ttl, end, holding, under_way } = granted;
        Lock(Arc::new(LockState {
            quorum: Arc::clone(&claim.quorum),
            token,
            end: AtomicU64::new(end.nanos()),
            ttl: AtomicU64::new(ttl.as_nanos() as u64),
            lost: AtomicBool::new(false),
            claim: Mutex::new(Held { claim, released: false, holding, under_way }),
            over: Notify::new(),
        }))
    }

    /// How long it is certainly held yet; zero when it is not, or not any more. Until then nobody else
    /// can have it: while the clock rates of client and nodes differ by less than the drift, and nodes keep
    /// their holds or sit out `lock.cooldown` after a restart. A process that may be
    /// paused between looking at it and acting needs the [fencing token](Lock::fencing_token) as well.
    pub fn validity(&self) -> Duration {
        self.0.validity()
    }

    /// The number that a protected resource compares, to refuse a holder that has been overtaken: greater than that of
    /// every acquisition that was over before this one began. Never changes.
    pub fn fencing_token(&self) -> u64 {
        self.0.token
    }

    /// The names of what is locked.
    pub fn resources(&self) -> Vec<String> {
        self.0.resources()
    }

    /// Lets the lock go on for `ttl` from now, and returns the new validity. (It never gets shorter by
    /// this.) A node that was down, or has lost its hold, joins again; the token stays.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let cluster = redis_lock_harness::Cluster::start(1);
    /// # let quorum = redis_lock_quorum::Quorum::connect(cluster.urls(), Default::default()).await?;
    /// # use std::time::Duration;
    /// let lock = quorum.acquire("report", Duration::from_secs(1)).await?;
    /// let validity = lock.extend(Duration::from_secs(10)).await?;
    /// assert!(validity > Duration::from_secs(9));
    /// # Ok::<(), redis_lock_quorum::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None of them releases; [`Failure::left`](crate::Failure::left) says how much validity is left.
    /// [`Error::Lost`] where it was over before enough nodes had answered, or where so few nodes still had
    /// it that others hold it, or may have held it in between: then it is not taken again.
    /// [`Error::NoQuorum`] where too many nodes failed, [`Error::Late`] where the answers took as long as
    /// the ttl: trying again may help. [`Error::Config`] for a ttl that is no good.
    pub async fn extend(&self, ttl: Duration) -> Result<Duration, Error> {
        crate::extend::extend(&self.0, ttl).await
    }

    /// Releases it on all nodes, and says what each of them answered; once more, and it says how it is by then. It ends a running
    /// [`Lock::extend`]. What could not be reached is released in the background, as soon as it can.
    ///
    /// # Errors
    /// [`Error::NoQuorum`] where so few nodes answered that others can't have the lock yet: its ttl, or the
    /// background, ends it.
    pub async fn release(&self) -> Result<Released, Error> {
        crate::release::release(&self.0).await
    }

    /// Returns when the lock is released, when others are found to hold it, or `lost_margin` before the
    /// validity ends: time to stop the work. An [`Lock::extend`] meanwhile puts it off.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let cluster = redis_lock_harness::Cluster::start(1);
    /// # let quorum = redis_lock_quorum::Quorum::connect(cluster.urls(), Default::default()).await?;
    /// # use std::time::Duration;
    /// let lock = quorum.acquire("report", Duration::from_millis(200)).await?;
    /// tokio::select! {
    ///     () = lock.lost() => println!("not finished in time"),
    ///     () = tokio::time::sleep(Duration::from_secs(5)) => unreachable!("nobody extends it"),
    /// }
    /// assert!(lock.validity() > Duration::ZERO, "it tells before the end");
    /// # Ok::<(), redis_lock_quorum::Error>(()) }).unwrap();
    /// ```
    pub async fn lost(&self) {
        self.0.lost_before(None).await;
    }

    /// As [`Lock::lost`], with a margin of one's own.
    pub async fn lost_before(&self, margin: Duration) {
        self.0.lost_before(Some(margin)).await;
    }

    /// Keeps the lock: extends it by `ttl` whenever half of that is over, or a server tells that somebody has changed
    /// the lock (a DEL, say; servers tell where the user may run `CLIENT TRACKING` and `LOCK.TTL`). `told` hears of each
    /// extension. To be awaited beside the work, with [`Lock::lost`]: [`Quorum::using`](crate::Quorum::using) does both.
    ///
    /// Returns when there is no more use in it: [`Error::Lost`], or [`Error::Config`] for a ttl that is no good.
    pub async fn renew(&self, ttl: Duration, told: impl FnMut(Renewal)) -> Error {
        crate::renewal::renew(&self.0, ttl, told).await
    }

    /// A view of this lock to hand to the work. It does not release when it is dropped.
    pub fn lease(&self) -> Lease {
        Lease(Arc::clone(&self.0))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        crate::release::abandon(&self.0);
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f.debug_struct("Lock"))
    }
}

/// A view of a lock that someone else extends and releases: what [`Quorum::using`](crate::Quorum::using) hands to the work.
#[derive(Clone)]
pub struct Lease(Arc<LockState>);

impl Lease {
    /// As [`Lock::validity`].
    pub fn validity(&self) -> Duration {
        self.0.validity()
    }

    /// As [`Lock::fencing_token`].
    pub fn fencing_token(&self) -> u64 {
        self.0.token
    }

    /// The names of what is locked.
    pub fn resources(&self) -> Vec<String> {
        self.0.resources()
    }

    /// As [`Lock::lost`]: the signal to stop.
    pub async fn lost(&self) {
        self.0.lost_before(None).await;
    }

    /// As [`Lock::lost_before`].
    pub async fn lost_before(&self, margin: Duration) {
        self.0.lost_before(Some(margin)).await;
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f.debug_struct("Lease"))
    }
}

impl LockState {
    pub fn token(&self) -> u64 {
        self.token
    }

    pub fn end(&self) -> Moment {
        Moment::from_nanos(self.end.load(Ordering::Acquire))
    }

    /// The validity ends then, if not later.
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

    /// Whether it is released or found lost.
    pub fn is_over(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// From now on it is not held, for everyone who asks.
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

    /// Has the servers tell when somebody else changes what is locked, where they can.
    fn track(&self) {
        let terms = Arc::clone(&self.claimed().claim.terms);
        let links = self.quorum.nodes.iter().filter_map(|node| node.link()).filter(|link| link.tracks());
        for link in links {
            for look in terms.look() {
                let Ok(asked) = link.ask(&look) else { continue };
                // The answer is no matter; but dropped now, it would not be sent.
                self.quorum.spawn(async move { drop(asked.await) });
            }
        }
    }

    /// Returns after so long, or as soon as a server tells that the lock has been changed: time to extend it.
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

    fn describe(&self, mut debug: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        debug
            .field("resources", &self.resources())
            .field("fencing_token", &self.token)
            .field("validity", &self.validity())
            .finish()
    }
}

impl Held {
    /// From now on nothing is sent any more, but the releases that are returned.
    pub fn release(&mut self) -> Vec<(usize, PendingReply)> {
        self.released = true;
        let in_flight = self.claim.release_all();
        self.under_way.clear();
        in_flight
    }
}
