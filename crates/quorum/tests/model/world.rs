//! Nodes, attempts and what is between them; all that can happen next; and what must hold.
//!
//! What an attempt does after it has failed needs no step of its own. That it releases is a hold that has ended,
//! and that the next attempt waits first is a begin that comes later. Time does not exist here: an attempt
//! that took too long completes all the same, and must not do harm.

use crate::naive::{Naive, Rule};
use crate::network::Line;
use crate::node::{Circumstances, Node};
use redis_lock_core::Limit;
use redis_lock_quorum::Kind;
use redis_lock_quorum::agreement::{Agreement, Answer, Message, Outcome, Request};
use stateright::{Model, Property};

/// How often each of these may happen in one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A request arrives once more.
    pub repeats: u8,
    /// A counter goes on by itself.
    pub others: u8,
    /// A clock is too far behind for FENCE.
    pub behind: u8,
    /// A node is given up, and may answer all the same.
    pub timeouts: u8,
    /// A node comes back without its data.
    pub restarts: u8,
    /// A node is joined again after the attempt completed.
    pub rejoins: u8,
}

/// So many nodes, and attempts of these kinds to take one lock on them.
pub struct World<const N: usize, const A: usize> {
    pub kinds: [Kind; A],
    /// The counters begin with all numbers from 0 to this one.
    pub spread: u8,
    pub faults: Faults,
    pub rule: Rule,
}

/// The client's side of an attempt under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client<const N: usize> {
    Agreement(Agreement),
    Naive(Naive<N>),
}

/// How far an attempt has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage<const N: usize> {
    ToCome,
    Open(Client<N>),
    /// `raised`: the last answer was one to a second request.
    Agreed {
        token: u8,
        raised: bool,
    },
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt<const N: usize> {
    pub stage: Stage<N>,
    /// The highest token that was agreed on before it began.
    pub floor: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State<const N: usize, const A: usize> {
    pub nodes: [Node<A>; N],
    pub lines: [[Line; A]; N],
    pub attempts: [Attempt<N>; A],
    /// What may still happen.
    pub left: Faults,
    pub kinds: [Kind; A],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Begin {
        attempt: usize,
        proposal: u64,
    },
    /// `repeat`: the request will arrive once more.
    Serve {
        node: usize,
        attempt: usize,
        request: Request,
        how: Circumstances,
        repeat: bool,
    },
    Hear {
        node: usize,
        attempt: usize,
        answer: Answer,
    },
    TimeOut {
        node: usize,
        attempt: usize,
    },
    Restart {
        node: usize,
    },
    EndCooldown {
        node: usize,
    },
    Rejoin {
        node: usize,
        attempt: usize,
        token: u64,
    },
}

pub const DIFFER: &str = "tokens of acquisitions that exclude each other differ";
pub const RISE: &str = "an acquisition that began after another completed has a higher token";
pub const BOTH_COMPLETE: &str = "all attempts complete";
const ONE_ROUND: &str = "one round trip is enough";
const RAISED: &str = "a second round trip leads to a token";

impl<const N: usize> Attempt<N> {
    fn agreed(&self) -> Option<u8> {
        match self.stage {
            Stage::Agreed { token, .. } => Some(token),
            _ => None,
        }
    }
}

impl<const N: usize> Client<N> {
    fn answer(&mut self, node: usize, answer: Answer) -> (Vec<Message>, Outcome) {
        match self {
            Client::Agreement(agreement) => (agreement.answer(node, answer), agreement.outcome()),
            Client::Naive(naive) => (naive.answer(node, answer), naive.outcome()),
        }
    }
}

fn limit(kind: Kind) -> Limit {
    let limit = match kind {
        Kind::Exclusive => Some(Limit::EXCLUSIVE),
        Kind::Shared => Some(Limit::SHARED),
        Kind::Limit(n) => Limit::new(n.into()),
    };
    limit.expect("a limit of at least 1")
}

/// Whether two holds alone already are one too many.
fn exclude(a: Kind, b: Kind) -> bool {
    !limit(a).min(limit(b)).tolerates(2)
}

impl<const N: usize, const A: usize> State<N, A> {
    fn begin(&mut self, attempt: usize, proposal: u64, rule: Rule) {
        let kind = self.kinds[attempt];
        let (agreement, messages) = Agreement::begin(N, kind, proposal);
        let client = match rule {
            Rule::PlainMaximum | Rule::AnyAnswerAbove => Client::Naive(Naive::begin(kind.needed(N), rule)),
            Rule::Agreement | Rule::RaiseWithoutHold | Rule::ForgetCounter => Client::Agreement(agreement),
        };
        let floor = self.attempts.iter().filter_map(Attempt::agreed).max().unwrap_or(0);
        self.attempts[attempt] = Attempt { stage: Stage::Open(client), floor };
        self.send(attempt, messages);
    }

    fn send(&mut self, attempt: usize, messages: Vec<Message>) {
        for Message { node, request } in messages {
            self.lines[node][attempt].send(request);
        }
    }

    fn hear(&mut self, node: usize, attempt: usize, answer: Answer) {
        let Stage::Open(client) = &mut self.attempts[attempt].stage else {
            return;
        };
        let (messages, outcome) = client.answer(node, answer);
        self.send(attempt, messages);
        self.attempts[attempt].stage = match outcome {
            Outcome::Open => return,
            Outcome::Agreed(token) => Stage::Agreed {
                token: token.try_into().expect("tokens of the model are small"),
                raised: matches!(answer, Answer::Extended(_)),
            },
            Outcome::Failed => Stage::Failed,
        };
        self.lines.iter_mut().for_each(|lines| lines[attempt].hang_up());
    }

    fn is_open(&self, attempt: usize) -> bool {
        matches!(self.attempts[attempt].stage, Stage::Open(_))
    }

    /// Proposals below, among and above all numbers in the world.
    fn proposals(&self) -> std::ops::RangeInclusive<u64> {
        let highest = self.nodes.iter().map(|node| node.last).max().unwrap_or(0);
        1..=u64::from(highest) + 2
    }

    fn serve_actions(&self, node: usize, attempt: usize, request: Request, actions: &mut Vec<Action>) {
        let Node { last, sits_out, holds } = &self.nodes[node];
        let fence = match request {
            Request::Acquire { fence } => fence,
            Request::Extend { fence } => Some(fence),
        };
        let ends = |request, other: usize| match request {
            Request::Acquire { .. } => true,
            Request::Extend { .. } => other == attempt,
        };
        let held = (0..A).filter(|other| holds[*other] > 0 && ends(request, *other));
        let held = held.fold(0u8, |mask, other| mask | 1 << other);
        let some = |left: u8| [false, true].into_iter().take(1 + usize::from(left > 0 && !sits_out));
        for ended in (0..=held).filter(|ended| ended & !held == 0 && (!sits_out || *ended == 0)) {
            for others in some(self.left.others) {
                let next = u64::from(last + u8::from(others)) + 1;
                let ahead = fence.is_some_and(|fence| fence > next);
                for behind in some(if ahead { self.left.behind } else { 0 }) {
                    for repeat in some(self.left.repeats) {
                        let how = Circumstances { ended, others, behind };
                        actions.push(Action::Serve { node, attempt, request, how, repeat });
                    }
                }
            }
        }
    }

    fn line_actions(&self, node: usize, attempt: usize, actions: &mut Vec<Action>) {
        let line = self.lines[node][attempt];
        for request in line.requests() {
            self.serve_actions(node, attempt, request, actions);
        }
        actions.extend(line.answers().map(|answer| Action::Hear { node, attempt, answer }));
        if self.is_open(attempt) && self.left.timeouts > 0 {
            actions.push(Action::TimeOut { node, attempt });
        }
        if let (Some(token), true) = (self.attempts[attempt].agreed(), self.left.rejoins > 0) {
            actions.push(Action::Rejoin { node, attempt, token: token.into() });
        }
    }
}

impl<const N: usize, const A: usize> Model for World<N, A>
where
    State<N, A>: std::hash::Hash,
{
    type State = State<N, A>;
    type Action = Action;

    /// All counters up to the spread and to the order of the nodes.
    fn init_states(&self) -> Vec<State<N, A>> {
        let mut states = Vec::new();
        let numbers = usize::from(self.spread) + 1;
        for choice in 0..numbers.pow(N as u32) {
            let last = |node: usize| (choice / numbers.pow(node as u32) % numbers) as u8;
            let lasts: [u8; N] = std::array::from_fn(last);
            if lasts.is_sorted() {
                states.push(State {
                    nodes: lasts.map(Node::new),
                    lines: [[Line::default(); A]; N],
                    attempts: std::array::from_fn(|_| Attempt { stage: Stage::ToCome, floor: 0 }),
                    left: self.faults,
                    kinds: self.kinds,
                });
            }
        }
        states
    }

    fn actions(&self, state: &State<N, A>, actions: &mut Vec<Action>) {
        if !state.can_differ() {
            return;
        }
        // Which of those to come begins next makes no difference where they are of one kind.
        let mut kinds = Vec::new();
        for attempt in 0..A {
            if state.attempts[attempt].stage == Stage::ToCome && !kinds.contains(&self.kinds[attempt]) {
                kinds.push(self.kinds[attempt]);
                actions.extend(state.proposals().map(|proposal| Action::Begin { attempt, proposal }));
            }
        }
        for node in 0..N {
            for attempt in 0..A {
                state.line_actions(node, attempt, actions);
            }
            if state.nodes[node].sits_out {
                actions.push(Action::EndCooldown { node });
            } else if state.left.restarts > 0 {
                actions.push(Action::Restart { node });
            }
        }
    }

    fn next_state(&self, state: &State<N, A>, action: Action) -> Option<State<N, A>> {
        let mut next = state.clone();
        match action {
            Action::Begin { attempt, proposal } => next.begin(attempt, proposal, self.rule),
            Action::Serve { node, attempt, request, how, repeat } => {
                next.left.others -= u8::from(how.others);
                next.left.behind -= u8::from(how.behind);
                next.left.repeats -= u8::from(repeat);
                let line = &mut next.lines[node][attempt];
                if !repeat {
                    line.arrived(request);
                }
                let answer = next.nodes[node].serve(attempt, request, self.kinds.map(limit), how, self.rule);
                if state.is_open(attempt) {
                    line.reply(answer);
                }
            }
            Action::Hear { node, attempt, answer } => {
                next.lines[node][attempt].heard(answer);
                next.hear(node, attempt, answer);
            }
            Action::TimeOut { node, attempt } => {
                next.left.timeouts -= 1;
                next.hear(node, attempt, Answer::Failed);
            }
            Action::Restart { node } => {
                next.left.restarts -= 1;
                next.nodes[node].restart(self.rule);
            }
            Action::EndCooldown { node } => next.nodes[node].sits_out = false,
            Action::Rejoin { node, attempt, token } => {
                next.left.rejoins -= 1;
                next.lines[node][attempt].send(Request::Acquire { fence: Some(token) });
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(DIFFER, |_, state: &State<N, A>| {
                let agreed = |attempt: usize| state.attempts[attempt].agreed();
                (0..A).all(|a| {
                    (0..a).all(|b| {
                        agreed(a).is_none()
                            || agreed(a) != agreed(b)
                            || !exclude(state.kinds[a], state.kinds[b])
                    })
                })
            }),
            Property::always(RISE, |_, state: &State<N, A>| {
                state
                    .attempts
                    .iter()
                    .all(|attempt| attempt.agreed().is_none_or(|token| token > attempt.floor))
            }),
            Property::sometimes(BOTH_COMPLETE, |_, state: &State<N, A>| {
                state.attempts.iter().all(|attempt| attempt.agreed().is_some())
            }),
            Property::sometimes(ONE_ROUND, |_, state: &State<N, A>| state.has_agreed(false)),
            Property::sometimes(RAISED, |_, state: &State<N, A>| state.has_agreed(true)),
        ]
    }
}

impl<const N: usize, const A: usize> State<N, A> {
    /// Whether a token may still come that is to be compared with another: an attempt that failed has none.
    fn can_differ(&self) -> bool {
        let failed = |attempt: &&Attempt<N>| attempt.stage == Stage::Failed;
        let agreed = |attempt: &&Attempt<N>| attempt.agreed().is_some();
        let out = self.attempts.iter().filter(failed).count();
        out + 1 < A && out + self.attempts.iter().filter(agreed).count() < A
    }

    fn has_agreed(&self, by_raising: bool) -> bool {
        let found = |stage: &Stage<N>| matches!(stage, Stage::Agreed { raised, .. } if *raised == by_raising);
        self.attempts.iter().any(|attempt| found(&attempt.stage))
    }
}
