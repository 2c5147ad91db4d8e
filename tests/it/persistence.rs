//! RDB, AOF, DUMP and what else carries a lock out of a server and in again.

use crate::support::holds;
use crate::traffic::Traffic;
use crate::view::{digest, everything, held, holders, last_fence, settle, BOUND};
use redis_lock_harness::{eventually, Builder, Client, Reply, Server};
use std::time::Instant;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Takes one lock of each kind, with three holds, and returns the highest token.
fn take_some(client: &mut Client) -> i64 {
    let taken = client.pipeline([
        &[&b"LOCK.ACQUIRE"[..], b"mutex", b"\0owner\xff\r\n", b"600000", b"META", b"%s\0\xfe"][..],
        &[b"LOCK.ACQUIRE", b"readers", b"first", b"600000", b"SHARED"],
        &[b"LOCK.ACQUIRE", b"readers", b"second", b"500000", b"SHARED", b"META", b"why"],
        &[b"LOCK.ACQUIRE", b"pool", b"one", b"600000", b"LIMIT", b"10000"],
        &[b"LOCK.ACQUIRE", b"pool", b"two", b"600000", b"LIMIT", b"3"],
        &[b"LOCK.MACQUIRE", b"2", b"left", b"right", b"both", b"600000"],
    ]);
    taken.iter().map(Reply::int).max().expect("there are some")
}

/// The highest token of all was given, and its lock released.
fn give_a_last_token(client: &mut Client) -> i64 {
    let token = client.run(["LOCK.ACQUIRE", "released", "owner", "600000"]).int();
    assert_eq!(client.run(["LOCK.RELEASE", "released", "owner"]), Reply::Int(1));
    token
}

fn next_token(server: &Server) -> i64 {
    server.connect().run(["LOCK.ACQUIRE", "next", "owner", "600000"]).int()
}

fn ttl(client: &mut Client, key: &str) -> i64 {
    client.run(["LOCK.TTL", key]).int()
}

fn rewrite_aof(server: &Server) {
    let started = server.connect().run(["BGREWRITEAOF"]);
    assert!(!started.is_error(), "{started:?}");
    eventually(BOUND, || {
        let state = server.info("persistence");
        state["aof_rewrite_in_progress"] == "0" && state["aof_rewrite_scheduled"] == "0"
    });
    assert_eq!(server.info("persistence")["aof_last_bgrewrite_status"], "ok");
}

fn with_aof(preamble: &str) -> Builder {
    Server::builder()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .config("aof-use-rdb-preamble", preamble)
        .movable_clocks()
}

fn server_version(server: &Server) -> (u32, u32) {
    let version = server.info("server")["redis_version"].clone();
    let mut parts = version.split('.').map(|part| part.parse().expect("a number"));
    (parts.next().expect("a major version"), parts.next().expect("a minor version"))
}

#[test]
fn an_rdb_keeps_holds_and_tokens() {
    let mut server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    take_some(&mut client);
    let highest = give_a_last_token(&mut client);
    let before = (everything(&server), digest(&server), held(&server));
    assert_eq!(client.run(["SAVE"]), Reply::ok());
    server.kill();
    // A start at this time would give lower tokens, had the file not said how far they were.
    server.step_wall(-HOUR_MS);
    server.restart();
    assert_eq!((everything(&server), digest(&server), held(&server)), before);
    assert!(last_fence(&server) >= highest);
    assert!(next_token(&server) > highest);
}

#[test]
fn an_orderly_stop_writes_an_rdb_with_the_locks() {
    let mut server = Server::builder().config("save", "3600 1").start();
    take_some(&mut server.connect());
    let before = (everything(&server), digest(&server));
    server.stop();
    server.restart();
    assert_eq!((everything(&server), digest(&server)), before);
}

#[test]
fn a_loaded_ttl_runs_from_the_start() {
    let mut server = Server::builder().movable_clocks().start();
    let mut client = server.connect();
    client.run(["LOCK.ACQUIRE", "key", "owner", "60000"]);
    let before_save = ttl(&mut client, "key");
    assert_eq!(client.run(["SAVE"]), Reply::ok());
    let after_save = ttl(&mut client, "key");
    server.kill();
    for step in [HOUR_MS, -2 * HOUR_MS, 20 * 365 * DAY_MS] {
        server.step_wall(step);
        let start = Instant::now();
        server.restart();
        let loaded = ttl(&mut server.connect(), "key");
        let longest_ago = start.elapsed().as_millis() as i64 + 1;
        assert!(loaded <= before_save, "{loaded} of {before_save}");
        assert!(loaded >= after_save - longest_ago, "{loaded} of {after_save}, {longest_ago} ms after");
        server.kill();
    }
}

#[test]
fn a_snapshot_has_also_what_is_past_its_deadline() {
    let mut server = Server::start();
    let mut client = server.connect();
    // While writes are paused nothing is reclaimed.
    client.pipeline([
        &["LOCK.ACQUIRE", "key", "owner", "300"][..],
        &["LOCK.ACQUIRE", "other", "owner", "600000"],
        &["CLIENT", "PAUSE", "600000", "WRITE"],
    ]);
    eventually(BOUND, || ttl(&mut client, "key") == -2);
    assert_eq!(client.run(["EXISTS", "key", "other"]), Reply::Int(2));
    assert_eq!(client.run(["SAVE"]), Reply::ok());
    server.kill();
    server.restart();
    eventually(BOUND, || server.info_u64("lock", "lock_expired") == 1);
    assert_eq!(server.connect().run(["EXISTS", "key", "other"]), Reply::Int(1));
    assert_eq!(held(&server), 1);
}

#[test]
fn reloaded_files_say_what_was_there() {
    for preamble in ["yes", "no"] {
        let mut server = with_aof(preamble).start();
        let mut traffic = Traffic::new(3, last_fence(&server));
        for round in 0..4 {
            let context = format!("preamble {preamble}, round {round}");
            assert!(traffic.run(&server, 1000) > 50, "{context}");
            settle(&server);
            let before = (everything(&server), digest(&server), held(&server), last_fence(&server));
            let after = |server: &Server| (everything(server), digest(server), held(server));
            if round % 2 == 1 {
                rewrite_aof(&server);
            }
            assert_eq!(server.connect().run(["DEBUG", "RELOAD"]), Reply::ok());
            assert_eq!(after(&server), (before.0.clone(), before.1.clone(), before.2), "{context}");
            assert_eq!(server.connect().run(["DEBUG", "LOADAOF"]), Reply::ok());
            assert_eq!(after(&server), (before.0.clone(), before.1.clone(), before.2), "{context}");
            server.kill();
            server.step_wall(-HOUR_MS);
            server.restart();
            assert_eq!(after(&server), (before.0, before.1, before.2), "{context}");
            assert!(last_fence(&server) >= before.3, "{context}");
        }
    }
}

#[test]
fn a_rewritten_aof_keeps_the_last_token_without_locks() {
    for preamble in ["yes", "no"] {
        let mut server = with_aof(preamble).start();
        let highest = give_a_last_token(&mut server.connect());
        assert_eq!(held(&server), 0);
        rewrite_aof(&server);
        let last = last_fence(&server);
        assert!(last >= highest);
        for _ in 0..2 {
            server.kill();
            server.step_wall(-HOUR_MS);
            server.restart();
            assert!(last_fence(&server) >= last, "preamble {preamble}");
        }
        assert!(next_token(&server) > highest, "preamble {preamble}");
    }
}

#[test]
fn an_aof_switched_on_later_has_all_locks() {
    for preamble in ["yes", "no"] {
        let mut server = Server::builder()
            .config("aof-use-rdb-preamble", preamble)
            .config("appendfsync", "always")
            .movable_clocks()
            .start();
        let mut client = server.connect();
        take_some(&mut client);
        give_a_last_token(&mut client);
        assert_eq!(client.run(["CONFIG", "SET", "appendonly", "yes"]), Reply::ok());
        client.run(["LOCK.ACQUIRE", "meanwhile", "owner", "600000"]);
        eventually(BOUND, || server.info("persistence")["aof_rewrite_in_progress"] == "0");
        client.run(["LOCK.ACQUIRE", "later", "owner", "600000"]);
        assert_eq!(client.run(["LOCK.RELEASE", "pool", "one"]), Reply::Int(1));
        let before = (everything(&server), digest(&server), last_fence(&server));
        // The file says appendonly no; the start finds the AOF all the same, as the operator would make it.
        assert_eq!(client.run(["CONFIG", "REWRITE"]), Reply::ok());
        server.kill();
        server.step_wall(-HOUR_MS);
        server.restart();
        assert_eq!((everything(&server), digest(&server), last_fence(&server)), before, "{preamble}");
    }
}

#[test]
fn debug_reload_keeps_holds_and_ends_what_ended() {
    let server = Server::start();
    let mut client = server.connect();
    take_some(&mut client);
    let before = (everything(&server), digest(&server), held(&server));
    client.run(["LOCK.ACQUIRE", "short", "owner", "30"]);
    assert_eq!(client.run(["DEBUG", "RELOAD"]), Reply::ok());
    eventually(BOUND, || client.run(["EXISTS", "short"]) == Reply::Int(0));
    assert_eq!((everything(&server), digest(&server), held(&server)), before);
    assert_eq!(client.run(["LOCK.RELEASE", "mutex", "another"]), Reply::Int(0));
    assert_eq!(client.run(["LOCK.RELEASE", "readers", "second"]), Reply::Int(1));
}

#[test]
fn a_remaining_ttl_is_rounded_up() {
    let server = Server::start();
    let mut client = server.connect();
    let dump_and_restore = "local lock = redis.call('DUMP', KEYS[1])
        return redis.call('RESTORE', KEYS[2], 0, lock, 'REPLACE')";
    let both = "return {redis.call('LOCK.TTL', KEYS[2]), redis.call('LOCK.TTL', KEYS[1])}";
    client.run(["LOCK.ACQUIRE", "key", "owner", "600000"]);
    for _ in 0..200 {
        let start = Instant::now();
        assert_eq!(client.run(["EVAL", dump_and_restore, "2", "key", "twin"]), Reply::ok());
        let on_its_way = start.elapsed().as_millis() as i64;
        // The twin is asked first: time that passes between the two can't make it look longer.
        let left = client.run(["EVAL", both, "2", "key", "twin"]);
        let (twin, original) = (left.array()[0].int(), left.array()[1].int());
        let longest = original + on_its_way + start.elapsed().as_millis() as i64 + 2;
        assert!((original..=longest).contains(&twin), "{twin} restored from {original}");
    }
}

#[test]
fn dump_and_restore_carry_a_lock_to_another_key_and_server() {
    let (here, there) = (Server::start(), Server::start());
    let (mut client, mut other) = (here.connect(), there.connect());
    take_some(&mut client);
    for key in ["mutex", "readers", "pool", "left"] {
        let payload = client.run(["DUMP", key]).bytes().to_vec();
        let restored = holds(&mut client, key);
        let restore = |client: &mut Client, name: &str| {
            assert_eq!(client.run([&b"RESTORE"[..], name.as_bytes(), b"0", &payload]), Reply::ok());
            assert_eq!(holds(client, name), restored);
            let busy = client.run([&b"RESTORE"[..], name.as_bytes(), b"0", &payload]);
            assert!(busy.text().starts_with("BUSYKEY"), "{busy:?}");
            let sessions = holders(client, name);
            assert!(sessions.iter().all(|holder| holder.get("session").int() == 0));
        };
        restore(&mut client, "copy");
        restore(&mut other, key);
        assert!(ttl(&mut other, key) > 400_000);
        assert_eq!(client.run(["DEL", "copy"]), Reply::Int(1));
    }
    assert_eq!(held(&there), 6);
    assert_eq!(other.run(["LOCK.ACQUIRE", "mutex", "else", "1000"]), Reply::Nil);
    assert_eq!(other.run(["LOCK.RELEASE", "readers", "first"]), Reply::Int(1));
}

#[test]
fn restore_replace_puts_one_lock_in_place_of_another() {
    let server = Server::start();
    let mut client = server.connect();
    take_some(&mut client);
    let payload = client.run(["DUMP", "readers"]).bytes().to_vec();
    let expected = holds(&mut client, "readers");
    let replace = |client: &mut Client, key: &str| {
        let command = [&b"RESTORE"[..], key.as_bytes(), b"0", &payload, b"REPLACE"];
        assert_eq!(client.run(command), Reply::ok());
        assert_eq!(holds(client, key), expected);
    };
    client.run(["SET", "string", "value"]);
    client.run(["LOCK.ACQUIRE", "short", "owner", "50"]);
    let string = client.run(["DUMP", "string"]).bytes().to_vec();
    for key in ["mutex", "pool", "string", "short", "readers"] {
        replace(&mut client, key);
    }
    assert_eq!(held(&server), 5 * 2 + 2);
    assert_eq!(client.run([&b"RESTORE"[..], b"pool", b"0", &string, b"REPLACE"]), Reply::ok());
    assert_eq!(client.run(["TYPE", "pool"]).text(), "string");
    assert_eq!(held(&server), 4 * 2 + 2);
    // The deadline of the lock that was replaced is not the new one's.
    assert!(ttl(&mut client, "short") > 400_000);
    client.run(["LOCK.ACQUIRE", "probe", "owner", "60"]);
    eventually(BOUND, || client.run(["EXISTS", "probe"]) == Reply::Int(0));
    assert_eq!(holds(&mut client, "short"), expected);
}

#[test]
fn migrate_moves_a_lock_to_another_server() {
    let (here, there) = (Server::builder().tcp().start(), Server::builder().tcp().start());
    let mut client = here.connect();
    take_some(&mut client);
    let (kept, left) = (everything(&here), ttl(&mut client, "pool"));
    let port = there.port().to_string();
    for key in ["mutex", "readers", "pool", "left", "right"] {
        let moved = client.run(["MIGRATE", "127.0.0.1", &port, key, "0", "10000"]);
        assert_eq!(moved, Reply::ok());
    }
    assert_eq!(everything(&there), kept);
    assert_eq!((held(&here), held(&there)), (0, 7));
    assert_eq!(client.run(["DBSIZE"]), Reply::Int(0));
    let mut other = there.connect();
    assert!((1..=left).contains(&ttl(&mut other, "pool")));
    assert_eq!(other.run(["LOCK.RELEASE", "pool", "two"]), Reply::Int(1));
    assert!(
        next_token(&there) > kept.values().flat_map(|key| &key.holds).map(|hold| hold.fence).max().unwrap()
    );
}

#[test]
fn copy_of_a_lock_is_refused() {
    let server = Server::start();
    let mut client = server.connect();
    take_some(&mut client);
    let before = (everything(&server), digest(&server));
    for command in [&["COPY", "mutex", "twin"][..], &["COPY", "mutex", "pool", "REPLACE"]] {
        let reply = client.run(command);
        assert!(reply.is_error(), "{reply:?}");
    }
    assert_eq!((everything(&server), digest(&server)), before);
}

#[test]
fn where_nothing_was_taken_nothing_is_written() {
    let server = Server::start();
    if server_version(&server) < (7, 2) {
        println!("skipped: servers before 7.2 write a module's fields even where it has nothing to say");
        return;
    }
    let mut client = server.connect();
    client.run(["SET", "string", "value"]);
    assert_eq!(client.run(["LOCK.RELEASE", "key", "owner"]), Reply::Int(0));
    assert_eq!(client.run(["SAVE"]), Reply::ok());
    let mut plain = Server::builder().without_module().start();
    plain.stop();
    std::fs::copy(server.dir().join("dump.rdb"), plain.dir().join("dump.rdb")).expect("a copy");
    plain.restart();
    assert_eq!(plain.connect().run(["GET", "string"]), Reply::bulk("value"));
}

#[test]
fn memory_usage_grows_with_the_holders() {
    let server = Server::start();
    let mut client = server.connect();
    let mut usage = |holders: usize| {
        for holder in 0..holders {
            let owner = format!("{holder:020}");
            client.run(["LOCK.ACQUIRE", "key", &owner, "600000", "SHARED", "META", &"m".repeat(100)]);
        }
        client.run(["MEMORY", "USAGE", "key"]).int()
    };
    let (one, ten, thousand) = (usage(1), usage(10), usage(1000));
    assert!(one > 120, "{one}");
    assert!(ten > one + 9 * 120, "{ten} after {one}");
    assert!(thousand > ten + 990 * 120, "{thousand} after {ten}");
    assert!(thousand < 1000 * 1000, "{thousand}");
}

#[test]
fn the_time_held_goes_on_over_a_reload() {
    let server = Server::start();
    let mut client = server.connect();
    client.run(["LOCK.ACQUIRE", "key", "owner", "600000"]);
    let held_ms = |client: &mut Client| holders(client, "key")[0].get("held-ms").int();
    eventually(BOUND, || held_ms(&mut client) >= 200);
    let before = held_ms(&mut client);
    assert_eq!(client.run(["DEBUG", "RELOAD"]), Reply::ok());
    assert!((before - 1..600_000).contains(&held_ms(&mut client)));
}
