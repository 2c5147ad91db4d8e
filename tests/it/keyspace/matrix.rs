//! Every command of the server that takes keys, tried on a lock: also those of servers to come.

use super::{assert_counted, counts, crowd};
use crate::support::{holds, Say};
use redis_lock_harness::{Client, Reply, Server};

/// What writes or removes any key, whatever is there; tested one by one elsewhere.
const BY_DESIGN: &[&str] = &[
    "bitop",
    "del",
    "delex",
    "expire",
    "expireat",
    "geosearchstore",
    "move",
    "mset",
    "msetex",
    "pexpire",
    "pexpireat",
    "psetex",
    "rename",
    "renamenx",
    "sdiffstore",
    "set",
    "setex",
    "sinterstore",
    "sunionstore",
    "unlink",
    "zdiffstore",
    "zinterstore",
    "zrangestore",
    "zunionstore",
];

/// It asks the resolver for its first argument.
const NOT_TRIED: &str = "migrate";

/// A command with its subcommand, and how many words it has at least; no more if it is exact.
struct Command {
    words: Vec<String>,
    least: usize,
    exact: bool,
}

fn commands_with_keys(client: &mut Client) -> Vec<Command> {
    let mut found = Vec::new();
    for entry in client.say("COMMAND").array() {
        let subcommands = entry.array()[9].array();
        for entry in std::iter::once(entry).chain(subcommands) {
            found.extend(with_keys(entry.array()));
        }
    }
    found
}

fn with_keys(entry: &[Reply]) -> Option<Command> {
    let (name, arity) = (entry[0].text(), entry[1].int());
    let flagged = |flag: &str| entry[2].array().iter().any(|found| found.text() == flag);
    let keyless = entry[3].int() == 0 && entry[8].array().is_empty();
    let ours = name.starts_with("lock.");
    if keyless || ours || flagged("pubsub") || name == NOT_TRIED || BY_DESIGN.contains(&name) {
        return None;
    }
    Some(Command {
        words: name.split('|').map(String::from).collect(),
        least: arity.unsigned_abs() as usize,
        exact: arity > 0,
    })
}

/// The command with `lock` in all places, and with it in each of the first four among numbers.
fn attempts(command: &Command) -> Vec<Vec<String>> {
    let longest = command.least + if command.exact { 0 } else { 2 };
    let mut attempts = Vec::new();
    for length in command.least..=longest {
        let count = length.saturating_sub(command.words.len());
        let with = |place: Option<usize>| {
            let argument = |at: usize| match place {
                Some(place) if place != at => "1",
                _ => "lock",
            };
            let arguments = (0..count).map(|at| argument(at).to_string());
            command.words.iter().cloned().chain(arguments).collect()
        };
        attempts.push(with(None));
        attempts.extend((0..count.min(4)).map(|place| with(Some(place))));
    }
    attempts
}

#[test]
fn no_other_command_frees_or_changes_a_lock() {
    let server = Server::start();
    let mut client = server.connect();
    let held = crowd(&mut client, "lock");
    let before = counts(&server);
    let commands = commands_with_keys(&mut client);
    assert!(commands.len() > 150, "{} commands take keys", commands.len());
    for command in &commands {
        for attempt in attempts(command) {
            // A connection of its own: some commands leave it in another state.
            let reply = server.connect().try_run(&attempt);
            assert!(server.is_alive(), "{attempt:?}");
            assert_eq!(holds(&mut client, "lock"), held, "{attempt:?} → {reply:?}");
            client.say("DEL 1");
        }
    }
    assert_eq!(client.say("PTTL lock"), Reply::Int(-1));
    assert_counted(&server, &before, &[], "all commands");
}
