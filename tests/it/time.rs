//! Deadlines: what the clocks do to them, how soon they are kept, and that nothing piles up.

use crate::view::{held, holders, BOUND};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::{Duration, Instant};

const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 3_600_000;
const DECADE_MS: i64 = 10 * 365 * 24 * HOUR_MS;
/// Forward and back, from small to large; in the end the clock is where it was.
const STEPS: [i64; 6] = [SECOND_MS, -SECOND_MS, -HOUR_MS, HOUR_MS, DECADE_MS, -DECADE_MS];

fn ttl(client: &mut Client, key: &str) -> i64 {
    client.run(["LOCK.TTL", key]).int()
}

fn subscriber(server: &Server) -> Client {
    let mut client = server.connect();
    client.run(["CONFIG", "SET", "notify-keyspace-events", "Ed"]);
    client.run(["SUBSCRIBE", "__keyevent@0__:lock.expired"]);
    client
}

/// Waits for the event that this key's lock expired.
fn expired(subscriber: &mut Client) -> String {
    subscriber.read().array()[2].text().to_string()
}

fn fill(server: &Server, locks: usize) {
    let acquire = |n| ["LOCK.ACQUIRE".into(), format!("many:{n}"), "owner".into(), "80000000".into()];
    let mut client = server.connect();
    for start in (0..locks).step_by(10_000) {
        client.pipeline((start..locks.min(start + 10_000)).map(acquire));
    }
    assert_eq!(held(server), locks as u64);
}

#[test]
fn a_step_of_the_wall_clock_moves_no_deadline() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    client.run(["LOCK.ACQUIRE", "key", "owner", "600000"]);
    client.run(["LOCK.MACQUIRE", "2", "left", "right", "owner", "600000", "SHARED"]);
    for step in STEPS {
        for key in ["key", "left", "right"] {
            let start = Instant::now();
            let before = ttl(&mut client, key);
            let first = Instant::now();
            server.step_wall(step);
            let second = Instant::now();
            let after = ttl(&mut client, key);
            let (least, most) = (second - first, start.elapsed());
            let passed = before - after;
            let range = least.as_millis() as i64 - 1..=most.as_millis() as i64 + 1;
            assert!(range.contains(&passed), "{passed} ms at a step of {step} ms, {range:?} passed");
            assert_eq!(client.run(["LOCK.ACQUIRE", key, "else", "1000"]), Reply::Nil);
            server.step_wall(-step);
        }
        server.step_wall(step);
        assert!(holders(&mut client, "key")[0].get("held-ms").int() < 600_000);
        assert_eq!(client.run(["LOCK.EXTEND", "key", "owner", "600000"]), Reply::Int(1));
        assert!((590_000..=600_000).contains(&ttl(&mut client, "key")));
    }
    assert_eq!(server.info_u64("lock", "lock_expired"), 0);
}

/// The control: an expiry of the server's own follows the wall clock.
#[test]
fn a_native_expiry_does_not_survive_a_step() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    assert_eq!(client.run(["SET", "native", "owner", "NX", "PX", "600000"]), Reply::ok());
    client.run(["LOCK.ACQUIRE", "key", "owner", "600000"]);
    server.step_wall(HOUR_MS);
    eventually(BOUND, || client.run(["SET", "native", "else", "NX", "PX", "600000"]) == Reply::ok());
    assert_eq!(client.run(["LOCK.ACQUIRE", "key", "else", "600000"]), Reply::Nil);
}

#[test]
fn reclaim_goes_on_after_steps_in_both_directions() {
    let server = Server::builder().movable_clocks().start();
    let mut events = subscriber(&server);
    let mut client = server.connect();
    let mut count = 0;
    for step in STEPS {
        // One that is due after the step, and one that is taken after it.
        client.run(["LOCK.ACQUIRE", "before", "owner", "60"]);
        let start = Instant::now();
        server.step_wall(step);
        client.run(["LOCK.ACQUIRE", "after", "owner", "80"]);
        assert_eq!(expired(&mut events), "before", "a step of {step} ms");
        assert_eq!(expired(&mut events), "after", "a step of {step} ms");
        assert!(start.elapsed() >= Duration::from_millis(80), "early by a step of {step} ms");
        assert!(start.elapsed() < Duration::from_secs(5), "late by a step of {step} ms");
        assert_eq!(client.run(["EXISTS", "before", "after"]), Reply::Int(0));
        count += 2;
        assert_eq!(server.info_u64("lock", "lock_expired"), count);
    }
}

#[test]
fn a_step_of_the_wall_clock_moves_no_cooldown() {
    let cooldown: i64 = 100_000;
    let setup = Server::builder().config("lock.cooldown", &cooldown.to_string());
    let server = setup.movable_clocks().start();
    let mut client = server.connect();
    let start = Instant::now();
    for step in STEPS {
        server.step_wall(step);
        let left = server.info_u64("lock", "lock_cooldown_ms") as i64;
        let passed = start.elapsed().as_millis() as i64;
        assert!((cooldown - passed - 20_000..=cooldown).contains(&left), "{left} after a step of {step} ms");
        let refused = client.run(["LOCK.ACQUIRE", "key", "owner", "1000"]);
        assert!(refused.text().starts_with("COOLDOWN "), "{refused:?}");
    }
    server.step_monotonic(cooldown);
    assert!(client.run(["LOCK.ACQUIRE", "key", "owner", "1000"]).int() > 0);
    assert_eq!(server.info_u64("lock", "lock_cooldown_ms"), 0);
}

#[test]
fn what_is_past_its_deadline_is_gone_for_lock_commands_at_once() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    let token = client.run(["LOCK.ACQUIRE", "key", "owner", "600000"]).int().to_string();
    client.run(["LOCK.ACQUIRE", "pool", "short", "600000", "SHARED"]);
    client.run(["LOCK.ACQUIRE", "pool", "long", "1200000", "SHARED"]);
    // The timer follows the kernel's clock, which no test can move: nothing is reclaimed meanwhile.
    server.step_monotonic(600_000);
    assert_eq!(client.run(["LOCK.TTL", "key"]), Reply::Int(-2));
    assert_eq!(client.run(["LOCK.OWNER", "key"]), Reply::Nil);
    assert_eq!(client.run(["LOCK.INFO", "key"]), Reply::Nil);
    assert!(client.run(["LOCK.CHECK", "key", &token]).text().starts_with("FENCED "));
    assert_eq!(client.run(["LOCK.OWNER", "pool"]), Reply::bulk("long"));
    assert_eq!(client.run(["LOCK.EXTEND", "key", "owner", "1000"]), Reply::Int(0));
    assert_eq!(client.run(["LOCK.RELEASE", "pool", "short"]), Reply::Int(0));
    assert!(client.run(["LOCK.ACQUIRE", "key", "else", "1000"]).int() > 0);
    assert_eq!(server.info_u64("lock", "lock_expired"), 2);
}

/// How late each of some events was, against the latest moment that its deadline can have been.
fn latenesses(server: &Server, number: usize) -> Vec<Duration> {
    let mut events = subscriber(server);
    let mut client = server.connect();
    let ttl = Duration::from_millis(5);
    let one = |_| {
        let sent = Instant::now();
        assert!(client.run(["LOCK.ACQUIRE", "timed", "owner", "5"]).int() > 0);
        let answered = Instant::now();
        assert_eq!(expired(&mut events), "timed");
        assert!(sent.elapsed() >= ttl, "ended before its time");
        (answered + ttl).elapsed()
    };
    (0..number).map(one).collect()
}

/// The reference promises 10 ms on an idle server. This machine may be busy with other tests: so it is the
/// median that counts, of the best of some rounds.
fn assert_timely(server: &Server) {
    let median = |_| {
        let mut late = latenesses(server, 60);
        late.sort();
        late[late.len() / 2]
    };
    let best = (0..10).map(median).find(|median| *median <= Duration::from_millis(10));
    assert!(best.is_some(), "no round had a median within 10 ms");
}

#[test]
fn a_deadline_is_kept_in_time_with_one_lock() {
    assert_timely(&Server::start());
}

#[test]
fn a_deadline_is_kept_in_time_with_many_locks() {
    let server = Server::start();
    fill(&server, 100_000);
    assert_timely(&server);
    assert_eq!(held(&server), 100_000);
}

#[test]
fn many_deadlines_at_once_are_all_kept() {
    let server = Server::start();
    let mut client = server.connect();
    let acquire = |n| ["LOCK.ACQUIRE".into(), format!("many:{n}"), "owner".into(), "300".into()];
    client.pipeline((0..50_000).map(acquire));
    eventually(BOUND, || held(&server) == 0);
    assert_eq!(client.run(["DBSIZE"]), Reply::Int(0));
    assert_eq!(server.info_u64("lock", "lock_expired"), 50_000);
    assert_eq!(server.info_u64("lock", "lock_acquired"), 50_000);
}

#[test]
fn an_extended_deadline_is_kept_where_it_is_now() {
    let server = Server::start();
    let mut events = subscriber(&server);
    let mut client = server.connect();
    let start = Instant::now();
    // Extended later and later, and once back, which changes nothing.
    client.run(["LOCK.ACQUIRE", "key", "owner", "100"]);
    client.run(["LOCK.ACQUIRE", "other", "owner", "200"]);
    assert_eq!(client.run(["LOCK.EXTEND", "key", "owner", "300"]), Reply::Int(1));
    assert_eq!(client.run(["LOCK.EXTEND", "key", "owner", "10"]), Reply::Int(1));
    assert_eq!(expired(&mut events), "other");
    assert_eq!(expired(&mut events), "key");
    assert!(start.elapsed() >= Duration::from_millis(300));
    // A lock that went before its time leaves no deadline behind for the next one of its name.
    client.run(["LOCK.ACQUIRE", "key", "owner", "50"]);
    client.run(["LOCK.RELEASE", "key", "owner"]);
    client.run(["LOCK.ACQUIRE", "key", "later", "600000"]);
    client.run(["LOCK.ACQUIRE", "probe", "owner", "100"]);
    assert_eq!(expired(&mut events), "probe");
    assert_eq!(client.run(["LOCK.OWNER", "key"]), Reply::bulk("later"));
}

#[test]
fn short_holds_with_long_ttls_leave_nothing_behind() {
    let server = Server::start();
    let used = || server.info_u64("memory", "used_memory") as i64;
    let acquire_and_release = |times: usize| {
        let mut client = server.connect();
        let one = |n| {
            let key = format!("key:{n}");
            let acquire = vec!["LOCK.ACQUIRE".into(), key.clone(), "owner".into(), "86400000".into()];
            [acquire, vec!["LOCK.RELEASE".into(), key, "owner".into()]]
        };
        for start in (0..times).step_by(1000) {
            client.pipeline((start..start + 1000).flat_map(one));
        }
    };
    acquire_and_release(10_000);
    let before = used();
    acquire_and_release(300_000);
    // An entry of 8 bytes for each would be more; the server gives back its connections' buffers in time.
    eventually(BOUND, || used() < before + 1_000_000);
    assert_eq!(held(&server), 0);
    assert_eq!(server.info_u64("lock", "lock_released"), 310_000);
}
