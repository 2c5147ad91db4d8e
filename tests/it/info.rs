//! INFO and its counters.

use crate::keyspace::{say_all, HOUR};
use crate::support::{seed, settled, Say};
use crate::traffic::Traffic;
use crate::view::last_fence;
use redis_lock_harness::{eventually, Client, Reply, Server};
use redis_lock_sim::crowd::COUNTED;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// All fields, in the order of the reference: what is now, totals, the rest.
const NOW: [&str; 2] = ["lock_held", "lock_waiting"];
const SUMS: [&str; 2] = ["lock_wait_ms_sum", "lock_hold_ms_sum"];
const OTHERS: [&str; 2] = ["lock_last_fence", "lock_cooldown_ms"];

fn totals() -> impl Iterator<Item = &'static str> {
    COUNTED.into_iter().chain(SUMS)
}

fn fields(server: &Server) -> BTreeMap<String, u64> {
    let number = |value: String| value.parse().expect("fields of INFO lock are numbers");
    let info = server.info("lock");
    info.into_iter().map(|(name, value)| (name, number(value))).collect()
}

#[test]
fn the_section_has_these_fields() {
    let server = Server::start();
    let found = fields(&server);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let mut expected: Vec<&str> = NOW.into_iter().chain(totals()).chain(OTHERS).collect();
    expected.sort();
    assert_eq!(names, expected);
    for name in NOW.into_iter().chain(totals()).chain(["lock_cooldown_ms"]) {
        assert_eq!(found[name], 0, "{name} at the start");
    }
}

#[test]
fn the_section_is_in_info_everything() {
    let server = Server::start();
    let mut client = server.connect();
    for line in ["INFO everything", "INFO server lock"] {
        let all = client.say(line);
        assert!(all.text().contains("\r\nlock_held:0\r\n"), "{line}");
        assert!(all.text().contains("redis_version:"), "{line}");
    }
    assert!(!client.say("INFO server").text().contains("lock_held"));
}

/// A line and which fields it changes, by how much; `lock_hold_ms_sum` and `lock_last_fence` aside.
const SCRIPT: &[(&str, &[(&str, i64)])] = &[
    ("LOCK.ACQUIRE k a HOUR", &[("lock_acquired", 1), ("lock_held", 1)]),
    ("LOCK.ACQUIRE k a 7200000", &[("lock_reacquired", 1)]),
    ("LOCK.ACQUIRE k b HOUR", &[("lock_refused", 1)]),
    ("LOCK.ACQUIRE k b HOUR BLOCK 5", &[("lock_wait_timeouts", 1)]),
    ("LOCK.ACQUIRE k a HOUR SHARED", &[]),
    ("LOCK.ACQUIRE k a 0", &[]),
    ("LOCK.EXTEND k a 8200000", &[("lock_extended", 1)]),
    ("LOCK.EXTEND k b HOUR", &[]),
    ("LOCK.RELEASE k b", &[]),
    ("LOCK.OWNER k", &[]),
    ("LOCK.INFO k", &[]),
    ("LOCK.CHECK k 1", &[]),
    ("LOCK.RELEASE k a", &[("lock_released", 1), ("lock_held", -1)]),
    ("LOCK.RELEASE k a", &[]),
    ("LOCK.ACQUIRE s a HOUR SHARED", &[("lock_acquired", 1), ("lock_held", 1)]),
    ("LOCK.ACQUIRE s b HOUR SHARED", &[("lock_acquired", 1), ("lock_held", 1)]),
    ("LOCK.ACQUIRE s c HOUR", &[("lock_refused", 1)]),
    ("LOCK.MACQUIRE 3 x y z a HOUR", &[("lock_acquired", 3), ("lock_held", 3)]),
    ("LOCK.MACQUIRE 2 w x b HOUR", &[("lock_refused", 1)]),
    ("LOCK.MACQUIRE 2 x y a 7200000", &[("lock_reacquired", 2)]),
    ("LOCK.MACQUIRE 2 w x a HOUR", &[("lock_acquired", 1), ("lock_reacquired", 1), ("lock_held", 1)]),
    ("LOCK.MEXTEND 2 x y a 8200000", &[("lock_extended", 2)]),
    ("LOCK.MEXTEND 2 x none a 9200000", &[]),
    ("LOCK.MRELEASE 3 x y none a", &[("lock_released", 2), ("lock_held", -2)]),
    ("DEL z", &[("lock_removed", 1), ("lock_held", -1)]),
    ("RENAME w z", &[]),
    ("MOVE z 1", &[]),
    ("SET s v", &[("lock_removed", 2), ("lock_held", -2)]),
    ("LOCK.ACQUIRE s a HOUR", &[]),
    ("FLUSHALL", &[("lock_removed", 1), ("lock_held", -1)]),
];

#[test]
fn each_command_counts_what_it_did() {
    let server = Server::start();
    let mut client = server.connect();
    let mut expected = fields(&server);
    for (line, changes) in SCRIPT {
        let reply = client.say(&line.replace("HOUR", HOUR));
        let now = fields(&server);
        for (name, change) in *changes {
            let field = expected.get_mut(*name).expect("a field of INFO lock");
            *field = field.checked_add_signed(*change).expect("no counter is negative");
        }
        for name in ["lock_hold_ms_sum", "lock_last_fence"] {
            let before = expected.insert(name.into(), now[name]);
            assert!(before <= Some(now[name]), "{line}: {name} fell");
        }
        assert_eq!(now, expected, "{line} → {reply:?}");
    }
}

#[test]
fn deadlines_count_as_expired_whoever_meets_them() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["LOCK.ACQUIRE k a 20 SHARED", "LOCK.ACQUIRE k b 20 SHARED"]);
    eventually(Duration::from_secs(20), || fields(&server)["lock_held"] == 0);
    assert_eq!(fields(&server)["lock_expired"], 2);
    let commands = ["MULTI", "LOCK.ACQUIRE k a 10", "DEBUG SLEEP 0.03", "LOCK.ACQUIRE k b 3600000", "EXEC"];
    let replies = client.pipeline(commands.map(|line| line.split(' ')));
    assert!(replies[4].array()[2].int() > 0);
    let now = fields(&server);
    assert_eq!((now["lock_expired"], now["lock_acquired"], now["lock_held"]), (3, 4, 1));
    assert_eq!(now["lock_reacquired"], 0);
}

#[test]
fn hold_ms_sum_adds_up_how_long_holds_were_held() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    let began = Instant::now();
    let sum = || fields(&server)["lock_hold_ms_sum"];
    let ends = [("LOCK.RELEASE k a", 5_000), ("DEL k", 7_000), ("LOCK.MRELEASE 1 k a", 11_000)];
    let mut expected = 0;
    for (end, held_ms) in ends {
        say_all(&mut client, &["LOCK.ACQUIRE k a 3600000"]);
        server.step_monotonic(held_ms as i64);
        assert_eq!(sum(), expected_within(expected, began, sum()), "only ended holds count");
        say_all(&mut client, &["LOCK.EXTEND k a 3600000", "RENAME k l", "RENAME l k", end]);
        expected += held_ms;
        assert_eq!(sum(), expected_within(expected, began, sum()), "{end}");
    }
    say_all(&mut client, &["LOCK.ACQUIRE k a 1000"]);
    server.step_monotonic(13_000);
    say_all(&mut client, &["LOCK.ACQUIRE k b 1000"]);
    assert_eq!(sum(), expected_within(expected + 13_000, began, sum()), "expired");
}

/// Each RENAME takes a lock out and puts it in again, some of them while its age in milliseconds grows.
#[test]
fn a_lock_that_is_renamed_ends_for_no_counter() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    say_all(&mut client, &["LOCK.ACQUIRE k a 3600000", "LOCK.ACQUIRE l a 3600000"]);
    server.step_monotonic(1000);
    say_all(&mut client, &["LOCK.RELEASE l a"]);
    let before = fields(&server);
    assert!(before["lock_hold_ms_sum"] >= 1000);
    for _ in 0..20 {
        let renames = ["RENAME k l".split(' '), "RENAME l k".split(' ')];
        let replies = client.pipeline(renames.into_iter().cycle().take(1000));
        assert!(replies.iter().all(|reply| *reply == Reply::ok()));
        assert_eq!(fields(&server), before);
    }
}

/// `found`, if it is at least `expected` and more than that by no more than has really passed.
#[track_caller]
fn expected_within(expected: u64, began: Instant, found: u64) -> u64 {
    let passed = began.elapsed().as_millis() as u64;
    assert!(expected <= found && found <= expected + passed, "{expected} to {found} in {passed} ms");
    found
}

#[test]
fn last_fence_is_the_highest_token() {
    let server = settled();
    let mut client = server.connect();
    let last = || fields(&server)["lock_last_fence"] as i64;
    let at_start = last();
    let token = client.say("LOCK.ACQUIRE k a 1000000").int();
    assert!(token > at_start);
    assert_eq!(last(), token);
    say_all(&mut client, &["LOCK.RELEASE k a"]);
    assert_eq!(last(), token, "a released token counts on");
    say_all(&mut client, &["LOCK.ACQUIRE k a 1000000"]);
    let raised = client.say(&format!("LOCK.EXTEND k a 1000 FENCE {}", last() + 1000)).int();
    assert_eq!(last(), raised);
    let next = client.say("LOCK.ACQUIRE l a 1000000").int();
    assert!(next > raised);
    assert_eq!(last(), next);
    client.say("LOCK.ACQUIRE l b 1000000");
    assert_eq!(last(), next, "a refusal takes no token");
}

#[test]
fn cooldown_ms_is_what_is_left() {
    let server = Server::builder().config("lock.cooldown", "100000").movable_clocks().start();
    let left = || fields(&server)["lock_cooldown_ms"];
    let first = left();
    assert!(0 < first && first <= 100_000, "{first}");
    server.step_monotonic(60_000);
    let later = left();
    assert!(later <= first - 60_000 && later > 0, "{later}");
    server.step_monotonic(60_000);
    assert_eq!(left(), 0);
}

#[test]
fn acquired_is_released_expired_removed_and_held_after_a_random_run() {
    let server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    let seed = seed();
    let mut traffic = Traffic::new(seed, last_fence(&server));
    let mut before = fields(&server);
    for _ in 0..200 {
        traffic.run(&server, 50);
        server.step_monotonic(10);
        let now = fields(&server);
        for name in totals().chain(["lock_last_fence"]) {
            assert!(now[name] >= before[name], "{name} fell, seed {seed}");
        }
        assert_sum(&now, seed);
        before = now;
    }
    for name in ["lock_released", "lock_expired", "lock_removed", "lock_reacquired", "lock_refused"] {
        assert!(before[name] > 10, "the run was to see {name}, seed {seed}: {before:?}");
    }
    let really_held = count_holds(&mut client);
    assert!(really_held <= before["lock_held"], "seed {seed}");
    say_all(&mut client, &["FLUSHALL"]);
    let end = fields(&server);
    assert_eq!(end["lock_held"], 0, "seed {seed}");
    assert_sum(&end, seed);
}

#[track_caller]
fn assert_sum(now: &BTreeMap<String, u64>, seed: u64) {
    let ends = ["lock_released", "lock_expired", "lock_sessions_dropped", "lock_removed", "lock_held"];
    let sum: u64 = ends.iter().map(|name| now[*name]).sum();
    assert_eq!(now["lock_acquired"], sum, "seed {seed}: {now:?}");
}

/// How many live holds there are, by LOCK.INFO of every key.
fn count_holds(client: &mut Client) -> u64 {
    let mut count = 0;
    for db in ["0", "1"] {
        client.say(&format!("SELECT {db}"));
        for key in client.say("KEYS *").array() {
            let info = client.run([b"LOCK.INFO".as_slice(), key.bytes()]);
            if !info.is_nil() && !info.is_error() {
                count += info.get("holders").array().len() as u64;
            }
        }
    }
    count
}

#[test]
fn a_replica_counts_what_is_held_but_no_totals() {
    let server = Server::builder().tcp().movable_clocks().start();
    let replica = server.replica();
    // Past the minute that each server's tokens begin ahead of its clock.
    server.step_monotonic(600_000);
    let mut client = server.connect();
    for (line, _) in SCRIPT.iter().take_while(|(line, _)| *line != "FLUSHALL") {
        client.say(&line.replace("HOUR", HOUR));
    }
    say_all(
        &mut client,
        &["LOCK.ACQUIRE short a 20", "LOCK.ACQUIRE k a 3600000", "LOCK.ACQUIRE l a 3600000 SHARED"],
    );
    eventually(Duration::from_secs(20), || client.say("EXISTS short") == Reply::Int(0));
    server.wait_synced(&replica);
    let (here, there) = (fields(&server), fields(&replica));
    assert_eq!(there["lock_held"], here["lock_held"]);
    assert_eq!(there["lock_held"], 3);
    assert_eq!(there["lock_last_fence"], here["lock_last_fence"]);
    for name in totals() {
        assert_eq!(there[name], 0, "{name} on a replica");
    }
    let mut promoted = replica.connect();
    say_all(&mut promoted, &["REPLICAOF NO ONE", "LOCK.RELEASE k a", "LOCK.ACQUIRE new a 1000000"]);
    let now = fields(&replica);
    assert_eq!((now["lock_held"], now["lock_released"], now["lock_acquired"]), (3, 1, 1));
}

/// What an effect command does was decided elsewhere, whoever sends it.
#[test]
fn effect_commands_change_what_is_held_but_no_totals() {
    let server = Server::start();
    let mut client = server.connect();
    let mut expected = fields(&server);
    say_all(
        &mut client,
        &["LOCK._HOLD k a 3600000 1", "LOCK._HOLD k b 3600000 2 LIMIT 0", "LOCK._DROP k RELEASED a"],
    );
    expected.insert("lock_held".into(), 1);
    assert_eq!(fields(&server), expected);
}
