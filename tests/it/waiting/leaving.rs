//! The ways out of the line, other than a grant.

use super::{ask, granted, holders, line, numbered, reply, waiter, waiting, BOUND};
use crate::events::Ears;
use crate::keyspace::{assert_counted, counts};
use crate::support::Say;
use redis_lock_harness::{eventually, Client, Reply, Server};

#[test]
fn client_unblock_ends_a_wait() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    client.take("k", "a", "");
    ears.heard();
    let before = counts(&server);
    for (kind, expected) in [
        ("", Reply::Nil),
        (" TIMEOUT", Reply::Nil),
        (" ERROR", Reply::error("UNBLOCKED client unblocked via CLIENT UNBLOCK")),
    ] {
        let (mut waiter, id) = numbered(&server, "k", "b", "");
        assert_eq!(client.say(&format!("CLIENT UNBLOCK {id}{kind}")), Reply::Int(1));
        assert_eq!(waiting(&server), 0);
        assert_eq!(reply(&mut waiter), expected, "{kind}");
        assert_eq!(client.say(&format!("CLIENT UNBLOCK {id}{kind}")), Reply::Int(0));
        assert!(waiter.say("LOCK.ACQUIRE other b 600000").int() > 0, "the client works on");
        waiter.say("LOCK.RELEASE other b");
    }
    assert_eq!(ears.heard().iter().filter(|event| event.contains(" k ")).count(), 0);
    assert_counted(&server, &before, &[("lock_acquired", 3), ("lock_released", 3)], "CLIENT UNBLOCK");
}

#[test]
fn a_client_that_is_gone_leaves_no_trace() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    client.take("k", "a", "");
    ears.heard();
    let before = counts(&server);
    let (waiter, _) = numbered(&server, "k", "b", "");
    drop(waiter);
    eventually(BOUND, || waiting(&server) == 0);
    let (mut waiter, id) = numbered(&server, "k", "b", "");
    assert_eq!(client.say(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
    eventually(BOUND, || waiting(&server) == 0);
    assert!(waiter.try_read().is_err(), "a killed client hears nothing");
    assert_eq!(client.say("LOCK.INFO k").get("waiters"), &Reply::Array(vec![]));
    client.say("LOCK.RELEASE k a");
    assert_eq!(ears.heard(), ["0 k lock.release", "0 k del"]);
    assert_counted(&server, &before, &[("lock_held", -1), ("lock_released", 1)], "who was gone");
}

#[test]
fn a_release_takes_its_owners_requests_out() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    assert!(client.say("LOCK.MACQUIRE 3 k l m a 600000").int() > 0);
    ears.heard();
    let before = counts(&server);
    for (release, keys) in [("LOCK.RELEASE k b", &["k"][..]), ("LOCK.MRELEASE 3 k l free b", &["k", "l"])] {
        let first: Vec<Client> = keys.iter().map(|key| waiter(&server, key, "b", "")).collect();
        let other = waiter(&server, "k", "c", "");
        let second: Vec<Client> = keys.iter().map(|key| waiter(&server, key, "b", "SHARED")).collect();
        let elsewhere = waiter(&server, "m", "b", "");
        assert_eq!(client.say(release), Reply::Int(0));
        for mut waiter in first.into_iter().chain(second) {
            assert_eq!(reply(&mut waiter), Reply::Nil, "{release}");
        }
        assert_eq!(line(&mut client, "k"), ["c"]);
        assert_eq!(line(&mut client, "m"), ["b"]);
        drop((other, elsewhere));
        eventually(BOUND, || waiting(&server) == 0);
    }
    assert_eq!(ears.heard(), [""; 0]);
    assert_counted(&server, &before, &[], "a release of nothing");
}

#[test]
fn a_string_over_the_key_sends_everybody_away() {
    let wrong = Reply::error("WRONGTYPE Operation against a key holding the wrong kind of value");
    for write in ["SET k v", "SUNIONSTORE k members", "RENAME other k", "COPY other k REPLACE"] {
        let server = Server::start();
        let mut client = server.connect();
        client.pipeline(["SADD members x".split(' '), "SET other v".split(' ')]);
        client.take("k", "a", "");
        let mut waiters = ["b", "c"].map(|owner| waiter(&server, "k", owner, ""));
        assert!(!client.say(write).is_error(), "{write}");
        for waiter in &mut waiters {
            assert_eq!(reply(waiter), wrong, "{write}");
        }
        eventually(BOUND, || waiting(&server) == 0);
        assert_eq!(server.info_u64("lock", "lock_acquired"), 1, "{write}");
        client.say("DEL k");
        assert!(waiters[0].say(&ask("k", "b", "")).int() > 0, "{write}");
    }
}

/// Gone again in the same step: what lies there in the end counts.
#[test]
fn a_string_that_is_gone_at_once_sends_nobody_away() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut waiter = waiter(&server, "k", "b", "");
    client.pipeline(["MULTI", "SET k v", "DEL k", "EXEC"].map(|line| line.split(' ')));
    granted(&mut waiter);
}

#[test]
fn a_change_of_role_sends_everybody_away() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut waiters = ["b", "c"].map(|owner| waiter(&server, "k", owner, ""));
    assert_eq!(client.say("REPLICAOF 127.0.0.1 1"), Reply::ok());
    for waiter in &mut waiters {
        let unblocked = waiter.read();
        assert!(unblocked.is_error() && unblocked.text().starts_with("UNBLOCKED "), "{unblocked:?}");
        assert!(waiter.try_run(["PING"]).is_err(), "the server closes such connections");
    }
    assert_eq!(waiting(&server), 0);
    assert_eq!(holders(&mut client, "k"), ["a"]);
    let read_only = client.say(&ask("k", "b", ""));
    assert!(read_only.text().starts_with("READONLY "), "{read_only:?}");
    client.say("REPLICAOF NO ONE");
    let mut waiter = waiter(&server, "k", "b", "");
    client.say("LOCK.RELEASE k a");
    granted(&mut waiter);
}

/// A lock is made at the end of a cycle while others wait for it; one of them is killed, and its memory gets
/// another use. Redis 7.0 keeps the last client in mind that a key was not ready for, and looks at it when the next
/// lock expires.
#[test]
fn killed_after_a_lock_was_made_at_the_end_of_a_cycle() {
    let server = Server::builder().config("appendonly", "yes").start();
    let mut client = server.connect();
    for round in 0..8 {
        client.take("k", "a", "");
        let mut next = waiter(&server, "k", "b", "");
        let (_killed, id) = numbered(&server, "k", "c", "");
        client.say("DEL k");
        granted(&mut next);
        assert_eq!(client.say(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
        let values = (400..1_800).step_by(8).map(|size| ("x".repeat(size), format!("{round}:{size}")));
        for (value, key) in values {
            client.say(&format!("SET {key} {value}"));
        }
        // Two go at once, so that they are replicated as a transaction.
        client.say("LOCK.MACQUIRE 2 l m d 1");
        eventually(BOUND, || client.say("EXISTS l m") == Reply::Int(0));
        assert_eq!(client.say("LOCK.RELEASE k b"), Reply::Int(1), "round {round}");
    }
}
