//! Locks when memory runs out.

use super::{assert_counted, counts, say_all, HOUR};
use crate::support::Say;
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::Duration;

const LOCKS: i64 = 50;

/// A server that holds [`LOCKS`] locks, each of which once had a native expiry and was extended since.
fn server_with_locks(policy: &str) -> Server {
    let server =
        Server::builder().config("maxmemory-policy", policy).config("maxmemory-samples", "64").start();
    let mut client = server.connect();
    for number in 0..LOCKS {
        say_all(
            &mut client,
            &[
                &format!("LOCK.ACQUIRE lock:{number} a {HOUR}"),
                &format!("EXPIRE lock:{number} 1000"),
                &format!("LOCK.EXTEND lock:{number} a 1000"),
            ],
        );
    }
    server
}

/// From now on there is room for `more` bytes.
fn limit_memory(server: &Server, client: &mut Client, more: u64) {
    let limit = server.info_u64("memory", "used_memory") + more;
    say_all(client, &[&format!("CONFIG SET maxmemory {limit}")]);
}

/// Writes two megabytes of strings with these options behind SET, and returns how many were taken.
fn fill(client: &mut Client, options: &[&str]) -> usize {
    let value = "v".repeat(1000);
    let keys: Vec<String> = (0..2000).map(|number| format!("filler:{number}")).collect();
    let commands = keys.iter().map(|key| {
        let mut command = vec!["SET", key, &value];
        command.extend(options);
        command
    });
    let replies = client.pipeline(commands);
    replies.iter().filter(|reply| **reply == Reply::ok()).count()
}

#[test]
fn volatile_policies_pass_locks_by() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let server = server_with_locks(policy);
        let mut client = server.connect();
        limit_memory(&server, &mut client, 1_000_000);
        let before = counts(&server);
        assert_eq!(fill(&mut client, &["EX", "1000"]), 2000, "{policy}");
        assert!(server.info_u64("stats", "evicted_keys") > 0, "{policy}");
        let now = counts(&server);
        assert_eq!(now, before, "{policy}");
        assert_eq!(now["lock_held"], LOCKS);
    }
}

#[test]
fn with_a_native_expiry_a_lock_is_volatile() {
    let server = server_with_locks("volatile-ttl");
    let mut client = server.connect();
    for number in 0..LOCKS / 2 {
        say_all(&mut client, &[&format!("EXPIRE lock:{number} 10")]);
    }
    limit_memory(&server, &mut client, 1_000_000);
    fill(&mut client, &["EX", "1000"]);
    let now = counts(&server);
    assert_eq!((now["lock_held"], now["lock_removed"]), (LOCKS / 2, LOCKS / 2));
}

#[test]
fn allkeys_policies_can_evict_a_held_lock() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let server = server_with_locks(policy);
        let mut client = server.connect();
        let before = counts(&server);
        say_all(&mut client, &["CONFIG SET maxmemory 1"]);
        eventually(Duration::from_secs(20), || {
            client.say("SET filler v");
            client.say("DBSIZE") == Reply::Int(0)
        });
        assert_counted(&server, &before, &[("lock_held", -LOCKS), ("lock_removed", LOCKS)], policy);
    }
}

#[test]
fn without_memory_locks_are_not_granted_but_released_and_extended() {
    let server = server_with_locks("noeviction");
    let mut client = server.connect();
    say_all(&mut client, &["CONFIG SET maxmemory 1"]);
    let before = counts(&server);
    for line in ["LOCK.ACQUIRE new a 1000", "LOCK.ACQUIRE lock:1 a 1000", "LOCK.MACQUIRE 1 new a 1000"] {
        let reply = client.say(line);
        assert!(reply.text().starts_with("OOM "), "{line}: {reply:?}");
    }
    assert_eq!(counts(&server), before);
    for (line, expected) in [
        ("LOCK.EXTEND lock:1 a 7200000", 1),
        ("LOCK.MEXTEND 2 lock:1 lock:2 a 7200000", 1),
        ("LOCK.RELEASE lock:1 a", 1),
        ("LOCK.MRELEASE 2 lock:1 lock:2 a", 1),
    ] {
        assert_eq!(client.say(line), Reply::Int(expected), "{line}");
    }
    assert!(client.say("LOCK.TTL lock:3").int() > 0);
    assert_eq!(counts(&server)["lock_held"], LOCKS - 2);
}
