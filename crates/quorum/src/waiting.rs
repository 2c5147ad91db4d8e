//! A request in line on a node, on a connection of its own, in place of repeated attempts. It waits for the
//! lock itself if that is the only node, or else for the line's lock.

use crate::attempt::no_randomness;
use crate::cleanup::Cleanup;
use crate::command::{Packed, Reply, Terms, fresh_owner};
use crate::connection::Connection;
use crate::error::{Error, NodeAnswer, NodeError};
use crate::inner::Inner;
use crate::lock::Lock;
use crate::lock_state::Granted;
use std::sync::Arc;
use std::time::Duration;

/// A reply that comes earlier than this before the end means that the server does not let it wait.
const EARLY: Duration = Duration::from_millis(20);

/// Interval at which a waiting request checks whether the node still grants anything.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A request in line. If it is dropped, its connection is closed, which takes it out of line, and what may
/// have been granted meanwhile is released.
pub(crate) struct Waiting {
    claim: Option<Cleanup>,
    link: Option<Arc<Connection>>,
    node: usize,
    ttl: Duration,
    /// The highest token that was completed with before the request began.
    highest: u64,
}

impl Waiting {
    /// Waits in line on this node for `time`. Returns the grant and its token, or `None` on timeout.
    ///
    /// # Errors
    /// Returns how the node failed, or [`NodeAnswer::Held`] if it ended the wait early.
    pub async fn run(
        quorum: &Arc<Inner>,
        terms: &Arc<Terms>,
        ttl: Duration,
        time: Duration,
        node: usize,
    ) -> Result<Option<(Waiting, u64)>, NodeAnswer> {
        let begun = quorum.now();
        let no_owner = |error| NodeError::Unreachable(no_randomness(error).to_string());
        let owner = fresh_owner(&*quorum.environment).map_err(no_owner)?;
        let link = tokio::time::timeout(time, quorum.nodes[node].link_to_wait_on()).await;
        let link = link.map_err(|_| NodeError::NoAnswer(time)).and_then(|link| link)?;
        let time = time.saturating_sub(quorum.now().since(begun));
        let claim = Some(Cleanup::new(quorum, terms, owner, ttl));
        let mut waiting = Waiting { claim, link: Some(link), node, ttl, highest: quorum.completed() };
        let begun = quorum.now();
        let token = match quorum.nodes.len() {
            1 => waiting.wait(time).await,
            // There are other nodes to wait on.
            _ => tokio::select! {
                biased;
                token = waiting.wait(time) => token,
                () = quorum.nodes[node].lost() => Err(NodeError::Unreachable("it was lost while this waited".into())),
                refusal = waiting.refused() => Err(refusal),
            },
        };
        // On an error `waiting` is dropped, and so cleaned up.
        if let Some(token) = token? {
            return Ok(Some((waiting, token)));
        }
        waiting.leave();
        match quorum.now().since(begun) + EARLY >= time {
            true => Ok(None),
            false => Err(NodeAnswer::Held),
        }
    }

    /// Returns the token, or `None` if the time ran out.
    async fn wait(&self, time: Duration) -> Result<Option<u64>, NodeError> {
        let (Some(claim), Some(link)) = (&self.claim, &self.link) else {
            return Ok(None);
        };
        // The token of a line's lock is not used.
        let fence = (claim.quorum.nodes.len() == 1).then(|| claim.quorum.proposal(0));
        let at_most = time.saturating_add(claim.limit.max(EARLY));
        let acquire = |fence| claim.terms.acquire(&claim.owner, self.ttl, fence, Some(time));
        let mut reply = ask(link, &acquire(fence), at_most).await?;
        if reply == Reply::TooFarAhead {
            reply = ask(link, &acquire(None), at_most).await?;
        }
        match reply {
            Reply::Number(token) => Ok(Some(token)),
            Reply::Nil => Ok(None),
            other => Err(NodeError::Unexpected(format!("{other:?}"))),
        }
    }

    /// Returns the node's error once it would refuse a new grant (cooldown, too few replicas, no longer a
    /// master): a queued request stays queued then. A node that answers no write is covered by `Node::lost`.
    async fn refused(&self) -> NodeError {
        let Some(claim) = &self.claim else { return std::future::pending().await };
        // 1 ms lengthens nothing: a grant that is not known here must not last longer for it.
        let extend = claim.terms.extend(&claim.owner, Duration::from_millis(1), None);
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            match claim.quorum.nodes[self.node].ask(&extend).await {
                Err(error @ NodeError::Refused(_)) if !error.is_of_key() => return error,
                _ => {}
            }
        }
    }

    /// Returns the grant, which is released over the node's own connection (or the next one) from now on.
    pub fn into_claim(mut self) -> Option<Cleanup> {
        self.leave();
        let mut claim = self.claim.take()?;
        match claim.quorum.nodes[self.node].link() {
            Some(link) => claim.note(self.node, Some(link.generation)),
            None => claim.note_elsewhere(self.node),
        }
        Some(claim)
    }

    /// Returns the lock itself, on the only node, or `None` if it is not valid. The grant may have taken a
    /// while to arrive, so the validity counts from when the extension is sent.
    ///
    /// # Errors
    /// Returns [`Error::CountersLost`] if the token is not above all those completed with before.
    pub async fn into_lock(self, token: u64) -> Result<Option<Lock>, Error> {
        let (Some(claim), Some(link)) = (&self.claim, &self.link) else { return Ok(None) };
        let (quorum, ttl, highest) = (Arc::clone(&claim.quorum), self.ttl, self.highest);
        if token <= highest {
            let failure = quorum.failure(&claim.terms, &[NodeAnswer::Granted(token)], Duration::ZERO);
            return Err(Error::CountersLost { token, highest, failure });
        }
        let started = quorum.now();
        let extended = ask(link, &claim.terms.extend(&claim.owner, ttl, None), claim.limit).await;
        let end = started.after(ttl.saturating_sub(quorum.options.allowance(ttl)));
        if !matches!(extended, Ok(Reply::Number(_))) || end <= quorum.now() {
            return Ok(None);
        }
        let granted = Granted { token, ttl, end, line: None, holding: vec![true], under_way: Vec::new() };
        let lock = self.into_claim().map(|claim| Lock::new(claim, granted));
        quorum.complete(token, false);
        Ok(lock)
    }

    /// Gives the connection back: nothing is in flight on it, and others may use it.
    fn leave(&mut self) {
        if let (Some(claim), Some(link)) = (&self.claim, self.link.take()) {
            claim.quorum.nodes[self.node].keep_spare(link);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let in_line = self.link.take().is_some();
        if let Some(claim) = self.claim.as_mut().filter(|_| in_line) {
            claim.note_elsewhere(self.node);
            for (node, pending) in claim.release_all() {
                claim.hand_over(node, pending);
            }
        }
    }
}

async fn ask(link: &Arc<Connection>, command: &Packed, at_most: Duration) -> Result<Reply, NodeError> {
    match tokio::time::timeout(at_most, link.send(command)).await {
        Ok(reply) => reply,
        Err(_) => Err(NodeError::NoAnswer(at_most)),
    }
}
