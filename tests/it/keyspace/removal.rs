//! Core commands that take a lock away.

use super::{assert_counted, counts, crowd, say_all, CROWD, HOUR};
use crate::events::Ears;
use crate::support::{holds, Say};
use redis_lock_harness::{Client, Reply, Server};

/// A command that removes the lock `lock`, and the type of that key afterwards.
const REMOVALS: &[(&str, &str)] = &[
    ("DEL lock", "none"),
    ("UNLINK lock", "none"),
    ("FLUSHDB", "none"),
    ("FLUSHDB SYNC", "none"),
    ("FLUSHDB ASYNC", "none"),
    ("FLUSHALL", "none"),
    ("FLUSHALL SYNC", "none"),
    ("FLUSHALL ASYNC", "none"),
    ("SET lock v", "string"),
    ("SET lock v XX", "string"),
    ("SET lock v KEEPTTL", "string"),
    ("SET lock v PX 1000000", "string"),
    ("SETEX lock 1000 v", "string"),
    ("PSETEX lock 1000000 v", "string"),
    ("MSET x v lock v", "string"),
    ("EXPIRE lock 0", "none"),
    ("EXPIRE lock -1", "none"),
    ("PEXPIRE lock -1", "none"),
    ("EXPIREAT lock 1", "none"),
    ("PEXPIREAT lock 1", "none"),
    ("RENAME string lock", "string"),
    ("RENAME set lock", "set"),
    ("COPY string lock REPLACE", "string"),
    ("SUNIONSTORE lock set none", "set"),
    ("SINTERSTORE lock set none", "none"),
    ("SDIFFSTORE lock set none", "set"),
    ("ZUNIONSTORE lock 1 zset", "zset"),
    ("ZINTERSTORE lock 2 zset none", "none"),
    ("ZDIFFSTORE lock 1 zset", "zset"),
    ("ZRANGESTORE lock zset 0 -1", "zset"),
    ("ZRANGESTORE lock none 0 -1", "none"),
    ("GEOSEARCHSTORE lock geo FROMLONLAT 15 37 BYRADIUS 300 km", "zset"),
    ("GEOSEARCHSTORE lock none FROMLONLAT 15 37 BYRADIUS 300 km", "none"),
    ("GEORADIUS geo 15 37 300 km STORE lock", "zset"),
    ("GEORADIUSBYMEMBER geo p 300 km STOREDIST lock", "zset"),
    ("SORT list STORE lock", "list"),
    ("SORT none STORE lock", "none"),
    ("BITOP AND lock string string", "string"),
    ("BITOP NOT lock string", "string"),
    ("BITOP OR lock none none", "none"),
];

const LAZY: [&str; 5] = [
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "lazyfree-lazy-server-del",
    "lazyfree-lazy-user-del",
    "lazyfree-lazy-user-flush",
];

fn others(client: &mut Client) {
    say_all(
        client,
        &["SET string v", "SADD set 1 2", "ZADD zset 1 m", "RPUSH list 2 1", "GEOADD geo 15 37 p"],
    );
}

#[test]
fn a_removed_lock_is_gone_and_counted_once() {
    removals("no");
}

#[test]
fn a_removed_lock_is_gone_and_counted_once_with_lazy_freeing() {
    removals("yes");
}

fn removals(lazy: &str) {
    let server = Server::builder().movable_clocks().start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    for name in LAZY {
        say_all(&mut client, &[&format!("CONFIG SET {name} {lazy}")]);
    }
    for (line, kind) in REMOVALS {
        client.say("FLUSHALL");
        others(&mut client);
        crowd(&mut client, "lock");
        ears.heard();
        let before = counts(&server);
        let reply = client.say(line);
        assert!(!reply.is_error() && !reply.is_nil(), "{line}: {reply:?}");
        assert_removed(&server, &mut client, line, kind);
        let gone = CROWD as i64;
        assert_counted(&server, &before, &[("lock_held", -gone), ("lock_removed", gone)], line);
        let heard = ears.heard();
        assert!(!heard.iter().any(|event| event.contains("lock.")), "{line}: {heard:?}");
    }
    nothing_is_left_to_expire(&server, &mut client, &mut ears);
}

#[track_caller]
fn assert_removed(server: &Server, client: &mut Client, line: &str, kind: &str) {
    assert!(server.is_alive(), "{line}");
    assert_eq!(client.say("TYPE lock"), Reply::Simple(kind.into()), "{line}");
    let owner = client.say("LOCK.OWNER lock");
    if kind == "none" {
        assert_eq!(owner, Reply::Nil, "{line}");
    } else {
        assert!(owner.text().starts_with("WRONGTYPE"), "{line}: {owner:?}");
    }
}

/// An entry left behind for a lock that is gone would be due now, and before that of a new lock.
fn nothing_is_left_to_expire(server: &Server, client: &mut Client, ears: &mut Ears) {
    client.say("FLUSHALL");
    let before = counts(server);
    server.step_monotonic(2 * 3_600_000);
    ears.heard();
    say_all(client, &["LOCK.ACQUIRE last a 20"]);
    assert_eq!(ears.until("0 last del"), ["0 last lock.acquire", "0 last lock.expired", "0 last del"]);
    assert_counted(server, &before, &[("lock_acquired", 1), ("lock_expired", 1)], "the end of all deadlines");
}

#[test]
fn a_lock_comes_back_only_with_a_higher_token() {
    let server = Server::start();
    let mut client = server.connect();
    let mut last = 0;
    for line in ["DEL lock", "UNLINK lock", "FLUSHALL", "PEXPIRE lock -1", "FLUSHALL ASYNC"] {
        let highest = crowd(&mut client, "lock").iter().map(|hold| hold.fence).max();
        assert!(highest > Some(last), "before {line}");
        last = highest.unwrap_or(last);
        say_all(&mut client, &[line]);
        assert_eq!(client.say("LOCK.RELEASE lock a"), Reply::Int(0), "{line}");
        assert_eq!(client.say("LOCK.EXTEND lock a 1000"), Reply::Int(0), "{line}");
    }
}

#[test]
fn restore_over_a_lock_removes_it() {
    let server = Server::start();
    let mut client = server.connect();
    client.say("SET string v");
    let payload = client.say("DUMP string");
    let held = crowd(&mut client, "lock");
    let before = counts(&server);
    let restore = |client: &mut Client, replace: &[&str]| {
        let mut command: Vec<&[u8]> = vec![b"RESTORE", b"lock", b"0", payload.bytes()];
        command.extend(replace.iter().map(|word| word.as_bytes()));
        client.run(command)
    };
    let busy = restore(&mut client, &[]);
    assert!(busy.text().starts_with("BUSYKEY"), "{busy:?}");
    assert_eq!(holds(&mut client, "lock"), held);
    assert_counted(&server, &before, &[], "BUSYKEY");
    assert_eq!(restore(&mut client, &["REPLACE"]), Reply::ok());
    assert_removed(&server, &mut client, "RESTORE", "string");
    let gone = CROWD as i64;
    assert_counted(&server, &before, &[("lock_held", -gone), ("lock_removed", gone)], "RESTORE");
}

#[test]
fn flushdb_takes_one_database_and_flushall_all() {
    let server = Server::builder().config("databases", "40").start();
    let mut client = server.connect();
    let at = |client: &mut Client, db: i32| client.say(&format!("SELECT {db}"));
    for db in 0..40 {
        at(&mut client, db);
        say_all(&mut client, &[&format!("LOCK.ACQUIRE lock owner-{db} {HOUR}")]);
    }
    assert_eq!(counts(&server)["lock_held"], 40);
    for (line, left) in [("FLUSHDB", 39), ("FLUSHDB ASYNC", 38), ("FLUSHDB SYNC", 37)] {
        say_all(&mut client, &[line]);
        assert_eq!(counts(&server)["lock_held"], left);
        assert_eq!(client.say("LOCK.OWNER lock"), Reply::Nil, "{line}");
        at(&mut client, left as i32 - 1);
    }
    for db in 0..37 {
        at(&mut client, db);
        assert_eq!(client.say("LOCK.OWNER lock"), Reply::bulk(format!("owner-{db}")));
    }
    client.say("FLUSHALL ASYNC");
    let now = counts(&server);
    assert_eq!((now["lock_held"], now["lock_removed"]), (0, 40));
}

#[test]
fn a_lock_with_a_thousand_holders_goes_like_any_other() {
    let server = Server::start();
    let mut client = server.connect();
    for line in ["DEL lock", "UNLINK lock", "FLUSHALL ASYNC", "SET lock v", "FLUSHDB"] {
        let acquires: Vec<String> =
            (0..1000).map(|owner| format!("LOCK.ACQUIRE lock {owner} {HOUR} SHARED")).collect();
        client.say("FLUSHALL");
        let tokens = client.pipeline(acquires.iter().map(|line| line.split(' ')));
        assert!(tokens.iter().all(|token| token.int() > 0));
        let before = counts(&server);
        assert_eq!(before["lock_held"], 1000);
        say_all(&mut client, &[line]);
        assert_counted(&server, &before, &[("lock_held", -1000), ("lock_removed", 1000)], line);
    }
}
