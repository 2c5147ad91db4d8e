//! LOCK commands in transactions and scripts.

use super::{counts, say_all};
use crate::support::{holds, Say};
use redis_lock_harness::{Client, Reply, Server};

/// Every command once, in an order in which each has an effect.
const TOUR: [&str; 10] = [
    "LOCK.ACQUIRE k a 3600000 META m",
    "LOCK.EXTEND k a 7200000",
    "LOCK.OWNER k",
    "LOCK.TTL k",
    "LOCK.INFO k",
    "LOCK.MACQUIRE 2 x y a 3600000",
    "LOCK.MEXTEND 3 k x y a 7200000",
    "LOCK.MRELEASE 2 x y a",
    "LOCK.RELEASE k a",
    "LOCK.RELEASE k a",
];

fn assert_tour(replies: &[Reply]) {
    let token = replies[0].int();
    assert!(token > 0);
    assert_eq!(replies[1], Reply::Int(1));
    assert_eq!(replies[2], Reply::bulk("a"));
    let left = replies[3].int();
    assert!(3_600_000 < left && left <= 7_200_000, "{left}");
    assert_eq!(replies[4].get("fence"), &Reply::Int(token));
    assert_eq!(replies[4].get("holders").array()[0].get("meta"), &Reply::bulk("m"));
    assert!(replies[5].int() > token);
    assert_eq!(replies[6..], [1, 2, 1, 0].map(Reply::Int));
}

#[test]
fn all_commands_work_in_a_transaction() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["MULTI"]);
    for line in TOUR {
        assert_eq!(client.say(line), Reply::Simple("QUEUED".into()), "{line}");
    }
    assert_tour(client.say("EXEC").array());
    assert_eq!(counts(&server)["lock_held"], 0);
}

#[test]
fn all_commands_work_in_a_script() {
    let server = Server::start();
    let mut client = server.connect();
    let calls: Vec<String> =
        TOUR.iter().map(|line| format!("redis.call('{}')", line.replace(' ', "','"))).collect();
    let script = format!("return {{{}}}", calls.join(","));
    assert_tour(client.run(["EVAL", &script, "3", "k", "x", "y"]).array());
    assert_eq!(counts(&server)["lock_held"], 0);
}

#[test]
fn discard_and_a_failed_watch_leave_locks_alone() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["MULTI", "LOCK.ACQUIRE k a 1000", "DISCARD"]);
    assert_eq!(client.say("EXISTS k"), Reply::Int(0));
    say_all(&mut client, &["WATCH other"]);
    say_all(&mut server.connect(), &["SET other v"]);
    say_all(&mut client, &["MULTI", "LOCK.ACQUIRE k a 1000"]);
    assert_eq!(client.say("EXEC"), Reply::NilArray);
    assert_eq!(client.say("EXISTS k"), Reply::Int(0));
    let counts = counts(&server);
    assert_eq!((counts["lock_held"], counts["lock_acquired"]), (0, 0));
}

#[test]
fn a_transaction_goes_on_after_a_refusal() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("theirs", "b", "");
    let commands = [
        "MULTI",
        "LOCK.ACQUIRE theirs a 1000",
        "LOCK.CHECK theirs 1",
        "LOCK.ACQUIRE theirs a 0",
        "SET k v",
        "EXEC",
    ];
    let replies = client.pipeline(commands.map(|line| line.split(' ')));
    assert_eq!(
        replies[5].array(),
        [
            Reply::Nil,
            Reply::error("FENCED token 1 is not held"),
            Reply::error("ERR ttl must be between 1 and 86400000 milliseconds"),
            Reply::ok(),
        ]
    );
}

const GUARDED_WRITE: &str = "redis.call('LOCK.CHECK', KEYS[1], ARGV[1])
    redis.call('SET', KEYS[2], ARGV[2])
    return 'written'";

fn guarded_write(client: &mut Client, token: i64, value: &str) -> Reply {
    client.run(["EVAL", GUARDED_WRITE, "2", "lock", "data", &token.to_string(), value])
}

#[test]
fn check_stops_a_script_before_it_writes() {
    let server = Server::start();
    let mut client = server.connect();
    let first = client.take("lock", "a", "");
    assert_eq!(guarded_write(&mut client, first, "1"), Reply::bulk("written"));
    say_all(&mut client, &["DEL lock"]);
    let second = client.take("lock", "b", "");
    let refused = guarded_write(&mut client, first, "2");
    let said = format!("FENCED token {first} is not held");
    assert!(refused.is_error() && refused.text().starts_with(&said), "{refused:?}");
    assert_eq!(client.say("GET data"), Reply::bulk("1"));
    assert_eq!(guarded_write(&mut client, second, "3"), Reply::bulk("written"));
    assert_eq!(client.say("GET data"), Reply::bulk("3"));
    say_all(&mut client, &["LOCK.RELEASE lock b"]);
    assert!(guarded_write(&mut client, second, "4").is_error());
    assert_eq!(client.say("GET data"), Reply::bulk("3"));
}

#[test]
fn a_script_may_catch_the_refusal() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("lock", "a", "");
    let script = "return redis.pcall('LOCK.CHECK', KEYS[1], '7')";
    let caught = client.run(["EVAL", script, "1", "lock"]);
    assert!(caught.text().starts_with("FENCED token 7 is not held"), "{caught:?}");
    let kind = "return type(redis.call('LOCK.ACQUIRE', KEYS[1], 'b', 1000))";
    let nil = client.run(["EVAL", kind, "1", "lock"]);
    assert_eq!(nil, Reply::bulk("boolean"), "nil is false in Lua, as for any command");
}

#[test]
fn a_token_goes_through_a_script_unharmed() {
    let server = Server::start();
    let mut client = server.connect();
    let script = "local token = redis.call('LOCK.ACQUIRE', KEYS[1], 'a', 1000000)
        return {token, string.format('%.0f', token)}";
    let reply = client.run(["EVAL", script, "1", "lock"]);
    let token = holds(&mut client, "lock")[0].fence;
    assert_eq!(reply, Reply::Array(vec![Reply::Int(token), Reply::bulk(token.to_string())]));
    let raise = "return redis.call('LOCK.EXTEND', KEYS[1], 'a', 1000, 'FENCE', ARGV[1])";
    let wanted = token + 1;
    let raised = client.run(["EVAL", raise, "1", "lock", &wanted.to_string()]);
    assert_eq!(raised, Reply::Int(wanted));
    let rounded = "return redis.call('LOCK.CHECK', KEYS[1], tostring(tonumber(ARGV[1])))";
    let rounded = client.run(["EVAL", rounded, "1", "lock", &wanted.to_string()]);
    assert!(rounded.is_error(), "what Lua rounded is no token: {rounded:?}");
}

#[test]
fn a_read_only_script_reads_and_does_not_write() {
    let server = Server::start();
    let mut client = server.connect();
    let token = client.take("lock", "a", "");
    let read = "return {redis.call('LOCK.OWNER', KEYS[1]), redis.call('LOCK.CHECK', KEYS[1], ARGV[1])}";
    assert_eq!(
        client.run(["EVAL_RO", read, "1", "lock", &token.to_string()]),
        Reply::Array(vec![Reply::bulk("a"), Reply::Int(1)])
    );
    let write = "return redis.call('LOCK.RELEASE', KEYS[1], 'a')";
    let refused = client.run(["EVAL_RO", write, "1", "lock"]);
    assert!(refused.is_error(), "{refused:?}");
    assert_eq!(client.say("LOCK.OWNER lock"), Reply::bulk("a"));
}
