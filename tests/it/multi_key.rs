//! MACQUIRE, MEXTEND and MRELEASE, sentence by sentence of the reference.

use crate::support::{fresh, holds, settled, Hold, Say, LEAD};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::Duration;

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
fn one_key_held_by_another_refuses_all() {
    let server = Server::start();
    let mut client = server.connect();
    for refusing in KEYS {
        let token = client.take(refusing, "you", "");
        assert_eq!(client.say("LOCK.MACQUIRE 3 a b c me 1000"), Reply::Nil, "{refusing}");
        held_by_one(&mut client, refusing, "you", token);
        assert_eq!(client.say("DBSIZE"), Reply::Int(1));
        client.run(["LOCK.RELEASE", refusing, "you"]);
    }
    assert!(take_all(&mut client, "me", "") > 0);
}

#[test]
fn a_refusal_leaves_the_owners_own_holds_as_they_were() {
    let server = Server::start();
    let mut client = server.connect();
    let own = client.take("a", "me", "META text");
    client.take("c", "you", "");
    let before = holds(&mut client, "a");
    assert_eq!(client.say("LOCK.MACQUIRE 3 a b c me 7200000 META other"), Reply::Nil);
    assert_eq!(holds(&mut client, "a"), before);
    assert_eq!(before[0].fence, own);
    assert!(fresh(client.say("LOCK.TTL a").int(), 600_000));
    assert_eq!(client.say("EXISTS b"), Reply::Int(0));
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
fn whoever_holds_some_gets_a_new_token_for_all() {
    let server = Server::start();
    let mut client = server.connect();
    let first = client.take("b", "me", "META text");
    let token = take_all(&mut client, "me", "");
    assert!(token > first);
    held_by_one(&mut client, "a", "me", token);
    held_by_one(&mut client, "c", "me", token);
    let kept = Hold { meta: b"text".to_vec(), ..Hold::plain("me", token, 1) };
    assert_eq!(holds(&mut client, "b"), [kept], "re-acquired: the text stays");
}

#[test]
fn holds_under_different_tokens_get_a_new_one() {
    let server = Server::start();
    let mut client = server.connect();
    let tokens = KEYS.map(|key| client.take(key, "me", ""));
    let token = take_all(&mut client, "me", "");
    assert!(tokens.iter().all(|old| token > *old));
    for key in KEYS {
        held_by_one(&mut client, key, "me", token);
    }
    assert_eq!(take_all(&mut client, "me", ""), token);
}

#[test]
fn the_limit_holds_for_each_key() {
    let server = Server::start();
    let mut client = server.connect();
    let one = take_all(&mut client, "one", "LIMIT 2");
    let two = client.say("LOCK.MACQUIRE 2 a b two 600000 LIMIT 2").int();
    assert_eq!(client.say("LOCK.MACQUIRE 2 c a three 1000 LIMIT 2"), Reply::Nil);
    assert_eq!(client.say("LOCK.MACQUIRE 1 c three 1000 SHARED").int(), two + 1);
    assert_eq!(holds(&mut client, "a"), [Hold::plain("one", one, 2), Hold::plain("two", two, 2)]);
    assert_eq!(holds(&mut client, "c"), [Hold::plain("one", one, 2), Hold::plain("three", two + 1, 0)]);
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
fn fence_is_a_floor_for_the_token_of_all() {
    let server = settled();
    let mut client = server.connect();
    let first = client.take("other", "me", "");
    let wanted = first + LEAD / 4;
    assert_eq!(take_all(&mut client, "me", &format!("FENCE {wanted}")), wanted);
    assert_eq!(take_all(&mut client, "me", "FENCE 1"), wanted, "never lowered");
    let raised = wanted + LEAD / 4;
    assert_eq!(take_all(&mut client, "me", &format!("FENCE {raised}")), raised);
    for key in KEYS {
        held_by_one(&mut client, key, "me", raised);
    }
    assert_eq!(client.say("LOCK.MACQUIRE 2 a d me 600000 FENCE 1"), Reply::Int(raised + 1));
    held_by_one(&mut client, "a", "me", raised + 1);
    held_by_one(&mut client, "b", "me", raised);
    assert!(client.take("e", "me", "") > raised + 1);
}

#[test]
fn options_come_in_any_order_and_case() {
    let server = Server::start();
    let mut client = server.connect();
    let lines = ["LIMIT 3 SESSION FENCE 1 META text", "meta text fence 1 session limit 3"];
    for (n, line) in lines.iter().enumerate() {
        let owner = format!("owner{n}");
        let token = take_all(&mut client, &owner, line);
        for key in KEYS {
            let hold = &holds(&mut client, key)[n];
            assert_eq!((hold.fence, hold.limit, &hold.meta[..]), (token, 3, &b"text"[..]), "{line}");
        }
    }
    assert!(client.say("LOCK.MACQUIRE 1 d me 1000 Shared").int() > 0);
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
fn mextend_with_fence_raises_all_to_the_highest() {
    let server = settled();
    let mut client = server.connect();
    let tokens = KEYS.map(|key| client.take(key, "me", ""));
    assert_eq!(client.say("LOCK.MEXTEND 2 b a me 600000 FENCE 1"), Reply::Int(tokens[1]));
    held_by_one(&mut client, "a", "me", tokens[1]);
    held_by_one(&mut client, "b", "me", tokens[1]);
    held_by_one(&mut client, "c", "me", tokens[2]);
    let raised = tokens[2] + LEAD / 2;
    assert_eq!(client.say(&format!("LOCK.MEXTEND 3 a b c me 7200000 FENCE {raised}")), Reply::Int(raised));
    for key in KEYS {
        held_by_one(&mut client, key, "me", raised);
        assert!(fresh(client.run(["LOCK.TTL", key]).int(), 7_200_000));
    }
    assert!(client.take("other", "me", "") > raised);
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

#[test]
fn the_keys_of_a_cluster_node_share_a_slot() {
    let server = Server::builder().config("cluster-enabled", "yes").start();
    let mut client = server.connect();
    assert_eq!(client.say("CLUSTER ADDSLOTSRANGE 0 16383"), Reply::ok());
    eventually(Duration::from_secs(20), || client.say("LOCK.RELEASE key me") == Reply::Int(0));
    assert!(client.say("LOCK.MACQUIRE 2 {k}1 {k}2 me 600000").int() > 0);
    for line in ["LOCK.MACQUIRE 2 a b me 1000", "LOCK.MEXTEND 2 {k}1 b me 1000", "LOCK.MRELEASE 2 {k}1 b me"]
    {
        assert!(client.say(line).text().starts_with("CROSSSLOT "), "{line}");
    }
    assert_eq!(client.say("LOCK.MEXTEND 2 {k}1 {k}2 me 600000"), Reply::Int(1));
    assert_eq!(client.say("LOCK.MRELEASE 2 {k}1 {k}2 me"), Reply::Int(2));
}
