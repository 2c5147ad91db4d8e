//! What a quorum, its requests and its locks share.

use crate::changes::Changes;
use crate::clock::Moment;
use crate::command::Terms;
use crate::environment::Environment;
use crate::error::{Error, Failure, NodeAnswer, NodeReport};
use crate::node::Node;
use crate::options::Options;
use crate::recent::Recent;
use crate::watched::Watched;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// By how much a server's counter leads its clock when it starts, in microseconds.
const AHEAD_AT_START: u64 = 60_000_000;

pub(crate) struct Inner {
    pub nodes: Vec<Arc<Node>>,
    pub options: Options,
    pub environment: Arc<dyn Environment>,
    /// The changes that the servers push.
    pub changes: Changes,
    /// The highest token that an acquisition was completed with.
    completed: AtomicU64,
    /// The offset of the wall clock, for tests.
    pub wall_ahead_ms: AtomicI64,
    /// How many locks were acquired, and how many of them in one round trip.
    pub acquired: AtomicU64,
    pub in_one_round: AtomicU64,
    /// What is remembered of resources for a short time.
    pub recent: Recent,
    runtime: Handle,
    cleaning: Watched<usize>,
    connecting: Vec<AbortHandle>,
}

impl Inner {
    /// Starts a task for each node, on the current tokio runtime.
    pub fn start(
        nodes: Vec<Arc<Node>>,
        options: Options,
        environment: Arc<dyn Environment>,
        changes: Changes,
    ) -> Inner {
        let runtime = Handle::current();
        let connect = |node: &Arc<Node>| runtime.spawn(Arc::clone(node).keep_connected()).abort_handle();
        Inner {
            connecting: nodes.iter().map(connect).collect(),
            nodes,
            options,
            environment,
            changes,
            completed: AtomicU64::new(0),
            wall_ahead_ms: AtomicI64::new(0),
            acquired: AtomicU64::new(0),
            in_one_round: AtomicU64::new(0),
            recent: Recent::default(),
            runtime,
            cleaning: Watched::new(0),
        }
    }

    /// Returns the token to propose: the wall clock, or the successor of the highest completed token. Grants
    /// not taken don't count, or a node that runs ahead would spoil every proposal. But `counter`, of the
    /// line's node, counts unless it runs ahead; it leads the clock only for a minute after a start.
    pub fn proposal(&self, counter: u64) -> u64 {
        let ahead = self.wall_ahead_ms.load(Ordering::Relaxed).saturating_mul(1_000);
        let clock = self.environment.wall_clock().saturating_add_signed(ahead);
        let next = if counter < clock.saturating_add(AHEAD_AT_START) { counter + 1 } else { 0 };
        clock.max(self.completed() + 1).max(next)
    }

    /// Returns the current moment on the clock that the validity is counted on.
    pub fn now(&self) -> Moment {
        Moment::from_nanos(self.environment.boot_time())
    }

    /// Returns the highest token that an acquisition was completed with. Later ones get a higher token.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    pub fn complete(&self, token: u64, one_round: bool) {
        self.completed.fetch_max(token, Ordering::Relaxed);
        self.acquired.fetch_add(1, Ordering::Relaxed);
        self.in_one_round.fetch_add(u64::from(one_round), Ordering::Relaxed);
    }

    /// # Errors
    /// Returns [`Error::Config`] if two nodes are found to be one server.
    pub fn check_nodes(&self) -> Result<(), Error> {
        for node in &self.nodes {
            if let Some(other) = node.same_server() {
                let name = &node.name;
                return Err(Error::Config(format!(
                    "{name} and {other} are the same server: it would count twice. List each server once"
                )));
            }
        }
        Ok(())
    }

    /// Runs a task that nobody awaits, for `at_most` this time. Works from any thread, also while a value is
    /// dropped. The task is not run if the runtime is gone.
    pub fn in_background(
        self: &Arc<Self>,
        at_most: Duration,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let running = Running::new(self);
        self.runtime.spawn(async move {
            let _running = running;
            // What the task had to end has expired by then.
            let _ = tokio::time::timeout(at_most, task).await;
        });
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.runtime.spawn(task).abort_handle()
    }

    /// Returns when nothing runs in the background.
    pub async fn settled(&self) {
        self.cleaning.wait_for(|running| (*running == 0).then_some(())).await;
    }

    pub fn failure(&self, terms: &Terms, answers: &[NodeAnswer], left: Duration) -> Failure {
        let report = |(node, answer): (&Arc<Node>, &NodeAnswer)| NodeReport {
            node: node.name.clone(),
            answer: answer.clone(),
        };
        Failure {
            resources: terms.resources.names().to_vec(),
            needed: terms.kind.needed(self.nodes.len()),
            nodes: self.nodes.iter().zip(answers).map(report).collect(),
            left,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.connecting {
            task.abort();
        }
    }
}

/// Counts a background task while it runs, however it ends.
struct Running(Arc<Inner>);

impl Running {
    fn new(quorum: &Arc<Inner>) -> Running {
        quorum.cleaning.change(|running| *running += 1);
        Running(Arc::clone(quorum))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.cleaning.change(|running| *running -= 1);
    }
}
