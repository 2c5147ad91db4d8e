//! ACQUIRE, RELEASE and EXTEND on one key, sentence by sentence of the reference.

use crate::support::{fresh, holds, settled, Hold, Say};
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

/// Each hold states how many holders it tolerates; what the lock would have must be no more than the least.
#[test]
fn one_rule_for_all_kinds_of_lock() {
    let server = Server::start();
    let mut client = server.connect();
    let table: [(&[&str], &str, bool); 10] = [
        (&[""], "SHARED", false),
        (&["LIMIT 1"], "LIMIT 10000", false),
        (&["SHARED"], "", false),
        (&["SHARED"; 200], "SHARED", true),
        (&["SHARED"; 200], "LIMIT 200", false),
        (&["SHARED"; 200], "LIMIT 201", true),
        (&["LIMIT 3", "LIMIT 3"], "LIMIT 3", true),
        (&["LIMIT 3", "LIMIT 3", "LIMIT 3"], "LIMIT 3", false),
        (&["LIMIT 5", "SHARED"], "LIMIT 2", false),
        (&["LIMIT 5", "SHARED", "LIMIT 3"], "SHARED", false),
    ];
    for (holders, request, granted) in table {
        for (n, terms) in holders.iter().enumerate() {
            client.take("key", &format!("holder{n}"), terms);
        }
        let reply = client.say(&format!("LOCK.ACQUIRE key me 600000 {request}"));
        assert_eq!(!reply.is_nil(), granted, "{request} beside {} {holders:?}", holders.len());
        client.say("DEL key");
    }
    let token = client.take("key", "me", "");
    assert_eq!(client.take("key", "me", "LIMIT 1"), token, "no option is LIMIT 1");
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
