//! A node and its connection, which a task of its own makes and remakes.

use crate::changes::Changes;
use crate::clock::Moment;
use crate::command::{Packed, Reply};
use crate::connection::{Asked, Connection};
use crate::environment::Environment;
use crate::error::{Error, NodeError};
use crate::watched::Watched;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Time after which a lost host is noticed. A host that is only slow is not given up.
const HOST_TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest time between two attempts to connect, even if requests wait for one.
const MIN_BACKOFF: Duration = Duration::from_millis(5);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Time after which a node that has refused to keep a line is asked again.
const NO_LINE: Duration = Duration::from_secs(1);
/// Interval at which a node is checked for answers while a request waits in its line.
const LOOK: Duration = Duration::from_millis(500);
/// Checks after which an unanswered request means a lost node: a line must go on within about 3 s.
const UNANSWERED_LOOKS: usize = 2;
/// Maximum number of connections kept for requests that wait on the server.
const MAX_SPARE: usize = 64;

/// The state of the connection.
#[derive(Clone)]
pub(crate) enum State {
    /// There is no connection after this many failed attempts. `since` and `why` are of the last one.
    Down { attempts: u64, since: Option<Instant>, why: NodeError },
    /// There is a connection.
    Up(Arc<Connection>),
}

/// One of the servers.
pub(crate) struct Node {
    /// Its address, without user and password.
    pub name: String,
    number: usize,
    client: Client,
    state: Watched<State>,
    hurry: Notify,
    identities: Arc<Identities>,
    changes: Changes,
    environment: Arc<dyn Environment>,
    connect_timeout: Duration,
    /// Connections for requests that wait on the server, not in use at the moment.
    spare: Mutex<Vec<Arc<Connection>>>,
    /// Until when the node keeps no line, because it refused; on the clock that validity is counted on.
    no_line_until: AtomicU64,
}

impl Node {
    /// # Errors
    /// Returns [`Error::Config`] if `url` is not the URL of a server.
    pub fn new(
        number: usize,
        url: &str,
        identities: &Arc<Identities>,
        changes: &Changes,
        environment: &Arc<dyn Environment>,
        connect_timeout: Duration,
    ) -> Result<Node, Error> {
        // The message must not contain the URL, which may contain a password.
        let wrong = |error: redis::RedisError| {
            Error::Config(format!(
                "the URL of node {} is wrong: {error}. It is to look like redis://host:6379, \
                 rediss://user:password@host:6379/db or redis+unix:///path/of/socket",
                number + 1
            ))
        };
        let info = url.into_connection_info().map_err(wrong)?;
        let keepalive =
            TcpKeepalive::new().with_time(HOST_TIMEOUT / 2).with_interval(HOST_TIMEOUT / 5).with_retries(3);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(HOST_TIMEOUT);
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_tcp_settings(tcp).set_redis_settings(redis);
        if let ConnectionAddr::TcpTls { .. } = info.addr() {
            choose_cryptography();
        }
        let name = info.addr().to_string();
        let why = NodeError::Unreachable("not connected yet".into());
        Ok(Node {
            client: Client::open(info).map_err(wrong)?,
            name,
            number,
            state: Watched::new(State::Down { attempts: 0, since: None, why }),
            hurry: Notify::new(),
            identities: Arc::clone(identities),
            changes: changes.clone(),
            environment: Arc::clone(environment),
            connect_timeout,
            spare: Mutex::default(),
            no_line_until: AtomicU64::new(0),
        })
    }

    /// Sends a request over the connection, or over the next one if there is none.
    pub fn ask(self: &Arc<Self>, command: &Packed) -> PendingReply {
        let stage = match &*self.state.borrow() {
            State::Up(link) => Stage::over(link, command),
            State::Down { since: Some(since), why, .. } if since.elapsed() < MIN_BACKOFF => {
                Stage::Failed(Some(why.clone()))
            }
            State::Down { .. } => {
                let node = Arc::clone(self);
                Stage::Connecting(Box::pin(async move { node.next_link().await }), Arc::clone(command))
            }
        };
        PendingReply { stage, again: Some((Arc::clone(self), Arc::clone(command))) }
    }

    /// Returns the connection, if there is one.
    pub fn link(&self) -> Option<Arc<Connection>> {
        match &*self.state.borrow() {
            State::Up(link) => Some(Arc::clone(link)),
            State::Down { .. } => None,
        }
    }

    /// Returns whether the node can keep a line: it is connected, answers, and has not refused recently.
    pub fn keeps_line(&self) -> bool {
        self.link().is_some_and(|link| !link.is_silent())
            && self.no_line_until.load(Ordering::Relaxed) <= self.environment.boot_time()
    }

    /// Notes that the node refused to keep a line (a cooldown, no longer a master): others do for a while.
    pub fn refuses_line(&self) {
        let until = Moment::from_nanos(self.environment.boot_time()).after(NO_LINE);
        self.no_line_until.store(until.nanos(), Ordering::Relaxed);
    }

    /// Returns once the node is lost for requests that wait in its line: the connection broke, or a request
    /// (or a PING) was not answered for some time. From then on the node counts as silent until it answers.
    pub async fn lost(&self) {
        let Some(link) = self.link() else { return };
        let mut sent = VecDeque::from([link.sent()]);
        while tokio::time::timeout(LOOK, link.broken()).await.is_err() {
            if sent.back() == Some(&link.sent()) {
                link.probe();
            }
            if sent.len() == UNANSWERED_LOOKS && sent.pop_front().is_some_and(|sent| !link.has_answered(sent))
            {
                link.is_lost();
                return;
            }
            sent.push_back(link.sent());
        }
    }

    /// Returns the name of the other node that is the same server, if one was found.
    pub fn same_server(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Down { why: NodeError::SameServer(other), .. } => Some(other.clone()),
            _ => None,
        }
    }

    /// Returns when a first attempt to connect has ended, with or without success.
    pub async fn tried(&self) {
        let tried = |state: &State| (!matches!(state, State::Down { attempts: 0, .. })).then_some(());
        self.state.wait_for(tried).await;
    }

    /// Returns once there is a connection other than the one of this generation.
    pub async fn link_after(&self, generation: u64) -> Arc<Connection> {
        let later = |state: &State| match state {
            State::Up(link) if link.generation != generation => Some(Arc::clone(link)),
            _ => None,
        };
        self.state.wait_for(later).await
    }

    /// Returns the connection as soon as there is one, or why the next attempt to make one failed.
    async fn next_link(&self) -> Result<Arc<Connection>, NodeError> {
        let before = match &*self.state.borrow() {
            State::Up(link) => return Ok(Arc::clone(link)),
            State::Down { attempts, .. } => *attempts,
        };
        self.hurry.notify_one();
        let next = |state: &State| match state {
            State::Up(link) => Some(Ok(Arc::clone(link))),
            State::Down { attempts, why, .. } if *attempts > before => Some(Err(why.clone())),
            State::Down { .. } => None,
        };
        self.state.wait_for(next).await
    }

    /// Returns a connection for a request that waits on the server: others must not wait behind it.
    ///
    /// # Errors
    /// Returns why there is no connection.
    pub async fn link_to_wait_on(&self) -> Result<Arc<Connection>, NodeError> {
        while let Some(link) = self.spare().pop() {
            if !link.is_broken() {
                return Ok(link);
            }
        }
        self.open(0).await
    }

    /// Takes such a connection back, with nothing in flight on it.
    pub fn keep_spare(&self, link: Arc<Connection>) {
        let mut spare = self.spare();
        if spare.len() < MAX_SPARE && !link.is_broken() {
            spare.push(link);
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Connection>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, generation: u64) -> Result<Arc<Connection>, NodeError> {
        let open = async {
            let link = Connection::open(&*self.environment, &self.client, generation, &self.changes).await?;
            let (run_id, ()) = tokio::join!(link.run_id(), link.track());
            Ok((link, run_id?))
        };
        let late = |_| {
            NodeError::Unreachable(format!("none was there after {} ms", self.connect_timeout.as_millis()))
        };
        let (link, run_id) = tokio::time::timeout(self.connect_timeout, open).await.map_err(late)??;
        self.identities.claim(self.number, &self.name, run_id).map_err(NodeError::SameServer)?;
        Ok(Arc::new(link))
    }

    fn set(&self, state: State) {
        // The previous connection may be dropped here: not while the state is locked.
        drop(self.state.change(|now| std::mem::replace(now, state)));
    }

    /// Makes the connection and remakes it, forever.
    pub async fn keep_connected(self: Arc<Self>) {
        let mut generation = 0;
        let mut attempts = 0;
        let mut backoff = MIN_BACKOFF;
        loop {
            generation += 1;
            attempts += 1;
            match self.open(generation).await {
                Ok(link) => {
                    backoff = MIN_BACKOFF;
                    self.set(State::Up(Arc::clone(&link)));
                    link.watch().await;
                    self.identities.forget(self.number);
                    // They may lead to a server that is no longer a master.
                    self.spare().clear();
                    // Not counted as a failed attempt: requests wait for the next one.
                    let why = NodeError::Unreachable("the connection broke".into());
                    self.set(State::Down { attempts, since: None, why });
                }
                Err(why) => {
                    let since = Some(Instant::now());
                    self.set(State::Down { attempts, since, why });
                    tokio::time::sleep(MIN_BACKOFF).await;
                    let pause = backoff.mul_f64(0.5 + 0.5 * self.environment.random_fraction());
                    let _ = tokio::time::timeout(pause, self.hurry.notified()).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
            }
        }
    }
}

/// Installs a provider, without which rustls panics on TLS. The program's own choice stays.
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread has chosen meanwhile.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// A request to one node and its reply, from before it is sent.
pub(crate) struct PendingReply {
    stage: Stage,
    /// Set in case the node turns out to be no longer a master. Nothing was done then, and the request is
    /// repeated over the next connection.
    again: Option<(Arc<Node>, Packed)>,
}

enum Stage {
    Failed(Option<NodeError>),
    Connecting(Pin<Box<dyn Future<Output = Result<Arc<Connection>, NodeError>> + Send>>, Packed),
    Sent(Asked),
}

impl Stage {
    fn over(link: &Arc<Connection>, command: &Packed) -> Stage {
        match link.ask(command) {
            Ok(asked) => Stage::Sent(asked),
            Err(error) => Stage::Failed(Some(error)),
        }
    }
}

impl PendingReply {
    /// Wraps a request that was sent without [`Node::ask`].
    pub fn sent(asked: Asked) -> PendingReply {
        PendingReply { stage: Stage::Sent(asked), again: None }
    }

    /// Notes that its time limit has passed.
    pub fn is_late(&self) {
        if let Stage::Sent(asked) = &self.stage {
            asked.is_late();
        }
    }

    /// Returns the generation of the connection over which it was sent, if it was.
    pub fn generation(&self) -> Option<u64> {
        match &self.stage {
            Stage::Sent(asked) => Some(asked.generation()),
            _ => None,
        }
    }
}

impl Future for PendingReply {
    type Output = Result<Reply, NodeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.stage {
                Stage::Failed(error) => {
                    let again = || NodeError::Broken("asked for its reply twice".into());
                    return Poll::Ready(Err(error.take().unwrap_or_else(again)));
                }
                Stage::Connecting(link, command) => match link.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(link)) => self.stage = Stage::over(&link, command),
                },
                Stage::Sent(asked) => {
                    let generation = asked.generation();
                    let reply = std::task::ready!(Pin::new(asked).poll(context));
                    match self.again.take_if(|_| reply.as_ref().is_err_and(NodeError::is_demoted)) {
                        None => return Poll::Ready(reply),
                        Some((node, command)) => {
                            let link = async move { Ok(node.link_after(generation).await) };
                            self.stage = Stage::Connecting(Box::pin(link), command);
                        }
                    }
                }
            }
        }
    }
}

/// The server of each node, as far as is known. A server that is listed twice would count twice.
#[derive(Default)]
pub(crate) struct Identities(Mutex<Vec<Option<Identity>>>);

struct Identity {
    run_id: String,
    name: String,
}

impl Identities {
    /// # Errors
    /// Returns the name of the other node that is this server.
    fn claim(&self, number: usize, name: &str, run_id: Option<String>) -> Result<(), String> {
        let Some(run_id) = run_id else {
            return Ok(());
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = known.iter().enumerate().filter(|(other, _)| *other != number);
        let same = others.filter_map(|(_, known)| known.as_ref()).find(|known| known.run_id == run_id);
        if let Some(same) = same {
            return Err(same.name.clone());
        }
        if known.len() <= number {
            known.resize_with(number + 1, || None);
        }
        known[number] = Some(Identity { run_id, name: name.into() });
        Ok(())
    }

    fn forget(&self, number: usize) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = known.get_mut(number) {
            *identity = None;
        }
    }
}
