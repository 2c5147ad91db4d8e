//! Releases a lock on all nodes.

use crate::command::Reply;
use crate::error::{Error, NodeAnswer, NodeError, NodeReport};
use crate::in_flight::{Completion, InFlight};
use crate::lock_state::LockState;
use crate::node::PendingReply;

/// What the nodes answered to a release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Released {
    /// How many released it now.
    pub released: usize,
    /// How many had nothing to release: its ttl was over there, the node had forgotten it, or had never
    /// granted it.
    pub gone: usize,
    /// Each node's answer. Nodes that failed are released in the background.
    pub nodes: Vec<NodeReport>,
}

/// Releases in flight. If they are dropped, they are completed in the background.
struct Releases<'a> {
    lock: &'a LockState,
    in_flight: InFlight<()>,
}

impl Releases<'_> {
    fn complete(&mut self, completion: Completion<()>) -> NodeAnswer {
        let mut claimed = self.lock.claimed();
        claimed.claim.note(completion.node, completion.generation);
        claimed.claim.release_completed(completion.node, &completion.reply, completion.late);
        match completion.reply {
            Ok(Reply::Number(_)) => NodeAnswer::Released,
            Ok(Reply::Zero) => NodeAnswer::Gone,
            // Of several locks at least one has another type; the others may still be held.
            Err(error) if error.is_overwritten() && claimed.claim.terms.resources.names().len() == 1 => {
                NodeAnswer::Gone
            }
            Ok(reply) => NodeError::Unexpected(format!("{reply:?}")).into(),
            Err(error) => error.into(),
        }
    }
}

impl Drop for Releases<'_> {
    fn drop(&mut self) {
        let under_way: Vec<(usize, (), PendingReply)> = self.in_flight.drain().collect();
        if under_way.is_empty() {
            return;
        }
        let claimed = self.lock.claimed();
        for (node, (), pending) in under_way {
            claimed.claim.hand_over(node, pending);
        }
    }
}

pub(crate) async fn release(lock: &LockState) -> Result<Released, Error> {
    let (mut releases, mut answers) = begin(lock);
    while let Some(completion) = releases.in_flight.next().await {
        let node = completion.node;
        answers[node] = releases.complete(completion);
    }
    drop(releases);
    let count = |wanted: NodeAnswer| answers.iter().filter(|answer| **answer == wanted).count();
    let (released, gone) = (count(NodeAnswer::Released), count(NodeAnswer::Gone));
    let failure = lock.failure(&answers);
    if released + gone < failure.needed {
        return Err(Error::NoQuorum(failure));
    }
    Ok(Released { released, gone, nodes: failure.nodes })
}

/// Begins the release without waiting, if it was not begun; the rest happens in the background.
pub(crate) fn abandon(lock: &LockState) {
    let released = lock.claimed().released;
    if !released {
        drop(begin(lock));
    }
}

/// Sends the releases. It may be called again; the answers then show the state at that time.
fn begin(lock: &LockState) -> (Releases<'_>, Vec<NodeAnswer>) {
    let mut in_flight = InFlight::default();
    let mut claimed = lock.claimed();
    // A node that was never asked has nothing to release.
    let mut answers = vec![NodeAnswer::Gone; lock.quorum.nodes.len()];
    for (node, answer) in answers.iter_mut().enumerate() {
        if let Some(error) = claimed.claim.left_to_background(node) {
            *answer = error.into();
        }
    }
    let limit = claimed.claim.limit;
    for (node, pending) in claimed.release() {
        in_flight.add(node, (), pending, limit);
    }
    drop(claimed);
    lock.end_now();
    (Releases { lock, in_flight }, answers)
}
