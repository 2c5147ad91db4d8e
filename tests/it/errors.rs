//! The errors: their words, their order, and that they change nothing.
//!
//! Commands are lines of words. A word in angle brackets stands for one that can't be written so, or that is
//! known only at the time: see [`Place::word`].

mod cooldown;
mod order;
mod rows;

use crate::support::{holds, settled, Hold, Say, LEAD};
use redis_lock_harness::{Client, Reply, Server};
use std::collections::BTreeMap;

pub const SYNTAX: &str = "ERR syntax error";
pub const SESSION: &str = "ERR SESSION is not allowed in scripts";
pub const NUMBER: &str = "ERR value is not an integer or out of range";
pub const TTL: &str = "ERR ttl must be between 1 and 86400000 milliseconds";
pub const LIMIT: &str = "ERR limit must be between 1 and 10000";
pub const NEGATIVE: &str = "ERR timeout is negative";
pub const TOO_LONG: &str = "ERR timeout is out of range";
pub const OWNER: &str = "ERR owner must be 1 to 512 bytes";
pub const META: &str = "ERR meta must be at most 512 bytes";
pub const TOKEN: &str = "ERR token must be positive";
pub const TOO_FAR: &str = "ERR token is too far ahead";
pub const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
pub const OTHER_LIMIT: &str = "ERR owner already holds this lock with another limit";

/// Core's error for too few or too many arguments.
pub fn arity(command: &str) -> String {
    format!("ERR wrong number of arguments for '{}' command", command.to_lowercase())
}

/// A server with an AOF and a replica, on which `mine` is held by `me`, `theirs` by `you` (both exclusive),
/// `semaphore` by `me` with LIMIT 2, `string` is a string and `free` nothing.
struct Place {
    server: Server,
    client: Client,
    watcher: Client,
    token: i64,
    // It only has to be there: without a replica there is no offset.
    _replica: Server,
}

/// All that an error must leave as it was.
#[derive(Debug, PartialEq)]
struct State {
    digest: Reply,
    locks: Vec<Vec<Hold>>,
    counters: BTreeMap<String, String>,
    replicated: u64,
    logged: u64,
}

impl Place {
    fn new() -> Place {
        let server = Server::builder()
            .tcp()
            .movable_clocks()
            .config("appendonly", "yes")
            .config("auto-aof-rewrite-percentage", "0")
            // Its PINGs would move the offset.
            .config("repl-ping-replica-period", "3600")
            .start();
        server.step_monotonic(600_000);
        let replica = server.replica();
        let mut client = server.connect();
        let token = client.take("mine", "me", "META text");
        client.take("theirs", "you", "");
        client.take("semaphore", "me", "LIMIT 2");
        client.say("SET string value");
        server.wait_synced(&replica);
        let watcher = server.connect();
        Place { server, client, watcher, token, _replica: replica }
    }

    /// What a word of a line stands for.
    fn word(&self, word: &str) -> Vec<u8> {
        match word {
            "<empty>" => Vec::new(),
            "<512>" => vec![b'x'; 512],
            "<513>" => vec![b'x'; 513],
            "<70000>" => vec![b'9'; 70_000],
            "<nul>" => b"1\0".to_vec(),
            "<binary>" => b"\xff\xfe".to_vec(),
            "<space>" => b" 1".to_vec(),
            "<format>" => b"%s%n".to_vec(),
            "<far>" => (self.token + 2 * LEAD).to_string().into_bytes(),
            other => other.as_bytes().to_vec(),
        }
    }

    fn words(&self, line: &str) -> Vec<Vec<u8>> {
        line.split_whitespace().map(|word| self.word(word)).collect()
    }

    fn state(&mut self) -> State {
        let persistence = self.server.info("persistence");
        let bytes = |field: &str| persistence[field].parse::<u64>().expect("a number");
        let mut counters = self.server.info("lock");
        counters.remove("lock_cooldown_ms");
        State {
            digest: self.client.say("DEBUG DIGEST"),
            locks: ["mine", "theirs", "semaphore", "free"].map(|key| holds(&mut self.client, key)).into(),
            counters,
            replicated: self.server.info_u64("replication", "master_repl_offset"),
            logged: bytes("aof_current_size") + bytes("aof_buffer_length"),
        }
    }

    /// Runs a command that must fail with `error`, and see nothing change; nor does WATCH.
    #[track_caller]
    fn refuses(&mut self, line: &str, error: &str) {
        let command = self.words(line);
        let before = self.state();
        self.watcher.say("WATCH mine theirs semaphore free string");
        let reply = self.client.run(&command);
        assert_eq!(reply, Reply::error(error), "{line}");
        self.watcher.say("MULTI");
        self.watcher.say("PING");
        assert_eq!(self.watcher.say("EXEC").array().len(), 1, "WATCH saw: {line}");
        assert_eq!(self.state(), before, "{line}");
    }

    /// The same from inside a script.
    #[track_caller]
    fn refuses_in_script(&mut self, line: &str, error: &str) {
        let mut command: Vec<Vec<u8>> =
            ["EVAL", "return redis.pcall(unpack(ARGV))", "0"].map(Into::into).into();
        command.extend(self.words(line));
        let before = self.state();
        assert_eq!(self.client.run(&command), Reply::error(error), "{line}");
        assert_eq!(self.state(), before, "{line}");
    }
}

/// The state really shows what a command that succeeds does, else the tests of it prove nothing.
#[test]
fn what_succeeds_is_seen() {
    for line in [
        "LOCK.ACQUIRE free me 600000",
        "LOCK.ACQUIRE mine me 7200000",
        "LOCK.ACQUIRE mine me 600000 META other",
        "LOCK.EXTEND mine me 7200000",
        "LOCK.RELEASE mine me",
        "LOCK.MACQUIRE 1 free me 600000",
    ] {
        let mut place = Place::new();
        let before = place.state();
        assert!(!place.client.say(line).is_error(), "{line}");
        let after = place.state();
        assert_ne!(after.replicated, before.replicated, "{line}");
        assert_ne!(after.logged, before.logged, "{line}");
        assert_ne!(after.counters, before.counters, "{line}");
    }
}

/// A nil or 0 changes no more than an error does; only the counter of refusals moves.
#[test]
fn a_refusal_changes_nothing() {
    let mut place = Place::new();
    for (line, reply) in [
        ("LOCK.ACQUIRE theirs me 7200000 META other", Reply::Nil),
        ("LOCK.MACQUIRE 3 free mine theirs me 7200000 META other", Reply::Nil),
        ("LOCK.EXTEND theirs me 7200000", Reply::Int(0)),
        ("LOCK.EXTEND free me 7200000", Reply::Int(0)),
        ("LOCK.MEXTEND 2 mine theirs me 7200000", Reply::Int(0)),
        ("LOCK.RELEASE theirs me", Reply::Int(0)),
        ("LOCK.RELEASE free me", Reply::Int(0)),
        ("LOCK.MRELEASE 2 theirs free me", Reply::Int(0)),
    ] {
        let before = place.state();
        place.watcher.say("WATCH mine theirs semaphore free");
        assert_eq!(place.client.say(line), reply, "{line}");
        place.watcher.say("MULTI");
        place.watcher.say("PING");
        assert_eq!(place.watcher.say("EXEC").array().len(), 1, "WATCH saw: {line}");
        let mut after = place.state();
        if reply == Reply::Nil {
            let refused = before.counters["lock_refused"].parse::<u64>().expect("a number");
            assert_eq!(after.counters["lock_refused"], (refused + 1).to_string(), "{line}");
        }
        after.counters.insert("lock_refused".into(), before.counters["lock_refused"].clone());
        assert_eq!(after, before, "{line}");
    }
}

/// So that a `SET NX` lock of an older client excludes this one, and is never overwritten.
#[test]
fn a_lock_made_of_a_string_is_safe() {
    let server = settled();
    let mut client = server.connect();
    assert_eq!(client.say("SET key someone NX PX 600000"), Reply::ok());
    for line in
        ["ACQUIRE key me 1000", "MACQUIRE 1 key me 1000", "RELEASE key someone", "MRELEASE 1 key someone"]
    {
        assert_eq!(client.say(&format!("LOCK.{line}")), Reply::error(WRONGTYPE), "{line}");
    }
    assert_eq!(client.say("GET key"), Reply::bulk("someone"));
    client.say("DEL key");
    client.take("key", "me", "");
    assert_eq!(client.say("SET key someone NX PX 600000"), Reply::Nil, "and the other way round");
    assert_eq!(client.say("LOCK.OWNER key"), Reply::bulk("me"));
}
