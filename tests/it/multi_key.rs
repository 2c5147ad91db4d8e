//! MACQUIRE, MEXTEND and MRELEASE, sentence by sentence of the reference.

use crate::support::{fresh, holds, settled, Hold, Say};
use redis_lock_harness::{Client, Reply, Server};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// Takes a, b and c at once; the token.
#[track_caller]
fn take_all(client: &mut Client, owner: &str, terms: &str) -> i64 {
    client.say(&format!("LOCK.MACQUIRE 3 a b c {owner} 600000 {terms}")).int()
}

/// Whether a lock has this one hold.
#[track_caller]
fn held_by_one(client: &mut Client, key: &str, owner: &str, fence: i64) {
    assert_eq!(holds(client, key), [Hold::plain(owner, fence, 1)], "{key}");
}

#[test]
fn all_keys_get_one_new_token() {
    let server = Server::start();
    let mut client = server.connect();
    let before = client.take("other", "me", "");
    let token = take_all(&mut client, "me", "");
    assert!(token > before);
    for key in KEYS {
        held_by_one(&mut client, key, "me", token);
        assert!(fresh(client.run(["LOCK.TTL", key]).int(), 600_000));
        assert_eq!(client.run(["LOCK.CHECK", key, &token.to_string()]), Reply::Int(1));
    }
    assert!(client.take("other2", "me", "") > token);
}

#[test]
fn one_key_held_by_another_refuses_all_and_changes_none() {
    let server = Server::start();
    let mut client = server.connect();
    for (refusing, own) in [("a", "b"), ("b", "c"), ("c", "a")] {
        client.take(refusing, "you", "");
        client.take(own, "me", "META text");
        let before = KEYS.map(|key| holds(&mut client, key));
        assert_eq!(client.say("LOCK.MACQUIRE 3 a b c me 7200000 META other"), Reply::Nil, "{refusing}");
        assert_eq!(KEYS.map(|key| holds(&mut client, key)), before);
        assert!(fresh(client.run(["LOCK.TTL", own]).int(), 600_000));
        client.say("FLUSHALL");
    }
}

#[test]
fn whoever_holds_some_or_under_several_tokens_gets_a_new_one_for_all() {
    let server = Server::start();
    let mut client = server.connect();
    for held in [&["b"][..], &["a", "c"], &KEYS] {
        let tokens: Vec<i64> = held.iter().map(|key| client.take(key, "me", "META text")).collect();
        let token = take_all(&mut client, "me", "");
        assert!(tokens.iter().all(|old| token > *old));
        for key in KEYS {
            let meta = if held.contains(&key) { "text" } else { "" };
            let hold = Hold { meta: meta.into(), ..Hold::plain("me", token, 1) };
            assert_eq!(holds(&mut client, key), [hold], "re-acquired, the text stays");
        }
        assert_eq!(take_all(&mut client, "me", ""), token);
        client.say("FLUSHALL");
    }
}

#[test]
fn whoever_holds_all_under_one_token_keeps_it() {
    let server = Server::start();
    let mut client = server.connect();
    let token = take_all(&mut client, "me", "META first");
    client.take("other", "me", "");
    assert_eq!(take_all(&mut client, "me", ""), token);
    assert_eq!(client.say("LOCK.MACQUIRE 3 c a b me 1000"), Reply::Int(token), "in any order");
    assert!(fresh(client.say("LOCK.TTL b").int(), 600_000), "never shortened");
    assert_eq!(client.say("LOCK.MACQUIRE 2 a b me 7200000 META second"), Reply::Int(token));
    for (key, ttl, meta) in [("a", 7_200_000, "second"), ("b", 7_200_000, "second"), ("c", 600_000, "first")]
    {
        assert!(fresh(client.run(["LOCK.TTL", key]).int(), ttl), "{key}");
        let hold = Hold { meta: meta.into(), ..Hold::plain("me", token, 1) };
        assert_eq!(holds(&mut client, key), [hold]);
    }
}

#[test]
fn a_key_named_twice_counts_once() {
    let server = Server::start();
    let mut client = server.connect();
    let token = client.say("LOCK.MACQUIRE 4 a a b a me 600000").int();
    held_by_one(&mut client, "a", "me", token);
    held_by_one(&mut client, "b", "me", token);
    assert_eq!(server.info_u64("lock", "lock_held"), 2);
    assert_eq!(server.info_u64("lock", "lock_acquired"), 2);
    assert_eq!(client.say("LOCK.MACQUIRE 3 a a b me 600000"), Reply::Int(token));
    assert_eq!(client.say("LOCK.MEXTEND 3 a a b me 7200000"), Reply::Int(1));
    assert_eq!(client.say("LOCK.MEXTEND 3 a a b me 7200000 FENCE 1"), Reply::Int(token));
    assert_eq!(client.say("LOCK.MRELEASE 5 a b a b a me"), Reply::Int(2));
    assert_eq!(client.say("DBSIZE"), Reply::Int(0));
}

#[test]
fn mextend_extends_all_or_none() {
    let server = Server::start();
    let mut client = server.connect();
    let token = take_all(&mut client, "me", "");
    assert_eq!(client.say("LOCK.MEXTEND 3 a b c me 1000"), Reply::Int(1));
    assert!(fresh(client.say("LOCK.TTL a").int(), 600_000), "never shortened");
    assert_eq!(client.say("LOCK.MEXTEND 2 a b me 7200000"), Reply::Int(1));
    client.take("theirs", "you", "");
    for line in ["2 c free", "2 free c", "2 c theirs", "3 theirs c a", "1 free"] {
        assert_eq!(client.say(&format!("LOCK.MEXTEND {line} me 7200000")), Reply::Int(0), "{line}");
        assert_eq!(client.say(&format!("LOCK.MEXTEND {line} me 7200000 FENCE 1")), Reply::Int(0), "{line}");
    }
    for (key, ttl) in [("a", 7_200_000), ("b", 7_200_000), ("c", 600_000)] {
        assert!(fresh(client.run(["LOCK.TTL", key]).int(), ttl), "{key}");
        held_by_one(&mut client, key, "me", token);
    }
    assert_eq!(client.say("EXISTS free"), Reply::Int(0));
}

#[test]
fn mextend_revives_nothing() {
    let server = settled();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE long me 7200000");
    client.take("short", "me", "");
    server.step_monotonic(600_001);
    assert_eq!(client.say("LOCK.MEXTEND 2 long short me 7200000"), Reply::Int(0));
    assert!(fresh(client.say("LOCK.TTL long").int(), 6_600_000));
    assert_eq!(client.say("LOCK.OWNER short"), Reply::Nil);
    assert_eq!(client.say("LOCK.MRELEASE 2 long short me"), Reply::Int(1));
}

#[test]
fn mrelease_says_how_many_were_released() {
    let server = settled();
    let mut client = server.connect();
    assert_eq!(client.say("LOCK.MRELEASE 3 a b c me"), Reply::Int(0));
    take_all(&mut client, "me", "");
    let yours = client.take("theirs", "you", "");
    assert_eq!(client.say("LOCK.MRELEASE 4 a theirs free c me"), Reply::Int(2));
    held_by_one(&mut client, "theirs", "you", yours);
    assert_eq!(client.say("LOCK.OWNER b"), Reply::bulk("me"));
    assert_eq!(client.say("EXISTS a c"), Reply::Int(0));
    assert_eq!(client.say("LOCK.MRELEASE 3 a b c me"), Reply::Int(1));
    take_all(&mut client, "me", "");
    server.step_monotonic(600_001);
    assert_eq!(client.say("LOCK.MRELEASE 3 a b c me"), Reply::Int(0), "expired");
}

#[test]
fn single_and_several_are_the_same_locks() {
    let server = Server::start();
    let mut client = server.connect();
    let token = take_all(&mut client, "me", "");
    assert_eq!(client.take("a", "me", ""), token);
    assert_eq!(client.say("LOCK.EXTEND b me 7200000"), Reply::Int(1));
    assert_eq!(client.say("LOCK.RELEASE c me"), Reply::Int(1));
    let single = client.say("LOCK.MACQUIRE 1 c me 600000").int();
    assert!(single > token);
    assert_eq!(client.take("c", "me", ""), single);
    assert_eq!(client.say("LOCK.MRELEASE 3 a b c me"), Reply::Int(3));
}

#[test]
fn a_thousand_keys_at_once() {
    let server = Server::start();
    let mut client = server.connect();
    let keys: Vec<String> = (0..1000).map(|n| format!("key{n}")).collect();
    let line = |command: &str, rest: &str| format!("{command} 1000 {} me {rest}", keys.join(" "));
    let token = client.say(&line("LOCK.MACQUIRE", "600000")).int();
    assert!(keys.iter().all(|key| holds(&mut client, key) == [Hold::plain("me", token, 1)]));
    assert_eq!(client.say(&line("LOCK.MACQUIRE", "600000")), Reply::Int(token));
    assert_eq!(client.say(&line("LOCK.MEXTEND", "600000")), Reply::Int(1));
    assert_eq!(server.info_u64("lock", "lock_held"), 1000);
    assert_eq!(client.say(&line("LOCK.MRELEASE", "")), Reply::Int(1000));
    assert_eq!(client.say("DBSIZE"), Reply::Int(0));
}

#[test]
fn a_full_server_grants_nothing_and_lets_go() {
    let server = Server::start();
    let mut client = server.connect();
    let token = take_all(&mut client, "me", "");
    assert_eq!(client.say("CONFIG SET maxmemory 1"), Reply::ok());
    assert!(client.say("LOCK.MACQUIRE 1 free me 1000").text().starts_with("OOM "));
    assert_eq!(client.say("LOCK.MEXTEND 3 a b c me 7200000"), Reply::Int(1));
    assert_eq!(client.say("LOCK.MEXTEND 3 a b c me 7200000 FENCE 1"), Reply::Int(token));
    assert_eq!(client.say("LOCK.MRELEASE 3 a b c me"), Reply::Int(3));
}
