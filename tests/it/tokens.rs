//! Fencing tokens: where they come from, that they rise over everything, and what FENCE may ask for.

use crate::support::holds;
use crate::view::{digest, everything, holders, last_fence, BOUND};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::{SystemTime, UNIX_EPOCH};

const MINUTE: i64 = 60_000_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const TOO_FAR: &str = "ERR token is too far ahead";

/// The wall clock in microseconds, as tokens count.
fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_micros()).expect("it is not that late")
}

/// Takes a fresh lock.
fn take(client: &mut Client, key: &str) -> i64 {
    client.run(["LOCK.ACQUIRE", key, "owner", "600000"]).int()
}

fn with_fence(client: &mut Client, key: &str, fence: i64) -> Reply {
    client.run(["LOCK.ACQUIRE", key, "owner", "600000", "FENCE", &fence.to_string()])
}

#[test]
fn each_token_is_above_all_before_it_over_all_locks() {
    let server = Server::start();
    let mut client = server.connect();
    let mut last = 0;
    for n in 0..200 {
        let key = format!("key{}", n % 7);
        let owner = format!("owner{n}");
        let commands = [
            vec!["LOCK.ACQUIRE", &key, &owner, "600000"],
            vec!["LOCK.ACQUIRE", "shared", &owner, "600000", "SHARED"],
            vec!["LOCK.ACQUIRE", "pool", &owner, "600000", "LIMIT", "10000", "META", "why"],
            vec!["LOCK.MACQUIRE", "2", "{k}a", "{k}b", &owner, "600000"],
        ];
        for command in commands {
            let token = client.run(&command).int();
            assert!(token > last, "{token} after {last}: {command:?}");
            assert_eq!(last_fence(&server), token);
            last = token;
        }
        client.run(["LOCK.RELEASE", &key, &owner]);
        client.run(["LOCK.MRELEASE", "2", "{k}a", "{k}b", &owner]);
    }
    assert!(last < 1 << 53);
    let two = client.run(["LOCK.MACQUIRE", "2", "{k}a", "{k}b", "owner", "600000"]).int();
    assert_eq!((holds(&mut client, "{k}a")[0].fence, holds(&mut client, "{k}b")[0].fence), (two, two));
}

#[test]
fn tokens_start_a_minute_ahead_and_then_follow_the_monotonic_clock() {
    let before = wall();
    let server = Server::builder().movable_clocks().start();
    let after = wall();
    let mut client = server.connect();
    let first = take(&mut client, "a");
    assert!((before + MINUTE..=after + MINUTE + 1).contains(&first), "{first}, {before} to {after}");
    // The clock is a minute behind, so the next one is the next number.
    assert_eq!([take(&mut client, "b"), take(&mut client, "c")], [first + 1, first + 2]);
    server.step_wall(HOUR_MS);
    assert_eq!(take(&mut client, "d"), first + 3);
    server.step_wall(-2 * HOUR_MS);
    assert_eq!(take(&mut client, "e"), first + 4);
    // Two minutes after the start, by the clock that nobody can set.
    server.step_monotonic(2 * MINUTE_MS);
    let asked = wall();
    let later = take(&mut client, "f");
    let clock = asked + 2 * MINUTE - (after - before)..=wall() + 2 * MINUTE;
    assert!(clock.contains(&later), "{later}, not in {clock:?}");
}

#[test]
fn fence_is_a_floor_within_a_minute_of_the_clock() {
    let server = Server::start();
    let mut client = server.connect();
    let first = take(&mut client, "a");
    for low in [1, 5, first - 1, first] {
        let last = last_fence(&server);
        assert_eq!(with_fence(&mut client, &format!("low{low}"), low).int(), last + 1);
    }
    // The bound rises with the clock; so a moment after the start there is room above last + 1.
    eventually(BOUND, || wall() + MINUTE > last_fence(&server) + 50_000);
    let room = last_fence(&server) + 20_000;
    assert_eq!(with_fence(&mut client, "room", room), Reply::Int(room));
    assert_eq!(take(&mut client, "next"), room + 1);
    assert_eq!(with_fence(&mut client, "exact", room + 2), Reply::Int(room + 2));
    let before = (everything(&server), digest(&server), last_fence(&server));
    // A clock that is read later only allows more: these are beyond what it will be.
    for far in [wall() + MINUTE + 600 * 1_000_000, (1 << 53) - 1, 1 << 53, i64::MAX] {
        for key in ["new", "room"] {
            assert_eq!(with_fence(&mut client, key, far), Reply::error(TOO_FAR), "{far}");
        }
        let text = far.to_string();
        let refused = [
            vec!["LOCK.EXTEND", "room", "owner", "600000", "FENCE", &text],
            vec!["LOCK.MACQUIRE", "1", "new", "owner", "600000", "FENCE", &text],
            vec!["LOCK.MEXTEND", "1", "room", "owner", "600000", "FENCE", &text],
        ];
        for command in refused {
            assert_eq!(client.run(&command), Reply::error(TOO_FAR), "{command:?}");
        }
    }
    assert_eq!((everything(&server), digest(&server), last_fence(&server)), before);
}

/// A server whose tokens are 75 seconds ahead of the wall clock, and a lock of it as DUMP gives it: too far
/// ahead for a server that has just started, but not for one that runs for half a minute.
fn dump_from_ahead() -> (i64, Vec<u8>) {
    let ahead = Server::builder().movable_clocks().start();
    ahead.step_monotonic(75_000);
    let mut client = ahead.connect();
    let token = take(&mut client, "key");
    (token, client.run(["DUMP", "key"]).bytes().to_vec())
}

#[test]
fn the_token_after_last_is_never_too_far_ahead() {
    let mut server = Server::builder().movable_clocks().start();
    let (high, payload) = dump_from_ahead();
    server.step_monotonic(MINUTE_MS / 2);
    let mut client = server.connect();
    assert_eq!(client.run([&b"RESTORE"[..], b"high", b"0", &payload]), Reply::ok());
    assert_eq!(client.run(["SAVE"]), Reply::ok());
    server.kill();
    server.restart();
    // The counter begins again at the wall clock, and last is more than a minute beyond it.
    let mut client = server.connect();
    assert_eq!(last_fence(&server), high);
    assert_eq!(with_fence(&mut client, "a", high + 2), Reply::error(TOO_FAR));
    assert_eq!(with_fence(&mut client, "a", high + 1), Reply::Int(high + 1));
    let next = (high + 2).to_string();
    assert_eq!(client.run(["LOCK.EXTEND", "a", "owner", "1", "FENCE", &next]), Reply::Int(high + 2));
}

#[test]
fn a_reacquire_and_an_extend_raise_and_never_lower() {
    let server = Server::start();
    let mut client = server.connect();
    let token = take(&mut client, "key");
    assert_eq!(take(&mut client, "key"), token, "a retry gets the same");
    assert_eq!(with_fence(&mut client, "key", token - 1000), Reply::Int(token));
    let raised = token + 1;
    assert_eq!(with_fence(&mut client, "key", raised), Reply::Int(raised));
    assert_eq!(last_fence(&server), raised);
    let extend = |client: &mut Client, fence: i64| {
        client.run(["LOCK.EXTEND", "key", "owner", "1", "FENCE", &fence.to_string()]).int()
    };
    assert_eq!(extend(&mut client, 1), raised);
    assert_eq!(extend(&mut client, raised + 1), raised + 1);
    assert_eq!(holders(&mut client, "key")[0].get("fence").int(), raised + 1);
    assert_eq!(last_fence(&server), raised + 1);
    assert_eq!(take(&mut client, "other"), raised + 2);
    // A hold that is raised need not be above last: only new grants are.
    assert_eq!(extend(&mut client, raised + 2), raised + 2);
    assert_eq!(last_fence(&server), raised + 2);
    assert_eq!(client.run(["LOCK.CHECK", "key", &(raised + 2).to_string()]), Reply::Int(1));
    let old = client.run(["LOCK.CHECK", "key", &token.to_string()]);
    assert_eq!(old, Reply::error(format!("FENCED token {token} is not held")));
}

#[test]
fn a_fence_over_several_keys_brings_them_under_one_token() {
    let server = Server::start();
    let mut client = server.connect();
    let (low, high) = (take(&mut client, "{k}a"), take(&mut client, "{k}b"));
    let extend = |client: &mut Client, fence: i64| {
        let fence = fence.to_string();
        client.run(["LOCK.MEXTEND", "2", "{k}a", "{k}b", "owner", "1000", "FENCE", &fence]).int()
    };
    assert_eq!(extend(&mut client, low), high);
    let tokens = |client: &mut Client| ["{k}a", "{k}b"].map(|key| holds(client, key)[0].fence);
    assert_eq!(tokens(&mut client), [high, high]);
    assert_eq!(extend(&mut client, high + 1), high + 1);
    assert_eq!(tokens(&mut client), [high + 1; 2]);
    assert_eq!(take(&mut client, "next"), high + 2);
    let three = ["LOCK.MACQUIRE", "3", "{k}a", "{k}b", "{k}c", "owner", "1000", "FENCE"];
    let fence = (high + 3).to_string();
    assert_eq!(client.run(three.iter().chain([&&fence[..]])), Reply::Int(high + 3));
    assert_eq!(tokens(&mut client), [high + 3; 2]);
}

#[test]
fn tokens_rise_over_a_restart_that_forgot_everything() {
    let mut server = Server::builder().movable_clocks().start();
    // Running for two minutes: tokens follow the clock.
    server.step_wall(2 * MINUTE_MS);
    server.step_monotonic(2 * MINUTE_MS);
    let mut client = server.connect();
    let mut highest = take(&mut client, "key");
    // The last one within a minute of the clock at the next start.
    for step_back in [0, 0, MINUTE_MS / 2] {
        server.kill();
        server.step_wall(-step_back);
        server.restart();
        let mut client = server.connect();
        assert_eq!(client.run(["DBSIZE"]), Reply::Int(0));
        let token = take(&mut client, "key");
        assert!(token > highest, "{token} after {highest}, {step_back} ms back");
        highest = token;
        server.step_wall(2 * MINUTE_MS);
        server.step_monotonic(2 * MINUTE_MS);
        highest = highest.max(take(&mut client, "later"));
    }
}

#[test]
fn tokens_that_were_kept_rise_whatever_the_clock_says() {
    let day = 24 * HOUR_MS;
    let kinds = [("appendonly", "yes"), ("save", "3600 1")];
    for (setting, value) in kinds {
        let mut server = Server::builder().config(setting, value).movable_clocks().start();
        let mut highest = 0;
        for step in [-10 * 365 * day, HOUR_MS, -20 * 365 * day, -MINUTE_MS] {
            let mut client = server.connect();
            let token = take(&mut client, "key");
            assert!(token > highest, "{token} after {highest}: {setting}");
            highest = with_fence(&mut client, "raised", token.max(last_fence(&server) + 1)).int();
            client.run(["LOCK.RELEASE", "key", "owner"]);
            client.run(["LOCK.RELEASE", "raised", "owner"]);
            server.stop();
            server.step_wall(step);
            server.restart();
            assert!(last_fence(&server) >= highest, "{setting}");
        }
    }
}

#[test]
fn a_restored_token_raises_the_servers_own() {
    let to = Server::builder().movable_clocks().start();
    let (high, payload) = dump_from_ahead();
    to.step_monotonic(MINUTE_MS / 2);
    let mut client = to.connect();
    assert!(take(&mut client, "before") < high);
    assert_eq!(client.run([&b"RESTORE"[..], b"key", b"0", &payload]), Reply::ok());
    assert_eq!(last_fence(&to), high);
    client.run(["DEL", "key"]);
    assert_eq!(take(&mut client, "after"), high + 1);
}

#[test]
fn a_replica_and_a_promotion_take_tokens_over() {
    let master = Server::builder().tcp().movable_clocks().start();
    // Ahead by far more than a RESTORE would bring in.
    master.step_monotonic(HOUR_MS);
    let replica = Server::builder().replica_of(&master).start();
    let mut client = master.connect();
    let mut highest = take(&mut client, "before");
    highest = with_fence(&mut client, "before", highest + 1).int();
    client.run(["LOCK.RELEASE", "before", "owner"]);
    master.wait_synced(&replica);
    assert_eq!(last_fence(&replica), highest);
    // A full synchronisation says it also where no lock does.
    let late = Server::builder().replica_of(&master).start();
    assert_eq!((late.connect().run(["DBSIZE"]), last_fence(&late)), (Reply::Int(0), highest));
    for promoted in [&replica, &late] {
        let mut client = promoted.connect();
        assert_eq!(client.run(["REPLICAOF", "NO", "ONE"]), Reply::ok());
        assert_eq!(take(&mut client, "after"), highest + 1);
    }
}

#[test]
fn a_promotion_starts_a_minute_ahead_as_a_start_does() {
    let master = Server::builder().tcp().start();
    let replica = Server::builder().movable_clocks().replica_of(&master).start();
    replica.step_wall(HOUR_MS);
    let before = wall() + HOUR_MS * 1000;
    assert_eq!(replica.connect().run(["REPLICAOF", "NO", "ONE"]), Reply::ok());
    assert!(last_fence(&replica) >= before + MINUTE, "{} at {before}", last_fence(&replica));
    assert!(take(&mut replica.connect(), "key") > before + MINUTE);
}
