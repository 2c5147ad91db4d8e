//! What can go wrong, in words that say which node answered what, and what to do.

use crate::server_error::{Meaning, ServerError};
use std::fmt;
use std::time::Duration;

/// Why there is no lock, or none any more.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Others hold it: so many nodes said no that the rest is not enough. Try again later.
    #[error("{} is locked ({})", .0.names(), .0.answers())]
    Held(Failure),
    /// Too many nodes failed. What each of them said is inside. Where it [is final](Failure::is_final), it was not tried again.
    #[error("no quorum: {0}")]
    NoQuorum(Failure),
    /// Granted or extended, but the answers took so long that no validity was left. What had been granted
    /// is released. A longer ttl, or a shorter `node_timeout`, helps.
    #[error("too late to be valid: {0}")]
    Late(Failure),
    /// It was held, and is not any more, or not certainly: the validity is over, or others hold it.
    #[error("lost: {0}")]
    Lost(Failure),
    /// Granted, under a token that is not above one that this client had before it asked: a majority of the nodes
    /// has lost its token counters, and no token says any more who came later. What had been granted is released.
    #[error(
        "token {token} is not above {highest}, which was held before: a majority of the nodes has lost its \
         token counters, so that tokens no longer tell who came later. Tell what compares tokens of the lower \
         ones, and begin with a new client: {failure}"
    )]
    CountersLost {
        /// The token that the nodes agreed on.
        token: u64,
        /// The highest token that an acquisition of this client was completed with.
        highest: u64,
        /// What the nodes answered.
        failure: Failure,
    },
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
            Error::CountersLost { failure, .. } => Some(failure),
            Error::Config(_) => None,
        }
    }

    /// Whether nodes refuse it for good (see [`Failure::is_final`]), or have lost their token counters.
    pub fn is_final(&self) -> bool {
        matches!(self, Error::CountersLost { .. }) || self.failure().is_some_and(Failure::is_final)
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

impl Failure {
    /// Whether so many nodes refuse this for good (a wrong password, no module, a ttl above `lock.max-ttl`) that asking
    /// again is no use until somebody has changed that.
    pub fn is_final(&self) -> bool {
        let refused =
            |node: &&NodeReport| matches!(&node.answer, NodeAnswer::Failed(error) if error.is_final());
        self.nodes.iter().filter(refused).count() > self.nodes.len() - self.needed
    }
}

impl Failure {
    /// What was asked for.
    pub fn names(&self) -> String {
        self.resources.join(", ")
    }

    /// What each node answered, in one line.
    pub fn answers(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(ToString::to_string).collect();
        let needed = match self.nodes.len() {
            1 => String::new(),
            nodes => format!("needs {} of {nodes} nodes: ", self.needed),
        };
        needed + &nodes.join("; ")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.names(), self.answers())?;
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
        write!(f, "{}: {}", self.node, self.answer)
    }
}

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeAnswer {
    /// Nothing yet: the request failed before.
    #[error("had not answered")]
    Open,
    /// Nothing: it was not asked, since the lock was over before.
    #[error("was not asked: the lock was over before")]
    NotAsked,
    /// Nothing: it was not asked, since another node's answer was enough.
    #[error("was not asked")]
    Spared,
    /// It granted, under this token.
    #[error("granted it, token {0}")]
    Granted(u64),
    /// It extended.
    #[error("extended it")]
    Extended,
    /// Others hold the lock there.
    #[error("held by another owner")]
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
    /// An error reply.
    #[error("{0}")]
    Refused(ServerError),
    /// A reply that this command does not have.
    #[error("unexpected reply {0}")]
    Unexpected(String),
}

impl NodeError {
    fn means(&self, meanings: &[Meaning]) -> bool {
        matches!(self, NodeError::Refused(error) if meanings.contains(&error.meaning()))
    }

    /// Whether the server is no master (any more).
    pub(crate) fn is_demoted(&self) -> bool {
        self.means(&[Meaning::Demoted])
    }

    /// Whether something else lies at the key: what this owner held there is gone.
    pub(crate) fn is_overwritten(&self) -> bool {
        self.means(&[Meaning::Overwritten])
    }

    /// Whether the server will do the same later.
    pub(crate) fn is_not_ready(&self) -> bool {
        self.means(&[Meaning::NotReady])
    }

    /// Whether this user may not use this key, or something else lies there.
    pub(crate) fn is_of_key(&self) -> bool {
        self.is_overwritten() || matches!(self, NodeError::Refused(error) if error.code() == "NOPERM")
    }

    /// Whether the server has too many waiters.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, NodeError::Refused(error) if error.code() == "MAXWAITERS")
    }

    /// Whether it refuses, and will refuse the same request again until somebody has changed something about the
    /// server, its user or the request.
    pub fn is_final(&self) -> bool {
        self.means(&[Meaning::NotAllowed, Meaning::NoModule, Meaning::WrongRequest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_final() {
        for (line, is_final) in [
            ("NOAUTH Authentication required.", true),
            ("WRONGPASS invalid username-password pair or user is disabled.", true),
            ("NOPERM this user has no permissions to run the 'lock.acquire' command", true),
            ("MOVED 866 127.0.0.1:7001", true),
            ("ERR unknown command 'LOCK.ACQUIRE', with args beginning with: ", true),
            ("ERR ttl must be between 1 and 1000 milliseconds", true),
            ("ERR max number of clients reached", false),
            ("ERR internal error in the lock module, see the server's log", false),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", false),
            ("LOADING Redis is loading the dataset in memory", false),
            ("READONLY You can't write against a read only replica.", false),
            ("COOLDOWN locks are granted and extended again in 5 ms", false),
            ("OOM command not allowed when used memory > 'maxmemory'.", false),
            ("BUSY", false),
        ] {
            assert_eq!(NodeError::Refused(line.into()).is_final(), is_final, "{line}");
        }
        assert!(!NodeError::Unreachable("unknown command".into()).is_final());
    }

    #[test]
    fn it_takes_more_than_may_fail_to_be_final() {
        let refused = || NodeAnswer::Failed(NodeError::Refused("NOAUTH who are you?".into()));
        let failure = |needed, answers: Vec<NodeAnswer>| {
            let report = |answer| NodeReport { node: "one:1".into(), answer };
            let nodes = answers.into_iter().map(report).collect();
            Failure { resources: vec!["a".into()], needed, nodes, left: Duration::ZERO }
        };
        assert!(failure(1, vec![refused()]).is_final());
        assert!(!failure(2, vec![refused(), NodeAnswer::Held, NodeAnswer::Held]).is_final());
        assert!(failure(2, vec![refused(), NodeAnswer::Held, refused()]).is_final());
        // A semaphore of so many needs all nodes.
        assert!(failure(3, vec![refused(), NodeAnswer::Held, NodeAnswer::Held]).is_final());
    }

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
            "no quorum: a, b (needs 2 of 3 nodes: one:1: held by another owner; two:2: failed: no answer within \
             50 ms; three:3: failed: ERR unknown command 'LOCK.ACQUIRE' (the module is not loaded there)); the \
             lock is still valid for 1200 ms"
        );
    }
}
