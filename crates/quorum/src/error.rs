//! What can go wrong, in words that say which node answered what, and what to do.

use std::fmt;
use std::time::Duration;

/// Why there is no lock, or none any more.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Others hold it: so many nodes said no that the rest is not enough. Try again later.
    #[error("held by others: {0}")]
    Held(Failure),
    /// Too many nodes failed. What each of them said is inside.
    #[error("no quorum: {0}")]
    NoQuorum(Failure),
    /// Granted or extended, but the answers took so long that no validity was left. What had been granted
    /// is released. A longer ttl, or a shorter `node_timeout`, helps.
    #[error("too late to be valid: {0}")]
    Late(Failure),
    /// It was held, and is not any more, or not certainly: the validity is over, or others hold it.
    #[error("lost: {0}")]
    Lost(Failure),
    /// Something that trying again does not help against.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// What the nodes answered; none for [`Error::Config`].
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Held(failure) | Error::NoQuorum(failure) | Error::Late(failure) | Error::Lost(failure) => {
                Some(failure)
            }
            Error::Config(_) => None,
        }
    }
}

/// How a request stood with each node when it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The resources that were asked for.
    pub resources: Vec<String>,
    /// How many yeses were needed.
    pub needed: usize,
    /// Each node, in the order in which they were listed.
    pub nodes: Vec<NodeReport>,
    /// How long the lock is still valid: above zero only where a lock was to be extended.
    pub left: Duration,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needs {} of {} nodes", self.resources.join(", "), self.needed, self.nodes.len())?;
        for (number, node) in self.nodes.iter().enumerate() {
            write!(f, "{} {node}", if number == 0 { ":" } else { ";" })?;
        }
        if !self.left.is_zero() {
            write!(f, "; the lock is still valid for {} ms", self.left.as_millis())?;
        }
        Ok(())
    }
}

/// A node, and the last that it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeReport {
    /// Its address, without user and password.
    pub node: String,
    /// What it answered.
    pub answer: NodeAnswer,
}

impl fmt::Display for NodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, self.answer)
    }
}

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeAnswer {
    /// Nothing yet: the request failed before.
    #[error("had not answered")]
    Open,
    /// It granted, under this token.
    #[error("granted it, token {0}")]
    Granted(u64),
    /// It extended.
    #[error("extended it")]
    Extended,
    /// Others hold the lock there.
    #[error("says that others hold it")]
    Held,
    /// This owner holds nothing there (any more).
    #[error("had lost it")]
    Gone,
    /// It released.
    #[error("released it")]
    Released,
    /// It can't raise its hold to the token that others granted: clocks are too far apart.
    #[error(
        "refused token {token} as too far ahead: the clocks of the nodes are {} s apart or were at their \
         start. Set the clock of the one that is wrong, or replace that node",
        apart.as_secs()
    )]
    TooFarAhead {
        /// The token that it refused.
        token: u64,
        /// By how much that token leads the one it granted itself.
        apart: Duration,
    },
    /// It failed.
    #[error("failed: {0}")]
    Failed(#[from] NodeError),
}

/// How a node failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No connection could be made; what was tried last said so.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The connection broke while the request was under way.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No answer within the node's time limit.
    #[error("no answer within {} ms", .0.as_millis())]
    NoAnswer(Duration),
    /// It has left so many requests unanswered that it is asked no more until it answers.
    #[error("{0} requests are still unanswered")]
    Silent(u64),
    /// It is the same server as another one of the list.
    #[error("it is the same server as {0}")]
    SameServer(String),
    /// An error reply: the server's line.
    #[error("{line}{advice}", line = .0, advice = advice(.0))]
    Refused(String),
    /// A reply that this command does not have.
    #[error("unexpected reply {0}")]
    Unexpected(String),
}

/// What to do about an error reply.
fn advice(line: &str) -> &'static str {
    let code = line.split(' ').next().unwrap_or_default();
    match code {
        "READONLY" => " (a replica: list its master)",
        "NOAUTH" | "WRONGPASS" => " (put user and password into its URL: redis://user:password@host)",
        "NOPERM" => " (allow this user the lock commands and keys)",
        "WRONGTYPE" => " (the key is no lock: choose another name, or wait until it is gone)",
        "MOVED" | "CLUSTERDOWN" | "CROSSSLOT" => " (independent servers are needed, no Redis Cluster)",
        "OOM" => " (maxmemory is reached)",
        _ if line.contains("unknown command") => " (the module is not loaded there)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_nodes_answers_and_what_to_do() {
        let report = |node: &str, answer: NodeAnswer| NodeReport { node: node.into(), answer };
        let failure = Failure {
            resources: vec!["a".into(), "b".into()],
            needed: 2,
            nodes: vec![
                report("one:1", NodeAnswer::Held),
                report("two:2", NodeError::NoAnswer(Duration::from_millis(50)).into()),
                report("three:3", NodeError::Refused("ERR unknown command 'LOCK.ACQUIRE'".into()).into()),
            ],
            left: Duration::from_millis(1_200),
        };
        assert_eq!(
            Error::NoQuorum(failure).to_string(),
            "no quorum: a, b needs 2 of 3 nodes: one:1 says that others hold it; two:2 failed: no answer \
             within 50 ms; three:3 failed: ERR unknown command 'LOCK.ACQUIRE' (the module is not loaded \
             there); the lock is still valid for 1200 ms"
        );
    }
}
