//! On a single node a request waits in line on the server, on a connection of its own, in place of asking again and again.

use crate::cleanup::Cleanup;
use crate::command::{Packed, Reply, Terms, fresh_owner};
use crate::connection::Connection;
use crate::error::{Error, NodeAnswer, NodeError};
use crate::inner::Inner;
use crate::lock::Lock;
use crate::lock_state::Granted;
use std::sync::Arc;
use std::time::Duration;

/// The only node.
const NODE: usize = 0;
/// A server that does not wait answers earlier than so much before the time is up.
const EARLY: Duration = Duration::from_millis(20);

/// What waiting came to.
pub(crate) enum Waited {
    Granted(Lock),
    /// Others held it all the time.
    TimedOut,
    /// Asking again is no use.
    Refused(Error),
    /// It did not wait, or failed.
    Failed,
}

/// Whether a request can wait on the server: several resources can't, nor can several nodes.
pub(crate) fn is_possible(quorum: &Inner, terms: &Terms, time: Duration) -> bool {
    quorum.nodes.len() == 1 && terms.resources.names().len() == 1 && time >= Duration::from_millis(1)
}

pub(crate) async fn wait_in_line(
    quorum: &Arc<Inner>,
    terms: &Arc<Terms>,
    ttl: Duration,
    time: Duration,
) -> Waited {
    let (begun, highest) = (quorum.now(), quorum.completed());
    let link = tokio::time::timeout(time, quorum.nodes[NODE].link_to_wait_on()).await;
    let (Ok(Ok(link)), Ok(owner)) = (link, fresh_owner(&*quorum.environment)) else {
        return Waited::Failed;
    };
    let time = time.saturating_sub(quorum.now().since(begun));
    let claim = Some(Cleanup::new(quorum, terms, owner, ttl));
    let mut line = Line { claim, link: Some(link), ttl };
    let begun = quorum.now();
    match line.wait(time).await {
        // Dropped: cleaned up.
        Ok(Some(token)) if token <= highest => {
            let failure = quorum.failure(terms, &[NodeAnswer::Granted(token)], Duration::ZERO);
            Waited::Refused(Error::CountersLost { token, highest, failure })
        }
        Ok(Some(token)) => line.confirm(token).await,
        Ok(None) => {
            line.leave();
            match quorum.now().since(begun) + EARLY >= time {
                true => Waited::TimedOut,
                false => Waited::Failed,
            }
        }
        // Dropped: cleaned up.
        Err(_) => Waited::Failed,
    }
}

/// A request in line. Dropped, its connection is closed, which takes it out of line, and what may have
/// been granted meanwhile is released.
struct Line {
    claim: Option<Cleanup>,
    link: Option<Arc<Connection>>,
    ttl: Duration,
}

impl Line {
    /// The token, or `None` where the time ran out.
    async fn wait(&self, time: Duration) -> Result<Option<u64>, NodeError> {
        let (Some(claim), Some(link)) = (&self.claim, &self.link) else {
            return Ok(None);
        };
        let fence = Some(claim.quorum.proposal());
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

    /// The grant may have been on its way for a while: what counts is when this is sent.
    async fn confirm(mut self, token: u64) -> Waited {
        let (Some(claim), Some(link)) = (&self.claim, &self.link) else {
            return Waited::Failed;
        };
        let started = claim.quorum.now();
        let extend = claim.terms.extend(&claim.owner, self.ttl, None);
        let extended = ask(link, &extend, claim.limit).await;
        let allowance = claim.quorum.options.allowance(self.ttl);
        let end = started.after(self.ttl.saturating_sub(allowance));
        if !matches!(extended, Ok(Reply::Number(_))) || end <= claim.quorum.now() {
            return Waited::Failed;
        }
        self.leave();
        match self.claim.take() {
            Some(mut claim) => {
                // From here on it is released over the node's own connection, be it the next one.
                match claim.quorum.nodes[NODE].link() {
                    Some(link) => claim.note(NODE, Some(link.generation)),
                    None => claim.note_elsewhere(NODE),
                }
                claim.quorum.complete(token, false);
                let (holding, under_way) = (vec![true], Vec::new());
                Waited::Granted(Lock::new(claim, Granted { token, ttl: self.ttl, end, holding, under_way }))
            }
            None => Waited::Failed,
        }
    }

    /// The connection has nothing under way any more: others may have it.
    fn leave(&mut self) {
        if let (Some(claim), Some(link)) = (&self.claim, self.link.take()) {
            claim.quorum.nodes[NODE].keep_spare(link);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let in_line = self.link.take().is_some();
        if let Some(claim) = self.claim.as_mut().filter(|_| in_line) {
            claim.note_elsewhere(NODE);
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
