//! The commands that only read a lock: OWNER, TTL, INFO, CHECK.

use crate::support::{fresh, holds, settled, Hold, Say, LEAD};
use redis_lock_harness::{Reply, Server};

#[test]
fn the_owner_is_the_one_that_has_held_longest() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.say("LOCK.OWNER key"), Reply::Nil);
    for owner in ["c", "a", "b"] {
        client.take("key", owner, "SHARED");
    }
    client.say("LOCK.ACQUIRE key c 7200000 SHARED");
    for owner in ["c", "a", "b"] {
        assert_eq!(client.say("LOCK.OWNER key"), Reply::bulk(owner));
        client.say(&format!("LOCK.RELEASE key {owner}"));
    }
    assert_eq!(client.say("LOCK.OWNER key"), Reply::Nil);
}

#[test]
fn ttl_is_that_of_the_longest_hold() {
    let server = settled();
    let mut client = server.connect();
    assert_eq!(client.say("LOCK.TTL key"), Reply::Int(-2));
    client.take("key", "a", "SHARED");
    client.say("LOCK.ACQUIRE key b 7200000 SHARED");
    client.take("key", "c", "SHARED");
    assert!(fresh(client.say("LOCK.TTL key").int(), 7_200_000));
    client.say("LOCK.RELEASE key b");
    assert!(fresh(client.say("LOCK.TTL key").int(), 600_000));
    server.step_monotonic(300_000);
    assert!(fresh(client.say("LOCK.TTL key").int(), 300_000));
    server.step_monotonic(300_001);
    assert_eq!(client.say("LOCK.TTL key"), Reply::Int(-2));
}

#[test]
fn info_shows_the_whole_lock() {
    let server = settled();
    let mut client = server.connect();
    assert_eq!(client.say("LOCK.INFO key"), Reply::Nil);
    let first = client.take("key", "first", "LIMIT 5 META why");
    server.step_monotonic(100_000);
    let second = client.take("key", "second", "SHARED");
    let info = client.say("LOCK.INFO key");
    assert_eq!(names(&info), ["fence", "holders", "waiters"]);
    assert_eq!(info.get("fence"), &Reply::Int(second));
    assert_eq!(info.get("waiters"), &Reply::Array(vec![]));
    let holders = info.get("holders").array();
    assert_eq!(holders.len(), 2);
    for (holder, owner, fence, limit, meta, left, held) in [
        (&holders[0], "first", first, 5, "why", 500_000, 100_000),
        (&holders[1], "second", second, 0, "", 600_000, 0),
    ] {
        assert_eq!(names(holder), ["fence", "held-ms", "limit", "meta", "owner", "session", "ttl-ms"]);
        assert_eq!(holder.get("owner"), &Reply::bulk(owner));
        assert_eq!(holder.get("fence"), &Reply::Int(fence));
        assert_eq!(holder.get("limit"), &Reply::Int(limit));
        assert_eq!(holder.get("meta"), &Reply::bulk(meta));
        assert_eq!(holder.get("session"), &Reply::Int(0));
        assert!(fresh(holder.get("ttl-ms").int(), left), "{holder:?}");
        assert!((held..held + 60_000).contains(&holder.get("held-ms").int()), "{holder:?}");
    }
}

/// The names of the fields of a flat array, sorted.
fn names(flat: &Reply) -> Vec<&str> {
    let mut names: Vec<&str> = flat.array().chunks_exact(2).map(|pair| pair[0].text()).collect();
    names.sort_unstable();
    names
}

#[test]
fn info_shows_the_highest_token_and_the_oldest_holder_first() {
    let server = settled();
    let mut client = server.connect();
    let a = client.take("key", "a", "SHARED");
    let b = client.take("key", "b", "SHARED");
    let raised = b + LEAD / 2;
    assert_eq!(client.take("key", "a", &format!("SHARED FENCE {raised}")), raised);
    assert!(raised > a);
    assert_eq!(client.say("LOCK.INFO key").get("fence"), &Reply::Int(raised));
    assert_eq!(holds(&mut client, "key"), [Hold::plain("a", raised, 0), Hold::plain("b", b, 0)]);
    client.say("LOCK.RELEASE key a");
    assert_eq!(client.say("LOCK.INFO key").get("fence"), &Reply::Int(b));
    assert_eq!(client.say("LOCK.RELEASE key b"), Reply::Int(1));
    assert_eq!(client.say("LOCK.INFO key"), Reply::Nil);
}

#[test]
fn check_knows_exactly_the_live_tokens() {
    let server = settled();
    let mut client = server.connect();
    let fenced = |token: i64| Reply::error(format!("FENCED token {token} is not held"));
    assert_eq!(client.say("LOCK.CHECK key 5"), fenced(5));
    let a = client.take("key", "a", "LIMIT 2");
    let b = client.take("key", "b", "LIMIT 2");
    for token in [a, b] {
        assert_eq!(client.say(&format!("LOCK.CHECK key {token}")), Reply::Int(1));
        assert_eq!(client.say(&format!("LOCK.CHECK other {token}")), fenced(token));
    }
    for token in [1, a - 1, b + 1, i64::MAX] {
        assert_eq!(client.say(&format!("LOCK.CHECK key {token}")), fenced(token));
    }
    client.say("LOCK.RELEASE key a");
    assert_eq!(client.say(&format!("LOCK.CHECK key {a}")), fenced(a));
    assert_eq!(client.say(&format!("LOCK.CHECK key {b}")), Reply::Int(1));
    server.step_monotonic(600_001);
    assert_eq!(client.say(&format!("LOCK.CHECK key {b}")), fenced(b));
}
