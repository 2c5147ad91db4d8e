//! Error replies of a server and their meaning: the only place that knows their texts.

use redis::RedisError;
use std::fmt;

/// The line of an error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError(String);

/// What an error reply means for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// The server does not know this user, or this user lacks the permission.
    NotAllowed,
    /// The module is not loaded on the server.
    NoModule,
    /// This request is never accepted: a ttl above `lock.max-ttl`, Redis Cluster, a wrong database.
    WrongRequest,
    /// The server is not (or no longer) a master.
    Demoted,
    /// The key has another type than a lock.
    Overwritten,
    /// The server is starting, busy, or without its master or cluster, and will accept the request later.
    NotReady,
    /// A FENCE that would spoil the server's token counter.
    TooFarAhead,
    /// Anything else.
    Other,
}

/// Beginnings of the ERR lines that say what is wrong with the request or the user. Other ERR lines say what
/// is wrong at the moment, such as `max number of clients reached`.
const ERR: [(&str, Meaning); 8] = [
    ("unknown command", Meaning::NoModule),
    ("AUTH ", Meaning::NotAllowed),
    ("syntax error", Meaning::WrongRequest),
    ("wrong number of arguments", Meaning::WrongRequest),
    ("ttl must be between", Meaning::WrongRequest),
    ("DB index is out of range", Meaning::WrongRequest),
    ("SELECT is not allowed", Meaning::WrongRequest),
    ("token is too far ahead", Meaning::TooFarAhead),
];

impl ServerError {
    /// Returns the error reply in an error of the library, or `None` if it is another error.
    pub fn of(error: &RedisError) -> Option<ServerError> {
        let code = error.code()?;
        Some(ServerError(error.detail().map_or_else(|| code.into(), |detail| format!("{code} {detail}"))))
    }

    /// Returns the line as the server sent it.
    pub fn line(&self) -> &str {
        &self.0
    }

    /// Returns the first word of the line.
    pub fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// Returns what the error reply means.
    pub fn meaning(&self) -> Meaning {
        match self.code() {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Meaning::NotAllowed,
            "MOVED" | "CROSSSLOT" => Meaning::WrongRequest,
            "READONLY" => Meaning::Demoted,
            "WRONGTYPE" => Meaning::Overwritten,
            "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN" => Meaning::NotReady,
            "ERR" => {
                let begins =
                    |(words, _): &&(&str, Meaning)| self.0["ERR".len()..].trim_start().starts_with(words);
                ERR.iter().find(begins).map_or(Meaning::Other, |(_, meaning)| *meaning)
            }
            _ => Meaning::Other,
        }
    }

    /// Returns whether the error is about this key only: the command itself is allowed.
    pub fn is_of_key(&self) -> bool {
        self.code() == "NOPERM" && !self.0.contains("permissions to run")
    }

    /// Returns what to do about the error.
    fn advice(&self) -> &'static str {
        match (self.code(), self.meaning()) {
            (_, Meaning::Demoted) => " (a replica: list its master)",
            ("NOPERM", _) => " (allow this user the lock commands and keys)",
            ("NOAUTH" | "WRONGPASS", _) => {
                " (put user and password into its URL: redis://user:password@host)"
            }
            (_, Meaning::Overwritten) => {
                " (the key is no lock: choose another name, or wait until it is gone)"
            }
            ("MOVED" | "CLUSTERDOWN" | "CROSSSLOT", _) => {
                " (independent servers are needed, no Redis Cluster)"
            }
            ("OOM", _) => " (maxmemory is reached)",
            (_, Meaning::NoModule) => " (the module is not loaded there)",
            _ if self.0.contains("ttl must be between") => " (lock.max-ttl there is lower than this ttl)",
            _ => "",
        }
    }
}

impl From<&str> for ServerError {
    fn from(line: &str) -> ServerError {
        ServerError(line.into())
    }
}

/// Shows the line and what to do about it.
impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, self.advice())
    }
}
