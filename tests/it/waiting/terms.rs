//! On what terms a request waits: how long, where, and how many.

use super::{ask, granted, holders, line, reply, waiter, waiter_saying, waiting, BOUND};
use crate::keyspace::counts;
use crate::support::{fresh, Say};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::{Duration, Instant};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn the_ttl_starts_at_the_grant() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 3600000");
    let mut waiter = waiter(&server, "k", "b", "");
    server.step_monotonic(500_000);
    client.say("LOCK.RELEASE k a");
    granted(&mut waiter);
    assert!(fresh(client.say("LOCK.TTL k").int(), 600_000));
    let info = client.say("LOCK.INFO k");
    assert!(fresh(60_001 - info.get("holders").array()[0].get("held-ms").int(), 60_001));
}

/// How long a request waits in vain that is to wait `ms`.
fn wait_in_vain(client: &mut Client, ms: u64) -> Duration {
    let start = Instant::now();
    assert_eq!(client.say(&format!("LOCK.ACQUIRE k b 1000 BLOCK {ms}")), Reply::Nil);
    start.elapsed()
}

#[test]
fn a_request_waits_as_long_as_it_said() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    for ms in [1, 50, 200] {
        let waited = wait_in_vain(&mut client, ms);
        assert!(waited >= Duration::from_millis(ms), "{waited:?} instead of {ms} ms");
        assert!(waited < Duration::from_millis(ms) + Duration::from_secs(5), "{waited:?} instead of {ms} ms");
    }
    assert_eq!(server.info_u64("lock", "lock_wait_timeouts"), 3);
    assert_eq!(client.say("LOCK.INFO k").get("waiters"), &Reply::Array(vec![]));
}

/// The reference promises 10 ms on an idle server; a busy machine can delay some, not all.
#[test]
fn time_limits_and_hand_offs_are_punctual_whatever_the_wall_clock_does() {
    let server = Server::builder().movable_clocks().start();
    let (mut client, mut other) = (server.connect(), server.connect());
    for step in [0, -HOUR_MS, HOUR_MS] {
        server.step_wall(step);
        let limit = Duration::from_millis(20);
        client.say("LOCK.ACQUIRE k a 600000");
        let waited = (0..10).map(|_| wait_in_vain(&mut client, 20)).min().expect("there were rounds");
        assert!(limit <= waited && waited < limit + Duration::from_millis(10), "{waited:?} at {step}");
        client.say("LOCK.RELEASE k a");
        let handed_over = |owner: usize| {
            let start = Instant::now();
            client.say(&format!("LOCK.ACQUIRE k {owner} 20"));
            let answered = Instant::now();
            assert!(other.say(&format!("LOCK.ACQUIRE k late-{owner} 1000 BLOCK 0")).int() > 0);
            assert!(start.elapsed() >= limit, "handed over before the deadline");
            let late = (answered + limit).elapsed();
            other.say(&format!("LOCK.RELEASE k late-{owner}"));
            late
        };
        let late = (0..10).map(handed_over).min().expect("there were rounds");
        assert!(late < Duration::from_millis(10), "{late:?} at {step}");
    }
}

#[test]
fn steps_of_the_wall_clock_end_no_wait_and_prolong_none() {
    for step in [-HOUR_MS, HOUR_MS, -365 * 24 * HOUR_MS] {
        let server = Server::builder().movable_clocks().start();
        let mut client = server.connect();
        client.say("LOCK.ACQUIRE k a 3600000");
        let mut forever = waiter(&server, "k", "forever", "");
        let mut long = waiter_saying(&server, "LOCK.ACQUIRE k long 1000 BLOCK 600000");
        let start = Instant::now();
        let mut short = waiter_saying(&server, "LOCK.ACQUIRE k short 1000 BLOCK 600");
        server.step_wall(step);
        assert_eq!(reply(&mut short), Reply::Nil);
        assert!(start.elapsed() >= Duration::from_millis(600), "early by a step of {step} ms");
        assert!(start.elapsed() < Duration::from_secs(5), "late by a step of {step} ms");
        assert_eq!(line(&mut client, "k"), ["forever", "long"]);
        server.step_monotonic(600_000);
        assert_eq!(reply(&mut long), Reply::Nil);
        assert_eq!(line(&mut client, "k"), ["forever"]);
        client.say("LOCK.RELEASE k a");
        granted(&mut forever);
    }
}

/// Returns when time has passed, and tells the log when it waits for that.
const UNTIL_LATER: &str = "redis.log(redis.LOG_WARNING, 'time may pass')
    repeat until redis.call('LOCK.TTL', KEYS[1]) < 3000000";

/// Of what is due at one moment waiters leave first, also where a command comes upon it before the timer: in a
/// transaction no turn of the event loop ends between two commands.
#[test]
fn a_waiter_past_its_limit_is_never_granted() {
    for (ttl, command) in [
        ("1200000", "LOCK.RELEASE k a"),
        ("1200000", "DEL k"),
        // The hold is past its deadline as well.
        ("600000", "LOCK.RELEASE k a"),
        ("600000", "LOCK.ACQUIRE k c 600000"),
        ("600000", "LOCK.MEXTEND 1 k a 600000"),
        ("600000", "LOCK.OWNER k"),
    ] {
        let server = Server::builder().movable_clocks().start();
        let mut client = server.connect();
        client.pipeline([["LOCK.ACQUIRE", "clock", "a", "3600000"], ["LOCK.ACQUIRE", "k", "a", ttl]]);
        let mut late = waiter_saying(&server, "LOCK.ACQUIRE k late 600000 BLOCK 600000");
        let mut next = waiter(&server, "k", "next", "");
        client.send(["MULTI"]);
        client.send(["EVAL", UNTIL_LATER, "1", "clock"]);
        client.send(command.split(' '));
        client.send(["EXEC"]);
        eventually(BOUND, || server.log().contains("time may pass"));
        server.step_monotonic(600_000);
        assert_eq!(reply(&mut late), Reply::Nil, "{command}");
        granted(&mut next);
        assert_eq!(holders(&mut server.connect(), "k"), ["next"], "{command}");
        assert_eq!(server.info_u64("lock", "lock_handed_over"), 1, "{command}");
        assert_eq!(server.info_u64("lock", "lock_wait_timeouts"), 1, "{command}");
    }
}

#[test]
fn where_nobody_may_wait_block_is_as_if_not_given() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let request = ask("k", "b", "");
    let transaction = client.pipeline(["MULTI".split(' '), request.trim().split(' '), "EXEC".split(' ')]);
    assert_eq!(transaction[2], Reply::Array(vec![Reply::Nil]));
    let call = "redis.call('LOCK.ACQUIRE', KEYS[1], 'b', '600000', 'BLOCK', '0')";
    let eval = |key| ["EVAL".to_string(), format!("return {call}"), "1".into(), key];
    assert_eq!(client.run(eval("k".into())), Reply::Nil);
    let library =
        format!("#!lua name=lib\nredis.register_function('f', function(KEYS, ARGV) return {call} end)");
    assert!(!client.run(["FUNCTION", "LOAD", &library]).is_error());
    assert_eq!(client.say("FCALL f 1 k"), Reply::Nil);
    assert_eq!(waiting(&server), 0);
    assert_eq!(server.info_u64("lock", "lock_refused"), 3);
    // A free lock is granted there as anywhere.
    let request = ask("free", "b", "");
    let transaction = client.pipeline(["MULTI".split(' '), request.trim().split(' '), "EXEC".split(' ')]);
    assert!(transaction[2].array()[0].int() > 0);
    assert!(client.run(eval("other".into())).int() > 0);
    assert!(client.say("FCALL f 1 third").int() > 0);
}

#[test]
fn no_more_clients_wait_than_are_allowed() {
    let server = Server::builder().config("lock.max-waiters", "2").start();
    let mut client = server.connect();
    assert!(client.say("LOCK.MACQUIRE 2 k l a 600000").int() > 0);
    let first = waiter(&server, "k", "b", "");
    let mut second = waiter(&server, "l", "c", "");
    let refused = Reply::error("MAXWAITERS too many clients wait for locks");
    let before = counts(&server);
    for key in ["k", "l"] {
        assert_eq!(client.say(&ask(key, "d", "")), refused);
        assert_eq!(client.say(&format!("LOCK.ACQUIRE {key} d 1000")), Reply::Nil);
    }
    assert_eq!(counts(&server)["lock_refused"], before["lock_refused"] + 2, "an error is no nil");
    assert!(client.say(&ask("k", "a", "")).int() > 0);
    assert!(client.say(&ask("free", "d", "")).int() > 0);
    drop(first);
    eventually(BOUND, || waiting(&server) == 1);
    let mut third = waiter(&server, "k", "d", "");
    assert_eq!(client.say(&ask("k", "e", "")), refused);
    // A setting below what is there sends nobody away.
    client.say("CONFIG SET lock.max-waiters 0");
    assert_eq!(waiting(&server), 2);
    client.say("LOCK.MRELEASE 2 k l a");
    granted(&mut second);
    granted(&mut third);
}

#[test]
fn nobody_waits_while_it_cools_down() {
    let server = Server::builder().config("lock.cooldown", "100000").movable_clocks().start();
    let mut client = server.connect();
    let cooling = client.say(&ask("k", "a", ""));
    assert!(cooling.text().starts_with("COOLDOWN "), "{cooling:?}");
    assert_eq!(waiting(&server), 0);
    server.step_monotonic(100_000);
    assert!(client.say(&ask("k", "a", "")).int() > 0);
}

#[test]
fn nobody_waits_for_what_is_no_lock() {
    let server = Server::start();
    let mut client = server.connect();
    client.say("SET k v");
    let wrong = client.say(&ask("k", "a", ""));
    assert_eq!(wrong, Reply::error("WRONGTYPE Operation against a key holding the wrong kind of value"));
    assert_eq!(waiting(&server), 0);
}

/// A client that waits reads what it sent meanwhile only afterwards, in order.
#[test]
fn commands_behind_one_that_waits_follow_it() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut other = waiter(&server, "k", "b", "");
    other.send(["LOCK.RELEASE", "k", "b"]);
    other.send(["LOCK.OWNER", "k"]);
    assert_eq!(line(&mut client, "k"), ["b"]);
    client.say("LOCK.RELEASE k a");
    assert!(other.read().int() > 0);
    assert_eq!(other.read(), Reply::Int(1));
    assert_eq!(other.read(), Reply::Nil);
    assert_eq!(holders(&mut client, "k"), [""; 0]);
}
