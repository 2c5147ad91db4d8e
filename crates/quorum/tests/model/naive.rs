//! Simpler ways to get one token from several nodes, each of which looks right and is not.

use redis_lock_quorum::agreement::{Answer, Message, Outcome, Request};

/// How a client comes to its token, or a node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// As it is.
    Agreement,
    /// The token is the highest of the first nodes that granted.
    PlainMaximum,
    /// A node raises its counter also for an owner whose hold is gone.
    RaiseWithoutHold,
    /// A node has confirmed with any answer of at least T.
    AnyAnswerAbove,
    /// A node that lost its data begins with lower tokens than it had given: what Claim 1 asks not to happen.
    ForgetCounter,
}

/// A client of [`Rule::PlainMaximum`] or [`Rule::AnyAnswerAbove`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naive<const N: usize> {
    needed: usize,
    confirms: bool,
    /// Each node's latest answer; 0 is none.
    pub tokens: [u64; N],
    /// T, once enough have granted.
    pub chosen: u64,
}

impl<const N: usize> Naive<N> {
    pub fn begin(needed: usize, rule: Rule) -> Self {
        Naive { needed, confirms: rule == Rule::AnyAnswerAbove, tokens: [0; N], chosen: 0 }
    }

    pub fn answer(&mut self, node: usize, answer: Answer) -> Vec<Message> {
        let (Answer::Granted(token) | Answer::Extended(token)) = answer else {
            return Vec::new();
        };
        self.tokens[node] = token;
        let granted = self.tokens.iter().filter(|token| **token > 0).count();
        if self.chosen > 0 || granted < self.needed {
            return Vec::new();
        }
        self.chosen = self.tokens.into_iter().max().unwrap_or(0);
        let request = Request::Extend { fence: self.chosen };
        let below = (0..N).filter(|node| (1..self.chosen).contains(&self.tokens[*node]));
        below.filter(|_| self.confirms).map(|node| Message { node, request }).collect()
    }

    pub fn outcome(&self) -> Outcome {
        let confirmed = self.tokens.iter().filter(|token| **token >= self.chosen).count();
        if self.chosen > 0 && (!self.confirms || confirmed >= self.needed) {
            Outcome::Agreed(self.chosen)
        } else {
            Outcome::Open
        }
    }
}
