//! ACQUIRE, RELEASE and EXTEND on one key, sentence by sentence of the reference.

use crate::support::{fresh, holds, settled, Hold, Say, LEAD};
use redis_lock_harness::{Client, Reply, Server};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn ttl(client: &mut Client, key: &str) -> i64 {
    client.run(["LOCK.TTL", key]).int()
}

#[test]
fn acquire_grants_with_a_token_or_refuses_with_nil() {
    let server = Server::start();
    let mut client = server.connect();
    let token = client.take("key", "me", "");
    assert!(token < 1 << 53);
    assert_eq!(client.say("LOCK.ACQUIRE key you 600000"), Reply::Nil);
    assert_eq!(holds(&mut client, "key"), [Hold::plain("me", token, 1)]);
    assert_eq!(client.say("TYPE key"), Reply::Simple("redislock".into()));
    assert_eq!(client.say("PTTL key"), Reply::Int(-1));
}

#[test]
fn nil_is_the_bulk_nil() {
    let server = Server::start();
    server.connect().take("key", "me", "");
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    let commands =
        ["LOCK.ACQUIRE key you 1000", "LOCK.OWNER free", "LOCK.INFO free", "LOCK.MACQUIRE 1 key you 1000"];
    stream.write_all((commands.join("\r\n") + "\r\n").as_bytes()).unwrap();
    let mut replies = vec![0; "$-1\r\n".len() * commands.len()];
    stream.read_exact(&mut replies).unwrap();
    assert_eq!(String::from_utf8(replies).unwrap(), "$-1\r\n".repeat(commands.len()));
}

#[test]
fn tokens_rise_over_all_locks() {
    let server = Server::start();
    let mut client = server.connect();
    let mut last = 0;
    for n in 0..1000 {
        let token = client.take(&format!("key{}", n % 10), "me", "");
        assert!(token > last, "{token} after {last}");
        last = token;
        assert_eq!(client.say(&format!("LOCK.RELEASE key{} me", n % 10)), Reply::Int(1));
    }
    assert!(last < 1 << 53);
}

#[test]
fn tokens_follow_the_clock() {
    let server = settled();
    let mut client = server.connect();
    let first = client.take("a", "me", "");
    server.step_monotonic(3_600_000);
    let second = client.take("b", "me", "");
    let passed = second - first;
    assert!((3_600_000_000..3_600_000_000 + LEAD).contains(&passed), "{passed} microseconds");
    server.step_wall(86_400_000);
    assert!(client.take("c", "me", "") - second < LEAD, "not the wall clock");
}

#[test]
fn a_ttl_may_be_as_long_as_the_server_allows() {
    let server = Server::start();
    let mut client = server.connect();
    assert!(client.say("LOCK.ACQUIRE short me 1").int() > 0);
    assert!(client.say("LOCK.ACQUIRE long me 86400000").int() > 0);
    assert!(fresh(ttl(&mut client, "long"), 86_400_000));
}

#[test]
fn no_option_is_exclusive_is_limit_1() {
    let server = Server::start();
    let mut client = server.connect();
    let plain = client.take("plain", "me", "");
    assert_eq!(client.take("plain", "me", "LIMIT 1"), plain);
    let limited = client.take("limited", "me", "LIMIT 1");
    assert_eq!(client.take("limited", "me", ""), limited);
    for key in ["plain", "limited"] {
        assert_eq!(holds(&mut client, key)[0].limit, 1);
        for terms in ["", "SHARED", "LIMIT 1", "LIMIT 2", "LIMIT 10000"] {
            assert_eq!(client.say(&format!("LOCK.ACQUIRE {key} you 1000 {terms}")), Reply::Nil, "{terms}");
        }
    }
}

#[test]
fn shared_has_no_limit() {
    let server = Server::start();
    let mut client = server.connect();
    for n in 0..200 {
        client.take("key", &format!("reader{n}"), "SHARED");
    }
    let readers = holds(&mut client, "key");
    assert_eq!(readers.len(), 200);
    assert!(readers.iter().all(|hold| hold.limit == 0));
    assert_eq!(client.say("LOCK.ACQUIRE key writer 1000"), Reply::Nil);
    assert_eq!(client.say("LOCK.ACQUIRE key some 1000 LIMIT 200"), Reply::Nil);
    client.take("key", "some", "LIMIT 201");
    assert_eq!(client.say("LOCK.ACQUIRE key reader200 1000 SHARED"), Reply::Nil);
}

#[test]
fn limit_n_is_one_of_at_most_n() {
    let server = Server::start();
    let mut client = server.connect();
    for owner in ["a", "b", "c"] {
        client.take("key", owner, "LIMIT 3");
    }
    assert_eq!(client.say("LOCK.ACQUIRE key d 1000 LIMIT 3"), Reply::Nil);
    assert_eq!(client.say("LOCK.RELEASE key b"), Reply::Int(1));
    client.take("key", "d", "LIMIT 3");
    client.take("wide", "a", "LIMIT 10000");
    assert_eq!(holds(&mut client, "wide")[0].limit, 10_000);
}

/// Each hold states how many holders it tolerates; what the lock would have must be no more than the least.
#[test]
fn one_rule_for_all_kinds_of_lock() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("key", "a", "LIMIT 5");
    client.take("key", "b", "SHARED");
    assert_eq!(client.say("LOCK.ACQUIRE key c 1000 LIMIT 2"), Reply::Nil, "the request tolerates two");
    client.take("key", "c", "LIMIT 3");
    assert_eq!(client.say("LOCK.ACQUIRE key d 1000 SHARED"), Reply::Nil, "a holder tolerates three");
    assert_eq!(client.say("LOCK.RELEASE key c"), Reply::Int(1));
    client.take("key", "d", "SHARED");
    assert_eq!(client.say("LOCK.ACQUIRE key e 1000"), Reply::Nil, "the request tolerates one");
}

#[test]
fn an_owner_that_asks_again_keeps_its_token() {
    let server = Server::start();
    let mut client = server.connect();
    for terms in ["", "SHARED", "LIMIT 7"] {
        let token = client.take("key", "me", terms);
        let before = holds(&mut client, "key");
        assert_eq!(client.take("key", "me", terms), token);
        assert_eq!(holds(&mut client, "key"), before);
        client.take("other", "me", "");
        assert_eq!(client.take("key", "me", terms), token, "also after other grants");
        assert_eq!(client.say("LOCK.RELEASE key me"), Reply::Int(1), "calls are not counted");
        assert_eq!(client.say("LOCK.RELEASE key me"), Reply::Int(0));
    }
}

#[test]
fn a_holder_of_a_full_lock_may_ask_again() {
    let server = Server::start();
    let mut client = server.connect();
    let first = client.take("key", "a", "LIMIT 2");
    let second = client.take("key", "b", "LIMIT 2");
    assert_eq!(client.take("key", "b", "LIMIT 2"), second);
    assert_eq!(client.take("key", "a", "LIMIT 2"), first);
    assert_eq!(holds(&mut client, "key"), [Hold::plain("a", first, 2), Hold::plain("b", second, 2)]);
}

#[test]
fn asking_again_never_shortens_a_hold() {
    let server = Server::start();
    let mut client = server.connect();
    let token = client.take("key", "me", "");
    assert_eq!(client.say("LOCK.ACQUIRE key me 1000"), Reply::Int(token));
    assert!(fresh(ttl(&mut client, "key"), 600_000));
    assert_eq!(client.say("LOCK.ACQUIRE key me 7200000"), Reply::Int(token));
    assert!(fresh(ttl(&mut client, "key"), 7_200_000));
}

#[test]
fn meta_is_kept_and_replaced_where_given() {
    let server = Server::start();
    let mut client = server.connect();
    let meta = |client: &mut Client| holds(client, "key")[0].meta.clone();
    client.take("key", "me", "META nightly-report");
    assert_eq!(meta(&mut client), b"nightly-report");
    client.take("key", "me", "");
    assert_eq!(meta(&mut client), b"nightly-report", "not given, not replaced");
    client.take("key", "me", "META SHARED");
    assert_eq!(meta(&mut client), b"SHARED", "a text, not an option");
    for text in [&b"\0\xff%s%n\r\n"[..], &[b'm'; 512], b""] {
        let command = [b"LOCK.ACQUIRE", &b"key"[..], b"me", b"1000", b"META", text];
        assert!(client.run(command).int() > 0);
        assert_eq!(meta(&mut client), text);
    }
}

#[test]
fn owners_are_compared_byte_by_byte() {
    let server = Server::start();
    let mut client = server.connect();
    let long = [vec![b'x'; 511], b"y".to_vec()].concat();
    let owners: [&[u8]; 9] = [b"a", b"A", b"a ", b"a\0", b"a\0b", b"\0", b"\xff\xfe", &long, &[b'x'; 512]];
    for owner in owners {
        assert!(client.run([b"LOCK.ACQUIRE", &b"shared"[..], owner, b"600000", b"SHARED"]).int() > 0);
    }
    assert_eq!(holds(&mut client, "shared").len(), owners.len());
    for owner in owners {
        assert!(client.run([b"LOCK.ACQUIRE", &b"mine"[..], owner, b"600000"]).int() > 0);
        assert_eq!(client.say("LOCK.OWNER mine"), Reply::bulk(owner));
        for other in owners.iter().filter(|other| **other != owner) {
            assert_eq!(client.run([b"LOCK.RELEASE", &b"mine"[..], other]), Reply::Int(0));
        }
        assert_eq!(client.run([b"LOCK.RELEASE", &b"mine"[..], owner]), Reply::Int(1));
    }
}

#[test]
fn any_bytes_are_a_key() {
    let server = Server::start();
    let mut client = server.connect();
    let keys: [&[u8]; 5] = [b"", b"\0", b"%s%n", b"\xff\r\n", &[b'k'; 70_000]];
    for key in keys {
        let token = client.run([b"LOCK.ACQUIRE", key, b"me", b"600000"]).int();
        assert_eq!(client.run([&b"LOCK.OWNER"[..], key]), Reply::bulk("me"));
        assert_eq!(client.run([b"LOCK.CHECK", key, token.to_string().as_bytes()]), Reply::Int(1));
    }
    assert_eq!(client.say("DBSIZE"), Reply::Int(keys.len() as i64));
}

#[test]
fn fence_is_a_floor_for_a_new_token() {
    let server = settled();
    let mut client = server.connect();
    let first = client.take("a", "me", "");
    let wanted = first + LEAD / 2;
    assert_eq!(client.take("b", "me", &format!("FENCE {wanted}")), wanted);
    assert_eq!(client.take("c", "me", "FENCE 1"), wanted + 1, "below what was granted before");
    assert!(client.take("d", "me", "") > wanted + 1, "and all later ones are higher");
}

#[test]
fn fence_raises_the_token_of_a_holder() {
    let server = settled();
    let mut client = server.connect();
    let token = client.take("key", "me", "");
    assert_eq!(client.take("key", "me", "FENCE 1"), token, "never lowered");
    assert_eq!(client.take("key", "me", &format!("FENCE {token}")), token);
    let raised = token + LEAD / 2;
    assert_eq!(client.take("key", "me", &format!("FENCE {raised}")), raised);
    assert_eq!(holds(&mut client, "key"), [Hold::plain("me", raised, 1)]);
    assert_eq!(client.take("key", "me", ""), raised);
    assert!(client.take("other", "me", "") > raised);
    assert_eq!(client.say(&format!("LOCK.CHECK key {raised}")), Reply::Int(1));
    assert_eq!(
        client.say(&format!("LOCK.CHECK key {token}")),
        Reply::error(format!("FENCED token {token} is not held"))
    );
}

#[test]
fn a_token_may_not_run_ahead_of_the_clock() {
    let server = settled();
    let mut client = server.connect();
    let token = client.take("key", "me", "");
    let too_far = Reply::error("ERR token is too far ahead");
    for far in [token + 2 * LEAD, i64::MAX] {
        assert_eq!(client.say(&format!("LOCK.ACQUIRE free me 1000 FENCE {far}")), too_far);
        assert_eq!(client.say(&format!("LOCK.ACQUIRE key me 1000 FENCE {far}")), too_far);
        assert_eq!(client.say(&format!("LOCK.EXTEND key me 1000 FENCE {far}")), too_far);
    }
    assert_eq!(holds(&mut client, "key"), [Hold::plain("me", token, 1)]);
    assert!(client.take("free", "me", "") < token + LEAD);
}

/// A server whose clock was set back finds its own last token far ahead.
#[test]
fn the_next_token_is_never_too_far_ahead() {
    const HOUR: i64 = 3_600_000;
    let mut server = Server::builder()
        .movable_clocks()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .start();
    server.step_wall(HOUR);
    server.restart();
    server.connect().take("key", "me", "");
    server.stop();
    server.step_wall(-HOUR);
    server.restart();
    let mut client = server.connect();
    let last = client.take("a", "me", "");
    let next = last + 1;
    let after = last + 2;
    assert_eq!(
        client.say(&format!("LOCK.ACQUIRE b me 1000 FENCE {after}")),
        Reply::error("ERR token is too far ahead")
    );
    assert_eq!(client.take("b", "me", &format!("FENCE {next}")), next);
}

#[test]
fn options_come_in_any_order_and_case() {
    let server = Server::start();
    let mut client = server.connect();
    let lines = [
        "LIMIT 3 BLOCK 1 SESSION FENCE 1 META text",
        "META text FENCE 1 SESSION BLOCK 1 LIMIT 3",
        "session limit 3 meta text block 1 fence 1",
        "mEtA text bLoCk 1 LiMiT 3 SeSsIoN fEnCe 1",
    ];
    for (n, line) in lines.iter().enumerate() {
        let key = format!("key{n}");
        let token = client.take(&key, "me", line);
        let hold = &holds(&mut client, &key)[0];
        assert_eq!((hold.fence, hold.limit, &hold.meta[..]), (token, 3, &b"text"[..]), "{line}");
    }
    client.take("readers", "me", "Shared");
    assert_eq!(client.say("lock.owner readers"), Reply::bulk("me"));
}

#[test]
fn without_leave_to_block_a_request_is_answered_at_once() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("key", "you", "");
    client.say("MULTI");
    client.say("LOCK.ACQUIRE key me 1000 BLOCK 0");
    client.say("LOCK.ACQUIRE free me 1000 BLOCK 0");
    let replies = client.say("EXEC");
    assert_eq!(replies.array()[0], Reply::Nil);
    assert!(replies.array()[1].int() > 0);
    let script = "return redis.call('LOCK.ACQUIRE', KEYS[1], 'me', '1000', 'BLOCK', '0')";
    assert_eq!(client.run(["EVAL", script, "1", "key"]), Reply::Nil);
    assert_eq!(client.say("LOCK.ACQUIRE key me 1000 BLOCK 1"), Reply::Nil);
}

#[test]
fn release_says_whether_there_was_a_hold() {
    let server = settled();
    let mut client = server.connect();
    assert_eq!(client.say("LOCK.RELEASE key me"), Reply::Int(0), "never held");
    client.take("key", "you", "");
    let before = holds(&mut client, "key");
    assert_eq!(client.say("LOCK.RELEASE key me"), Reply::Int(0), "someone else's");
    assert_eq!(holds(&mut client, "key"), before);
    assert_eq!(client.say("LOCK.RELEASE key you"), Reply::Int(1));
    assert_eq!(client.say("LOCK.RELEASE key you"), Reply::Int(0), "released");
    assert_eq!(client.say("EXISTS key"), Reply::Int(0));
    client.take("key", "me", "");
    server.step_monotonic(600_001);
    assert_eq!(client.say("LOCK.RELEASE key me"), Reply::Int(0), "expired");
    client.take("key", "a", "SHARED");
    let b = client.take("key", "b", "SHARED");
    assert_eq!(client.say("LOCK.RELEASE key a"), Reply::Int(1));
    assert_eq!(holds(&mut client, "key"), [Hold::plain("b", b, 0)], "one of two");
}

#[test]
fn extend_never_shortens_a_hold() {
    let server = Server::start();
    let mut client = server.connect();
    let token = client.take("key", "me", "META text");
    let before = holds(&mut client, "key");
    assert_eq!(client.say("LOCK.EXTEND key me 1000"), Reply::Int(1));
    assert!(fresh(ttl(&mut client, "key"), 600_000));
    assert_eq!(client.say("LOCK.EXTEND key me 7200000"), Reply::Int(1));
    assert!(fresh(ttl(&mut client, "key"), 7_200_000));
    assert_eq!(holds(&mut client, "key"), before);
    assert_eq!(client.take("key", "me", ""), token);
}

#[test]
fn extend_is_for_the_holder_alone() {
    let server = settled();
    let mut client = server.connect();
    assert_eq!(client.say("LOCK.EXTEND key me 600000"), Reply::Int(0), "never held");
    assert_eq!(client.say("EXISTS key"), Reply::Int(0));
    client.take("key", "you", "");
    assert_eq!(client.say("LOCK.EXTEND key me 7200000"), Reply::Int(0), "someone else's");
    assert_eq!(client.say("LOCK.EXTEND key me 7200000 FENCE 1"), Reply::Int(0));
    assert!(fresh(ttl(&mut client, "key"), 600_000));
    server.step_monotonic(600_001);
    assert_eq!(client.say("LOCK.EXTEND key you 600000"), Reply::Int(0), "an expired hold is never revived");
    assert_eq!(client.say("LOCK.EXTEND key you 600000 FENCE 1"), Reply::Int(0));
    assert_eq!(client.say("LOCK.OWNER key"), Reply::Nil);
    client.take("key", "me", "");
    assert_eq!(client.say("LOCK.RELEASE key me"), Reply::Int(1));
    assert_eq!(client.say("LOCK.EXTEND key me 600000"), Reply::Int(0), "released");
}

#[test]
fn extend_with_fence_replies_the_holds_token() {
    let server = settled();
    let mut client = server.connect();
    let token = client.take("key", "me", "");
    assert_eq!(client.say("LOCK.EXTEND key me 600000 FENCE 1"), Reply::Int(token));
    let raised = token + LEAD / 2;
    assert_eq!(client.say(&format!("LOCK.EXTEND key me 7200000 fence {raised}")), Reply::Int(raised));
    assert!(fresh(ttl(&mut client, "key"), 7_200_000));
    assert_eq!(client.say(&format!("LOCK.EXTEND key me 1000 FENCE {token}")), Reply::Int(raised));
    assert_eq!(holds(&mut client, "key"), [Hold::plain("me", raised, 1)]);
    assert!(client.take("other", "me", "") > raised);
}

#[test]
fn a_full_server_grants_nothing_and_lets_go() {
    let server = Server::start();
    let mut client = server.connect();
    let token = client.take("key", "me", "");
    assert_eq!(client.say("CONFIG SET maxmemory 1"), Reply::ok());
    assert!(client.say("LOCK.ACQUIRE free me 1000").text().starts_with("OOM "));
    assert_eq!(client.say("LOCK.EXTEND key me 7200000"), Reply::Int(1));
    assert_eq!(client.say("LOCK.EXTEND key me 7200000 FENCE 1"), Reply::Int(token));
    assert_eq!(client.say("LOCK.OWNER key"), Reply::bulk("me"));
    assert_eq!(client.say("LOCK.RELEASE key me"), Reply::Int(1));
    assert_eq!(client.say("LOCK.OWNER key"), Reply::Nil);
}

#[test]
fn a_hold_past_its_deadline_is_gone_for_every_command() {
    let server = settled();
    let mut client = server.connect();
    let old = client.take("key", "me", "");
    server.step_monotonic(599_000 - 60_000);
    assert_eq!(client.say("LOCK.OWNER key"), Reply::bulk("me"), "not before");
    server.step_monotonic(61_001);
    assert_eq!(client.say("LOCK.OWNER key"), Reply::Nil);
    assert_eq!(client.say("LOCK.TTL key"), Reply::Int(-2));
    assert_eq!(client.say("LOCK.INFO key"), Reply::Nil);
    assert!(client.say(&format!("LOCK.CHECK key {old}")).text().starts_with("FENCED "));
    assert!(client.take("key", "me", "LIMIT 9") > old, "a new hold, not the old one again");
}

#[test]
fn holds_of_one_lock_end_one_by_one() {
    let server = settled();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE key long 7200000 LIMIT 2");
    client.take("key", "short", "LIMIT 2");
    assert_eq!(client.say("LOCK.ACQUIRE key next 600000 LIMIT 2"), Reply::Nil);
    server.step_monotonic(600_001);
    assert_eq!(client.say("LOCK.OWNER key"), Reply::bulk("long"));
    client.take("key", "next", "LIMIT 2");
    let owners: Vec<_> = holds(&mut client, "key").into_iter().map(|hold| hold.owner).collect();
    assert_eq!(owners, [b"long", b"next"]);
}

#[test]
fn locks_of_different_databases_are_different_locks() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("key", "me", "");
    client.say("SELECT 1");
    assert_eq!(client.say("LOCK.OWNER key"), Reply::Nil);
    client.take("key", "you", "");
    client.say("SELECT 0");
    assert_eq!(client.say("LOCK.OWNER key"), Reply::bulk("me"));
}
