//! Extends a lock, and has nodes that do not hold it join again.
//!
//! A node that was down at the grant, or sat out its cooldown, has no hold. It joins again, and counts. But a
//! node that *had* the hold and no longer has it shows that nodes forget (a DEL, a restart without data and
//! without cooldown). The lock is lost if others may have held it in between: to acquire it again would reuse
//! an old token after a newer one.

use crate::clock::Moment;
use crate::command::Reply;
use crate::error::{Error, NodeAnswer, NodeError};
use crate::in_flight::{Completion, InFlight};
use crate::lock_state::{Held, LockState};
use std::sync::Arc;
use std::time::Duration;

/// An extension in progress.
struct Extension {
    lock: Arc<LockState>,
    ttl: Duration,
    limit: Duration,
    in_flight: InFlight<Step>,
    answers: Vec<NodeAnswer>,
    /// Which nodes held it, as far as was known.
    held: Vec<bool>,
    /// Which nodes have said that they do not hold it.
    gone: Vec<bool>,
    needed: usize,
    /// If only this many nodes have held it without a gap, others may have held it in between.
    overtaken_at: usize,
}

/// What is asked of a node.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Extend,
    /// Extends the line's lock on its node, beside that. The answer changes nothing.
    ExtendLine,
    /// The node has no hold, and must get one with at least this lock's token.
    Join,
    /// The node refused that token as too far ahead. A hold with another token does no harm, since this
    /// lock's own token was confirmed by others, and stays.
    JoinWithoutFence,
}

/// What the answers amount to.
enum Verdict {
    Open,
    Extended,
    /// Too many nodes failed.
    Failed,
    /// Others hold it, or may have held it in between.
    Overtaken,
}

pub(crate) async fn extend(lock: &Arc<LockState>, ttl: Duration) -> Result<Duration, Error> {
    lock.quorum.options.check_ttl(ttl)?;
    let ttl = Duration::from_millis(ttl.as_millis() as u64);
    let mut extension = Extension::begin(lock, ttl);
    let started = lock.quorum.now();
    let mut over = std::pin::pin!(lock.over.notified());
    over.as_mut().enable();
    extension.ask_all();
    let verdict = loop {
        match extension.verdict() {
            Verdict::Open if !lock.is_over() => {}
            verdict => break verdict,
        }
        let completion = tokio::select! {
            biased;
            () = &mut over => break Verdict::Open,
            completion = extension.in_flight.next() => completion,
        };
        match completion {
            Some(completion) => extension.complete(completion),
            None => break Verdict::Failed,
        }
    };
    let result = extension.conclude(verdict, started);
    if result.is_ok() {
        extension.go_on_in_background();
    }
    result
}

impl Extension {
    fn begin(lock: &Arc<LockState>, ttl: Duration) -> Extension {
        let nodes = lock.quorum.nodes.len();
        let claimed = lock.claimed();
        let kind = claimed.claim.terms.kind;
        Extension {
            lock: Arc::clone(lock),
            ttl,
            // Answers after the end of the validity would not count.
            limit: lock.quorum.options.node_timeout(ttl, nodes).min(lock.validity()),
            in_flight: InFlight::default(),
            answers: vec![NodeAnswer::NotAsked; nodes],
            held: claimed.holding.clone(),
            gone: vec![false; nodes],
            needed: kind.needed(nodes),
            overtaken_at: kind.overtaken_at(nodes),
        }
    }

    /// Handles answers that come after enough nodes have agreed. Such a node may have no hold, and must join
    /// again, or a node slightly slower than the others would stay without one forever.
    fn go_on_in_background(mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let (quorum, ttl) = (Arc::clone(&self.lock.quorum), self.ttl);
        quorum.in_background(ttl, async move {
            let lock = Arc::clone(&self.lock);
            let mut over = std::pin::pin!(lock.over.notified());
            over.as_mut().enable();
            while !lock.is_over() {
                tokio::select! {
                    biased;
                    () = &mut over => return,
                    completion = self.in_flight.next() => match completion {
                        Some(completion) => self.complete(completion),
                        None => return,
                    },
                }
                self.note_holding();
                if matches!(self.verdict(), Verdict::Overtaken) {
                    lock.end_now();
                }
            }
        });
    }

    fn ask_all(&mut self) {
        let mut claimed = self.lock.claimed();
        if claimed.released || self.limit.is_zero() {
            return;
        }
        let Held { claim, line, .. } = &mut *claimed;
        claim.ttl = claim.ttl.max(self.ttl);
        let command = claim.terms.extend(&claim.owner, self.ttl, None);
        for node in 0..self.answers.len() {
            let pending = claim.ask(node, &command);
            self.answers[node] = NodeAnswer::Open;
            self.in_flight.add(node, Step::Extend, pending, self.limit);
            if let Some(line) = line.as_mut().filter(|line| line.node == node) {
                self.in_flight.add(node, Step::ExtendLine, line.extend(self.ttl), self.limit);
            }
        }
    }

    fn complete(&mut self, completion: Completion<Step>) {
        let Completion { node, purpose: step, generation, reply, .. } = completion;
        let mut claimed = self.lock.claimed();
        if step == Step::ExtendLine {
            claimed.line.iter_mut().for_each(|line| line.note(node, generation));
            return;
        }
        claimed.claim.note(node, generation);
        drop(claimed);
        self.answers[node] = match (step, reply) {
            (Step::Extend, Ok(Reply::Number(_))) => NodeAnswer::Extended,
            (Step::Extend, Ok(Reply::Zero)) => {
                self.gone[node] = true;
                self.answers[node] = NodeAnswer::Gone;
                match self.verdict() {
                    Verdict::Overtaken => NodeAnswer::Gone,
                    _ => self.join(node, Step::Join),
                }
            }
            (Step::Join, Ok(Reply::TooFarAhead)) => self.join(node, Step::JoinWithoutFence),
            (Step::Join | Step::JoinWithoutFence, Ok(Reply::Number(token))) => NodeAnswer::Granted(token),
            (Step::Join | Step::JoinWithoutFence, Ok(Reply::Nil)) => NodeAnswer::Held,
            // Somebody has overwritten the hold with another type.
            (Step::Extend, Err(error)) if error.is_overwritten() => {
                self.gone[node] = true;
                error.into()
            }
            (_, Ok(reply)) => NodeError::Unexpected(format!("{reply:?}")).into(),
            (_, Err(error)) => error.into(),
        };
    }

    /// Asks for a hold on a node that has none. It uses only an existing connection, as the request must not
    /// arrive after a release.
    fn join(&mut self, node: usize, step: Step) -> NodeAnswer {
        let mut claimed = self.lock.claimed();
        if claimed.released {
            return NodeAnswer::Gone;
        }
        let claim = &mut claimed.claim;
        let fence = (step == Step::Join).then(|| self.lock.token());
        let command = claim.terms.acquire(&claim.owner, self.ttl, fence, None);
        match claim.ask_now(node, &command) {
            Ok(pending) => {
                self.in_flight.add(node, step, pending, self.limit);
                NodeAnswer::Open
            }
            Err(error) => error.into(),
        }
    }

    fn count(&self, wanted: impl Fn(&NodeAnswer) -> bool) -> usize {
        self.answers.iter().filter(|answer| wanted(answer)).count()
    }

    /// Returns on how many nodes the hold has been without a gap: certainly, and at most. A node that did not
    /// answer still has the hold if it had it.
    fn continuous(&self) -> (usize, usize) {
        let (mut certain, mut at_most) = (0, 0);
        for (node, answer) in self.answers.iter().enumerate().filter(|(node, _)| !self.gone[*node]) {
            let silent = matches!(answer, NodeAnswer::Open | NodeAnswer::NotAsked | NodeAnswer::Failed(_));
            let holds = *answer == NodeAnswer::Extended || (silent && self.held[node]);
            certain += usize::from(holds);
            at_most += usize::from(holds || *answer == NodeAnswer::Open);
        }
        (certain, at_most)
    }

    fn verdict(&self) -> Verdict {
        let yes = self.count(|answer| matches!(answer, NodeAnswer::Extended | NodeAnswer::Granted(_)));
        let open = self.count(|answer| *answer == NodeAnswer::Open);
        let held = self.count(|answer| *answer == NodeAnswer::Held);
        // If a node had the hold and no longer has it, others may be like it: then each is heard.
        let forgotten = self.gone.iter().zip(&self.held).any(|(gone, held)| *gone && *held);
        let (certain, at_most) = self.continuous();
        if at_most <= self.overtaken_at || held > self.answers.len() - self.needed {
            Verdict::Overtaken
        } else if yes >= self.needed && certain > self.overtaken_at && !(forgotten && open > 0) {
            Verdict::Extended
        } else if yes + open < self.needed {
            Verdict::Failed
        } else {
            Verdict::Open
        }
    }

    /// Returns the last answer of each node. A node that must join again and has not answered yet counts as
    /// having no hold.
    fn known(&self) -> Vec<NodeAnswer> {
        let known = |(answer, gone): (&NodeAnswer, &bool)| match answer {
            NodeAnswer::Open if *gone => NodeAnswer::Gone,
            answer => answer.clone(),
        };
        self.answers.iter().zip(&self.gone).map(known).collect()
    }

    /// Records which nodes hold it now.
    fn note_holding(&self) {
        let mut claimed = self.lock.claimed();
        for (node, holding) in claimed.holding.iter_mut().enumerate() {
            *holding = match self.answers[node] {
                NodeAnswer::Extended | NodeAnswer::Granted(_) => true,
                NodeAnswer::Open | NodeAnswer::NotAsked => *holding && !self.gone[node],
                // Its hold was not renewed: it may expire before the node answers again.
                _ => false,
            };
        }
    }

    fn conclude(&self, verdict: Verdict, started: Moment) -> Result<Duration, Error> {
        let now = self.lock.quorum.now();
        let failure = || self.lock.failure(&self.known());
        if self.lock.is_over() || self.lock.end() <= now || matches!(verdict, Verdict::Overtaken) {
            self.lock.end_now();
            return Err(Error::Lost(failure()));
        }
        if !matches!(verdict, Verdict::Extended) {
            return Err(Error::NoQuorum(failure()));
        }
        let allowance = self.lock.quorum.options.allowance(self.ttl);
        let end = started.after(self.ttl.saturating_sub(allowance));
        if end <= now {
            return Err(Error::Late(failure()));
        }
        self.note_holding();
        self.lock.extend_to(end, self.ttl);
        Ok(self.lock.validity())
    }
}
