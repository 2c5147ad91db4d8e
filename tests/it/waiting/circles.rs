//! Circles: who would wait for itself is told so at once.

use super::{ask, granted, holders, line, reply, waiter, waiter_saying, waiting};
use crate::keyspace::{assert_counted, counts, say_all};
use crate::support::Say;
use redis_lock_harness::{Client, Reply, Server};

fn circle_of(locks: usize) -> Reply {
    Reply::error(format!("DEADLOCK waiting would close a circle of {locks} locks"))
}

/// The reply to a request that is not to wait; if it waits all the same, then not for ever.
fn asked(server: &Server, request: &str) -> Reply {
    server.connect().say(&request.replace("BLOCK 0", "BLOCK 2000"))
}

/// Lets each of these owners hold a lock of its own name.
fn owners(client: &mut Client, owners: &[&str]) {
    for owner in owners {
        client.take(owner, owner, "");
    }
}

#[test]
fn two_locks() {
    let server = Server::start();
    let mut client = server.connect();
    owners(&mut client, &["a", "b"]);
    let mut first = waiter(&server, "b", "a", "");
    let before = counts(&server);
    for terms in ["", "SHARED", "LIMIT 7", "SESSION META why"] {
        assert_eq!(asked(&server, &ask("a", "b", terms)), circle_of(2), "{terms}");
    }
    assert_counted(&server, &before, &[("lock_deadlocks", 4)], "four circles");
    // Nothing else is disturbed: who waited waits on, and gets it.
    assert_eq!(line(&mut client, "b"), ["a"]);
    assert_eq!(line(&mut client, "a"), [""; 0]);
    assert_eq!((holders(&mut client, "a"), holders(&mut client, "b")), (vec!["a".into()], vec!["b".into()]));
    client.say("LOCK.RELEASE b b");
    granted(&mut first);
}

#[test]
fn as_many_locks_as_there_are_on_it() {
    for length in [3, 4, 17] {
        let server = Server::start();
        let mut client = server.connect();
        let names: Vec<String> = (0..length).map(|n| format!("o{n}")).collect();
        owners(&mut client, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let waits: Vec<Client> =
            names.windows(2).map(|pair| waiter(&server, &pair[1], &pair[0], "")).collect();
        // One that hangs on it, but is not on it.
        let _aside = waiter(&server, &names[1], "aside", "");
        let (first, last) = (&names[0], &names[length - 1]);
        assert_eq!(asked(&server, &ask(first, last, "")), circle_of(length));
        assert_eq!(client.say(&format!("LOCK.ACQUIRE {first} aside 1000 BLOCK 1")), Reply::Nil);
        assert_eq!(waiting(&server), waits.len() as u64 + 1);
    }
}

#[test]
fn different_keys_are_counted_once() {
    let server = Server::start();
    let mut client = server.connect();
    // `a` waits in the line of `x` behind `c`, who waits there for its holder `b`: one key, two steps.
    client.take("x", "b", "");
    client.take("y", "a", "");
    let _c = waiter(&server, "x", "c", "");
    let _a = waiter(&server, "x", "a", "");
    assert_eq!(asked(&server, &ask("y", "b", "")), circle_of(2));
}

#[test]
fn other_databases_do_not_matter() {
    let server = Server::start();
    let (mut client, mut other) = (server.connect(), server.connect());
    say_all(&mut other, &["SELECT 1"]);
    owners(&mut client, &["a", "b"]);
    owners(&mut other, &["a", "b"]);
    let mut first = waiter(&server, "b", "a", "");
    let mut there = server.connect();
    say_all(&mut there, &["SELECT 1"]);
    super::join(&server, &mut there, &ask("a", "b", ""));
    say_all(&mut client, &["LOCK.RELEASE b b"]);
    granted(&mut first);
    say_all(&mut other, &["LOCK.RELEASE a a"]);
    granted(&mut there);
}

/// A hold past its deadline, and a request that has left, are on no way.
#[test]
fn what_is_gone_closes_no_circle() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE a a 3600000");
    client.say("LOCK.ACQUIRE b b 3600000");
    let left = waiter_saying(&server, "LOCK.ACQUIRE b a 600000 BLOCK 600000");
    server.step_monotonic(700_000);
    let mut waits = waiter_after_timeout(&server, left);
    client.say("LOCK.RELEASE a a");
    granted(&mut waits);
}

fn waiter_after_timeout(server: &Server, mut left: Client) -> Client {
    let mut client = server.connect();
    client.send(ask("a", "b", "").split_whitespace());
    assert_eq!(reply(&mut left), Reply::Nil);
    client
}

#[test]
fn one_that_does_not_wait_never_gets_it() {
    let server = Server::start();
    let mut client = server.connect();
    owners(&mut client, &["a", "b"]);
    let _first = waiter(&server, "b", "a", "");
    for line in ["LOCK.ACQUIRE a b 1000", "LOCK.MACQUIRE 2 a free b 1000"] {
        assert_eq!(client.say(line), Reply::Nil, "{line}");
    }
    assert_eq!(super::at_once(&mut client, &[ask("a", "b", "").trim()]), [Reply::Nil]);
    assert_eq!(server.info_u64("lock", "lock_deadlocks"), 0);
}

#[test]
fn detection_can_be_turned_off() {
    let server = Server::builder().config("lock.deadlock-detection", "no").start();
    let mut client = server.connect();
    owners(&mut client, &["a", "b"]);
    let mut first = waiter(&server, "b", "a", "");
    assert_eq!(client.say("LOCK.ACQUIRE a b 600000 BLOCK 1"), Reply::Nil);
    say_all(&mut client, &["CONFIG SET lock.deadlock-detection yes"]);
    assert_eq!(asked(&server, &ask("a", "b", "")), circle_of(2));
    say_all(&mut client, &["CONFIG SET lock.deadlock-detection no"]);
    let mut third = waiter(&server, "a", "b", "");
    client.say("LOCK.RELEASE b b");
    granted(&mut first);
    client.say("LOCK.RELEASE a a");
    granted(&mut third);
    assert_eq!(server.info_u64("lock", "lock_deadlocks"), 1);
}
