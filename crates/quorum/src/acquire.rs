//! Asks for a lock, repeatedly if necessary.

use crate::Kind;
use crate::command::Terms;
use crate::error::Error;
use crate::inner::Inner;
use crate::lock::{Lease, Lock};
use crate::request::Request;
use crate::resources::Resources;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Longest META text, in bytes.
const MAX_META: usize = 512;

/// A request for a lock, which must be awaited. [`Quorum::acquire`](crate::Quorum::acquire) makes one.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let cluster = redis_lock_harness::Cluster::start(3);
/// # let quorum = redis_lock_quorum::Quorum::connect(cluster.urls(), Default::default()).await?;
/// use std::time::Duration;
///
/// let lock = quorum
///     .acquire(["printer:1", "printer:2"], Duration::from_secs(10))
///     .limit(2)
///     .meta("invoices, host 7")
///     .wait(Duration::from_secs(60))
///     .await?;
/// assert_eq!(lock.resources(), ["printer:1", "printer:2"]);
/// # Ok::<(), redis_lock_quorum::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "nothing is asked for until it is awaited"]
pub struct Acquire {
    quorum: Arc<Inner>,
    terms: Terms,
    ttl: Duration,
    wait: Option<Duration>,
}

impl Acquire {
    pub(crate) fn new(quorum: &Arc<Inner>, resources: Resources, ttl: Duration) -> Acquire {
        let terms = Terms { resources, kind: Kind::Exclusive, meta: None };
        Acquire { quorum: Arc::clone(quorum), terms, ttl, wait: None }
    }

    /// Sets the kind of the lock. The default is exclusive.
    pub fn kind(mut self, kind: Kind) -> Acquire {
        self.terms.kind = kind;
        self
    }

    /// Allows any number of holders while all of them are shared.
    pub fn shared(self) -> Acquire {
        self.kind(Kind::Shared)
    }

    /// Allows `holders` holders, 1 to 10,000. More nodes than a majority must grant, from N−1 holders on all
    /// N: see [`Kind::needed`]. Never mix it with `shared` or another number on one resource.
    pub fn limit(self, holders: u16) -> Acquire {
        self.kind(Kind::Limit(holders))
    }

    /// Keeps a text with the hold, which LOCK.INFO shows, such as who and why. At most 512 bytes.
    pub fn meta(mut self, text: impl Into<String>) -> Acquire {
        self.terms.meta = Some(text.into());
        self
    }

    /// Sets how long to try, in place of `retry_count`. For a single resource the request waits in line, on
    /// the server or, over several nodes, on the one that keeps the [`order`](crate::order). It ends earlier
    /// if nodes refuse for good: see [`Failure::is_final`](crate::Failure::is_final).
    pub fn wait(mut self, at_most: Duration) -> Acquire {
        self.wait = Some(at_most);
        self
    }

    /// Does some work under the lock, which is renewed while the work runs: see
    /// [`Quorum::using`](crate::Quorum::using).
    ///
    /// # Errors
    /// Returns why there was no lock; the work was not begun.
    pub async fn using<F, W>(self, work: F) -> Result<W::Output, Error>
    where
        F: FnOnce(Lease) -> W,
        W: Future,
    {
        Ok(crate::using::using(self.await?, work).await)
    }

    fn check(&self) -> Result<(), Error> {
        self.terms.resources.check()?;
        self.quorum.options.check_ttl(self.ttl)?;
        if let Kind::Limit(holders) = self.terms.kind
            && !(1..=Kind::MAX_LIMIT).contains(&holders)
        {
            let most = Kind::MAX_LIMIT;
            return Err(Error::Config(format!("limit is {holders}: it must be between 1 and {most}")));
        }
        match &self.terms.meta {
            Some(meta) if meta.len() > MAX_META => {
                Err(Error::Config(format!("meta has {} bytes: at most {MAX_META} are allowed", meta.len())))
            }
            _ => Ok(()),
        }
    }

    async fn run(self) -> Result<Lock, Error> {
        self.check()?;
        let ttl = Duration::from_millis(self.ttl.as_millis() as u64);
        Request::new(&self.quorum, self.terms, ttl, self.wait).run().await
    }
}

impl IntoFuture for Acquire {
    type Output = Result<Lock, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
