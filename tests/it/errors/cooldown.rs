//! While a server cools down: which commands it refuses, and what comes before that and after.

use super::*;

const COOLDOWN_MS: i64 = 600_000;

/// A server that cools down, on which `mine` is held by `me` all the same: an effect of before its start.
fn cooling() -> (Server, Client) {
    let server = Server::builder().movable_clocks().config("lock.cooldown", &COOLDOWN_MS.to_string()).start();
    let mut client = server.connect();
    assert_eq!(client.say("LOCK._HOLD mine me 7200000 5"), Reply::ok());
    client.say("SET string value");
    (server, client)
}

#[track_caller]
fn refuses(client: &mut Client, line: &str) -> i64 {
    let digest = client.say("DEBUG DIGEST");
    let before = holds(client, "mine");
    let reply = client.say(line);
    let error = reply.text();
    let left = error
        .strip_prefix("COOLDOWN locks are granted and extended again in ")
        .and_then(|rest| rest.strip_suffix(" ms"))
        .unwrap_or_else(|| panic!("{line}: {error}"));
    assert_eq!(holds(client, "mine"), before, "{line}");
    assert_eq!(client.say("DEBUG DIGEST"), digest, "{line}");
    left.parse().expect("milliseconds")
}

#[test]
fn nothing_is_granted_or_extended() {
    let (server, mut client) = cooling();
    let lines = [
        "LOCK.ACQUIRE free me 1000",
        "LOCK.ACQUIRE mine me 1000",
        "LOCK.ACQUIRE mine you 1000",
        "LOCK.ACQUIRE mine you 1000 BLOCK 0",
        "LOCK.EXTEND mine me 1000",
        "LOCK.EXTEND mine me 1000 FENCE 1",
        "LOCK.EXTEND free me 1000",
        "LOCK.MACQUIRE 2 free mine me 1000",
        "LOCK.MEXTEND 1 mine me 1000",
        "LOCK.MEXTEND 1 free me 1000",
    ];
    for line in lines {
        let left = refuses(&mut client, line);
        assert!((1..=COOLDOWN_MS).contains(&left), "{line}: {left}");
    }
    server.step_monotonic(COOLDOWN_MS / 2);
    assert!(refuses(&mut client, lines[0]) <= COOLDOWN_MS / 2);
    server.step_wall(2 * COOLDOWN_MS);
    assert!(refuses(&mut client, lines[0]) > 0, "the wall clock does not count");
    server.step_monotonic(COOLDOWN_MS / 2);
    client.take("free", "me", "");
    assert_eq!(client.say("LOCK.EXTEND mine me 1000"), Reply::Int(1));
}

#[test]
fn what_is_held_can_be_seen_and_released() {
    let (_server, mut client) = cooling();
    assert_eq!(client.say("LOCK.OWNER mine"), Reply::bulk("me"));
    assert!(client.say("LOCK.TTL mine").int() > 0);
    assert_eq!(client.say("LOCK.CHECK mine 5"), Reply::Int(1));
    assert_eq!(client.say("LOCK.RELEASE mine you"), Reply::Int(0));
    assert_eq!(client.say("LOCK.RELEASE mine me"), Reply::Int(1));
    assert_eq!(client.say("LOCK._HOLD mine me 7200000 5"), Reply::ok());
    assert_eq!(client.say("LOCK.MRELEASE 2 mine free me"), Reply::Int(1));
}

#[test]
fn it_comes_after_the_type_and_before_the_limit() {
    let (_server, mut client) = cooling();
    for line in [
        "LOCK.ACQUIRE string me 1000",
        "LOCK.EXTEND string me 1000",
        "LOCK.MACQUIRE 2 mine string me 1000",
        "LOCK.MEXTEND 2 mine string me 1000",
    ] {
        assert_eq!(client.say(line), Reply::error(WRONGTYPE), "{line}");
    }
    for (line, error) in [
        ("LOCK.ACQUIRE mine me 1000 BOGUS", SYNTAX),
        ("LOCK.ACQUIRE mine me abc", NUMBER),
        ("LOCK.ACQUIRE mine me 0", TTL),
        ("LOCK.EXTEND mine me 1000 FENCE 0", TOKEN),
        ("LOCK.EXTEND mine me 1000 FENCE 9223372036854775807", TOO_FAR),
    ] {
        assert_eq!(client.say(line), Reply::error(error), "{line}");
    }
    refuses(&mut client, "LOCK.ACQUIRE mine me 1000 SHARED");
    refuses(&mut client, "LOCK.MACQUIRE 1 mine me 1000 LIMIT 2");
}
