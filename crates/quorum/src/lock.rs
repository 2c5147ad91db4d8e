//! A lock that was acquired.

use crate::cleanup::Cleanup;
use crate::error::Error;
use crate::lock_state::{Granted, LockState};
use crate::release::Released;
use crate::renewal::Renewal;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A lock that is held while its [validity](Lock::validity) lasts. A dropped lock is released in the
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

    /// Returns how long the lock is still certainly held, or zero if it is not held. Nobody else can have it
    /// for that time while the clock rates of client and nodes differ by less than the drift, and nodes keep
    /// their holds or sit out `lock.cooldown` after a restart. A process that may be paused between checking
    /// the validity and acting also needs the [fencing token](Lock::fencing_token).
    pub fn validity(&self) -> Duration {
        self.0.validity()
    }

    /// Returns the number that a protected resource compares, to refuse a holder that was overtaken. It is
    /// greater than that of every acquisition that was over before this one began. It never changes.
    pub fn fencing_token(&self) -> u64 {
        self.0.token()
    }

    /// Returns the names of what is locked.
    pub fn resources(&self) -> Vec<String> {
        self.0.resources()
    }

    /// Extends the lock to `ttl` from now, and returns the new validity, which never gets shorter. A node
    /// that was down or has lost its hold joins again. The token stays the same.
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
    /// No error releases the lock; [`Failure::left`](crate::Failure::left) says how much validity is left.
    /// Returns [`Error::Lost`] if the lock was over before enough nodes had answered, or if so few nodes
    /// still had it that others hold it or may have held it in between; it is not acquired again. Returns
    /// [`Error::NoQuorum`] if too many nodes failed and [`Error::Late`] if the answers took as long as the
    /// ttl; a retry may help. Returns [`Error::Config`] if the ttl is wrong.
    pub async fn extend(&self, ttl: Duration) -> Result<Duration, Error> {
        crate::extend::extend(&self.0, ttl).await
    }

    /// Releases the lock on all nodes, and returns their answers; a second call asks again. Ends a running
    /// [`Lock::extend`]. A node that could not be reached is released in the background, once it can be.
    ///
    /// # Errors
    /// Returns [`Error::NoQuorum`] if so few nodes answered that others still can't have the lock. The ttl or
    /// the background release ends it.
    pub async fn release(&self) -> Result<Released, Error> {
        crate::release::release(&self.0).await
    }

    /// Returns when the lock is released, when others are found to hold it, or `lost_margin` before the
    /// validity ends. The work must stop then. A [`Lock::extend`] meanwhile postpones that.
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

    /// Does what [`Lock::lost`] does, with this margin.
    pub async fn lost_before(&self, margin: Duration) {
        self.0.lost_before(Some(margin)).await;
    }

    /// Extends the lock by `ttl` when half of that is over, or a server reports that somebody else changed it
    /// (by DEL, say; the user needs `CLIENT TRACKING` and `LOCK.TTL`). `told` gets each result. Await it
    /// beside the work and [`Lock::lost`], or call [`Quorum::using`](crate::Quorum::using).
    ///
    /// Returns when extending no longer helps: [`Error::Lost`], or [`Error::Config`] if the ttl is wrong.
    pub async fn renew(&self, ttl: Duration, told: impl FnMut(Renewal)) -> Error {
        crate::renewal::renew(&self.0, ttl, told).await
    }

    /// Returns a view of this lock to hand to the work. Dropping the view does not release the lock.
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

/// A view of a lock that someone else extends and releases, such as [`Quorum::using`](crate::Quorum::using).
#[derive(Clone)]
pub struct Lease(Arc<LockState>);

impl Lease {
    /// Does what [`Lock::validity`] does.
    pub fn validity(&self) -> Duration {
        self.0.validity()
    }

    /// Does what [`Lock::fencing_token`] does.
    pub fn fencing_token(&self) -> u64 {
        self.0.token()
    }

    /// Returns the names of what is locked.
    pub fn resources(&self) -> Vec<String> {
        self.0.resources()
    }

    /// Does what [`Lock::lost`] does: the signal to stop.
    pub async fn lost(&self) {
        self.0.lost_before(None).await;
    }

    /// Does what [`Lock::lost_before`] does.
    pub async fn lost_before(&self, margin: Duration) {
        self.0.lost_before(Some(margin)).await;
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f.debug_struct("Lease"))
    }
}
