//! Errors that say which node answered what, and what to do.

use crate::server_error::{Meaning, ServerError};
use std::fmt;
use std::time::Duration;

/// Why there is no lock, or no longer one.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Others hold it: too many nodes refused for the rest to be enough. Try again later.
    #[error("{} is locked ({})", .0.names(), .0.answers())]
    Held(Failure),
    /// Too many nodes failed, for the reasons inside. It was not retried if it [is final](Failure::is_final).
    #[error("no quorum: {0}")]
    NoQuorum(Failure),
    /// The lock was granted or extended, but the answers took so long that no validity was left. What had
    /// been granted is released. A longer ttl or a shorter `node_timeout` helps.
    #[error("too late to be valid: {0}")]
    Late(Failure),
    /// It was held, and no longer certainly is: the validity is over, or others hold it.
    #[error("lost: {0}")]
    Lost(Failure),
    /// Granted under a token not above one that this client had before it asked: a majority of the nodes lost
    /// its token counters, so tokens no longer say who came later. What had been granted is released.
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
    /// An error that a retry does not help against.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// Returns what the nodes answered; `None` for [`Error::Config`].
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Held(failure) | Error::NoQuorum(failure) | Error::Late(failure) | Error::Lost(failure) => {
                Some(failure)
            }
            Error::CountersLost { failure, .. } => Some(failure),
            Error::Config(_) => None,
        }
    }

    /// Returns whether nodes refuse for good (see [`Failure::is_final`]), or have lost their counters.
    pub fn is_final(&self) -> bool {
        matches!(self, Error::CountersLost { .. }) || self.failure().is_some_and(Failure::is_final)
    }
}

/// The answer of each node when a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The resources that were asked for.
    pub resources: Vec<String>,
    /// How many grants were needed.
    pub needed: usize,
    /// Each node, in the order of the configuration.
    pub nodes: Vec<NodeReport>,
    /// How long the lock is still valid: above zero only if an extension failed.
    pub left: Duration,
}

impl Failure {
    /// Returns whether too many nodes refuse for good (a wrong password, no module, a ttl above
    /// `lock.max-ttl`) for a retry to succeed before somebody has changed that.
    pub fn is_final(&self) -> bool {
        let refused =
            |node: &&NodeReport| matches!(&node.answer, NodeAnswer::Failed(error) if error.is_final());
        self.nodes.iter().filter(refused).count() > self.nodes.len() - self.needed
    }
}

impl Failure {
    /// Returns the resources that were asked for, in one line.
    pub fn names(&self) -> String {
        self.resources.join(", ")
    }

    /// Returns what each node answered, in one line.
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

/// A node and its last answer.
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
    /// No answer: the request failed before one came.
    #[error("had not answered")]
    Open,
    /// No answer: it was not asked, since the lock was over before.
    #[error("was not asked: the lock was over before")]
    NotAsked,
    /// No answer: it was not asked, since another node's answer was enough.
    #[error("was not asked")]
    Spared,
    /// It granted the lock under this token.
    #[error("granted it, token {0}")]
    Granted(u64),
    /// It extended the lock.
    #[error("extended it")]
    Extended,
    /// Others hold the lock there.
    #[error("held by another owner")]
    Held,
    /// This owner does not hold (or no longer holds) anything there.
    #[error("had lost it")]
    Gone,
    /// It released the lock.
    #[error("released it")]
    Released,
    /// It can't raise its hold to the token that others granted: the clocks are too far apart.
    #[error(
        "refused token {token} as too far ahead: the clocks of the nodes are {} s apart or were at their \
         start. Set the clock of the one that is wrong, or replace that node",
        apart.as_secs()
    )]
    TooFarAhead {
        /// The token that it refused.
        token: u64,
        /// How far that token leads the one that it granted itself.
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
    /// No connection could be made, for the reason of the last attempt.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The connection broke while the request was under way.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No answer within the node's time limit.
    #[error("no answer within {} ms", .0.as_millis())]
    NoAnswer(Duration),
    /// It has left too many requests unanswered, and is not asked again until it answers.
    #[error("{0} requests are still unanswered")]
    Silent(u64),
    /// It is the same server as another one of the list.
    #[error("it is the same server as {0}")]
    SameServer(String),
    /// An error reply.
    #[error("{0}")]
    Refused(ServerError),
    /// A reply that does not belong to this command.
    #[error("unexpected reply {0}")]
    Unexpected(String),
}

impl NodeError {
    fn means(&self, meanings: &[Meaning]) -> bool {
        matches!(self, NodeError::Refused(error) if meanings.contains(&error.meaning()))
    }

    /// Returns whether the server is not (or no longer) a master.
    pub(crate) fn is_demoted(&self) -> bool {
        self.means(&[Meaning::Demoted])
    }

    /// Returns whether the key has another type: what this owner held there is gone.
    pub(crate) fn is_overwritten(&self) -> bool {
        self.means(&[Meaning::Overwritten])
    }

    /// Returns whether the server will accept the same request later.
    pub(crate) fn is_not_ready(&self) -> bool {
        self.means(&[Meaning::NotReady])
    }

    /// Returns whether this user may not use this key, or the key has another type.
    pub(crate) fn is_of_key(&self) -> bool {
        self.is_overwritten() || matches!(self, NodeError::Refused(error) if error.code() == "NOPERM")
    }

    /// Returns whether the server has too many waiters.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, NodeError::Refused(error) if error.code() == "MAXWAITERS")
    }

    /// Returns whether the node refuses the request, and will do so until somebody has changed something
    /// about the server, its user or the request.
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
        // A semaphore of two needs all three nodes.
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
