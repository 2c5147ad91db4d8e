//! What one owner has sent to the nodes, and the clean-up that follows from it.
//!
//! A release goes over the same connection as what it releases, so it arrives behind that, also where
//! that is still on its way. Where the connection broke meanwhile, what was sent over it may still arrive: then
//! the release goes over a new one, and once more after the node's time limit.

use crate::command::{Packed, Reply, Terms};
use crate::error::NodeError;
use crate::inner::Inner;
use crate::node::{Node, PendingReply};
use std::sync::Arc;
use std::time::Duration;

/// A server that is not ready for a release is asked again after this.
const NOT_READY: Duration = Duration::from_millis(100);

/// One owner, and over which connections it has asked for something.
pub(crate) struct Cleanup {
    pub quorum: Arc<Inner>,
    pub terms: Arc<Terms>,
    pub owner: String,
    /// The longest ttl that was sent: with it all that could be left behind ends.
    pub ttl: Duration,
    pub limit: Duration,
    traces: Vec<Trace>,
}

/// Over which connection to a node something was sent.
#[derive(Clone, Copy, Default)]
struct Trace {
    generation: Option<u64>,
    /// Also over an earlier one, which broke.
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

    /// Sends a request, also over a connection that is yet to be made.
    pub fn ask(&mut self, node: usize, command: &Packed) -> PendingReply {
        let pending = self.quorum.nodes[node].ask(command);
        self.note(node, pending.generation());
        pending
    }

    /// Sends a request over the connection that is there.
    ///
    /// # Errors
    /// Where there is none.
    pub fn ask_now(&mut self, node: usize, command: &Packed) -> Result<PendingReply, NodeError> {
        let link = self.quorum.nodes[node].link();
        let link = link.ok_or_else(|| NodeError::Unreachable("the connection broke".into()))?;
        let asked = link.ask(command)?;
        self.note(node, Some(link.generation));
        Ok(PendingReply::sent(asked))
    }

    /// Something was sent over this connection.
    pub fn note(&mut self, node: usize, generation: Option<u64>) {
        let trace = &mut self.traces[node];
        if generation.is_some() && trace.generation != generation {
            trace.broken |= trace.generation.is_some();
            trace.generation = generation;
        }
    }

    /// Something was sent over a connection of its own, which is gone.
    pub fn note_elsewhere(&mut self, node: usize) {
        self.traces[node] = Trace { generation: None, broken: true };
    }

    /// The node has said that this owner has nothing there: there is nothing to release.
    pub fn forget(&mut self, node: usize) {
        self.traces[node] = Trace::default();
    }

    /// Why a release of this node is left to the background, where it is.
    pub fn left_to_background(&self, node: usize) -> Option<NodeError> {
        if !self.traces[node].is_used() {
            return None;
        }
        match self.quorum.nodes[node].link() {
            None => Some(NodeError::Unreachable("it is released as soon as it is there again".into())),
            Some(link) => link.is_silent().then_some(NodeError::NoAnswer(self.limit)),
        }
    }

    /// Puts a release in line on each node that was sent something, and returns those that are worth
    /// waiting for. The others are seen through in the background.
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

    /// A release was answered, or was not in time: whether more has to follow is seen to in the background.
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

    /// Sees to it in the background that a release gets through: the one on its way, or else another.
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

/// Releases until the node has answered, and once more (`again`) where a connection broke.
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
