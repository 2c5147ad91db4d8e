//! What one owner has sent to the nodes, and the clean-up of it.
//!
//! A release goes over the same connection as what it releases, so it arrives after that, even if that is
//! still in flight. If the connection broke meanwhile, what was sent over it may still arrive. Then the
//! release goes over a new connection, and is repeated after the node's time limit.

use crate::command::{Packed, Reply, Terms};
use crate::error::NodeError;
use crate::inner::Inner;
use crate::node::{Node, PendingReply};
use std::sync::Arc;
use std::time::Duration;

/// A server that is not ready for a release is asked again after this time.
const NOT_READY: Duration = Duration::from_millis(100);

/// One owner, and the connections over which it has asked for something.
pub(crate) struct Cleanup {
    pub quorum: Arc<Inner>,
    pub terms: Arc<Terms>,
    pub owner: String,
    /// The longest ttl that was sent. Anything that could be left behind expires within it.
    pub ttl: Duration,
    pub limit: Duration,
    traces: Vec<Trace>,
}

/// The connection to a node over which something was sent.
#[derive(Clone, Copy, Default)]
struct Trace {
    generation: Option<u64>,
    /// Whether something was also sent over an earlier connection, which broke.
    broken: bool,
}

impl Trace {
    fn is_used(self) -> bool {
        self.generation.is_some() || self.broken
    }
}

impl Cleanup {
    pub fn new(quorum: &Arc<Inner>, terms: &Arc<Terms>, owner: String, ttl: Duration) -> Cleanup {
        Cleanup {
            traces: vec![Trace::default(); quorum.nodes.len()],
            limit: quorum.options.node_timeout(ttl, quorum.nodes.len()),
            quorum: Arc::clone(quorum),
            terms: Arc::clone(terms),
            owner,
            ttl,
        }
    }

    /// Sends a request, over a future connection if there is none.
    pub fn ask(&mut self, node: usize, command: &Packed) -> PendingReply {
        let pending = self.quorum.nodes[node].ask(command);
        self.note(node, pending.generation());
        pending
    }

    /// Sends a request over the existing connection.
    ///
    /// # Errors
    /// Returns an error if there is no connection.
    pub fn ask_now(&mut self, node: usize, command: &Packed) -> Result<PendingReply, NodeError> {
        let link = self.quorum.nodes[node].link();
        let link = link.ok_or_else(|| NodeError::Unreachable("the connection broke".into()))?;
        let asked = link.ask(command)?;
        self.note(node, Some(link.generation));
        Ok(PendingReply::sent(asked))
    }

    /// Notes that something was sent over this connection.
    pub fn note(&mut self, node: usize, generation: Option<u64>) {
        let trace = &mut self.traces[node];
        if generation.is_some() && trace.generation != generation {
            trace.broken |= trace.generation.is_some();
            trace.generation = generation;
        }
    }

    /// Notes that something was sent over a connection of its own, which is gone.
    pub fn note_elsewhere(&mut self, node: usize) {
        self.traces[node] = Trace { generation: None, broken: true };
    }

    /// Notes that this owner has nothing on this node: there is nothing to release.
    pub fn forget(&mut self, node: usize) {
        self.traces[node] = Trace::default();
    }

    /// Returns why a release of this node is left to the background, if it is.
    pub fn left_to_background(&self, node: usize) -> Option<NodeError> {
        if !self.traces[node].is_used() {
            return None;
        }
        match self.quorum.nodes[node].link() {
            None => Some(NodeError::Unreachable("it is released as soon as it is there again".into())),
            Some(link) => link.is_silent().then_some(NodeError::NoAnswer(self.limit)),
        }
    }

    /// Queues a release on each node that was sent something, and returns those that are worth awaiting. The
    /// others are completed in the background.
    pub fn release_all(&mut self) -> Vec<(usize, PendingReply)> {
        let release = self.terms.release(&self.owner);
        let mut in_flight = Vec::new();
        for node in 0..self.traces.len() {
            if !self.traces[node].is_used() {
                continue;
            }
            let Some(link) = self.quorum.nodes[node].link() else {
                self.follow_up(node, None, true);
                continue;
            };
            self.note(node, Some(link.generation));
            let pending = PendingReply::sent(link.send(&release));
            match link.is_silent() {
                true => self.hand_over(node, pending),
                false => in_flight.push((node, pending)),
            }
        }
        in_flight
    }

    /// Takes the result of a release, or its timeout, and leaves any further releases to the background.
    pub fn release_completed(
        &self,
        node: usize,
        reply: &Result<Reply, NodeError>,
        late: Option<PendingReply>,
    ) {
        match (late, reply) {
            (Some(pending), _) => self.hand_over(node, pending),
            (None, Ok(_)) if self.traces[node].broken => {
                let quorum = Arc::clone(&self.quorum);
                let release = self.terms.release(&self.owner);
                let pause = self.limit;
                self.quorum.in_background(self.ttl, async move {
                    tokio::time::sleep(pause).await;
                    release_until_acknowledged(&quorum.nodes[node], &release, None, false, pause).await;
                });
            }
            (None, Ok(_) | Err(NodeError::Unexpected(_))) => {}
            (None, Err(error)) if error.is_demoted() => self.follow_up(node, None, true),
            (None, Err(error @ NodeError::Refused(_))) if !error.is_not_ready() => {}
            (None, Err(_)) => self.follow_up(node, None, true),
        }
    }

    /// Completes a release in the background: the one in flight, or else another.
    pub fn hand_over(&self, node: usize, pending: PendingReply) {
        self.follow_up(node, Some(pending), self.traces[node].broken);
    }

    fn follow_up(&self, node: usize, pending: Option<PendingReply>, again: bool) {
        let quorum = Arc::clone(&self.quorum);
        let release = self.terms.release(&self.owner);
        let limit = self.limit;
        self.quorum.in_background(self.ttl, async move {
            release_until_acknowledged(&quorum.nodes[node], &release, pending, again, limit).await;
        });
    }
}

/// Releases until the node has answered, and once more if `again` is set or a connection broke.
async fn release_until_acknowledged(
    node: &Node,
    release: &Packed,
    mut first: Option<PendingReply>,
    mut again: bool,
    limit: Duration,
) {
    let mut broken = 0;
    loop {
        let pending = match first.take() {
            Some(pending) => pending,
            None => PendingReply::sent(node.link_after(broken).await.send(release)),
        };
        let generation = pending.generation();
        match pending.await {
            Ok(_) if again => {
                again = false;
                tokio::time::sleep(limit).await;
            }
            Err(error) if error.is_not_ready() => tokio::time::sleep(NOT_READY).await,
            // The next connection leads to the new master.
            Err(error) if error.is_demoted() => {
                broken = generation.unwrap_or(broken);
                tokio::time::sleep(NOT_READY).await;
            }
            Ok(_) | Err(NodeError::Refused(_) | NodeError::Unexpected(_)) => return,
            Err(_) => {
                again = true;
                broken = generation.unwrap_or(broken);
            }
        }
    }
}
