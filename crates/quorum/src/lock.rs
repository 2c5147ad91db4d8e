//! A lock that was acquired.

use crate::cleanup::Cleanup;
use crate::error::Error;
use crate::lock_state::{Granted, LockState};
use crate::release::Released;
use crate::renewal::Renewal;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

impl Lock {
    pub(crate) fn new(claim: Cleanup, granted: Granted) -> Lock {
        Lock(Arc::new(LockState::new(claim, granted)))
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
        self.0.token()
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
        self.0.token()
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
