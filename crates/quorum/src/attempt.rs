//! One attempt to acquire: asks all nodes, and cleans up behind itself where it does not succeed.

use crate::agreement::{Agreement, Answer, KeyStatus, Message, Outcome, Request};
use crate::cleanup::Cleanup;
use crate::clock::Moment;
use crate::command::{Reply, Terms, fresh_owner};
use crate::error::{Error, NodeAnswer, NodeError};
use crate::in_flight::{Completion, InFlight};
use crate::inner::Inner;
use crate::lock::Lock;
use crate::lock_state::Granted;
use std::sync::Arc;
use std::time::Duration;

/// An attempt under way. Dropped before it has come to an end, it cleans up all the same.
pub(crate) struct Attempt {
    /// Taken when it succeeds: then there is nothing to clean up.
    claim: Option<Cleanup>,
    agreement: Agreement,
    in_flight: InFlight<Purpose>,
    answers: Vec<NodeAnswer>,
    started: Moment,
    /// The highest token that was completed with before it began.
    floor: u64,
    ttl: Duration,
    validity: Duration,
    one_round: bool,
    released: bool,
}

#[derive(Clone, Copy)]
enum Purpose {
    Ask(Request),
    Release,
}

impl Attempt {
    /// Asks the nodes for a lock, under a new owner, and gives back what that comes to. No node is waited for
    /// longer than `patience`.
    ///
    /// # Errors
    /// All but [`Error::Lost`].
    pub async fn run(
        quorum: &Arc<Inner>,
        terms: &Arc<Terms>,
        ttl: Duration,
        patience: Duration,
    ) -> Result<Lock, Error> {
        quorum.check_nodes()?;
        let mut attempt = Attempt::start(quorum, terms, ttl, patience)?;
        let mut late = false;
        while attempt.agreement.outcome() == Outcome::Open && !late {
            match attempt.in_flight.next().await {
                Some(completion) => {
                    // What is left to agree on would be no lock any more.
                    late = completion.reply.is_ok() && attempt.end() <= quorum.now();
                    attempt.complete(completion);
                }
                None => break,
            }
        }
        let highest = attempt.floor;
        let mut too_low = None;
        match attempt.agreement.outcome() {
            Outcome::Agreed(token) if token <= highest => too_low = Some(token),
            Outcome::Agreed(token) => match attempt.take_lock(token) {
                Some(lock) => return Ok(lock),
                None => late = true,
            },
            _ => {}
        }
        attempt.roll_back().await;
        // Found out only by connecting.
        quorum.check_nodes()?;
        let failure = quorum.failure(terms, &attempt.answers(), Duration::ZERO);
        if let Some(token) = too_low {
            return Err(Error::CountersLost { token, highest, failure });
        }
        Err(match attempt.agreement.is_held() {
            true => Error::Held(failure),
            false if late => Error::Late(failure),
            false => Error::NoQuorum(failure),
        })
    }

    fn start(
        quorum: &Arc<Inner>,
        terms: &Arc<Terms>,
        ttl: Duration,
        patience: Duration,
    ) -> Result<Attempt, Error> {
        let owner = fresh_owner(&*quorum.environment)
            .map_err(|error| Error::Config(format!("no random number for an owner: {error}")))?;
        let started = quorum.now();
        let proposal = quorum.proposal();
        let nodes = quorum.nodes.len();
        let (agreement, messages) = Agreement::begin(nodes, terms.kind, proposal);
        let command = terms.acquire(&owner, ttl, Some(proposal), None);
        let mut claim = Cleanup::new(quorum, terms, owner, ttl);
        claim.limit = claim.limit.min(patience);
        let mut attempt = Attempt {
            claim: Some(claim),
            agreement,
            in_flight: InFlight::default(),
            answers: vec![NodeAnswer::Open; nodes],
            started,
            floor: quorum.completed(),
            ttl,
            validity: ttl.saturating_sub(quorum.options.allowance(ttl)),
            one_round: true,
            released: false,
        };
        if let Some(claim) = &mut attempt.claim {
            for Message { node, request } in messages {
                let pending = claim.ask(node, &command);
                attempt.in_flight.add(node, Purpose::Ask(request), pending, claim.limit);
            }
        }
        Ok(attempt)
    }

    fn complete(&mut self, completion: Completion<Purpose>) {
        let Completion { node, purpose, generation, reply, late } = completion;
        let Some(claim) = &mut self.claim else {
            return;
        };
        claim.note(node, generation);
        let Purpose::Ask(request) = purpose else {
            claim.release_completed(node, &reply, late);
            return;
        };
        let answer = answer_to(request, &reply);
        self.answers[node] = report(answer, reply);
        for Message { node, request } in self.agreement.answer(node, answer) {
            self.one_round = false;
            let command = match request {
                Request::Acquire { fence } => claim.terms.acquire(&claim.owner, self.ttl, fence, None),
                Request::Extend { fence } => claim.terms.extend(&claim.owner, self.ttl, Some(fence)),
            };
            let pending = claim.ask(node, &command);
            self.in_flight.add(node, Purpose::Ask(request), pending, claim.limit);
        }
    }

    /// When the validity ends.
    fn end(&self) -> Moment {
        self.started.after(self.validity)
    }

    /// The lock, if there is validity left.
    fn take_lock(&mut self, token: u64) -> Option<Lock> {
        let end = self.end();
        let mut claim = self.claim.take_if(|claim| claim.quorum.now() < end)?;
        claim.quorum.complete(token, self.one_round);
        // Some may have been sent only when their connection was there. They are not dropped before the lock
        // is: what is not written yet would not be sent.
        self.in_flight.drop_unsent(|node, generation| claim.note(node, generation));
        let under_way = self.in_flight.drain().map(|(_, _, pending)| pending).collect();
        let holding = self.agreement.nodes().iter().map(|node| node.token().is_some()).collect();
        Some(Lock::new(claim, Granted { token, ttl: self.ttl, end, holding, under_way }))
    }

    /// Releases on all nodes, and waits for their answers for as long as each may take. Earlier answers are
    /// still taken: they tell what the attempt failed by.
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
        let (answers, agreement) = (&mut self.answers, &mut self.agreement);
        self.in_flight.drop_unsent(|node, generation| {
            claim.note(node, generation);
            if generation.is_none() {
                // It would come behind the release.
                answers[node] = NodeError::Unreachable("no connection so far".into()).into();
                agreement.answer(node, Answer::Failed);
            }
        });
        for (node, pending) in claim.release_all() {
            self.in_flight.add(node, Purpose::Release, pending, claim.limit);
        }
    }

    /// The last answer of each node, with what the agreement knows beyond it.
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

impl Drop for Attempt {
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

/// What a reply means to the agreement.
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

/// The same for people.
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
