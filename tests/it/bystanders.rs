//! What has nothing to do with locks is left as it was.

use crate::support::Say;
use redis_lock_harness::{eventually, Reply, Server};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(20);

fn idle(client: &mut redis_lock_harness::Client, key: &str) -> i64 {
    client.say(&format!("OBJECT IDLETIME {key}")).int()
}

#[test]
fn loading_a_data_set_is_no_use_of_its_keys() {
    let server = Server::builder().config("maxmemory-policy", "allkeys-lru").start();
    let mut client = server.connect();
    client.say("SET key value");
    assert!(client.say("LOCK.ACQUIRE lock me 600000").int() > 0);
    eventually(BOUND, || idle(&mut client, "key") >= 2 && idle(&mut client, "lock") >= 2);
    let hits = server.info_u64("stats", "keyspace_hits");
    assert_eq!(client.say("DEBUG RELOAD"), Reply::ok());
    // One is the lock itself, where the server can't be told not to count it (7.0).
    assert!(server.info_u64("stats", "keyspace_hits") <= hits + 1);
    assert!(idle(&mut client, "key") >= 2);
    assert!(idle(&mut client, "lock") >= 2);
    assert_eq!(client.say("LOCK.OWNER lock").text(), "me");
}

#[test]
fn restoring_a_key_leaves_its_idle_time() {
    let server = Server::builder().config("maxmemory-policy", "allkeys-lru").start();
    let mut client = server.connect();
    client.say("SET key value");
    assert!(client.say("LOCK.ACQUIRE lock me 600000").int() > 0);
    for (from, to) in [("lock", "lock2"), ("key", "key2")] {
        let Reply::Bulk(dump) = client.run(["DUMP", from]) else { panic!("{from} has a dump") };
        let words: [&[u8]; 6] = [b"RESTORE", to.as_bytes(), b"0", &dump, b"IDLETIME", b"1000"];
        assert_eq!(client.run(words), Reply::ok());
        assert!(idle(&mut client, to) >= 1000, "{to}");
    }
    assert_eq!(client.say("LOCK.OWNER lock2").text(), "me");
}

#[test]
fn a_release_is_no_work_for_the_background_thread() {
    let server = Server::builder().config("lazyfree-lazy-server-del", "yes").start();
    let mut client = server.connect();
    for round in 0..50 {
        assert!(client.say("LOCK.ACQUIRE lock me 600000").int() > 0, "round {round}");
        assert_eq!(client.say("LOCK.RELEASE lock me").int(), 1, "round {round}");
    }
    assert_eq!(server.info_u64("memory", "lazyfreed_objects"), 0);
}
