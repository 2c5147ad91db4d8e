//! One request for a lock, with its attempts, its wait and its turn: carries out the [`Order`]'s steps.

use crate::attempt::{Attempt, Refused, Wanted};
use crate::clock::Moment;
use crate::command::{LineTerms, Terms};
use crate::error::{Error, NodeAnswer, NodeError};
use crate::inner::Inner;
use crate::line_lock::LineLock;
use crate::lock::Lock;
use crate::order::{Order, Route, Step, View, Waited, rank};
use crate::waiting::Waiting;
use std::sync::Arc;
use std::time::Duration;

/// Lower bound of the time for which a node's answer is awaited by a request with a wait.
const MIN_PATIENCE: Duration = Duration::from_millis(50);
/// Shortest time that is worth waiting in line.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// A request that waited this many times longer than its next attempt took found the lock held.
const WAITED: u32 = 2;

/// A request and its progress.
pub(crate) struct Request {
    quorum: Arc<Inner>,
    wanted: Wanted,
    wait: Option<Duration>,
    begun: Moment,
    retries: u32,
    order: Order,
    /// The line's lock, while it is the request's turn.
    line: Option<LineLock>,
    /// How long the request waited for the line's lock, until the next attempt.
    waited: Duration,
    /// Until when it may be in line, if it was given no wait.
    in_line_until: Option<Moment>,
    /// The reason of the last failure.
    error: Option<Error>,
}

/// The lock, or the next step.
type Next = Result<Lock, Step>;

impl Request {
    pub fn new(quorum: &Arc<Inner>, terms: Terms, ttl: Duration, wait: Option<Duration>) -> Request {
        let names = || quorum.nodes.iter().map(|node| node.name.as_str());
        let now = quorum.now();
        let (ranked, line) = match (terms.resources.names(), quorum.nodes.len()) {
            ([_], 1) => (vec![0], None),
            ([name], _) if quorum.recent.is_allowed(name, now) => {
                (rank(name, names()), LineTerms::of(&terms))
            }
            _ => (Vec::new(), None),
        };
        Request {
            quorum: Arc::clone(quorum),
            wanted: Wanted { terms: Arc::new(terms), ttl, line },
            wait,
            begun: now,
            retries: 0,
            order: Order::new(ranked),
            line: None,
            waited: Duration::ZERO,
            in_line_until: None,
            error: None,
        }
    }

    /// # Errors
    /// Returns the errors of [`Quorum::acquire`](crate::Quorum::acquire).
    pub async fn run(mut self) -> Result<Lock, Error> {
        let mut step = self.decide(|order, view| order.begin(view));
        loop {
            let next = match step {
                Step::Attempt(route) => self.attempt(route).await?,
                Step::Join(node) => self.join(node).await?,
                Step::Retry => Err(self.retry().await?),
                Step::Turn { failures } => Err(self.turn(failures).await?),
            };
            match next {
                Ok(lock) => return Ok(lock),
                Err(next) => step = next,
            }
        }
    }

    fn decide(&mut self, ask: impl FnOnce(&mut Order, View) -> Step) -> Step {
        let view = View {
            reachable: &|node| self.quorum.nodes.len() == 1 || self.quorum.nodes[node].keeps_line(),
            may_wait: self.time_in_line() >= MIN_WAIT,
            found_held: self.wanted.line.is_some()
                && self.quorum.recent.is_held(self.name(), self.quorum.now()),
        };
        let step = ask(&mut self.order, view);
        if let Step::Join(_) | Step::Retry = step {
            // It is no longer its turn.
            self.line = None;
        }
        step
    }

    /// Returns the first resource, which is the only one if there is a line.
    fn name(&self) -> &str {
        self.wanted.terms.resources.names().first().map_or("", String::as_str)
    }

    /// Returns the time that is left for further attempts.
    fn left(&self) -> Duration {
        let elapsed = || self.quorum.now().since(self.begun);
        self.wait.map_or(Duration::MAX, |wait| wait.saturating_sub(elapsed()))
    }

    /// Returns the time left for waiting in line. Without a wait, it is the time that retries would take.
    fn time_in_line(&self) -> Duration {
        let options = &self.quorum.options;
        let retries = || options.retry_count.saturating_sub(self.retries);
        match (self.wait, self.in_line_until) {
            (Some(_), _) => self.left(),
            (None, Some(until)) => until.since(self.quorum.now()),
            (None, None) => options.retry_delay.saturating_mul(retries()),
        }
    }

    async fn attempt(&mut self, route: Route) -> Result<Next, Error> {
        // A request that asks once, without waiting, awaits the answer as long as a node may take.
        let patience = match self.wait {
            None | Some(Duration::ZERO) => Duration::MAX,
            Some(_) => self.left().max(MIN_PATIENCE),
        };
        let begun = self.quorum.now();
        let made = Attempt::run(&self.quorum, &self.wanted, patience, route, &mut self.line).await;
        let took = self.quorum.now().since(begun);
        let others_had_it = std::mem::take(&mut self.waited) > took * WAITED;
        let Refused { error, held_at, line_allowed } = match made {
            Ok(lock) => {
                self.note_held(others_had_it);
                return Ok(Ok(lock));
            }
            Err(refused) => refused,
        };
        self.note_held(others_had_it || !held_at.is_empty());
        if !line_allowed {
            self.quorum.recent.found_not_allowed(self.name(), self.quorum.now());
        }
        let may_change = matches!(error, Error::Held(_) | Error::NoQuorum(_) | Error::Late(_));
        if error.is_final() || !may_change {
            return Err(error);
        }
        self.error = Some(error);
        Ok(Err(self.decide(|order, view| order.attempted(held_at, line_allowed, view))))
    }

    /// Notes whether others held the resource a moment ago.
    fn note_held(&self, held: bool) {
        if held && self.wanted.line.is_some() {
            self.quorum.recent.found_held(self.name(), self.quorum.now());
        }
    }

    /// Waits in the line of this node.
    async fn join(&mut self, node: usize) -> Result<Next, Error> {
        let (time, begun) = (self.time_in_line(), self.quorum.now());
        if time < MIN_WAIT {
            return Err(self.refusal(node, NodeAnswer::Held));
        }
        self.in_line_until.get_or_insert(begun.after(time));
        let terms = self.wanted.line.as_ref().map_or(&self.wanted.terms, |line| &line.line);
        let waited = match Waiting::run(&self.quorum, terms, self.wanted.ttl, time, node).await {
            Ok(None) => {
                self.note_held(true);
                return Err(self.refusal(node, NodeAnswer::Held));
            }
            Ok(Some((waiting, token))) if self.wanted.line.is_none() => match waiting.into_lock(token).await?
            {
                Some(lock) => return Ok(Ok(lock)),
                None => Waited::Lost,
            },
            Ok(Some((waiting, token))) => {
                self.waited = self.quorum.now().since(begun);
                self.line = waiting.into_claim().map(|claim| LineLock::granted(claim, node, token));
                Waited::Granted
            }
            Err(answer) => self.left_line(node, answer),
        };
        Ok(Err(self.decide(|order, view| order.waited(node, waited, view))))
    }

    /// Takes the reason for which the wait in the line of this node failed.
    fn left_line(&mut self, node: usize, answer: NodeAnswer) -> Waited {
        let waited = match &answer {
            NodeAnswer::Failed(error) => self.line_failed(node, error),
            _ => Waited::SentAway,
        };
        self.error = Some(self.refusal(node, answer));
        waited
    }

    fn line_failed(&self, node: usize, error: &NodeError) -> Waited {
        // This was the lock itself, on the only node.
        if self.wanted.line.is_none() {
            return Waited::Lost;
        }
        if error.is_of_key() {
            self.quorum.recent.found_not_allowed(self.name(), self.quorum.now());
            return Waited::NotAllowed;
        }
        if error.is_full() {
            return Waited::SentAway;
        }
        // A node that takes no more connections, or was lost, is not worth an immediate return.
        if let NodeError::Refused(_) | NodeError::Unreachable(_) = error {
            self.quorum.nodes[node].refuses_line();
        }
        Waited::Lost
    }

    /// Returns why there is no lock: the last attempt's error, or else this node's answer.
    fn refusal(&mut self, node: usize, answer: NodeAnswer) -> Error {
        if let Some(error) = self.error.take() {
            return error;
        }
        let is_held = answer == NodeAnswer::Held;
        let mut answers = vec![NodeAnswer::Spared; self.quorum.nodes.len()];
        answers[node] = answer;
        let failure = self.quorum.failure(&self.wanted.terms, &answers, Duration::ZERO);
        if is_held { Error::Held(failure) } else { Error::NoQuorum(failure) }
    }

    /// Pauses as between any two attempts.
    async fn retry(&mut self) -> Result<Step, Error> {
        let options = &self.quorum.options;
        let out_of_time = match self.wait {
            Some(_) => self.left().is_zero(),
            None => self.retries >= options.retry_count,
        };
        if out_of_time {
            return Err(self.refusal(0, NodeAnswer::Open));
        }
        // The rest of the wait is spent, followed by one last attempt.
        let pause = options.pause(self.quorum.environment.random_fraction()).min(self.left());
        tokio::time::sleep(pause).await;
        self.retries += 1;
        Ok(self.decide(|order, view| order.begin(view)))
    }

    /// Pauses in its turn after this number of failed attempts: the votes are about to be free.
    async fn turn(&mut self, failures: u32) -> Result<Step, Error> {
        let time = self.time_in_line();
        if time.is_zero() {
            return Err(self.refusal(0, NodeAnswer::Open));
        }
        let pause = self.quorum.options.turn_pause(failures, self.quorum.environment.random_fraction());
        tokio::time::sleep(pause.min(self.wanted.ttl / 3).min(time)).await;
        let has_line = match &mut self.line {
            Some(line) => line.keep().await,
            None => false,
        };
        Ok(self.decide(|order, view| order.paused(has_line, view)))
    }
}
