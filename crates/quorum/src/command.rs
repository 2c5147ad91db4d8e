//! The commands that are sent to nodes, and what their replies mean.

use crate::Kind;
use crate::environment::Environment;
use crate::error::NodeError;
use crate::order::line_of;
use crate::resources::Resources;
use crate::server_error::{Meaning, ServerError};
use redis::{Cmd, RedisError, Value};
use std::sync::Arc;
use std::time::Duration;

/// The length of an owner in characters of six random bits: over 20 bytes, and readable in LOCK.INFO.
const OWNER_LENGTH: usize = 27;
const OWNER_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns a fresh owner, from randomness that nobody can guess.
///
/// # Errors
/// Returns the operating system's error if it has no randomness.
pub(crate) fn fresh_owner(environment: &dyn Environment) -> Result<String, rand::rand_core::OsError> {
    let mut bytes = [0; OWNER_LENGTH];
    environment.random_bytes(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(OWNER_ALPHABET[usize::from(byte % 64)])).collect())
}

/// The terms that a lock is asked for with, equal in every attempt.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub resources: Resources,
    pub kind: Kind,
    pub meta: Option<String>,
}

/// A command, packed once for all nodes.
pub(crate) type Packed = Arc<Cmd>;

/// The terms of the line's lock of a resource.
#[derive(Debug)]
pub(crate) struct LineTerms {
    pub line: Arc<Terms>,
    /// The resource and the line's lock together.
    pub both: Terms,
}

impl LineTerms {
    /// Returns `None` if several resources are asked for: then no node keeps the order.
    pub fn of(terms: &Terms) -> Option<LineTerms> {
        let [resource] = terms.resources.names() else { return None };
        let line = line_of(resource);
        let both = Terms { resources: [resource, &line].as_slice().into(), ..terms.clone() };
        Some(LineTerms { line: Arc::new(Terms { resources: line.into(), ..terms.clone() }), both })
    }
}

impl Terms {
    pub fn acquire(&self, owner: &str, ttl: Duration, fence: Option<u64>, block: Option<Duration>) -> Packed {
        let mut command = self.begin("LOCK.ACQUIRE", "LOCK.MACQUIRE", owner);
        command.arg(millis(ttl));
        match self.kind {
            Kind::Exclusive => {}
            Kind::Shared => {
                command.arg("SHARED");
            }
            Kind::Limit(n) => {
                command.arg("LIMIT").arg(n);
            }
        }
        if let Some(block) = block {
            command.arg("BLOCK").arg(block_millis(block));
        }
        fenced(&mut command, fence);
        if let Some(meta) = &self.meta {
            command.arg("META").arg(meta);
        }
        Arc::new(command)
    }

    pub fn extend(&self, owner: &str, ttl: Duration, fence: Option<u64>) -> Packed {
        let mut command = self.begin("LOCK.EXTEND", "LOCK.MEXTEND", owner);
        command.arg(millis(ttl));
        fenced(&mut command, fence);
        Arc::new(command)
    }

    pub fn release(&self, owner: &str) -> Packed {
        Arc::new(self.begin("LOCK.RELEASE", "LOCK.MRELEASE", owner))
    }

    /// Returns commands that read what is locked, so that a server with tracking reports changes of it.
    pub fn look(&self) -> Vec<Packed> {
        let look = |name: &String| Arc::new(redis::cmd("LOCK.TTL").arg(name).clone());
        self.resources.names().iter().map(look).collect()
    }

    fn begin(&self, one: &str, several: &str, owner: &str) -> Cmd {
        match self.resources.names() {
            [name] => {
                let mut command = redis::cmd(one);
                command.arg(name).arg(owner);
                command
            }
            names => {
                let mut command = redis::cmd(several);
                command.arg(names.len()).arg(names).arg(owner);
                command
            }
        }
    }
}

fn fenced(command: &mut Cmd, fence: Option<u64>) {
    if let Some(fence) = fence {
        command.arg("FENCE").arg(fence);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Converts to BLOCK without shortening. 0 is forever, also used for what a server's clock can't hold.
fn block_millis(time: Duration) -> u64 {
    const LONGEST: u64 = i64::MAX as u64 / 2;
    match u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1) {
        longer if longer > LONGEST => 0,
        fits => fits,
    }
}

/// The meaning of a reply to any of the commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A number above zero: a token or a count.
    Number(u64),
    Zero,
    Nil,
    TooFarAhead,
}

/// # Errors
/// Returns how the node failed if the value is none of the above.
pub(crate) fn read_reply(value: Value) -> Result<Reply, NodeError> {
    match value {
        Value::Int(0) => Ok(Reply::Zero),
        Value::Int(number) => {
            u64::try_from(number).map(Reply::Number).map_err(|_| NodeError::Unexpected(number.to_string()))
        }
        Value::Nil => Ok(Reply::Nil),
        Value::ServerError(error) => read_error(error.into()),
        other => Err(NodeError::Unexpected(format!("{other:?}"))),
    }
}

/// # Errors
/// Returns what [`read_reply`] does, or [`NodeError::Broken`] if the error is not a reply.
pub(crate) fn read_error(error: RedisError) -> Result<Reply, NodeError> {
    match ServerError::of(&error) {
        Some(refused) if refused.meaning() == Meaning::TooFarAhead => Ok(Reply::TooFarAhead),
        Some(refused) => Err(NodeError::Refused(refused)),
        None => Err(NodeError::Broken(lower(&error.to_string()))),
    }
}

/// Gives the texts of the system and the library one spelling: "Broken pipe (os error 32)" is "broken pipe".
fn lower(text: &str) -> String {
    let text = text.split(" (os error").next().unwrap_or(text);
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::System;

    fn text(command: &Cmd) -> String {
        let words = command.args_iter().map(|word| match word {
            redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => unreachable!("no cursor"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn terms(resources: impl Into<Resources>, kind: Kind, meta: Option<&str>) -> Terms {
        Terms { resources: resources.into(), kind, meta: meta.map(Into::into) }
    }

    #[test]
    fn one_resource() {
        let ttl = Duration::from_micros(1_500_999);
        let exclusive = terms("k", Kind::Exclusive, None);
        assert_eq!(text(&exclusive.acquire("o", ttl, None, None)), "LOCK.ACQUIRE k o 1500");
        assert_eq!(text(&exclusive.extend("o", ttl, None)), "LOCK.EXTEND k o 1500");
        assert_eq!(text(&exclusive.extend("o", ttl, Some(7))), "LOCK.EXTEND k o 1500 FENCE 7");
        assert_eq!(text(&exclusive.release("o")), "LOCK.RELEASE k o");
        let shared = terms("k", Kind::Shared, Some("why"));
        assert_eq!(
            text(&shared.acquire("o", ttl, Some(7), Some(Duration::from_micros(10)))),
            "LOCK.ACQUIRE k o 1500 SHARED BLOCK 1 FENCE 7 META why"
        );
    }

    #[test]
    fn the_time_in_line() {
        for (time, block) in [(0, 1), (1_000, 1), (1_999_001, 2_000)] {
            assert_eq!(block_millis(Duration::from_micros(time)), block, "{time}");
        }
        assert_eq!(block_millis(Duration::MAX), 0);
    }

    #[test]
    fn several_resources() {
        let ttl = Duration::from_secs(1);
        let two = terms(["a", "b"], Kind::Limit(3), None);
        assert_eq!(text(&two.acquire("o", ttl, Some(7), None)), "LOCK.MACQUIRE 2 a b o 1000 LIMIT 3 FENCE 7");
        assert_eq!(text(&two.extend("o", ttl, None)), "LOCK.MEXTEND 2 a b o 1000");
        assert_eq!(text(&two.release("o")), "LOCK.MRELEASE 2 a b o");
    }

    #[test]
    fn the_lock_of_a_line() {
        let ttl = Duration::from_secs(1);
        let readers = terms("k", Kind::Shared, Some("why"));
        let of_line = LineTerms::of(&readers).expect("it is one resource");
        let (line, both) = (text(&of_line.line.release("o")), of_line.both.acquire("o", ttl, Some(7), None));
        assert_eq!(line, "LOCK.RELEASE k#line o");
        assert_eq!(text(&both), "LOCK.MACQUIRE 2 k k#line o 1000 SHARED FENCE 7 META why");
        assert!(LineTerms::of(&terms(["a", "b"], Kind::Exclusive, None)).is_none());
    }

    #[test]
    fn owners_differ() {
        let owners: std::collections::HashSet<_> =
            (0..1_000).map(|_| fresh_owner(&System).unwrap()).collect();
        assert_eq!(owners.len(), 1_000);
        assert!(owners.iter().all(|owner| owner.len() == OWNER_LENGTH));
    }
}
