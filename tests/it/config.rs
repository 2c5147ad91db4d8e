//! Settings.

use crate::keyspace::say_all;
use crate::support::{holds, Say};
use redis_lock_harness::{eventually, module_path, Client, Reply, Server};
use std::time::Duration;

const DEFAULTS: [(&str, &str); 4] = [
    ("lock.cooldown", "0"),
    ("lock.deadlock-detection", "yes"),
    ("lock.max-ttl", "86400000"),
    ("lock.max-waiters", "100000"),
];

/// The settings of the module by name, sorted.
fn settings(client: &mut Client) -> Vec<(String, String)> {
    let reply = client.say("CONFIG GET lock.*");
    let texts: Vec<String> = reply.array().iter().map(|item| item.text().to_string()).collect();
    let mut settings: Vec<(String, String)> =
        texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    settings.sort();
    settings
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn the_settings_and_their_defaults() {
    let server = Server::start();
    assert_eq!(settings(&mut server.connect()), owned(&DEFAULTS));
}

#[test]
fn a_server_without_the_command_config_loads_the_module_with_its_settings() {
    for name in ["\"\"", "OTHER"] {
        let builder = Server::builder().config("rename-command", &format!("CONFIG {name}"));
        let server = builder.config("lock.max-ttl", "1000").start();
        let mut client = server.connect();
        assert!(client.say("LOCK.ACQUIRE k a 1000").int() > 0, "{name}");
        let refused = client.say("LOCK.ACQUIRE other a 1001");
        assert_eq!(refused.text(), "ERR ttl must be between 1 and 1000 milliseconds", "{name}");
    }
}

#[test]
fn settings_can_be_set_and_read_back() {
    let server = Server::start();
    let mut client = server.connect();
    let others = [
        ("lock.cooldown", "7"),
        ("lock.deadlock-detection", "no"),
        ("lock.max-ttl", "1"),
        ("lock.max-waiters", "12"),
    ];
    for (name, value) in others {
        assert_eq!(client.say(&format!("CONFIG SET {name} {value}")), Reply::ok(), "{name}");
    }
    assert_eq!(settings(&mut client), owned(&others));
    say_all(&mut client, &["CONFIG SET lock.max-ttl 5000 lock.cooldown 0"]);
    assert_eq!(settings(&mut client)[2].1, "5000");
}

#[test]
fn values_out_of_bounds_are_refused_and_change_nothing() {
    let server = Server::start();
    let mut client = server.connect();
    for (name, value) in [
        ("lock.max-ttl", "0"),
        ("lock.max-ttl", "-1"),
        ("lock.max-ttl", "abc"),
        ("lock.max-ttl", "1.5"),
        ("lock.max-ttl", "99999999999999999999"),
        ("lock.cooldown", "-1"),
        ("lock.cooldown", "x"),
        ("lock.max-waiters", "-1"),
        ("lock.max-waiters", "many"),
        ("lock.deadlock-detection", "maybe"),
        ("lock.unknown", "1"),
    ] {
        let reply = client.say(&format!("CONFIG SET {name} {value}"));
        assert!(reply.is_error() && reply.text().contains("CONFIG SET"), "{name} {value}: {reply:?}");
    }
    let both = client.say("CONFIG SET lock.max-ttl 5000 lock.cooldown -1");
    assert!(both.is_error(), "{both:?}");
    assert_eq!(settings(&mut client), owned(&DEFAULTS));
}

#[test]
fn max_ttl_is_in_force_at_once_and_in_the_error() {
    let server = Server::builder().config("lock.max-ttl", "60000").start();
    let mut client = server.connect();
    let lines = [
        "LOCK.ACQUIRE k a TTL",
        "LOCK.EXTEND k a TTL",
        "LOCK.MACQUIRE 2 k l a TTL",
        "LOCK.MEXTEND 2 k l a TTL",
    ];
    for max in ["60000", "5000", "86400000"] {
        say_all(&mut client, &[&format!("CONFIG SET lock.max-ttl {max}")]);
        let over = (max.parse::<u64>().expect("a number") + 1).to_string();
        let said = format!("ERR ttl must be between 1 and {max} milliseconds");
        for line in lines {
            let refused = client.say(&line.replace("TTL", &over));
            assert_eq!(refused, Reply::error(&said), "{line}");
            let reply = client.say(&line.replace("TTL", max));
            assert!(reply.int() > 0, "{line}: {reply:?}");
        }
    }
    say_all(&mut client, &["CONFIG SET lock.max-ttl 1000"]);
    assert!(client.say("LOCK.TTL k").int() > 1_000_000, "holds that were granted stay");
}

#[test]
fn config_rewrite_keeps_the_settings() {
    let mut server = Server::builder().config("lock.cooldown", "5").start();
    let mut client = server.connect();
    say_all(
        &mut client,
        &[
            "CONFIG SET lock.max-ttl 5000 lock.max-waiters 12",
            "CONFIG SET lock.deadlock-detection no",
            "CONFIG REWRITE",
        ],
    );
    let before = settings(&mut client);
    server.restart();
    assert_eq!(settings(&mut server.connect()), before);
    assert_eq!(
        before,
        owned(&[
            ("lock.cooldown", "5"),
            ("lock.deadlock-detection", "no"),
            ("lock.max-ttl", "5000"),
            ("lock.max-waiters", "12"),
        ])
    );
}

#[test]
fn loadex_takes_settings() {
    let server = Server::builder().without_module().start();
    let mut client = server.connect();
    let path = module_path();
    let path = path.to_str().expect("paths of tests are UTF-8");
    let load = |client: &mut Client, settings: &str| client.say(&format!("MODULE LOADEX {path}{settings}"));
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its files").count();
    let before = descriptors();
    for wrong in [" CONFIG lock.max-ttl 0", " CONFIG lock.cooldown x", " CONFIG lock.deadlock-detection 2"] {
        let refused = load(&mut client, wrong);
        assert!(refused.is_error(), "{wrong}: {refused:?}");
        assert_eq!(client.say("PING"), Reply::Simple("PONG".into()), "{wrong}");
        assert!(settings(&mut client).is_empty(), "{wrong}");
        // A module that was not loaded keeps nothing open; the server itself reads a file now and then.
        eventually(Duration::from_secs(20), || descriptors() <= before);
    }
    let loaded = load(&mut client, " CONFIG lock.max-ttl 5000 CONFIG lock.deadlock-detection no");
    assert_eq!(loaded, Reply::ok());
    let found = settings(&mut client);
    assert_eq!(found[1].1, "no");
    assert_eq!(found[2].1, "5000");
    assert!(client.say("LOCK.ACQUIRE k a 5000").int() > 0);
    let again = load(&mut client, "");
    assert!(again.is_error(), "{again:?}");
    assert_eq!(client.say("LOCK.OWNER k"), Reply::bulk("a"));
}

#[test]
fn the_module_is_listed_and_stays() {
    let server = Server::start();
    let mut client = server.connect();
    let modules = client.say("MODULE LIST");
    let ours = |module: &&Reply| *module.get("name") == Reply::bulk("lock");
    let ours = modules.array().iter().find(ours).expect("the module is listed");
    assert!(ours.get("ver").int() > 0);
    client.take("k", "a", "");
    let held = holds(&mut client, "k");
    let unloaded = client.say("MODULE UNLOAD lock");
    assert!(unloaded.is_error(), "{unloaded:?}");
    assert_eq!(holds(&mut client, "k"), held);
    say_all(&mut client, &["LOCK.RELEASE k a", "LOCK.ACQUIRE k b 20"]);
    eventually(Duration::from_secs(20), || client.say("EXISTS k") == Reply::Int(0));
}

const GRANTING: [&str; 4] = [
    "LOCK.ACQUIRE k a 1000",
    "LOCK.EXTEND k a 1000",
    "LOCK.MACQUIRE 2 k l a 1000",
    "LOCK.MEXTEND 2 k l a 1000",
];

/// The milliseconds in the error that says that locks are cooling down.
#[track_caller]
fn cooling(reply: &Reply) -> u64 {
    let middle = reply
        .text()
        .strip_prefix("COOLDOWN locks are granted and extended again in ")
        .and_then(|rest| rest.strip_suffix(" ms"));
    match middle.map(str::parse) {
        Some(Ok(ms)) => ms,
        _ => panic!("not the error of a cooldown: {reply:?}"),
    }
}

#[test]
fn while_cooling_down_nothing_is_granted_or_extended() {
    let server = Server::builder().config("lock.cooldown", "100000").movable_clocks().start();
    let mut client = server.connect();
    client.say("SET string v");
    let mut last = 100_000;
    for line in GRANTING {
        let left = cooling(&client.say(line));
        assert!(0 < left && left <= last, "{line}: {left} ms, {last} ms before");
        last = left;
    }
    for (line, expected) in [
        ("LOCK.RELEASE k a", Reply::Int(0)),
        ("LOCK.MRELEASE 2 k l a", Reply::Int(0)),
        ("LOCK.OWNER k", Reply::Nil),
        ("LOCK.TTL k", Reply::Int(-2)),
        ("LOCK.INFO k", Reply::Nil),
        ("LOCK.CHECK k 1", Reply::error("FENCED token 1 is not held")),
        ("LOCK.ACQUIRE k a", Reply::error("ERR wrong number of arguments for 'lock.acquire' command")),
        ("LOCK.ACQUIRE k a x", Reply::error("ERR value is not an integer or out of range")),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    for line in ["LOCK.ACQUIRE string a 1000", "LOCK.EXTEND string a 1000", "LOCK.MACQUIRE 2 k string a 1000"]
    {
        assert!(client.say(line).text().starts_with("WRONGTYPE"), "{line}");
    }
    assert_eq!(client.say("DBSIZE"), Reply::Int(1));
    assert_eq!(server.info_u64("lock", "lock_refused"), 0);
    server.step_monotonic(99_000);
    assert!(cooling(&client.say(GRANTING[0])) <= 1000);
    server.step_monotonic(1_000);
    assert!(client.say(GRANTING[0]).int() > 0);
}

#[test]
fn a_cooldown_ends_by_itself() {
    let server = Server::builder().config("lock.cooldown", "300").start();
    let mut client = server.connect();
    eventually(Duration::from_secs(20), || matches!(client.say("LOCK.ACQUIRE k a 1000000"), Reply::Int(_)));
    assert_eq!(client.say("LOCK.EXTEND k a 2000000"), Reply::Int(1));
}

#[test]
fn a_cooldown_spares_release_and_reads_of_locks_from_before() {
    let mut server = Server::builder()
        .config("appendonly", "yes")
        .config("lock.cooldown", "100000")
        .movable_clocks()
        .start();
    server.step_monotonic(100_000);
    let mut client = server.connect();
    client.take("k", "a", "");
    client.take("l", "a", "");
    let held = holds(&mut client, "k");
    let token = held[0].fence;
    server.restart();
    let mut client = server.connect();
    assert_eq!(holds(&mut client, "k"), held);
    for line in GRANTING {
        cooling(&client.say(line));
    }
    assert_eq!(holds(&mut client, "k"), held);
    assert_eq!(client.say(&format!("LOCK.CHECK k {token}")), Reply::Int(1));
    assert_eq!(client.say("LOCK.RELEASE k a"), Reply::Int(1));
    assert_eq!(client.say("LOCK.MRELEASE 2 k l a"), Reply::Int(1));
    cooling(&client.say(GRANTING[0]));
}

#[test]
fn a_cooldown_follows_a_promotion() {
    let server = Server::builder().tcp().start();
    let replica = server.replica();
    let mut client = replica.connect();
    say_all(&mut client, &["CONFIG SET lock.cooldown 100000", "REPLICAOF NO ONE"]);
    let left = cooling(&client.say(GRANTING[0]));
    assert!(left > 50_000, "{left}");
    server.connect().take("k", "a", "");
}

/// What the module warned of, in its own log lines: `#` is the level of a warning.
fn warnings(server: &Server) -> Vec<&'static str> {
    let log = server.log();
    let warned = log.lines().filter(|line| line.contains(" # ") && line.contains("<lock>"));
    let mut kinds: Vec<&str> = warned
        .map(|line| {
            if line.contains("allkeys-") {
                "eviction"
            } else if line.contains("appendfsync always") {
                "restart"
            } else if line.contains("lock.cooldown") && line.contains("lock.max-ttl") {
                "short cooldown"
            } else {
                panic!("not a warning of the reference: {line}")
            }
        })
        .collect();
    kinds.sort();
    kinds
}

#[test]
fn warnings_at_load_come_where_they_apply_and_only_there() {
    let durable = [("appendonly", "yes"), ("appendfsync", "always")];
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case; 13] = [
        (&[], &["restart"]),
        (&durable, &[]),
        (&[("appendonly", "yes"), ("appendfsync", "everysec")], &["restart"]),
        (&[("appendonly", "no"), ("appendfsync", "always")], &["restart"]),
        (&[("lock.cooldown", "86400000")], &[]),
        (&[("lock.cooldown", "2000"), ("lock.max-ttl", "1000")], &[]),
        (&[("lock.cooldown", "1000"), ("lock.max-ttl", "1000")], &[]),
        (&[("lock.cooldown", "999"), ("lock.max-ttl", "1000")], &["restart", "short cooldown"]),
        (&[durable[0], durable[1], ("lock.cooldown", "1000")], &["short cooldown"]),
        (
            &[durable[0], durable[1], ("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")],
            &["eviction"],
        ),
        (
            &[durable[0], durable[1], ("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-random")],
            &["eviction"],
        ),
        (&[durable[0], durable[1], ("maxmemory", "100mb"), ("maxmemory-policy", "volatile-lru")], &[]),
        (
            &[("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lfu"), ("lock.cooldown", "5")],
            &["eviction", "restart", "short cooldown"],
        ),
    ];
    for (lines, expected) in cases {
        let builder =
            lines.iter().fold(Server::builder(), |builder, (name, value)| builder.config(name, value));
        let server = builder.start();
        assert_eq!(warnings(&server), *expected, "{lines:?}");
    }
}

#[test]
fn arguments_of_the_module_are_not_used_and_the_log_says_so() {
    let server = Server::builder().without_module().start();
    let mut client = server.connect();
    let path = module_path().display().to_string();
    assert_eq!(client.run(["MODULE", "LOAD", &path, "max-ttl", "5"]), Reply::ok());
    assert_eq!(client.say("CONFIG GET lock.max-ttl").get("lock.max-ttl").text(), "86400000");
    assert!(server.log().contains("arguments are not used; set lock.* in redis.conf"), "{}", server.log());
}
