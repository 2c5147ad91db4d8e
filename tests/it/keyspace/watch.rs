//! WATCH and client-side caching: which changes of a lock they see.

use super::say_all;
use crate::support::{settled, Say};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::Duration;

/// Watches `lock`, lets `action` happen on another connection, and says whether EXEC was stopped.
fn is_touched(server: &Server, action: impl FnOnce(&mut Client)) -> bool {
    let (mut watcher, mut other) = (server.connect(), server.connect());
    assert_eq!(watcher.say("WATCH lock"), Reply::ok());
    action(&mut other);
    say_all(&mut watcher, &["MULTI", "PING"]);
    match watcher.say("EXEC") {
        Reply::NilArray => true,
        Reply::Array(replies) if replies == [Reply::Simple("PONG".into())] => false,
        other => panic!("not an answer to EXEC: {other:?}"),
    }
}

/// `held` is acquired by `a` for an hour first, where it is given.
fn after(server: &Server, held: Option<&str>, line: &str) -> (bool, Reply) {
    let mut client = server.connect();
    say_all(&mut client, &["FLUSHALL", "SET string v"]);
    if let Some(kind) = held {
        say_all(&mut client, &[format!("LOCK.ACQUIRE lock a 3600000 {kind}").trim_end()]);
    }
    let mut reply = Reply::Nil;
    let touched = is_touched(server, |other| reply = other.say(line));
    (touched, reply)
}

#[test]
fn watch_sees_grants_releases_and_tokens() {
    let server = settled();
    let token = server.connect().take("other", "a", "");
    let raise = format!("LOCK.EXTEND lock a 1000 FENCE {}", token + 1_000_000);
    let reacquire = format!("LOCK.ACQUIRE lock a 1000 FENCE {}", token + 2_000_000);
    let mextend = format!("LOCK.MEXTEND 1 lock a 1000 FENCE {}", token + 3_000_000);
    for (held, line) in [
        (None, "LOCK.ACQUIRE lock a 1000000"),
        (Some("SHARED"), "LOCK.ACQUIRE lock b 1000000 SHARED"),
        (None, "LOCK.MACQUIRE 2 x lock a 1000000"),
        (Some(""), "LOCK.MACQUIRE 2 x lock a 1000000"),
        (Some(""), "LOCK.RELEASE lock a"),
        (Some(""), "LOCK.MRELEASE 2 x lock a"),
        (Some(""), &raise),
        (Some(""), &reacquire),
        (Some(""), &mextend),
        (Some(""), "DEL lock"),
        (Some(""), "RENAME lock moved"),
        (Some(""), "RENAME string lock"),
        (Some(""), "SET lock v"),
        (Some(""), "FLUSHALL"),
        (Some(""), "FLUSHDB ASYNC"),
        (Some(""), "SWAPDB 0 1"),
    ] {
        let (touched, reply) = after(&server, held, line);
        assert!(!reply.is_error() && !reply.is_nil(), "{line}: {reply:?}");
        assert!(touched, "{line}");
    }
}

#[test]
fn watch_passes_by_what_moves_only_the_deadline() {
    let server = Server::start();
    for line in [
        "LOCK.EXTEND lock a 7200000",
        "LOCK.EXTEND lock a 1000",
        "LOCK.EXTEND lock a 7200000 FENCE 1",
        "LOCK.ACQUIRE lock a 7200000",
        "LOCK.ACQUIRE lock a 1000",
        "LOCK.ACQUIRE lock a 7200000 FENCE 1",
        "LOCK.MEXTEND 1 lock a 7200000",
        "LOCK.MACQUIRE 1 lock a 7200000",
    ] {
        let (touched, reply) = after(&server, Some(""), line);
        assert!(reply.int() > 0, "{line}: {reply:?}");
        assert!(!touched, "{line}");
    }
}

#[test]
fn watch_passes_by_reads_and_refusals() {
    let server = Server::start();
    for line in [
        "LOCK.OWNER lock",
        "LOCK.TTL lock",
        "LOCK.INFO lock",
        "LOCK.CHECK lock 1",
        "LOCK.ACQUIRE lock b 1000",
        "LOCK.ACQUIRE lock b 1000 SHARED",
        "LOCK.ACQUIRE lock a 1000 LIMIT 2",
        "LOCK.ACQUIRE lock a 0",
        "LOCK.ACQUIRE lock a 1000 FENCE 9223372036854775807",
        "LOCK.RELEASE lock b",
        "LOCK.EXTEND lock b 1000",
        "LOCK.EXTEND lock a 0",
        "LOCK.MACQUIRE 2 free lock b 1000",
        "LOCK.MACQUIRE 2 lock string a 1000",
        "LOCK.MEXTEND 2 lock free a 1000",
        "LOCK.MRELEASE 2 lock free b",
    ] {
        let (touched, reply) = after(&server, Some(""), line);
        assert!(!touched, "{line} → {reply:?}");
    }
    for line in [
        "LOCK.OWNER lock",
        "LOCK.RELEASE lock a",
        "LOCK.EXTEND lock a 1000",
        "LOCK.MACQUIRE 2 lock string a 1000",
        "LOCK.MEXTEND 2 lock free a 1000",
        "LOCK.MRELEASE 2 lock free a",
        "LOCK.ACQUIRE lock a 0",
    ] {
        let (touched, reply) = after(&server, None, line);
        assert!(!touched, "{line} on a free lock → {reply:?}");
    }
}

/// The deadline comes after WATCH: all of `before` and WATCH itself arrive in one write.
fn is_touched_by_deadline(server: &Server, before: &[&str], left: i64) -> bool {
    let (mut watcher, mut other) = (server.connect(), server.connect());
    let commands = before.iter().chain(&["WATCH lock"]);
    let replies = watcher.pipeline(commands.map(|line| line.split(' ')));
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    eventually(Duration::from_secs(20), || {
        let info = other.say("LOCK.INFO lock");
        let holders = info.find("holders").map_or(0, |holders| holders.array().len() as i64);
        holders == left && server.info_u64("lock", "lock_held") as i64 == left
    });
    say_all(&mut watcher, &["MULTI", "PING"]);
    watcher.say("EXEC") == Reply::NilArray
}

#[test]
fn watch_sees_a_lock_that_is_reclaimed() {
    let server = Server::start();
    assert!(is_touched_by_deadline(&server, &["LOCK.ACQUIRE lock a 50"], 0));
    let two = ["LOCK.ACQUIRE lock a 50 SHARED", "LOCK.ACQUIRE lock b 3600000 SHARED"];
    assert!(is_touched_by_deadline(&server, &two, 1), "one of two holders");
    let beside = ["LOCK.ACQUIRE other a 50", "LOCK.RELEASE lock none"];
    assert!(!is_touched_by_deadline(&server, &beside, 1), "another key's deadline");
}

/// What a client that caches `lock` is told to forget after `action`.
fn invalidated(server: &Server, action: impl FnOnce(&mut Client)) -> bool {
    let (mut cache, mut other) = (server.connect_resp3(), server.connect());
    assert_eq!(cache.say("CLIENT TRACKING ON"), Reply::ok());
    cache.say("LOCK.OWNER lock");
    action(&mut other);
    // The message stands before the reply of any later command.
    cache.send(["PING"]);
    match cache.read() {
        Reply::Simple(pong) if pong == "PONG" => false,
        Reply::Push(message) => {
            assert_eq!(message[0], Reply::bulk("invalidate"));
            assert_eq!(message[1], Reply::Array(vec![Reply::bulk("lock")]));
            true
        }
        other => panic!("neither a push message nor a reply: {other:?}"),
    }
}

#[test]
fn client_side_caches_hear_of_grants_and_releases() {
    let server = Server::start();
    assert!(invalidated(&server, |other| {
        other.take("lock", "a", "");
    }));
    assert!(!invalidated(&server, |other| {
        say_all(other, &["LOCK.OWNER lock", "LOCK.ACQUIRE lock b 1000", "LOCK.RELEASE lock b"]);
    }));
    assert!(invalidated(&server, |other| say_all(other, &["LOCK.RELEASE lock a"])));
    assert!(invalidated(&server, |other| say_all(other, &["LOCK.MACQUIRE 2 x lock a 1000000"])));
    assert!(invalidated(&server, |other| say_all(other, &["LOCK.MRELEASE 2 x lock a"])));
}

#[test]
fn client_side_caches_hear_of_the_deadline() {
    let server = Server::start();
    let mut cache = server.connect_resp3();
    say_all(&mut cache, &["CLIENT TRACKING ON"]);
    let replies = cache.pipeline(["LOCK.ACQUIRE lock a 50".split(' '), "LOCK.OWNER lock".split(' ')]);
    assert_eq!(replies[1], Reply::bulk("a"));
    let expected = [Reply::bulk("invalidate"), Reply::Array(vec![Reply::bulk("lock")])];
    assert_eq!(cache.read(), Reply::Push(expected.to_vec()));
}
