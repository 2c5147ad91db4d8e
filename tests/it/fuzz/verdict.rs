//! Which replies a command can have.

use super::arguments::Command;
use crate::errors::{
    arity, LIMIT, META, NEGATIVE, NUMBER, OTHER_LIMIT, OWNER, SESSION, SYNTAX, TOKEN, TOO_FAR, TOO_LONG, TTL,
    WRONGTYPE,
};
use redis_lock_harness::Reply;

/// The errors of the contract that arguments alone can bring about, and the one that only effects have.
const ERRORS: [&str; 14] = [
    SYNTAX,
    SESSION,
    NUMBER,
    TTL,
    LIMIT,
    NEGATIVE,
    TOO_LONG,
    OWNER,
    META,
    TOKEN,
    TOO_FAR,
    WRONGTYPE,
    OTHER_LIMIT,
    OUT_OF_RANGE,
];
const OUT_OF_RANGE: &str = "ERR value is out of range";
/// In a script core has words of its own for a wrong number of arguments and for commands that are not allowed.
const IN_SCRIPT: [&str; 3] = [
    "ERR Wrong number of args calling Redis command from script",
    "ERR Wrong number of args calling command from script",
    "ERR This Redis command is not allowed from script",
];

/// What must all occur, else the arguments are badly chosen.
pub const KINDS: [&str; 32] = [
    "LOCK.ACQUIRE integer",
    "LOCK.ACQUIRE nil",
    "LOCK.RELEASE integer",
    "LOCK.EXTEND integer",
    "LOCK.OWNER string",
    "LOCK.OWNER nil",
    "LOCK.TTL integer",
    "LOCK.INFO array",
    "LOCK.INFO nil",
    "LOCK.CHECK FENCED",
    "LOCK.MACQUIRE integer",
    "LOCK.MACQUIRE nil",
    "LOCK.MEXTEND integer",
    "LOCK.MRELEASE integer",
    "LOCK._HOLD OK",
    "LOCK._DROP OK",
    "LOCK._LAST OK",
    "wrong number of arguments",
    SYNTAX,
    NUMBER,
    TTL,
    LIMIT,
    NEGATIVE,
    TOO_LONG,
    OWNER,
    META,
    TOKEN,
    TOO_FAR,
    WRONGTYPE,
    OTHER_LIMIT,
    OUT_OF_RANGE,
    "LOCK.EXTEND token",
];

/// Whether a command can have this reply.
pub fn judge(command: &Command, reply: &Reply) -> bool {
    let name = command.name();
    if let Reply::Error(line) = reply {
        return judge_error(&name, line);
    }
    match (&name[5..], reply) {
        ("ACQUIRE" | "MACQUIRE", Reply::Nil) => true,
        ("ACQUIRE" | "MACQUIRE", Reply::Int(token)) => (1..1 << 53).contains(token),
        ("RELEASE", Reply::Int(released)) => (0..=1).contains(released),
        ("EXTEND" | "MEXTEND", Reply::Int(token)) => (0..1 << 53).contains(token),
        ("MRELEASE", Reply::Int(released)) => (0..=6).contains(released),
        ("OWNER", Reply::Bulk(owner)) => (1..=512).contains(&owner.len()),
        ("OWNER" | "INFO", Reply::Nil) => true,
        ("TTL", Reply::Int(left)) => *left >= 0 || *left == -2,
        ("INFO", Reply::Array(fields)) => fields.len() == 6 && !reply.get("holders").array().is_empty(),
        ("CHECK", reply) => *reply == Reply::Int(1),
        ("_HOLD" | "_DROP" | "_LAST", reply) => *reply == Reply::ok(),
        _ => false,
    }
}

fn judge_error(name: &str, line: &str) -> bool {
    let fenced = name == "LOCK.CHECK" && line.starts_with("FENCED token ") && line.ends_with(" is not held");
    fenced || ERRORS.contains(&line) || line == arity(name)
}

/// The same where the command runs in a script.
pub fn judge_in_script(command: &Command, reply: &Reply) -> bool {
    match reply {
        Reply::Error(line) => IN_SCRIPT.iter().any(|own| line.starts_with(own)) || judge(command, reply),
        _ => judge(command, reply),
    }
}

/// The same for the first reply inside MULTI: only the number of arguments is checked there.
pub fn judge_queued(command: &Command, reply: &Reply) -> bool {
    *reply == Reply::Simple("QUEUED".into()) || *reply == Reply::error(arity(&command.name()))
}

/// A name for the kind of reply, as in [`KINDS`].
pub fn kind(command: &Command, reply: &Reply) -> String {
    let name = command.name();
    match reply {
        Reply::Error(line) if *line == arity(&name) => "wrong number of arguments".into(),
        Reply::Error(line) if line.starts_with("FENCED ") => format!("{name} FENCED"),
        Reply::Error(line) => line.clone(),
        Reply::Int(token) if *token > 1 && name == "LOCK.EXTEND" => format!("{name} token"),
        Reply::Int(_) => format!("{name} integer"),
        Reply::Nil => format!("{name} nil"),
        Reply::Bulk(_) => format!("{name} string"),
        Reply::Array(_) => format!("{name} array"),
        other => format!("{name} {}", other.text()),
    }
}
