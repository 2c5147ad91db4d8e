//! Access control lists.

use crate::keyspace::say_all;
use crate::support::{holds, Say};
use redis_lock_harness::{Client, Reply, Server};

const READERS: [&str; 4] = ["LOCK.OWNER KEY", "LOCK.TTL KEY", "LOCK.INFO KEY", "LOCK.CHECK KEY 1"];

const WRITERS: [&str; 9] = [
    "LOCK.ACQUIRE KEY a 1000",
    "LOCK.RELEASE KEY a",
    "LOCK.EXTEND KEY a 1000",
    "LOCK.MACQUIRE 1 KEY a 1000",
    "LOCK.MACQUIRE 2 lock:0 KEY a 1000",
    "LOCK.MEXTEND 1 KEY a 1000",
    "LOCK.MEXTEND 2 KEY lock:0 a 1000",
    "LOCK.MRELEASE 1 KEY a",
    "LOCK.MRELEASE 2 KEY lock:0 a",
];

const EFFECTS: [&str; 4] =
    ["LOCK._HOLD KEY a 1000 1", "LOCK._DROP KEY EXPIRED a", "LOCK._LAST 1", "LOCK._PROBE KEY"];

/// Makes a user with these rules; it always may use every channel and has no password.
fn user(client: &mut Client, name: &str, rules: &str) {
    let made = client.say(&format!("ACL SETUSER {name} reset on nopass {rules}"));
    assert_eq!(made, Reply::ok(), "{rules}");
}

/// Whether ACL DRYRUN lets the user run the line with `KEY` replaced.
fn may(client: &mut Client, name: &str, line: &str, key: &str) -> bool {
    let answer = client.say(&format!("ACL DRYRUN {name} {}", line.replace("KEY", key)));
    match &answer {
        Reply::Simple(ok) if ok == "OK" => true,
        Reply::Bulk(_) => {
            assert!(answer.text().contains("permissions"), "{line}: {answer:?}");
            false
        }
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn key_patterns_hold_for_every_command() {
    let server = Server::start();
    let mut client = server.connect();
    user(&mut client, "all", "+@all ~*");
    user(&mut client, "some", "+@all ~lock:*");
    user(&mut client, "none", "+@all");
    for line in READERS.into_iter().chain(WRITERS).chain([EFFECTS[0], EFFECTS[1]]) {
        assert!(may(&mut client, "all", line, "other"), "{line}");
        assert!(may(&mut client, "some", line, "lock:1"), "{line}");
        assert!(!may(&mut client, "some", line, "other"), "{line}");
        assert!(!may(&mut client, "none", line, "lock:1"), "{line}");
    }
}

#[test]
fn read_and_write_permissions_are_told_apart() {
    let server = Server::start();
    let mut client = server.connect();
    user(&mut client, "reader", "+@all %R~*");
    user(&mut client, "writer", "+@all %W~*");
    user(&mut client, "mixed", "+@all %R~other %W~lock:*");
    for line in READERS {
        assert!(may(&mut client, "reader", line, "lock:1"), "{line}");
        assert!(!may(&mut client, "writer", line, "lock:1"), "{line}");
        assert!(may(&mut client, "mixed", line, "other"), "{line}");
        assert!(!may(&mut client, "mixed", line, "lock:1"), "{line}");
    }
    for line in WRITERS.into_iter().chain([EFFECTS[0], EFFECTS[1]]) {
        assert!(!may(&mut client, "reader", line, "lock:1"), "{line}");
        assert!(may(&mut client, "writer", line, "lock:1"), "{line}");
        assert!(!may(&mut client, "mixed", line, "other"), "{line}");
        assert!(may(&mut client, "mixed", line, "lock:1"), "{line}");
    }
}

#[test]
fn commands_can_be_given_one_by_one() {
    let server = Server::start();
    let mut client = server.connect();
    user(&mut client, "worker", "~* +lock.acquire +lock.release");
    for line in READERS.into_iter().chain(WRITERS).chain(EFFECTS) {
        let given = line.starts_with("LOCK.ACQUIRE") || line.starts_with("LOCK.RELEASE");
        assert_eq!(may(&mut client, "worker", line, "k"), given, "{line}");
    }
    user(&mut client, "operator", "~* +@all -lock._hold -lock._drop -lock._last -lock._probe");
    for line in EFFECTS {
        assert!(!may(&mut client, "operator", line, "k"), "{line}");
    }
    assert!(may(&mut client, "operator", "LOCK.ACQUIRE KEY a 1", "k"));
}

/// What a server can do with the categories of a module's commands.
#[derive(PartialEq)]
enum Categories {
    /// None at all: Redis 7.0.
    None,
    /// Those that the server has: Redis 7.2, Valkey 7.2.
    BuiltIn,
    /// Also new ones: Redis 7.4, Valkey 8.0 and later.
    Own,
}

fn categories(server: &Server) -> Categories {
    let info = server.info("server");
    let version = |name: &str| info.get(name).map(|text| number(text));
    let newer = version("redis_version") >= Some((7, 4)) || version("valkey_version") >= Some((8, 0));
    match version("redis_version") {
        _ if newer => Categories::Own,
        Some(redis) if redis >= (7, 2) => Categories::BuiltIn,
        _ => Categories::None,
    }
}

fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[test]
fn built_in_categories_are_those_that_the_flags_imply() {
    let server = Server::start();
    if categories(&server) == Categories::None {
        assert!(!server.info("server").contains_key("valkey_version"));
        return;
    }
    let mut client = server.connect();
    for (rules, allowed, denied) in [
        ("+@read", &READERS[..], &WRITERS[..]),
        ("+@write", &WRITERS[..], &READERS[..]),
        ("+@fast", &["LOCK.RELEASE KEY a", "LOCK.EXTEND KEY a 1", "LOCK.OWNER KEY"], &["LOCK.INFO KEY"]),
        ("+@slow", &["LOCK.ACQUIRE KEY a 1", "LOCK.MRELEASE 1 KEY a"], &["LOCK.RELEASE KEY a"]),
        ("+@blocking", &["LOCK.ACQUIRE KEY a 1"], &["LOCK.MACQUIRE 1 KEY a 1"]),
        ("+@admin", &EFFECTS, &WRITERS),
        ("+@dangerous", &EFFECTS, &WRITERS),
        ("+@all -@dangerous", &WRITERS, &EFFECTS),
        ("+@all -@admin", &READERS, &EFFECTS),
    ] {
        user(&mut client, "tried", &format!("~* {rules}"));
        for line in allowed {
            assert!(may(&mut client, "tried", line, "k"), "{rules}: {line}");
        }
        for line in denied {
            assert!(!may(&mut client, "tried", line, "k"), "{rules}: {line}");
        }
    }
}

#[test]
fn the_category_lock_is_there_where_modules_may_add_one() {
    let server = Server::start();
    let mut client = server.connect();
    let all = client.say("ACL CAT");
    let listed = all.array().contains(&Reply::bulk("lock"));
    assert_eq!(listed, categories(&server) == Categories::Own);
    if !listed {
        return;
    }
    // Not by ACL CAT: that of Redis 7.4 knows core's own commands only.
    for name in ["lock.acquire", "lock.release", "lock.owner", "lock.macquire", "lock.check"] {
        let info = client.say(&format!("COMMAND INFO {name}"));
        let categories = info.array()[0].array()[6].array();
        assert!(categories.iter().any(|category| category.text() == "@lock"), "{name}: {categories:?}");
    }
    user(&mut client, "locker", "~* +@lock -@dangerous");
    user(&mut client, "other", "~* +@all -@lock");
    for line in READERS.into_iter().chain(WRITERS) {
        assert!(may(&mut client, "locker", line, "k"), "{line}");
        assert!(!may(&mut client, "other", line, "k"), "{line}");
    }
    for line in EFFECTS {
        assert!(!may(&mut client, "locker", line, "k"), "{line}");
    }
    assert!(!may(&mut client, "locker", "GET KEY", "k"));
}

#[test]
fn without_rights_nothing_is_told_and_nothing_changes() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("lock", "a", "");
    let held = holds(&mut client, "lock");
    user(&mut client, "keyless", "+@all ~other");
    user(&mut client, "useless", "~* +ping");
    for name in ["keyless", "useless"] {
        let mut intruder = server.connect();
        say_all(&mut intruder, &[&format!("AUTH {name} any")]);
        for line in READERS.into_iter().chain(WRITERS).chain([EFFECTS[0], EFFECTS[1]]) {
            let line = line.replace("KEY", "lock");
            let refused = intruder.say(&line);
            assert!(refused.text().starts_with("NOPERM "), "{name}: {line} → {refused:?}");
            assert!(!refused.text().contains("FENCED"), "{refused:?}");
        }
    }
    assert_eq!(holds(&mut client, "lock"), held);
    assert_eq!(client.say("DBSIZE"), Reply::Int(1));
    let totals = server.info("lock");
    assert_eq!((totals["lock_acquired"].as_str(), totals["lock_refused"].as_str()), ("1", "0"));
}

#[test]
fn a_script_has_the_rights_of_its_caller() {
    let server = Server::start();
    let mut client = server.connect();
    user(&mut client, "scripter", "~lock:* +eval +lock.owner");
    let mut caller = server.connect();
    say_all(&mut caller, &["AUTH scripter any"]);
    let owner = "return redis.call('LOCK.OWNER', KEYS[1])";
    assert_eq!(caller.run(["EVAL", owner, "1", "lock:1"]), Reply::Nil);
    let acquire = "return redis.call('LOCK.ACQUIRE', KEYS[1], 'a', 1000)";
    let refused = caller.run(["EVAL", acquire, "1", "lock:1"]);
    assert!(refused.is_error(), "{refused:?}");
    assert_eq!(client.say("DBSIZE"), Reply::Int(0));
}
