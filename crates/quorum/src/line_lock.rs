//! The line's lock on one node, while a request or a holder has it. It is released on drop.

use crate::cleanup::Cleanup;
use crate::clock::Moment;
use crate::command::{Reply, Terms};
use crate::inner::Inner;
use crate::node::PendingReply;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct LineLock {
    pub node: usize,
    claim: Cleanup,
    /// When it was last asked for.
    asked: Moment,
    /// Its token, if it was granted alone: the node's counter.
    pub token: u64,
}

impl LineLock {
    /// Returns a lock that this owner will ask for on this node. [Note](LineLock::note) what is sent for it.
    pub fn new(quorum: &Arc<Inner>, terms: &Arc<Terms>, owner: &str, ttl: Duration, node: usize) -> LineLock {
        LineLock::granted(Cleanup::new(quorum, terms, owner.into(), ttl), node, 0)
    }

    /// Returns a lock that was granted to this claim under this token.
    pub fn granted(claim: Cleanup, node: usize, token: u64) -> LineLock {
        let asked = claim.quorum.now();
        LineLock { node, claim, asked, token }
    }

    /// Notes that something was sent for it over this connection, if this is its node.
    pub fn note(&mut self, node: usize, generation: Option<u64>) {
        if node == self.node {
            self.claim.note(node, generation);
        }
    }

    /// Notes that it was not granted: there is nothing to release.
    pub fn forget(&mut self) {
        self.claim.forget(self.node);
    }

    /// Sends an extension. The returned value must not be dropped before it is written.
    pub fn extend(&mut self, ttl: Duration) -> PendingReply {
        self.claim.ttl = self.claim.ttl.max(ttl);
        self.asked = self.claim.quorum.now();
        let command = self.claim.terms.extend(&self.claim.owner, ttl, None);
        self.claim.ask(self.node, &command)
    }

    /// Extends it if a third of its ttl is over. Returns whether it is held, as far as is known.
    pub async fn keep(&mut self) -> bool {
        let (ttl, limit) = (self.claim.ttl, self.claim.limit);
        if self.claim.quorum.now().since(self.asked) < ttl / 3 {
            return true;
        }
        let extended = tokio::time::timeout(limit, self.extend(ttl)).await;
        matches!(extended, Ok(Ok(Reply::Number(_))))
    }
}

impl Drop for LineLock {
    fn drop(&mut self) {
        for (node, pending) in self.claim.release_all() {
            self.claim.hand_over(node, pending);
        }
    }
}
