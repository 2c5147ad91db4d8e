//! One connection to a node, and the requests in flight on it.

use crate::changes::Changes;
use crate::command::{Packed, Reply, read_error, read_reply};
use crate::environment::Environment;
use crate::error::NodeError;
use crate::watched::Watched;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, RedisError, RedisResult, Value};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// A silent node with this many unanswered requests is not asked again until it answers, so that a node that
/// is silent for long does not use unbounded memory.
const MAX_UNANSWERED: u64 = 1_000;
/// A node that still answers may have more requests in flight.
const MAX_IN_A_BURST: u64 = 50_000;
/// Above the latter, so that a request is always queued without waiting.
const PIPELINE: usize = 2 * MAX_IN_A_BURST as usize;

type Answer = Pin<Box<dyn Future<Output = RedisResult<Value>> + Send>>;

/// A connection. Requests are answered in the order in which they were sent.
pub(crate) struct Connection {
    /// Differs for each connection ever made to the node.
    pub generation: u64,
    connection: MultiplexedConnection,
    /// The task that drives it, if that must be ended with the connection.
    driver: Option<AbortHandle>,
    sent: AtomicU64,
    answered: AtomicU64,
    state: Arc<ConnectionState>,
}

struct ConnectionState {
    broken: Watched<bool>,
    /// Whether the server reports changes of what was read.
    tracks: AtomicBool,
    /// Signals that answers may have come unseen, because their futures were dropped.
    doubt: Notify,
    /// Whether a request was not answered in time, and none has been answered since.
    silent: AtomicBool,
}

impl ConnectionState {
    fn break_off(&self) {
        self.broken.change(|broken| *broken = true);
    }
}

impl Connection {
    /// # Errors
    /// Returns why the connection, the log-in or the choice of the database failed.
    pub async fn open(
        environment: &dyn Environment,
        client: &Client,
        generation: u64,
        changes: &Changes,
    ) -> Result<Connection, NodeError> {
        let state = Arc::new(ConnectionState {
            broken: Watched::new(false),
            tracks: AtomicBool::new(false),
            doubt: Notify::new(),
            silent: AtomicBool::new(false),
        });
        let seen = Arc::clone(&state);
        let changes = changes.clone();
        // Pushes need RESP3. The end of the connection comes as a push, even while it is idle.
        let on_push = move |push: PushInfo| {
            match push.kind {
                redis::PushKind::Disconnection => seen.break_off(),
                redis::PushKind::Invalidate => changes.tell(&push.data),
                _ => {}
            }
            Ok::<(), ()>(())
        };
        // All time limits are those of the nodes, and are kept elsewhere.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE)
            .set_push_sender(on_push);
        let connection = environment.connect(client, &config).await;
        let (connection, driver) = connection.map_err(|error| match read_error(error) {
            Err(NodeError::Broken(what)) => NodeError::Unreachable(what),
            Err(other) => other,
            Ok(reply) => NodeError::Unexpected(format!("{reply:?}")),
        })?;
        let (sent, answered) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Connection { generation, connection, driver, sent, answered, state })
    }

    /// Has the server report changes of what is read over this connection, if the user may ask for it.
    pub async fn track(&self) {
        let tracking = redis::cmd("CLIENT").arg("TRACKING").arg("ON").clone();
        let asked: RedisResult<()> = tracking.query_async(&mut self.connection.clone()).await;
        self.state.tracks.store(asked.is_ok(), Ordering::Relaxed);
    }

    /// Returns whether the server reports changes.
    pub fn tracks(&self) -> bool {
        self.state.tracks.load(Ordering::Relaxed)
    }

    /// Returns the server's `run_id`, or `None` if this user may not ask for it.
    ///
    /// # Errors
    /// Returns [`NodeError::Broken`] if the connection breaks.
    pub async fn run_id(&self) -> Result<Option<String>, NodeError> {
        let info: RedisResult<String> =
            redis::cmd("INFO").arg("server").query_async(&mut self.connection.clone()).await;
        match info {
            Ok(info) => Ok(info.lines().find_map(|line| line.strip_prefix("run_id:")).map(Into::into)),
            Err(error) if error.is_unrecoverable_error() => Err(NodeError::Broken(error.to_string())),
            Err(_) => Ok(None),
        }
    }

    pub fn is_broken(&self) -> bool {
        *self.state.broken.borrow()
    }

    /// Returns whether a request's time limit has passed without any answer since. There is no point then in
    /// waiting for what can be left to the background.
    pub fn is_silent(&self) -> bool {
        self.state.silent.load(Ordering::Relaxed)
    }

    /// Returns when the connection has ended.
    pub async fn broken(&self) {
        self.state.broken.wait_for(|broken| broken.then_some(())).await;
    }

    /// Detects answers that are no longer awaited, and returns when the connection has ended. Answers come in
    /// order, so the answer to a PING shows that all requests before it were answered.
    pub async fn watch(self: &Arc<Self>) {
        let ping: Packed = Arc::new(redis::cmd("PING"));
        let count = async {
            loop {
                self.state.doubt.notified().await;
                // The second PING covers what was sent after the first one.
                for _ in 0..2 {
                    let _ = self.send(&ping).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.broken() => {}
            () = count => {}
        }
    }

    /// Queues a request at once, not when its reply is first awaited. If the returned value is dropped before
    /// the request was written to the connection, the request is removed again.
    ///
    /// # Errors
    /// Returns [`NodeError::Silent`] if too many requests are unanswered; this one is not sent.
    pub fn ask(self: &Arc<Self>, command: &Packed) -> Result<Asked, NodeError> {
        let unanswered = self.unanswered();
        let most = if self.is_silent() { MAX_UNANSWERED } else { MAX_IN_A_BURST };
        if unanswered >= most {
            self.state.doubt.notify_one();
            return Err(NodeError::Silent(unanswered));
        }
        Ok(self.send(command))
    }

    /// Does what [`Connection::ask`] does, for any number of unanswered requests: for clean-ups.
    pub fn send(self: &Arc<Self>, command: &Packed) -> Asked {
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let mut connection = self.connection.clone();
        let command = Arc::clone(command);
        // Unconstrained, because tokio must not defer the first step, which queues the request.
        let mut answer: Answer =
            Box::pin(tokio::task::unconstrained(
                async move { connection.send_packed_command(&command).await },
            ));
        let early = match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        };
        Asked { link: Arc::clone(self), number, answer, early }
    }

    /// Returns how many requests have been sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Returns whether the first `sent` requests have been answered.
    pub fn has_answered(&self, sent: u64) -> bool {
        self.answered.load(Ordering::Relaxed) >= sent
    }

    /// Makes the node answer a PING, so that it becomes known whether it answers.
    pub fn probe(&self) {
        self.state.doubt.notify_one();
    }

    /// Notes that the node does not answer: there is no point in waiting until it does.
    pub fn is_lost(&self) {
        self.state.silent.store(true, Ordering::Relaxed);
        self.probe();
    }

    fn unanswered(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.answered.load(Ordering::Relaxed))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// A request in flight, and its reply.
pub(crate) struct Asked {
    link: Arc<Connection>,
    number: u64,
    answer: Answer,
    early: Option<RedisResult<Value>>,
}

impl Asked {
    pub fn generation(&self) -> u64 {
        self.link.generation
    }

    /// Notes that its time limit has passed.
    pub fn is_late(&self) {
        self.link.is_lost();
    }

    fn read(&self, result: RedisResult<Value>) -> Result<Reply, NodeError> {
        // All requests before it have been answered too.
        self.link.answered.fetch_max(self.number, Ordering::Relaxed);
        self.link.state.silent.store(false, Ordering::Relaxed);
        if result.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
            self.link.state.break_off();
        }
        let reply = result.map_or_else(read_error, read_reply);
        // Another server may have this address by now: the next connection finds it.
        if reply.as_ref().is_err_and(NodeError::is_demoted) {
            self.link.state.break_off();
        }
        reply
    }
}

impl Future for Asked {
    type Output = Result<Reply, NodeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.early.take() {
            return Poll::Ready(self.read(result));
        }
        self.answer.as_mut().poll(context).map(|result| self.read(result))
    }
}
