//! Commands that only look at a lock.

use super::{assert_counted, counts, crowd, CROWD};
use crate::support::{holds, settled, Say};
use redis_lock_harness::{Client, Reply, Server};

#[test]
fn generic_reads_answer_as_for_any_key() {
    let server = Server::start();
    let mut client = server.connect();
    let held = crowd(&mut client, "lock");
    let before = counts(&server);
    let cases = [
        ("TYPE lock", Reply::Simple("redislock".into())),
        ("EXISTS lock lock none", Reply::Int(2)),
        ("TOUCH lock none", Reply::Int(1)),
        ("TTL lock", Reply::Int(-1)),
        ("PTTL lock", Reply::Int(-1)),
        ("EXPIRETIME lock", Reply::Int(-1)),
        ("PEXPIRETIME lock", Reply::Int(-1)),
        ("PERSIST lock", Reply::Int(0)),
        ("DBSIZE", Reply::Int(1)),
        ("KEYS lo*", Reply::Array(vec![Reply::bulk("lock")])),
        ("RANDOMKEY", Reply::bulk("lock")),
        ("OBJECT REFCOUNT lock", Reply::Int(1)),
        ("RENAMENX lock lock", Reply::Int(0)),
        ("RENAME lock lock", Reply::ok()),
        ("SETNX lock v", Reply::Int(0)),
        ("SET lock v NX", Reply::Nil),
        ("MSETNX free v lock v", Reply::Int(0)),
        ("EXPIRE lock 1000 XX", Reply::Int(0)),
    ];
    for (line, expected) in cases {
        assert_eq!(client.say(line), expected, "{line}");
        assert_eq!(holds(&mut client, "lock"), held, "{line}");
        assert_counted(&server, &before, &[], line);
    }
    assert_eq!(client.say("EXISTS free"), Reply::Int(0));
}

#[test]
fn object_memory_and_debug_answer() {
    let server = Server::start();
    let mut client = server.connect();
    let held = crowd(&mut client, "lock");
    assert!(!client.say("OBJECT ENCODING lock").text().is_empty());
    assert!(client.say("OBJECT IDLETIME lock").int() >= 0);
    assert!(client.say("OBJECT FREQ lock").is_error(), "without an LFU policy");
    client.say("CONFIG SET maxmemory-policy allkeys-lfu");
    assert!(client.say("OBJECT FREQ lock").int() >= 0);
    assert!(client.say("DEBUG OBJECT lock").text().contains("encoding:"));
    let digest = client.say("DEBUG DIGEST-VALUE lock");
    assert_ne!(digest.array()[0].text(), "0".repeat(40));
    assert!(client.say("DUMP lock").bytes().len() > 10);
    assert_eq!(holds(&mut client, "lock"), held);
}

#[test]
fn scan_finds_locks_by_their_type() {
    let server = Server::start();
    let mut client = server.connect();
    for number in 0..25 {
        client.take(&format!("lock:{number}"), "a", "");
        client.say(&format!("SET string:{number} v"));
    }
    let mut found = scan(&mut client, "redislock");
    found.sort();
    let mut expected: Vec<String> = (0..25).map(|number| format!("lock:{number}")).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(scan(&mut client, "string").len(), 25);
}

fn scan(client: &mut Client, kind: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), "0".to_string());
    loop {
        let page = client.say(&format!("SCAN {cursor} TYPE {kind}"));
        let [next, keys] = page.array() else { panic!("not a page of SCAN: {page:?}") };
        found.extend(keys.array().iter().map(|key| key.text().to_string()));
        cursor = next.text().into();
        if cursor == "0" {
            return found;
        }
    }
}

#[test]
fn memory_usage_counts_every_hold_with_its_texts() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("one", "a", "");
    let usage = |client: &mut Client, key: &str| client.say(&format!("MEMORY USAGE {key}")).int();
    let one = usage(&mut client, "one");
    assert!(one > 50, "{one}");
    let meta = "m".repeat(500);
    for owner in 0..100 {
        let owner = format!("{owner:0400}");
        client.run(["LOCK.ACQUIRE", "many", &owner, "3600000", "SHARED", "META", &meta]);
    }
    let many = usage(&mut client, "many");
    assert!(many > one + 100 * 900, "100 holds with 900 bytes each: {many}");
    assert!(many < one + 100 * 4000, "{many}");
}

#[test]
fn the_digest_tells_holds_apart_but_not_their_deadlines() {
    let server = settled();
    let mut client = server.connect();
    crowd(&mut client, "lock");
    let digest = |client: &mut Client| client.say("DEBUG DIGEST").text().to_string();
    let first = digest(&mut client);
    assert_eq!(client.say("LOCK.EXTEND lock a 7200000"), Reply::Int(1));
    assert_eq!(digest(&mut client), first, "a deadline is not in it");
    assert!(client.say("LOCK.ACQUIRE lock d 1000000 SHARED").int() > 0);
    let more = digest(&mut client);
    assert_ne!(more, first, "a hold is in it");
    assert_eq!(client.say("LOCK.RELEASE lock d"), Reply::Int(1));
    assert_eq!(digest(&mut client), first);
    assert!(client.say("LOCK.EXTEND lock a 1000 FENCE 1").int() > 1);
    assert_eq!(digest(&mut client), first, "a token that did not rise");
    let token = holds(&mut client, "lock").iter().map(|hold| hold.fence).max().unwrap_or(0);
    let raised = client.say(&format!("LOCK.EXTEND lock a 1000 FENCE {}", token + 100));
    assert_eq!(raised, Reply::Int(token + 100));
    assert_ne!(digest(&mut client), first, "a token is in it");
    assert_eq!(holds(&mut client, "lock").len(), CROWD);
}
