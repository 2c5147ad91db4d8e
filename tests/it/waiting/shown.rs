//! What a server shows of those who wait: LOCK.INFO, INFO lock, and its idleness.

use super::{ask, granted, join, numbered, reply, waiter, waiter_saying, waiting};
use crate::keyspace::{assert_counted, counts, say_all};
use crate::support::{fresh, Say};
use redis_lock_harness::{Client, Reply, Server};
use std::time::{Duration, Instant};

/// `waiting-ms` taken out: it passes.
fn without_time(waiter: &Reply) -> Vec<(String, Reply)> {
    let field = |name: &str| (name.to_string(), waiter.get(name).clone());
    ["owner", "limit", "client"].map(field).to_vec()
}

#[test]
fn lock_info_shows_who_waits() {
    let server = Server::start();
    let (mut client, mut resp3) = (server.connect(), server.connect_resp3());
    client.take("k", "a", "");
    let mut waiters = Vec::new();
    let mut expected = Vec::new();
    for (owner, terms, limit) in [("b", "", 1), ("c", "SHARED", 0), ("d", "LIMIT 7", 7), ("b", "SHARED", 0)] {
        let (waiter, id) = numbered(&server, "k", owner, terms);
        waiters.push(waiter);
        let fields =
            [("owner", Reply::bulk(owner)), ("limit", Reply::Int(limit)), ("client", Reply::Int(id))];
        expected.push(fields.map(|(name, value)| (name.to_string(), value)).to_vec());
    }
    for client in [&mut client, &mut resp3] {
        let info = client.say("LOCK.INFO k");
        let shown = info.get("waiters").array();
        assert_eq!(shown.iter().map(without_time).collect::<Vec<_>>(), expected);
        assert!(shown.iter().all(|waiter| (0..60_000).contains(&waiter.get("waiting-ms").int())));
    }
    // Fields in this order: pairs in RESP3, one after the other in RESP2.
    let (flat, map) = (client.say("LOCK.INFO k"), resp3.say("LOCK.INFO k"));
    let names = ["owner", "limit", "waiting-ms", "client"].map(Reply::bulk);
    for waiter in flat.get("waiters").array() {
        assert_eq!(waiter.array().iter().step_by(2).cloned().collect::<Vec<_>>(), names);
    }
    for waiter in map.get("waiters").array() {
        let Reply::Map(pairs) = waiter else { panic!("not a map: {waiter:?}") };
        assert_eq!(pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    }
    // A reader of the lock sees its holder besides.
    assert_eq!(flat.get("holders").array().len(), 1);
    assert_eq!(client.say("LOCK.OWNER k"), Reply::bulk("a"));
}

#[test]
fn waiting_ms_is_how_long_it_has_waited() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 3600000");
    let mut first = waiter(&server, "k", "b", "");
    server.step_monotonic(300_000);
    let mut second = waiter(&server, "k", "c", "");
    let info = client.say("LOCK.INFO k");
    let waited: Vec<i64> =
        info.get("waiters").array().iter().map(|waiter| waiter.get("waiting-ms").int()).collect();
    assert!((300_000..360_000).contains(&waited[0]) && (0..60_000).contains(&waited[1]), "{waited:?}");
    server.step_wall(-3_600_000);
    say_all(&mut client, &["LOCK.RELEASE k a"]);
    granted(&mut first);
    let sum = || server.info_u64("lock", "lock_wait_ms_sum");
    assert!((300_000..360_000).contains(&sum()), "{}", sum());
    server.step_monotonic(100_000);
    say_all(&mut client, &["LOCK.RELEASE k b"]);
    granted(&mut second);
    assert!((400_000..520_000).contains(&sum()), "{}", sum());
}

/// `lock_wait_ms_sum` counts those who got it, and drifts; here it is left out.
#[track_caller]
fn changed(server: &Server, before: &mut std::collections::BTreeMap<String, i64>, expected: &[(&str, i64)]) {
    let now = counts(server);
    let drift = now["lock_wait_ms_sum"];
    before.insert("lock_wait_ms_sum".into(), drift);
    assert_counted(server, before, expected, "that");
    *before = now;
}

#[test]
fn each_end_of_a_wait_has_its_counter() {
    let server = Server::start();
    let mut client = server.connect();
    let mut now = counts(&server);
    client.take("k", "a", "");
    client.take("l", "b", "");
    changed(&server, &mut now, &[("lock_acquired", 2), ("lock_held", 2)]);
    let mut first = waiter(&server, "k", "b", "");
    changed(&server, &mut now, &[("lock_waiting", 1)]);
    assert!(client.say(&ask("l", "a", "")).is_error());
    changed(&server, &mut now, &[("lock_deadlocks", 1)]);
    assert_eq!(client.say("LOCK.ACQUIRE k c 1000 BLOCK 1"), Reply::Nil);
    changed(&server, &mut now, &[("lock_wait_timeouts", 1)]);
    assert_eq!(client.say("LOCK.ACQUIRE k c 1000"), Reply::Nil);
    changed(&server, &mut now, &[("lock_refused", 1)]);
    assert_eq!(client.say("LOCK.RELEASE k b"), Reply::Int(0));
    assert_eq!(reply(&mut first), Reply::Nil);
    changed(&server, &mut now, &[("lock_waiting", -1)]);
    join(&server, &mut first, &ask("k", "b", ""));
    client.say("LOCK.RELEASE k a");
    granted(&mut first);
    let handed_over = [("lock_acquired", 1), ("lock_handed_over", 1), ("lock_released", 1)];
    changed(&server, &mut now, &handed_over);
    let mut last = waiter_saying(&server, "LOCK.ACQUIRE k d 600000 BLOCK 600000");
    client.say("DEL k");
    granted(&mut last);
    changed(&server, &mut now, &[("lock_acquired", 1), ("lock_handed_over", 1), ("lock_removed", 1)]);
    super::assert_counters_add_up(&server);
}

fn cpu_ms(server: &Server) -> f64 {
    let cpu = server.info("cpu");
    let seconds = |field: &str| cpu[field].parse::<f64>().expect("seconds");
    (seconds("used_cpu_user_main_thread") + seconds("used_cpu_sys_main_thread")) * 1000.0
}

fn cpu_of_a_while(server: &Server) -> f64 {
    let (before, end) = (cpu_ms(server), Instant::now() + Duration::from_millis(500));
    std::thread::sleep(end - Instant::now());
    cpu_ms(server) - before
}

/// With and without limits, with a hold that has its deadline later.
#[test]
fn those_who_wait_cost_no_cpu() {
    let server = Server::start();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 600000");
    let idle = cpu_of_a_while(&server);
    let request = |n: usize| format!("LOCK.ACQUIRE k w{n} 600000 BLOCK {}", [0, 600_000][n % 2]);
    let clients: Vec<Client> = (0..300)
        .map(|n| {
            let mut client = server.connect();
            client.send(request(n).split(' '));
            client
        })
        .collect();
    redis_lock_harness::eventually(super::BOUND, || waiting(&server) == clients.len() as u64);
    let waiting = cpu_of_a_while(&server);
    assert!(waiting < idle + 50.0, "{waiting} ms of CPU in half a second, {idle} without them");
    assert!(fresh(client.say("LOCK.TTL k").int(), 600_000));
}
