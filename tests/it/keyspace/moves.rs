//! Commands that give a lock another name or database.

use super::{assert_counted, counts, crowd, say_all, CROWD, HOUR};
use crate::events::Ears;
use crate::support::{holds, Say};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::Duration;

/// Where a lock goes: the command for key `lock` in database 0, then database and name after it.
const MOVES: [(&str, &str, &str); 5] = [
    ("RENAME lock moved", "0", "moved"),
    ("RENAMENX lock moved", "0", "moved"),
    ("MOVE lock 1", "1", "lock"),
    ("SWAPDB 0 3", "3", "lock"),
    ("SWAPDB 3 0", "3", "lock"),
];

#[test]
fn holds_go_with_the_lock_and_nothing_is_counted() {
    let server = Server::start();
    let mut client = server.connect();
    for (line, db, key) in MOVES {
        say_all(&mut client, &["FLUSHALL", "SELECT 0"]);
        let held = crowd(&mut client, "lock");
        let ttl = client.say("LOCK.TTL lock").int();
        let before = counts(&server);
        let reply = client.say(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
        assert_eq!(client.say("LOCK.OWNER lock"), Reply::Nil, "{line}");
        assert_eq!(client.say("LOCK.RELEASE lock a"), Reply::Int(0), "{line}");
        client.say(&format!("SELECT {db}"));
        assert_eq!(holds(&mut client, key), held, "{line}");
        let left = client.say(&format!("LOCK.TTL {key}")).int();
        assert!(ttl - 60_000 < left && left <= ttl, "{line}: {ttl} ms before, {left} ms now");
        assert_eq!(client.say(&format!("PTTL {key}")), Reply::Int(-1), "{line}");
        assert_counted(&server, &before, &[], line);
        let crowded = format!("LOCK.ACQUIRE {key} d {HOUR}");
        assert_eq!(client.say(&crowded), Reply::Nil, "{line}");
        for owner in ["a", "b", "c"] {
            let release = format!("LOCK.RELEASE {key} {owner}");
            assert_eq!(client.say(&release), Reply::Int(1), "{line}");
        }
        assert_eq!(counts(&server)["lock_held"], 0, "{line}");
    }
}

#[test]
fn the_deadline_comes_under_the_new_name() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    for (line, db, key) in MOVES {
        say_all(&mut client, &["FLUSHALL", "SELECT 0"]);
        ears.heard();
        let before = counts(&server);
        let acquire = "LOCK.ACQUIRE lock a 30";
        // In one write, so that the deadline can't come before the move.
        let replies = client.pipeline([acquire.split(' '), line.split(' ')]);
        assert!(replies.iter().all(|reply| !reply.is_error()), "{line}: {replies:?}");
        let heard = ears.until(&format!("{db} {key} del"));
        let ends: Vec<&str> = heard
            .iter()
            .map(String::as_str)
            .filter(|event| event.ends_with("lock.expired") || event.ends_with("del"))
            .collect();
        let expired = format!("{db} {key} lock.expired");
        assert_eq!(ends, [expired.as_str(), &format!("{db} {key} del")], "{line}");
        let expected = [("lock_acquired", 1), ("lock_expired", 1)];
        assert_counted(&server, &before, &expected, line);
    }
}

#[test]
fn the_old_name_is_free_at_once() {
    let server = Server::start();
    let mut client = server.connect();
    for (line, db, key) in MOVES {
        say_all(&mut client, &["FLUSHALL", "SELECT 0"]);
        let first = client.take("lock", "a", "");
        say_all(&mut client, &[line]);
        let second = client.take("lock", "b", "");
        assert!(second > first, "{line}");
        assert_eq!(client.say("LOCK.RELEASE lock a"), Reply::Int(0), "{line}");
        client.say(&format!("SELECT {db}"));
        assert_eq!(client.say(&format!("LOCK.OWNER {key}")), Reply::bulk("a"));
        assert_eq!(counts(&server)["lock_held"], 2, "{line}");
    }
}

#[test]
fn a_lock_that_another_is_renamed_over_counts_as_removed() {
    let server = Server::start();
    let mut client = server.connect();
    let gone = CROWD as i64;
    for line in ["RENAME from to", "EVAL redis.call('rename',KEYS[1],KEYS[2]) 2 from to"] {
        crowd(&mut client, "to");
        client.take("from", "x", "");
        let (moved, before) = (holds(&mut client, "from"), counts(&server));
        let reply = client.say(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
        assert_eq!(holds(&mut client, "to"), moved, "{line}");
        assert_counted(&server, &before, &[("lock_held", -gone), ("lock_removed", gone)], line);
        say_all(&mut client, &["LOCK.RELEASE to x"]);
    }
}

#[test]
fn moves_that_are_refused_leave_both_locks() {
    let server = Server::start();
    let mut client = server.connect();
    let other = crowd(&mut client, "lock");
    say_all(&mut client, &["MOVE lock 1"]);
    let held = crowd(&mut client, "lock");
    let target = crowd(&mut client, "target");
    let before = counts(&server);
    for line in ["MOVE lock 1", "RENAMENX lock target"] {
        assert_eq!(client.say(line), Reply::Int(0), "{line}");
    }
    for line in ["MOVE lock 0", "MOVE lock 99", "SWAPDB 0 99", "RENAME none lock"] {
        assert!(client.say(line).is_error(), "{line}");
    }
    say_all(&mut client, &["SWAPDB 0 0"]);
    assert_counted(&server, &before, &[], "refused moves");
    assert_eq!(holds(&mut client, "lock"), held);
    assert_eq!(holds(&mut client, "target"), target);
    client.say("SELECT 1");
    assert_eq!(holds(&mut client, "lock"), other);
}

#[test]
fn swapdb_moves_the_locks_of_both_databases() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let replies = client.pipeline(
        [
            "MULTI",
            "LOCK.ACQUIRE long zero 3600000",
            "LOCK.ACQUIRE short zero 40",
            "SELECT 1",
            "LOCK.ACQUIRE long one 3600000",
            "LOCK.ACQUIRE brief one 40",
            "SWAPDB 0 1",
            "EXEC",
        ]
        .map(|line| line.split(' ')),
    );
    assert!(replies[7].array().iter().all(|reply| !reply.is_error()), "{replies:?}");
    let mut heard = Vec::new();
    eventually(Duration::from_secs(20), || {
        heard.extend(ears.heard());
        heard.iter().filter(|event| event.ends_with("del")).count() == 2
    });
    heard.retain(|event| event.ends_with("lock.expired"));
    heard.sort();
    assert_eq!(heard, ["0 brief lock.expired", "1 short lock.expired"]);
    assert_eq!(owner_in(&mut client, "0"), Reply::bulk("one"));
    assert_eq!(owner_in(&mut client, "1"), Reply::bulk("zero"));
    assert_eq!(counts(&server)["lock_held"], 2);
    say_all(&mut client, &["FLUSHDB"]);
    assert_eq!(counts(&server)["lock_held"], 1);
    assert_eq!(owner_in(&mut client, "0"), Reply::bulk("one"));
}

fn owner_in(client: &mut Client, db: &str) -> Reply {
    client.say(&format!("SELECT {db}"));
    client.say("LOCK.OWNER long")
}

#[test]
fn the_same_key_is_another_lock_in_each_database() {
    let server = Server::builder().config("databases", "64").start();
    let mut client = server.connect();
    let mut last = 0;
    for db in 0..64 {
        say_all(&mut client, &[&format!("SELECT {db}")]);
        let token = client.take("lock", &format!("owner-{db}"), "");
        assert!(token > last, "tokens rise over all databases");
        last = token;
    }
    for db in 0..64 {
        say_all(&mut client, &[&format!("SELECT {db}")]);
        let owner = format!("owner-{db}");
        assert_eq!(client.say("LOCK.OWNER lock"), Reply::bulk(&owner));
        let release = format!("LOCK.RELEASE lock {owner}");
        assert_eq!(client.say(&release), Reply::Int(1));
    }
    assert_eq!(counts(&server)["lock_held"], 0);
}

/// In a transaction a server may tell the module the transaction's database instead of the key's.
#[test]
fn moves_in_a_transaction_take_the_deadline_along() {
    let server = Server::start();
    let mut client = server.connect();
    for (line, db, key) in MOVES {
        say_all(&mut client, &["FLUSHALL", "SELECT 0", "LOCK.ACQUIRE lock a 300", "MULTI", line, "EXEC"]);
        let elsewhere = format!("SELECT {db}");
        say_all(&mut client, &[&elsewhere, "MULTI", "SELECT 5", "LOCK.ACQUIRE there a 300", "EXEC"]);
        assert_eq!(server.info_u64("lock", "lock_held"), 2, "{line}");
        eventually(Duration::from_secs(20), || server.info_u64("lock", "lock_held") == 0);
        for (db, key) in [(db, key), ("5", "there")] {
            client.say(&format!("SELECT {db}"));
            assert_eq!(client.say(&format!("EXISTS {key}")), Reply::Int(0), "{line}, {key} in {db}");
        }
    }
}
