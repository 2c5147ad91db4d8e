//! A set of independent servers that locks are taken on.

use crate::acquire::Acquire;
use crate::changes::Changes;
use crate::environment::{Environment, System};
use crate::error::Error;
use crate::inner::Inner;
use crate::lock::Lease;
use crate::node::{Identities, Node};
use crate::options::Options;
use crate::resources::Resources;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Time for which the remaining nodes are awaited once a majority is connected.
const STRAGGLERS: Duration = Duration::from_millis(50);

/// Locks over several independent servers with the module: three or five, or one (no quorum, but it works).
/// Clones are cheap and share the connections.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let cluster = redis_lock_harness::Cluster::start(3);
/// # let urls = cluster.urls();
/// use redis_lock_quorum::{Options, Quorum};
/// use std::time::Duration;
///
/// let quorum = Quorum::connect(urls, Options::default()).await?;
/// let lock = quorum.acquire("report", Duration::from_secs(10)).await?;
/// // ... work ...
/// lock.release().await?;
/// # Ok::<(), redis_lock_quorum::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Quorum(Arc<Inner>);

impl Quorum {
    /// Connects to the nodes. Returns when each of them is connected or has failed, or soon after a majority
    /// is connected. A node that is down is no error; it is connected to once it is up.
    ///
    /// URLs have the form of the crate `redis`: `redis://host:6379`, `rediss://user:password@host:6379/0`
    /// with TLS, `redis+unix:///path/of/socket`. The connections live on the tokio runtime that calls this.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if a URL or option is wrong, no node is given, or a server is listed twice.
    pub async fn connect<U>(urls: U, options: Options) -> Result<Quorum, Error>
    where
        U: IntoIterator<Item: AsRef<str>>,
    {
        Quorum::connect_in(Arc::new(System), urls, options).await
    }

    /// Does what [`Quorum::connect`] does, with other clocks, randomness and connections, for simulators.
    #[doc(hidden)]
    pub async fn connect_in<U>(
        environment: Arc<dyn Environment>,
        urls: U,
        options: Options,
    ) -> Result<Quorum, Error>
    where
        U: IntoIterator<Item: AsRef<str>>,
    {
        options.check()?;
        let (identities, changes) = (Arc::new(Identities::default()), Changes::default());
        let node = |(number, url): (usize, U::Item)| {
            let timeout = options.connect_timeout;
            Node::new(number, url.as_ref(), &identities, &changes, &environment, timeout).map(Arc::new)
        };
        let nodes: Vec<Arc<Node>> = urls.into_iter().enumerate().map(node).collect::<Result<_, _>>()?;
        if nodes.is_empty() {
            return Err(Error::Config("no node is given: name at least one URL".into()));
        }
        for (number, node) in nodes.iter().enumerate() {
            if nodes[..number].iter().any(|before| before.name == node.name) {
                return Err(Error::Config(format!("{} is listed twice: list each server once", node.name)));
            }
        }
        let quorum = Quorum(Arc::new(Inner::start(nodes, options, environment, changes)));
        quorum.connected().await;
        quorum.0.check_nodes()?;
        Ok(quorum)
    }

    async fn connected(&self) {
        let nodes = &self.0.nodes;
        let all = async {
            for node in nodes {
                node.tried().await;
            }
        };
        let majority = async {
            let needed = nodes.len() / 2 + 1;
            while nodes.iter().filter(|node| node.link().is_some()).count() < needed {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(STRAGGLERS).await;
        };
        tokio::select! {
            biased;
            () = all => {}
            () = majority => {}
        }
    }

    /// Asks for a lock on one or several resources, for `ttl`. See [`Acquire`], which must be awaited.
    ///
    /// Validity counts from the sending of the request. A failed attempt is repeated as the [`Options`] say.
    /// Each attempt has a fresh owner and is cleaned up, also if this future is dropped.
    ///
    /// # Errors
    /// Returns the error of the last attempt. [`Error::Held`]: others hold the lock. [`Error::NoQuorum`]: too
    /// many nodes failed. [`Error::Late`]: the answers came too slowly for a valid lock. [`Error::Config`]:
    /// the request is wrong, and nothing was sent.
    pub fn acquire(&self, resources: impl Into<Resources>, ttl: Duration) -> Acquire {
        Acquire::new(&self.0, resources.into(), ttl)
    }

    /// Does some work under a lock, which is renewed at half of the ttl while the work runs, and then
    /// released. The work gets a [`Lease`]. [`Lease::lost`] returns as soon as the lock is no longer certain,
    /// before its validity ends. The work must stop then; it is not stopped by force.
    ///
    /// Returns the output of the work, even if the release fails.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let cluster = redis_lock_harness::Cluster::start(3);
    /// # let quorum = redis_lock_quorum::Quorum::connect(cluster.urls(), Default::default()).await?;
    /// # async fn long_task(_token: u64) {}
    /// use std::time::Duration;
    ///
    /// let finished = quorum
    ///     .using("report", Duration::from_secs(10), |lock| async move {
    ///         tokio::select! {
    ///             () = long_task(lock.fencing_token()) => true,
    ///             () = lock.lost() => false,
    ///         }
    ///     })
    ///     .await?;
    /// assert!(finished);
    /// # Ok::<(), redis_lock_quorum::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Returns why there was no lock, as [`Quorum::acquire`] does; the work was not begun.
    pub async fn using<F, W>(
        &self,
        resources: impl Into<Resources>,
        ttl: Duration,
        work: F,
    ) -> Result<W::Output, Error>
    where
        F: FnOnce(Lease) -> W,
        W: Future,
    {
        self.acquire(resources, ttl).using(work).await
    }

    /// Returns when all background releases are done: those of dropped locks, of requests that were given up,
    /// and on nodes that could not be reached. A program should await this, with a time limit, before it
    /// ends.
    pub async fn settled(&self) {
        self.0.settled().await;
    }

    /// Returns how many locks were acquired, and how many of them in one round trip.
    #[doc(hidden)]
    pub fn round_trips(&self) -> (u64, u64) {
        (self.0.acquired.load(Ordering::Relaxed), self.0.in_one_round.load(Ordering::Relaxed))
    }

    /// Moves the wall clock that tokens are proposed from, for tests.
    #[doc(hidden)]
    pub fn step_wall_clock(&self, ms: i64) {
        self.0.wall_ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl fmt::Debug for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<&str> = self.0.nodes.iter().map(|node| node.name.as_str()).collect();
        f.debug_struct("Quorum").field("nodes", &nodes).field("options", &self.0.options).finish()
    }
}
