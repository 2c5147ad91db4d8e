//! How one attempt gets one fencing token from nodes that each have a counter of their own.
//!
//! Pure: no I/O, no clock, no randomness. Answers of nodes go in; requests and an outcome come out. So a
//! model checker drives the same code as the client.
//!
//! The client proposes a number. Each node grants at least that, or a number that its own counter had to
//! choose. **T** is the lowest number such that enough nodes hold at T or less, and have not refused T or
//! less. A node *confirms* T by a live hold with exactly this token: granted so, or raised to it by
//! `LOCK.EXTEND … FENCE T`. Once enough nodes have confirmed T, it is the token. Safety does not depend on
//! how T is chosen, only on its confirmation. Two attempts that exclude each other have a node in common. On
//! that node the confirmation of one precedes the grant of the other, whose token is therefore higher.

use crate::Kind;

/// What is asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// `LOCK.ACQUIRE`, with `FENCE` if there is one.
    Acquire {
        /// The proposal; `None` for a node that refused it as too far ahead.
        fence: Option<u64>,
    },
    /// `LOCK.EXTEND … FENCE fence`: hold at exactly this token, if that is still possible.
    Extend {
        /// T.
        fence: u64,
    },
}

/// A request and the node that it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The node's index.
    pub node: usize,
    /// What is asked of it.
    pub request: Request,
}

/// A node's answer, or that there was none. It may come late and more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To an ACQUIRE: granted, under this token.
    Granted(u64),
    /// To an ACQUIRE: others hold it.
    Held,
    /// To an ACQUIRE with FENCE: `token is too far ahead`. Without FENCE it is a failure.
    AcquireTooFarAhead,
    /// To an EXTEND with FENCE: the hold's token now.
    Extended(u64),
    /// To an EXTEND: the hold is gone.
    Gone,
    /// To an EXTEND with this FENCE: `token is too far ahead`.
    ExtendTooFarAhead(u64),
    /// Any other error (COOLDOWN too), a broken connection, or no answer within the node's time limit.
    Failed,
}

/// The state of a node, by its latest answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// Asked, and has not answered.
    Asked {
        /// Whether it was asked with the proposal.
        fenced: bool,
    },
    /// It granted.
    Holds {
        /// The hold's token.
        token: u64,
        /// The T that it was last asked to hold at.
        asked: Option<u64>,
        /// The lowest T that it refused as too far ahead.
        refused: Option<u64>,
    },
    /// Others hold the lock there.
    Held,
    /// The hold was lost.
    Gone,
    /// It failed.
    Failed,
}

/// The outcome of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// More answers are awaited.
    Open,
    /// Enough nodes have confirmed this token.
    Agreed(u64),
    /// No further answer can help.
    Failed,
}

/// One attempt: the state of each node, and the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agreement {
    needed: usize,
    nodes: Vec<KeyStatus>,
    outcome: Outcome,
}

impl Agreement {
    /// Begins an attempt on `nodes` nodes. `proposal` is `max(wall clock in microseconds, highest token that
    /// this client completed with + 1)`. The messages go to all nodes at once.
    pub fn begin(nodes: usize, kind: Kind, proposal: u64) -> (Agreement, Vec<Message>) {
        let agreement = Agreement {
            needed: kind.needed(nodes),
            nodes: vec![KeyStatus::Asked { fenced: true }; nodes],
            outcome: Outcome::Open,
        };
        let request = Request::Acquire { fence: Some(proposal) };
        (agreement, (0..nodes).map(|node| Message { node, request }).collect())
    }

    /// Returns the outcome as far as is known. It no longer changes once it is not [`Outcome::Open`].
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns how many nodes must confirm.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Returns the state of each node. It follows the answers even after the outcome is known.
    pub fn nodes(&self) -> &[KeyStatus] {
        &self.nodes
    }

    /// Returns whether the nodes that others hold are enough to fail the attempt, whatever the rest do.
    pub fn is_held(&self) -> bool {
        let held = self.nodes.iter().filter(|node| **node == KeyStatus::Held).count();
        held > self.spare()
    }

    /// Takes a node's answer and returns the messages to send at once, in this order.
    ///
    /// # Panics
    /// Panics if there is no such node.
    pub fn answer(&mut self, node: usize, answer: Answer) -> Vec<Message> {
        let asked_before = self.nodes[node];
        self.nodes[node] = asked_before.after(answer);
        let is_too_far_ahead =
            answer == Answer::AcquireTooFarAhead && asked_before == (KeyStatus::Asked { fenced: true });
        // Also after an agreement: a request may still await this node to learn whether others hold it.
        if is_too_far_ahead && self.outcome != Outcome::Failed {
            return vec![Message { node, request: Request::Acquire { fence: None } }];
        }
        if self.outcome != Outcome::Open {
            return Vec::new();
        }
        let token = self.token();
        self.outcome = self.outcome_with(token);
        match (self.outcome, token) {
            (Outcome::Open, Some(token)) => self.ask_to_confirm(token),
            _ => Vec::new(),
        }
    }

    /// Returns how many nodes may fail or refuse.
    fn spare(&self) -> usize {
        self.nodes.len() - self.needed
    }

    /// Returns T. The number of nodes that count for a T grows only at values of T that are tokens.
    fn token(&self) -> Option<u64> {
        let tokens = self.nodes.iter().filter_map(|node| node.token());
        let enough = |t: &u64| self.nodes.iter().filter(|node| node.counts_for(*t)).count() >= self.needed;
        tokens.filter(enough).min()
    }

    fn outcome_with(&self, token: Option<u64>) -> Outcome {
        let out = self.nodes.iter().filter(|node| node.is_out()).count();
        if out > self.spare() {
            return Outcome::Failed;
        }
        match token {
            Some(token) => {
                let confirmed = self.nodes.iter().filter(|node| node.token() == Some(token)).count();
                if confirmed >= self.needed { Outcome::Agreed(token) } else { Outcome::Open }
            }
            None if self.nodes.iter().any(|node| matches!(node, KeyStatus::Asked { .. })) => Outcome::Open,
            None => Outcome::Failed,
        }
    }

    fn ask_to_confirm(&mut self, token: u64) -> Vec<Message> {
        let mut messages = Vec::new();
        for (node, standing) in self.nodes.iter_mut().enumerate() {
            if standing.ask(token) {
                messages.push(Message { node, request: Request::Extend { fence: token } });
            }
        }
        messages
    }
}

impl KeyStatus {
    /// Returns the token of its hold.
    pub fn token(self) -> Option<u64> {
        match self {
            KeyStatus::Holds { token, .. } => Some(token),
            _ => None,
        }
    }

    /// The latest answer counts. But a hold's token never falls, so a lower one is an outdated answer.
    fn after(self, answer: Answer) -> KeyStatus {
        match (answer, self) {
            (
                Answer::Granted(answered) | Answer::Extended(answered),
                KeyStatus::Holds { token, asked, refused },
            ) => KeyStatus::Holds { token: token.max(answered), asked, refused },
            (Answer::Granted(token) | Answer::Extended(token), _) => {
                KeyStatus::Holds { token, asked: None, refused: None }
            }
            (Answer::ExtendTooFarAhead(fence), KeyStatus::Holds { token, asked, refused }) => {
                KeyStatus::Holds { token, asked, refused: Some(refused.map_or(fence, |low| low.min(fence))) }
            }
            (Answer::AcquireTooFarAhead, KeyStatus::Asked { fenced: true }) => {
                KeyStatus::Asked { fenced: false }
            }
            (Answer::ExtendTooFarAhead(_) | Answer::AcquireTooFarAhead, standing) => standing,
            (Answer::Held, _) => KeyStatus::Held,
            (Answer::Gone, _) => KeyStatus::Gone,
            (Answer::Failed, _) => KeyStatus::Failed,
        }
    }

    fn is_out(self) -> bool {
        matches!(self, KeyStatus::Held | KeyStatus::Gone | KeyStatus::Failed)
    }

    fn counts_for(self, t: u64) -> bool {
        match self {
            KeyStatus::Holds { token, refused, .. } => {
                token <= t && refused.is_none_or(|refused| refused > t)
            }
            _ => false,
        }
    }

    /// Returns whether to ask it to hold at T now, and notes that it was asked.
    fn ask(&mut self, t: u64) -> bool {
        let counts = self.counts_for(t);
        match self {
            KeyStatus::Holds { token, asked, .. } if counts && *token < t && *asked != Some(t) => {
                *asked = Some(t);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
