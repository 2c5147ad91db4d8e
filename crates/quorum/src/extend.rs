//! Lets a lock go on, and has nodes join again that do not hold it.
//!
//! A node that was down at the grant has no hold, nor has one that sat out its cooldown: they join again,
//! and count. But a node that *had* the hold, and has it no more, tells that nodes forget (a DEL, a restart
//! without data and without cooldown). Where so many do that others may have held the lock in between, it
//! is lost: to take it again would give back an old token after a newer one was used.

use crate::clock::Moment;
use crate::command::Reply;
use crate::error::{Error, NodeAnswer, NodeError};
use crate::in_flight::{Completion, InFlight};
use crate::lock_state::{Held, LockState};
use std::sync::Arc;
use std::time::Duration;

/// An extension under way.
struct Extension {
    lock: Arc<LockState>,
    ttl: Duration,
    limit: Duration,
    in_flight: InFlight<Step>,
    answers: Vec<NodeAnswer>,
    /// Which nodes held it, as far as was known.
    held: Vec<bool>,
    /// Which nodes have said that they do not.
    gone: Vec<bool>,
    needed: usize,
    /// With so few nodes that have held it all the time, others may have held it in between.
    overtaken_at: usize,
}

/// What a node is asked.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Extend,
    /// The line's node, beside that: to let the line's lock go on. Its answer changes nothing.
    ExtendLine,
    /// It has no hold: it is to have one again, with this lock's token at least.
    Join,
    /// It refused that token as too far ahead. A hold of another token does no harm: this lock's own was
    /// confirmed by others, and stays.
    JoinWithoutFence,
}

/// What the answers come to.
enum Verdict {
    Open,
    Extended,
    /// Too many failed.
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
            // Yeses after the end of the validity would not count.
            limit: lock.quorum.options.node_timeout(ttl, nodes).min(lock.validity()),
            in_flight: InFlight::default(),
            answers: vec![NodeAnswer::NotAsked; nodes],
            held: claimed.holding.clone(),
            gone: vec![false; nodes],
            needed: kind.needed(nodes),
            overtaken_at: kind.overtaken_at(nodes),
        }
    }

    /// Enough nodes have said yes. One that answers after them may have no hold: it is to join again too, or
    /// a node that is a little slower than the others would stay without for ever.
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
            // Somebody has written something else over the hold.
            (Step::Extend, Err(error)) if error.is_overwritten() => {
                self.gone[node] = true;
                error.into()
            }
            (_, Ok(reply)) => NodeError::Unexpected(format!("{reply:?}")).into(),
            (_, Err(error)) => error.into(),
        };
    }

    /// Asks for a hold on a node that has none. Only over the connection that is there: it must not come
    /// behind a release.
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

    /// On how many nodes the hold has been all the time, for certain and at most. One that did not answer
    /// still has it, if it had it.
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
        // One that had the hold and has it no more is a sign that others may be like it: then each is heard.
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

    /// The last answer of each node; of one that was to join again and has not answered to that, that it
    /// had no hold.
    fn known(&self) -> Vec<NodeAnswer> {
        let known = |(answer, gone): (&NodeAnswer, &bool)| match answer {
            NodeAnswer::Open if *gone => NodeAnswer::Gone,
            answer => answer.clone(),
        };
        self.answers.iter().zip(&self.gone).map(known).collect()
    }

    /// What is known now of who holds it.
    fn note_holding(&self) {
        let mut claimed = self.lock.claimed();
        for (node, holding) in claimed.holding.iter_mut().enumerate() {
            *holding = match self.answers[node] {
                NodeAnswer::Extended | NodeAnswer::Granted(_) => true,
                NodeAnswer::Open | NodeAnswer::NotAsked => *holding && !self.gone[node],
                // Its hold was not renewed: it may be over before it answers again.
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
