//! Random arguments to every command: the server must stay, answer each with a reply that its command can have,
//! and be as empty as before in the end. A failure names its seed; `REDIS_LOCK_SEED` repeats it.

mod arguments;
mod verdict;

use crate::support::{seed, Say};
use arguments::{Command, Maker};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::Duration;
use verdict::{judge, judge_in_script, judge_queued};

const COMMANDS: usize = 100_000;
/// As many as share a pipeline. Above this the replies of one wait in the server's memory.
const BATCH: usize = 250;
/// Enough that the server has made all that it keeps: statistics, errors seen, script engine.
const WARM_UP: usize = 20_000;
/// Growth that is no leak: the allocator rounds. A leak of one byte a command would be more.
const SLACK: u64 = 50_000;
const SCRIPT: &str = "return redis.pcall(unpack(ARGV))";

/// How a batch reaches the server.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Plain,
    Transaction,
    Script,
}

struct Fuzz {
    maker: Maker,
    seed: u64,
}

impl Drop for Fuzz {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat this: REDIS_LOCK_SEED={}", self.seed);
        }
    }
}

impl Fuzz {
    fn new() -> Fuzz {
        let seed = seed();
        Fuzz { maker: Maker::new(seed), seed }
    }

    /// Sends so many commands, in batches, a part of them in transactions and scripts.
    fn run(&mut self, server: &Server, count: usize) {
        let mut client = server.connect();
        for batch in 0..count.div_ceil(BATCH) {
            let way = match batch % 5 {
                3 => Way::Transaction,
                4 => Way::Script,
                _ => Way::Plain,
            };
            match way {
                Way::Plain => self.plain(&mut client),
                Way::Transaction => self.transactions(&mut client),
                Way::Script => self.scripts(&mut client),
            }
            if batch % 50 == 49 {
                disturb(&mut client);
            }
        }
    }

    fn plain(&mut self, client: &mut Client) {
        let commands: Vec<Command> = (0..BATCH).map(|_| self.maker.command().tamed()).collect();
        let replies = client.pipeline(commands.iter().map(|command| &command.0));
        for (command, reply) in commands.iter().zip(&replies) {
            assert!(judge(command, reply), "{command:?}: {reply:?}");
        }
    }

    fn transactions(&mut self, client: &mut Client) {
        for _ in 0..BATCH / 10 {
            let commands: Vec<Command> = (0..10).map(|_| self.maker.command()).collect();
            assert_eq!(client.say("MULTI"), Reply::ok());
            let queued = client.pipeline(commands.iter().map(|command| &command.0));
            let refused = queued.iter().any(Reply::is_error);
            for (command, reply) in commands.iter().zip(&queued) {
                assert!(judge_queued(command, reply), "{command:?}: {reply:?}");
            }
            let done = client.say("EXEC");
            if refused {
                assert!(done.text().starts_with("EXECABORT "), "{done:?}");
                continue;
            }
            for (command, reply) in commands.iter().zip(done.array()) {
                assert!(judge(command, reply), "in MULTI: {command:?}: {reply:?}");
            }
        }
    }

    fn scripts(&mut self, client: &mut Client) {
        let commands: Vec<Command> = (0..BATCH).map(|_| self.maker.command()).collect();
        let evaluated = commands.iter().map(|command| {
            let head = ["EVAL", SCRIPT, "0"].map(|word| word.as_bytes().to_vec());
            head.into_iter().chain(command.0.iter().cloned())
        });
        for (command, reply) in commands.iter().zip(&client.pipeline(evaluated)) {
            assert!(judge_in_script(command, reply), "in a script: {command:?}: {reply:?}");
        }
    }
}

/// What else happens to keys, and a pass through RDB of all that is held.
fn disturb(client: &mut Client) {
    assert_eq!(client.say("SET string value"), Reply::ok());
    assert!(!client.say("DEL a b").is_error());
    assert_eq!(client.say("DEBUG RELOAD"), Reply::ok());
    assert!(client.say("DEBUG DIGEST").text().len() == 40);
}

/// Empties the server and waits until it shows that nothing is held; the memory in use.
fn emptied(server: &Server) -> u64 {
    assert_eq!(server.connect().say("FLUSHALL SYNC"), Reply::ok());
    eventually(Duration::from_secs(10), || server.info_u64("clients", "connected_clients") == 1);
    assert_eq!(server.info_u64("lock", "lock_held"), 0);
    assert_eq!(server.info_u64("lock", "lock_waiting"), 0);
    server.info_u64("memory", "used_memory")
}

#[test]
fn no_arguments_end_the_server_or_leak() {
    let server = Server::builder().config("slowlog-log-slower-than", "-1").start();
    let pid = server.info_u64("server", "process_id");
    let mut fuzz = Fuzz::new();
    fuzz.run(&server, WARM_UP);
    let before = emptied(&server);
    fuzz.run(&server, COMMANDS);
    let after = emptied(&server);
    assert!(server.is_alive());
    assert_eq!(server.info_u64("server", "process_id"), pid);
    assert!(after <= before + SLACK, "{before} bytes in use before, {after} after");
    let token = server.connect().take("key", "me", "");
    assert!(token < 1 << 53);
}

/// The fuzz is worth little if all its commands fail at the first check.
#[test]
fn all_kinds_of_reply_occur() {
    let server = Server::start();
    let mut client = server.connect();
    let mut fuzz = Fuzz::new();
    client.say("SET string value");
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..20_000 / BATCH {
        let commands: Vec<Command> = (0..BATCH).map(|_| fuzz.maker.command().tamed()).collect();
        let replies = client.pipeline(commands.iter().map(|command| &command.0));
        for (command, reply) in commands.iter().zip(&replies) {
            *seen.entry(verdict::kind(command, reply)).or_default() += 1;
        }
    }
    for kind in verdict::KINDS {
        assert!(seen.contains_key(kind), "never: {kind}; seen: {seen:#?}");
    }
}
