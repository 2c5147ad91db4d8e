//! Lets a lock go on, and has nodes join again that do not hold it.

use crate::clock::Moment;
use crate::command::Reply;
use crate::error::{Error, NodeAnswer, NodeError};
use crate::flights::{Flights, Landing};
use crate::lock::LockState;
use std::sync::Arc;
use std::time::Duration;

/// An extension under way.
struct Extension {
    lock: Arc<LockState>,
    ttl: Duration,
    limit: Duration,
    flights: Flights<Step>,
    answers: Vec<NodeAnswer>,
    needed: usize,
}

/// What a node is asked.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Extend,
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
    Failed,
}

pub(crate) async fn extend(lock: &Arc<LockState>, ttl: Duration) -> Result<Duration, Error> {
    lock.quorum.options.check_ttl(ttl)?;
    let ttl = Duration::from_millis(ttl.as_millis() as u64);
    let mut extension = Extension::begin(lock, ttl);
    let started = Moment::now();
    let mut over = std::pin::pin!(lock.over.notified());
    over.as_mut().enable();
    extension.ask_all();
    let verdict = loop {
        match extension.verdict() {
            Verdict::Open if !lock.is_over() => {}
            verdict => break verdict,
        }
        let landing = tokio::select! {
            biased;
            () = &mut over => break Verdict::Open,
            landing = extension.flights.next() => landing,
        };
        match landing {
            Some(landing) => extension.land(landing),
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
        Extension {
            lock: Arc::clone(lock),
            ttl,
            // Yeses after the end of the validity would not count.
            limit: lock.quorum.options.node_timeout(ttl).min(lock.validity()),
            flights: Flights::default(),
            answers: vec![NodeAnswer::Open; nodes],
            needed: lock.claimed().claim.terms.kind.needed(nodes),
        }
    }

    /// Enough nodes have said yes. One that answers after them may have no hold: it is to join again too, or
    /// a node that is a little slower than the others would stay without for ever.
    fn go_on_in_background(mut self) {
        if self.flights.is_empty() {
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
                    landing = self.flights.next() => match landing {
                        Some(landing) => self.land(landing),
                        None => return,
                    },
                }
            }
        });
    }

    fn ask_all(&mut self) {
        let mut claimed = self.lock.claimed();
        if claimed.released || self.limit.is_zero() {
            return;
        }
        let claim = &mut claimed.claim;
        claim.ttl = claim.ttl.max(self.ttl);
        let command = claim.terms.extend(&claim.owner, self.ttl, None);
        for node in 0..self.answers.len() {
            let flight = claim.ask(node, &command);
            self.flights.add(node, Step::Extend, flight, self.limit);
        }
    }

    fn land(&mut self, landing: Landing<Step>) {
        let Landing { node, purpose: step, generation, reply, .. } = landing;
        self.lock.claimed().claim.note(node, generation);
        self.answers[node] = match (step, reply) {
            (Step::Extend, Ok(Reply::Number(_))) => NodeAnswer::Extended,
            (Step::Extend, Ok(Reply::Zero)) => self.join(node, Step::Join),
            (Step::Join, Ok(Reply::TooFarAhead)) => self.join(node, Step::JoinWithoutFence),
            (Step::Join | Step::JoinWithoutFence, Ok(Reply::Number(token))) => NodeAnswer::Granted(token),
            (Step::Join | Step::JoinWithoutFence, Ok(Reply::Nil)) => NodeAnswer::Held,
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
            Ok(flight) => {
                self.flights.add(node, step, flight, self.limit);
                NodeAnswer::Open
            }
            Err(error) => error.into(),
        }
    }

    fn count(&self, wanted: impl Fn(&NodeAnswer) -> bool) -> usize {
        self.answers.iter().filter(|answer| wanted(answer)).count()
    }

    fn verdict(&self) -> Verdict {
        let yes = self.count(|answer| matches!(answer, NodeAnswer::Extended | NodeAnswer::Granted(_)));
        let open = self.count(|answer| *answer == NodeAnswer::Open);
        if yes >= self.needed {
            Verdict::Extended
        } else if yes + open < self.needed {
            Verdict::Failed
        } else {
            Verdict::Open
        }
    }

    fn conclude(&self, verdict: Verdict, started: Moment) -> Result<Duration, Error> {
        let now = Moment::now();
        let failure = || self.lock.failure(&self.answers);
        if self.lock.is_over() || self.lock.end() <= now {
            self.lock.end_now();
            return Err(Error::Lost(failure()));
        }
        if !matches!(verdict, Verdict::Extended) {
            let held = self.count(|answer| *answer == NodeAnswer::Held);
            if held > self.answers.len() - self.needed {
                self.lock.end_now();
                return Err(Error::Lost(failure()));
            }
            return Err(Error::NoQuorum(failure()));
        }
        let allowance = self.lock.quorum.options.allowance(self.ttl);
        let end = started.after(self.ttl.saturating_sub(allowance));
        if end <= now {
            return Err(Error::Late(failure()));
        }
        self.lock.extend_to(end, self.ttl);
        Ok(self.lock.validity())
    }
}
