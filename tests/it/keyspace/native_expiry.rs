//! A native expiry, which only EXPIRE and its kin set on a lock.

use super::{assert_counted, counts, crowd, say_all, CROWD};
use crate::events::Ears;
use crate::support::{holds, Say};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::Duration;

/// What takes a native expiry off `lock`, held by `a` (shared, for an hour) beside others.
const TAKE_OFF: [&str; 10] = [
    "LOCK.ACQUIRE lock new 1000000 SHARED",
    "LOCK.ACQUIRE lock a 7200000 SHARED",
    "LOCK.ACQUIRE lock a 1000 SHARED",
    "LOCK.EXTEND lock a 7200000",
    "LOCK.EXTEND lock a 1000",
    "LOCK.EXTEND lock a 1000 FENCE 1",
    "LOCK.MACQUIRE 2 lock x new 1000000 SHARED",
    "LOCK.MACQUIRE 1 lock a 1000 SHARED",
    "LOCK.MEXTEND 1 lock a 7200000",
    "LOCK.MEXTEND 1 lock a 1000",
];

/// What leaves it.
const LEAVE: [&str; 11] = [
    "LOCK.ACQUIRE lock new 1000000",
    "LOCK.ACQUIRE lock a 1000000 LIMIT 2",
    "LOCK.ACQUIRE lock a 0",
    "LOCK.EXTEND lock new 1000000",
    "LOCK.RELEASE lock new",
    "LOCK.MACQUIRE 2 lock x new 1000000",
    "LOCK.MEXTEND 2 lock none a 1000000",
    "LOCK.MRELEASE 1 lock new",
    "LOCK.OWNER lock",
    "LOCK.TTL lock",
    "LOCK.INFO lock",
];

#[test]
fn grants_and_extensions_take_it_off_here_and_on_a_replica() {
    let server = Server::builder().tcp().start();
    let replica = server.replica();
    let (mut client, mut copy) = (server.connect(), replica.connect());
    for line in TAKE_OFF {
        client.say("FLUSHALL");
        crowd(&mut client, "lock");
        assert_eq!(client.say("EXPIRE lock 1000"), Reply::Int(1));
        server.wait_synced(&replica);
        assert!(copy.say("PTTL lock").int() > 0, "before {line}");
        let reply = client.say(line);
        assert!(!reply.is_error() && !reply.is_nil(), "{line}: {reply:?}");
        assert_eq!(client.say("PTTL lock"), Reply::Int(-1), "{line}");
        server.wait_synced(&replica);
        assert_eq!(copy.say("PTTL lock"), Reply::Int(-1), "{line} on the replica");
    }
}

#[test]
fn they_take_it_off_in_the_aof() {
    let mut server = Server::builder().config("appendonly", "yes").start();
    let mut client = server.connect();
    for (number, line) in TAKE_OFF.into_iter().enumerate() {
        say_all(&mut client, &["DEL lock x"]);
        crowd(&mut client, "lock");
        say_all(&mut client, &["EXPIRE lock 1000", line]);
        say_all(&mut client, &[&format!("RENAME lock lock:{number}")]);
    }
    say_all(&mut client, &["LOCK.ACQUIRE control a 1000000", "EXPIRE control 1000"]);
    server.restart();
    let mut client = server.connect();
    for (number, line) in TAKE_OFF.into_iter().enumerate() {
        let left = client.say(&format!("PTTL lock:{number}"));
        assert_eq!(left, Reply::Int(-1), "{line}");
    }
    assert!(client.say("PTTL control").int() > 0);
}

#[test]
fn refusals_and_reads_leave_it() {
    let server = Server::start();
    let mut client = server.connect();
    crowd(&mut client, "lock");
    say_all(&mut client, &["EXPIRE lock 1000"]);
    for line in LEAVE {
        client.say(line);
        assert!(client.say("PTTL lock").int() > 0, "{line}");
    }
}

#[test]
fn persist_and_expire_work_and_leave_the_deadlines() {
    let server = Server::start();
    let mut client = server.connect();
    let held = crowd(&mut client, "lock");
    for (line, expected) in [
        ("EXPIRE lock 1000", 1),
        ("EXPIRE lock 500 GT", 0),
        ("PEXPIRE lock 2000000 GT", 1),
        ("PERSIST lock", 1),
        ("PERSIST lock", 0),
        ("TTL lock", -1),
        ("EXPIREAT lock 99999999999", 1),
        ("PERSIST lock", 1),
    ] {
        assert_eq!(client.say(line), Reply::Int(expected), "{line}");
        assert_eq!(holds(&mut client, "lock"), held, "{line}");
        assert!(client.say("LOCK.TTL lock").int() > 3_000_000, "{line}");
    }
}

#[test]
fn a_lock_whose_native_expiry_comes_is_removed_by_core() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    crowd(&mut client, "lock");
    ears.heard();
    let before = counts(&server);
    say_all(&mut client, &["PEXPIRE lock 20"]);
    assert_eq!(ears.until("0 lock expired"), ["0 lock expire", "0 lock expired"]);
    assert_eq!(client.say("LOCK.OWNER lock"), Reply::Nil);
    let gone = CROWD as i64;
    assert_counted(&server, &before, &[("lock_held", -gone), ("lock_removed", gone)], "PEXPIRE");
    assert!(client.take("lock", "new", "") > 0);
}

/// The server does not look for expired keys by itself: the LOCK command meets one first.
#[test]
fn a_command_that_meets_an_expired_key_finds_no_lock() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["DEBUG SET-ACTIVE-EXPIRE 0"]);
    for (line, expected) in [
        ("LOCK.OWNER lock", Reply::Nil),
        ("LOCK.TTL lock", Reply::Int(-2)),
        ("LOCK.INFO lock", Reply::Nil),
        ("LOCK.RELEASE lock a", Reply::Int(0)),
        ("LOCK.EXTEND lock a 1000000", Reply::Int(0)),
        ("LOCK.MRELEASE 1 lock a", Reply::Int(0)),
        ("LOCK.MEXTEND 1 lock a 1000000", Reply::Int(0)),
    ] {
        crowd(&mut client, "lock");
        let before = counts(&server);
        assert_eq!(after_native_expiry(&mut client, line), expected, "{line}");
        assert_eq!(client.say("EXISTS lock"), Reply::Int(0), "{line}");
        let gone = CROWD as i64;
        assert_counted(&server, &before, &[("lock_held", -gone), ("lock_removed", gone)], line);
    }
    for line in ["LOCK.ACQUIRE lock new 1000000", "LOCK.MACQUIRE 1 lock new 1000000"] {
        let highest = crowd(&mut client, "lock").iter().map(|hold| hold.fence).max();
        let token = after_native_expiry(&mut client, line).int();
        assert!(Some(token) > highest, "{line}");
        assert_eq!(holds(&mut client, "lock").len(), 1, "{line}");
        assert_eq!(client.say("PTTL lock"), Reply::Int(-1), "{line}");
        say_all(&mut client, &["DEL lock"]);
    }
}

fn after_native_expiry(client: &mut Client, line: &str) -> Reply {
    let commands = ["PEXPIRE lock 5", "DEBUG SLEEP 0.02", line];
    let mut replies = client.pipeline(commands.map(|line| line.split(' ')));
    replies.remove(2)
}

#[test]
fn the_native_expiry_does_not_shorten_what_a_later_grant_promised() {
    let server = Server::start();
    let mut client = server.connect();
    let commands = [
        "LOCK.ACQUIRE lock a 3600000",
        "LOCK.ACQUIRE other a 40",
        "PEXPIRE lock 20",
        "LOCK.EXTEND lock a 1000",
    ];
    let replies = client.pipeline(commands.map(|line| line.split(' ')));
    assert_eq!(replies[3], Reply::Int(1));
    // Later than the native expiry would have been.
    eventually(Duration::from_secs(20), || client.say("EXISTS other").int() == 0);
    assert_eq!(client.say("LOCK.OWNER lock"), Reply::bulk("a"));
}

/// Both ends come while the server is busy, so the reclaim is the first to meet the key: core removes it
/// under its hands, and the locks that are due later must not suffer from that.
#[test]
fn a_reclaim_that_meets_an_expired_key_leaves_other_locks_alone() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["DEBUG SET-ACTIVE-EXPIRE 0"]);
    for round in 0..3 {
        for other in ["later", "last"] {
            assert!(client.say(&format!("LOCK.ACQUIRE {other} a 400")).int() > 0, "round {round}");
        }
        assert!(client.say("LOCK.ACQUIRE lock a 20").int() > 0, "round {round}");
        say_all(&mut client, &["PEXPIRE lock 20", "DEBUG SLEEP 0.05"]);
        eventually(Duration::from_secs(20), || server.info_u64("lock", "lock_held") == 0);
        for key in ["lock", "later", "last"] {
            assert_eq!(client.say(&format!("EXISTS {key}")), Reply::Int(0), "{key}, round {round}");
        }
    }
}
