//! One attempt to acquire: asks all nodes, and cleans up if it fails.

use crate::agreement::{Agreement, Answer, KeyStatus, Message, Outcome, Request};
use crate::cleanup::Cleanup;
use crate::clock::Moment;
use crate::command::{LineTerms, Packed, Reply, Terms, fresh_owner};
use crate::error::{Error, NodeAnswer, NodeError};
use crate::in_flight::{Completion, InFlight};
use crate::inner::Inner;
use crate::line_lock::LineLock;
use crate::lock::Lock;
use crate::lock_state::Granted;
use crate::order::Route;
use std::sync::Arc;
use std::time::Duration;

/// What a request asks for.
pub(crate) struct Wanted {
    pub terms: Arc<Terms>,
    pub ttl: Duration,
    /// The line's lock, if the resource can have one.
    pub line: Option<LineTerms>,
}

/// Why an attempt failed.
pub(crate) struct Refused {
    pub error: Error,
    /// The nodes on which others hold the lock, if that is the reason.
    pub held_at: Vec<usize>,
    /// Whether this user may use the line's lock, as far as is known.
    pub line_allowed: bool,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused { error, held_at: Vec::new(), line_allowed: true }
    }
}

/// An attempt in progress. If it is dropped before its end, it still cleans up.
pub(crate) struct Attempt<'w> {
    wanted: &'w Wanted,
    route: Route,
    /// Taken on success: then there is nothing to clean up.
    claim: Option<Cleanup>,
    /// The line's lock, if it is asked for together with the resource.
    line: Option<LineLock>,
    agreement: Agreement,
    /// The ACQUIRE with the proposal, packed once for all nodes.
    proposal: Packed,
    /// Messages that are sent once the first node has answered.
    put_off: Vec<Message>,
    in_flight: InFlight<Purpose>,
    answers: Vec<NodeAnswer>,
    started: Moment,
    /// The highest token that was completed with before the attempt began.
    floor: u64,
    validity: Duration,
    one_round: bool,
    line_allowed: bool,
    released: bool,
}

#[derive(Clone, Copy)]
enum Purpose {
    Ask(Request),
    Release,
}

impl<'w> Attempt<'w> {
    /// Asks the nodes for a lock under a new owner. No node is awaited for longer than `patience`. `has_line`
    /// is the line's lock if it is this request's turn.
    ///
    /// # Errors
    /// Returns any error but [`Error::Lost`].
    pub async fn run(
        quorum: &Arc<Inner>,
        wanted: &'w Wanted,
        patience: Duration,
        route: Route,
        has_line: &mut Option<LineLock>,
    ) -> Result<Lock, Refused> {
        quorum.check_nodes()?;
        let mut attempt = Attempt::start(quorum, wanted, patience, route, has_line.as_ref())?;
        let mut late = false;
        while attempt.is_open() && !late {
            match attempt.in_flight.next().await {
                Some(completion) => {
                    // A lock that is agreed on after this would have no validity.
                    late = completion.reply.is_ok() && attempt.end() <= quorum.now();
                    attempt.complete(completion);
                }
                None => break,
            }
        }
        let highest = attempt.floor;
        let mut too_low = None;
        match attempt.agreement.outcome() {
            _ if attempt.is_refused() => {}
            Outcome::Agreed(token) if token <= highest => too_low = Some(token),
            Outcome::Agreed(token) => match attempt.take_lock(token, has_line) {
                Some(lock) => return Ok(lock),
                None => late = true,
            },
            _ => {}
        }
        attempt.roll_back().await;
        // Connecting may have found a server that is listed twice.
        quorum.check_nodes()?;
        let failure = quorum.failure(&wanted.terms, &attempt.answers(), Duration::ZERO);
        if let Some(token) = too_low {
            return Err(Error::CountersLost { token, highest, failure }.into());
        }
        let line_allowed = attempt.line_allowed;
        Err(match attempt.is_refused() || attempt.agreement.is_held() {
            true => Refused { error: Error::Held(failure), held_at: attempt.held_at(), line_allowed },
            false if late => Refused { line_allowed, ..Error::Late(failure).into() },
            false => Refused { line_allowed, ..Error::NoQuorum(failure).into() },
        })
    }

    fn start(
        quorum: &Arc<Inner>,
        wanted: &'w Wanted,
        patience: Duration,
        route: Route,
        has_line: Option<&LineLock>,
    ) -> Result<Attempt<'w>, Error> {
        let owner = fresh_owner(&*quorum.environment).map_err(no_randomness)?;
        let Wanted { terms, ttl, line } = wanted;
        let started = quorum.now();
        let proposal = quorum.proposal(has_line.map_or(0, |line| line.token));
        let nodes = quorum.nodes.len();
        let (agreement, mut messages) = Agreement::begin(nodes, terms.kind, proposal);
        let asked_before = |message: &Message| !route.is_decisive(message.node);
        messages.sort_by_key(asked_before);
        let put_off = if route.first.is_some() { messages.split_off(1) } else { Vec::new() };
        let command = terms.acquire(&owner, *ttl, Some(proposal), None);
        let line = route.line.zip(line.as_ref());
        let line = line.map(|(node, terms)| LineLock::new(quorum, &terms.line, &owner, *ttl, node));
        let mut claim = Cleanup::new(quorum, terms, owner, *ttl);
        claim.limit = claim.limit.min(patience);
        let mut attempt = Attempt {
            wanted,
            route,
            claim: Some(claim),
            line,
            agreement,
            proposal: command,
            put_off,
            in_flight: InFlight::default(),
            answers: vec![NodeAnswer::Open; nodes],
            started,
            floor: quorum.completed(),
            validity: ttl.saturating_sub(quorum.options.allowance(*ttl)),
            one_round: true,
            line_allowed: true,
            released: false,
        };
        attempt.put_off.iter().for_each(|message| attempt.answers[message.node] = NodeAnswer::Spared);
        attempt.send(messages);
        Ok(attempt)
    }

    /// Returns whether answers that the agreement needs, or that of the line's node, are still awaited.
    fn is_open(&self) -> bool {
        let awaits = |node: usize| matches!(self.agreement.nodes()[node], KeyStatus::Asked { .. });
        match self.agreement.outcome() {
            _ if self.is_refused() => false,
            Outcome::Open => true,
            Outcome::Agreed(_) => self.route.line.is_some_and(awaits),
            Outcome::Failed => false,
        }
    }

    /// Returns whether a node whose refusal is decisive has refused.
    fn is_refused(&self) -> bool {
        let nodes = self.agreement.nodes();
        let says_no = |node: usize| nodes[node] == KeyStatus::Held && self.route.is_decisive(node);
        (0..nodes.len()).any(says_no)
    }

    fn held_at(&self) -> Vec<usize> {
        let nodes = self.agreement.nodes().iter().enumerate();
        nodes.filter(|(_, status)| **status == KeyStatus::Held).map(|(node, _)| node).collect()
    }

    fn complete(&mut self, completion: Completion<Purpose>) {
        let Completion { node, purpose, generation, reply, late } = completion;
        let Some(claim) = &mut self.claim else {
            return;
        };
        claim.note(node, generation);
        self.line.iter_mut().for_each(|line| line.note(node, generation));
        let Purpose::Ask(request) = purpose else {
            claim.release_completed(node, &reply, late);
            return;
        };
        let is_line = self.route.line == Some(node) && !self.released;
        if is_line && reply.as_ref().is_err_and(|error| self.gives_up_line(node, error)) {
            self.send(vec![Message { node, request }]);
            return;
        }
        let answer = answer_to(request, &reply);
        self.answers[node] = report(answer, reply);
        let mut messages = self.agreement.answer(node, answer);
        if !self.is_refused() {
            messages.append(&mut self.put_off);
        }
        // A message sent now would arrive after the release, and its hold would stay.
        if !self.released {
            self.one_round &= messages.is_empty();
            self.send(messages);
        }
    }

    /// Takes an error of the line's node. Returns whether to ask that node for the resource alone.
    fn gives_up_line(&mut self, node: usize, error: &NodeError) -> bool {
        if error.is_of_key() {
            (self.route.line, self.line, self.line_allowed) = (None, None, false);
            return true;
        }
        if let (NodeError::Refused(_), Some(claim)) = (error, &self.claim) {
            claim.quorum.nodes[node].refuses_line();
        }
        false
    }

    fn send(&mut self, messages: Vec<Message>) {
        let Some(claim) = &mut self.claim else { return };
        let Wanted { terms, ttl, line } = self.wanted;
        for Message { node, request } in messages {
            let command = match (request, line) {
                (Request::Extend { fence }, _) => terms.extend(&claim.owner, *ttl, Some(fence)),
                (Request::Acquire { fence }, Some(line)) if self.route.line == Some(node) => {
                    line.both.acquire(&claim.owner, *ttl, fence, None)
                }
                (Request::Acquire { fence: Some(_) }, _) => Arc::clone(&self.proposal),
                (Request::Acquire { fence: None }, _) => terms.acquire(&claim.owner, *ttl, None, None),
            };
            let pending = claim.ask(node, &command);
            self.line.iter_mut().for_each(|line| line.note(node, pending.generation()));
            self.answers[node] = NodeAnswer::Open;
            self.in_flight.add(node, Purpose::Ask(request), pending, claim.limit);
        }
    }

    /// Returns when the validity ends.
    fn end(&self) -> Moment {
        self.started.after(self.validity)
    }

    /// Returns the lock if there is validity left.
    fn take_lock(&mut self, token: u64, has_line: &mut Option<LineLock>) -> Option<Lock> {
        let end = self.end();
        let mut claim = self.claim.take_if(|claim| claim.quorum.now() < end)?;
        claim.quorum.complete(token, self.one_round);
        // Some requests may have been sent only once their connection was made. They are not dropped before
        // the lock is, since what is still unwritten would not be sent.
        let line = &mut self.line;
        self.in_flight.drop_unsent(|node, generation| {
            claim.note(node, generation);
            line.iter_mut().for_each(|line| line.note(node, generation));
        });
        let line = has_line.take().or_else(|| line.take());
        let under_way = self.in_flight.drain().map(|(_, _, pending)| pending).collect();
        let holding = self.agreement.nodes().iter().map(|node| node.token().is_some()).collect();
        let ttl = self.wanted.ttl;
        Some(Lock::new(claim, Granted { token, ttl, end, line, holding, under_way }))
    }

    /// Releases on all nodes, and awaits their answers within the time limit of each. Earlier answers are
    /// still taken, since they tell why the attempt failed.
    async fn roll_back(&mut self) {
        self.release();
        while let Some(completion) = self.in_flight.next().await {
            self.complete(completion);
        }
    }

    fn release(&mut self) {
        let Some(claim) = &mut self.claim else {
            return;
        };
        self.released = true;
        let (answers, agreement, line) = (&mut self.answers, &mut self.agreement, &mut self.line);
        self.in_flight.drop_unsent(|node, generation| {
            claim.note(node, generation);
            line.iter_mut().for_each(|line| line.note(node, generation));
            if generation.is_none() {
                // The request would arrive after the release.
                answers[node] = NodeError::Unreachable("no connection so far".into()).into();
                agreement.answer(node, Answer::Failed);
            }
        });
        for (node, status) in self.agreement.nodes().iter().enumerate() {
            if *status == KeyStatus::Held {
                claim.forget(node);
                self.line.iter_mut().filter(|line| line.node == node).for_each(LineLock::forget);
            }
        }
        for (node, pending) in claim.release_all() {
            self.in_flight.add(node, Purpose::Release, pending, claim.limit);
        }
        self.line = None;
    }

    /// Returns the last answer of each node, with what the agreement knows beyond it.
    fn answers(&self) -> Vec<NodeAnswer> {
        let statuses = self.agreement.nodes().iter();
        let known = statuses.zip(&self.answers).map(|(standing, answer)| match *standing {
            KeyStatus::Holds { token, refused: Some(refused), .. } => NodeAnswer::TooFarAhead {
                token: refused,
                apart: Duration::from_micros(refused.saturating_sub(token)),
            },
            _ => answer.clone(),
        });
        known.collect()
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.released {
            self.release();
        }
        if let Some(claim) = &self.claim {
            for (node, purpose, pending) in self.in_flight.drain() {
                if let Purpose::Release = purpose {
                    claim.hand_over(node, pending);
                }
            }
        }
    }
}

/// The error if no owner can be generated.
pub(crate) fn no_randomness(error: rand::rand_core::OsError) -> Error {
    Error::Config(format!("no random number for an owner: {error}"))
}

/// Returns what a reply means to the agreement.
fn answer_to(request: Request, reply: &Result<Reply, NodeError>) -> Answer {
    match (request, reply) {
        (Request::Acquire { .. }, Ok(Reply::Number(token))) => Answer::Granted(*token),
        (Request::Acquire { .. }, Ok(Reply::Nil)) => Answer::Held,
        (Request::Acquire { fence: Some(_) }, Ok(Reply::TooFarAhead)) => Answer::AcquireTooFarAhead,
        (Request::Extend { .. }, Ok(Reply::Number(token))) => Answer::Extended(*token),
        (Request::Extend { .. }, Ok(Reply::Zero)) => Answer::Gone,
        (Request::Extend { fence }, Ok(Reply::TooFarAhead)) => Answer::ExtendTooFarAhead(fence),
        (_, Ok(_) | Err(_)) => Answer::Failed,
    }
}

/// Returns what a reply means to people.
fn report(answer: Answer, reply: Result<Reply, NodeError>) -> NodeAnswer {
    match answer {
        Answer::Granted(token) | Answer::Extended(token) => NodeAnswer::Granted(token),
        Answer::Held => NodeAnswer::Held,
        Answer::Gone => NodeAnswer::Gone,
        Answer::AcquireTooFarAhead => NodeAnswer::Open,
        Answer::ExtendTooFarAhead(token) => NodeAnswer::TooFarAhead { token, apart: Duration::ZERO },
        Answer::Failed => NodeAnswer::Failed(match reply {
            Err(error) => error,
            Ok(Reply::TooFarAhead) => NodeError::Refused("ERR token is too far ahead".into()),
            Ok(reply) => NodeError::Unexpected(format!("{reply:?}")),
        }),
    }
}
