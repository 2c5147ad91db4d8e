//! What replicas are told, what they make of it, and what they do when they are promoted.

use crate::support::holds;
use crate::traffic::Traffic;
use crate::view::{assert_agree, calls, digest, everything, held, last_fence, settle, BOUND};
use redis_lock_harness::{eventually, Builder, Client, Reply, Server};
use std::time::Duration;

/// A master whose replication stream moves only when something is replicated.
fn quiet_master() -> Builder {
    Server::builder().tcp().config("repl-ping-replica-period", "3600")
}

fn offset(server: &Server) -> u64 {
    server.info_u64("replication", "master_repl_offset")
}

fn promote(replica: &Server) {
    assert_eq!(replica.connect().run(["REPLICAOF", "NO", "ONE"]), Reply::ok());
}

#[test]
fn random_commands_leave_all_servers_equal() {
    let master = Server::builder().tcp().config("appendonly", "yes").start();
    let replica = Server::builder().config("appendonly", "yes").replica_of(&master).start();
    let chained = Server::builder().replica_of(&replica).start();
    for seed in 10..16 {
        let context = format!("seed {seed}");
        let granted = Traffic::new(seed, last_fence(&master)).run(&master, 1500);
        assert!(granted > 100, "{context}: only {granted} granted");
        assert_agree(&master, &replica, &context);
        assert_agree(&master, &chained, &context);
        assert!(held(&master) > 0, "{context}");
    }
    let total = |field| master.info_u64("lock", field);
    let ended = ["lock_released", "lock_expired", "lock_removed"].map(total).iter().sum::<u64>();
    assert_eq!(total("lock_acquired"), ended + total("lock_held"));
    assert!(ended > 500 && total("lock_expired") > 5, "{ended} ended, {} expired", total("lock_expired"));
    assert_eq!(replica.info_u64("lock", "lock_acquired"), 0);
    assert_eq!(replica.info_u64("lock", "lock_expired"), 0);
}

/// Two keys under one owner, a pool, and a key that is no lock.
fn prepare(client: &mut Client) {
    let replies = client.pipeline([
        &["LOCK.MACQUIRE", "2", "key", "twin", "owner", "600000"][..],
        &["LOCK.ACQUIRE", "pool", "one", "600000", "LIMIT", "1"],
        &["SET", "string", "value"],
    ]);
    assert!(replies.iter().all(|reply| !reply.is_error() && !reply.is_nil()), "{replies:?}");
}

const REFUSED: [&[&str]; 22] = [
    &["LOCK.ACQUIRE", "key", "else", "1000"],
    &["LOCK.ACQUIRE", "key", "else", "1000", "SHARED"],
    &["LOCK.ACQUIRE", "key", "else", "1000", "BLOCK", "10"],
    &["LOCK.ACQUIRE", "pool", "two", "1000", "LIMIT", "5", "FENCE", "5", "META", "why"],
    &["LOCK.ACQUIRE", "key", "owner", "1000", "LIMIT", "2"],
    &["LOCK.ACQUIRE", "key", "owner", "1000", "FENCE", "9007199254740991"],
    &["LOCK.ACQUIRE", "new", "owner", "0"],
    &["LOCK.ACQUIRE", "new", "", "1000"],
    &["LOCK.ACQUIRE", "string", "owner", "1000"],
    &["LOCK.ACQUIRE", "new", "owner"],
    &["LOCK.RELEASE", "key", "else"],
    &["LOCK.RELEASE", "new", "owner"],
    &["LOCK.RELEASE", "string", "owner"],
    &["LOCK.EXTEND", "key", "else", "1000"],
    &["LOCK.EXTEND", "new", "owner", "1000"],
    &["LOCK.EXTEND", "key", "owner", "90000000"],
    &["LOCK.MACQUIRE", "2", "new", "key", "else", "1000"],
    &["LOCK.MACQUIRE", "2", "new", "string", "owner", "1000"],
    &["LOCK.MEXTEND", "2", "key", "new", "owner", "1000"],
    &["LOCK.MEXTEND", "2", "key", "twin", "owner", "1000", "FENCE", "9007199254740991"],
    &["LOCK.MRELEASE", "2", "key", "new", "else"],
    &["COPY", "key", "new"],
];

const READS: [&[&str]; 8] = [
    &["LOCK.OWNER", "key"],
    &["LOCK.TTL", "key"],
    &["LOCK.INFO", "key"],
    &["LOCK.INFO", "new"],
    &["LOCK.CHECK", "key", "5"],
    &["TYPE", "key"],
    &["DUMP", "key"],
    &["EVAL", "return redis.pcall('LOCK.CHECK', KEYS[1], '5')", "1", "key"],
];

#[test]
fn refusals_and_reads_are_not_replicated() {
    let master = quiet_master().config("appendonly", "yes").start();
    let replica = master.replica();
    let mut client = master.connect();
    prepare(&mut client);
    master.wait_synced(&replica);
    let seen =
        || (offset(&master), calls(&replica, ""), master.info("persistence")["aof_current_size"].clone());
    let written = |(offset, mut calls, aof): (u64, std::collections::BTreeMap<String, u64>, String)| {
        // What the test and the link itself ask the replica.
        calls.retain(|name, _| !["info", "replconf", "ping", "psync"].contains(&name.as_str()));
        (offset, calls, aof)
    };
    let before = written(seen());
    for command in REFUSED {
        let reply = client.run(command);
        let refused = reply.is_nil() || reply.is_error() || reply == Reply::Int(0);
        assert!(refused, "{command:?}: {reply:?}");
    }
    for command in READS {
        client.run(command);
    }
    let mut in_transaction = vec![vec!["MULTI"]];
    in_transaction.extend(REFUSED[..4].iter().map(|command| command.to_vec()));
    in_transaction.push(vec!["EXEC"]);
    client.pipeline(&in_transaction);
    assert_eq!(written(seen()), before);
    // The control: one that is granted moves all of them.
    client.run(["LOCK.ACQUIRE", "new", "owner", "1000000"]);
    eventually(BOUND, || {
        let after = written(seen());
        after.0 > before.0 && after.1 != before.1 && after.2 != before.2
    });
}

#[test]
fn the_stream_carries_effects_only() {
    let master = quiet_master().start();
    let replica = master.replica();
    let mut traffic = Traffic::new(77, last_fence(&master));
    traffic.run(&master, 1500);
    let mut client = master.connect();
    client.run(["LOCK.ACQUIRE", "short", "owner", "1"]);
    eventually(BOUND, || client.run(["EXISTS", "short"]) == Reply::Int(0));
    settle(&master);
    master.wait_synced(&replica);
    let told = calls(&replica, "lock.");
    let names: Vec<&str> = told.keys().map(String::as_str).collect();
    let effects = ["_drop", "_hold", "_last", "release"];
    assert!(names.iter().all(|name| effects.contains(name)), "{told:?}");
    assert!(told["_hold"] > 100 && told["_drop"] > 10 && told["release"] > 10, "{told:?}");
    // Nothing of it was refused there.
    let errors: Vec<_> = replica.info("errorstats").into_iter().collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// A command that does nothing itself may come upon a hold past its deadline: then that is what it tells.
#[test]
fn replicas_hear_of_what_a_command_found_expired() {
    let master = quiet_master().start();
    let replica = master.replica();
    let mut client = master.connect();
    // In a script nothing else can reclaim the hold in between.
    let script = "redis.call('LOCK.ACQUIRE', KEYS[1], 'short', 5, 'SHARED')
        while redis.call('LOCK.TTL', KEYS[1]) ~= -2 do end
        redis.call('LOCK.ACQUIRE', KEYS[1], 'long', 600000, 'SHARED')
        redis.call('LOCK.ACQUIRE', KEYS[1], 'other', 5, 'SHARED')
        while #redis.call('LOCK.INFO', KEYS[1])[4] > 1 do end
        return redis.pcall(unpack(ARGV))";
    for command in [
        &["LOCK.RELEASE", "key", "nobody"][..],
        &["LOCK.RELEASE", "key", "long"],
        &["LOCK.EXTEND", "key", "nobody", "1000"],
        &["LOCK.ACQUIRE", "key", "writer", "1000"],
        &["LOCK.ACQUIRE", "key", "long", "1000"],
        &["LOCK.MRELEASE", "1", "key", "nobody"],
        &["LOCK.MEXTEND", "1", "key", "nobody", "1000"],
        &["LOCK.MACQUIRE", "1", "key", "writer", "1000"],
    ] {
        let mut eval = vec!["EVAL", script, "1", "key"];
        eval.extend(command);
        client.run(&eval);
        assert_agree(&master, &replica, &format!("{command:?}"));
        client.run(["DEL", "key"]);
    }
}

#[test]
fn a_replica_hides_what_is_past_its_deadline_and_drops_nothing() {
    let master = quiet_master().start();
    let replica = master.replica();
    let mut client = master.connect();
    // While writes are paused the master reclaims nothing, however slow this test is.
    let replies = client.pipeline([
        &["LOCK.ACQUIRE", "key", "owner", "300"][..],
        &["LOCK.ACQUIRE", "pool", "short", "300", "SHARED"],
        &["LOCK.ACQUIRE", "pool", "long", "600000", "SHARED"],
        &["CLIENT", "PAUSE", "600000", "WRITE"],
    ]);
    let token = replies[0].int().to_string();
    master.wait_synced(&replica);
    master.freeze();
    let mut reader = replica.connect();
    eventually(BOUND, || reader.run(["LOCK.TTL", "key"]) == Reply::Int(-2));
    eventually(BOUND, || holds(&mut reader, "pool").len() == 1);
    assert_eq!(reader.run(["LOCK.OWNER", "key"]), Reply::Nil);
    assert_eq!(reader.run(["LOCK.INFO", "key"]), Reply::Nil);
    let check = reader.run(["LOCK.CHECK", "key", &token]);
    assert_eq!(check, Reply::error(format!("FENCED token {token} is not held")));
    assert_eq!(reader.run(["LOCK.OWNER", "pool"]), Reply::bulk("long"));
    // Only the master says when it goes.
    let later = std::time::Instant::now() + Duration::from_millis(300);
    while std::time::Instant::now() < later {
        assert_eq!(reader.run(["EXISTS", "key"]), Reply::Int(1));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((held(&replica), calls(&replica, "lock._").get("drop")), (3, None));
    master.thaw();
    assert_eq!(client.run(["CLIENT", "UNPAUSE"]), Reply::ok());
    eventually(BOUND, || reader.run(["EXISTS", "key"]) == Reply::Int(0) && held(&replica) == 1);
    assert_eq!(calls(&replica, "lock._")["drop"], 2);
    assert_eq!(replica.info_u64("lock", "lock_expired"), 0);
}

/// A replica that lags hears of a renewal when its own clock says that the hold is past its deadline.
#[test]
fn a_late_replica_drops_nothing_by_its_own_clock() {
    let master = quiet_master().start();
    let replica = Server::builder().config("notify-keyspace-events", "Ed").replica_of(&master).start();
    let mut events = replica.connect();
    events.run(["PSUBSCRIBE", "*"]);
    let mut client = master.connect();
    for (owner, ttl) in [("short", "500"), ("long", "600000"), ("other", "600000")] {
        client.run(["LOCK.ACQUIRE", "pool", owner, ttl, "SHARED"]);
    }
    master.wait_synced(&replica);
    replica.freeze();
    assert_eq!(client.run(["LOCK.RELEASE", "pool", "other"]), Reply::Int(1));
    let renewed = client.run(["LOCK.EXTEND", "pool", "short", "600000"]) == Reply::Int(1);
    std::thread::sleep(Duration::from_millis(600));
    replica.thaw();
    assert_agree(&master, &replica, "after the thaw");
    let seen: Vec<_> = (0..5).map(|_| events.read().array()[2].text().to_string()).collect();
    // On a machine so slow that the renewal itself came late, the master says that the hold expired.
    let expired = seen.iter().any(|channel| channel.ends_with(":lock.expired"));
    assert_eq!(expired, !renewed, "{seen:?}");
}

#[test]
fn a_promoted_replica_goes_on() {
    let master = quiet_master().start();
    let replica = master.replica();
    let mut client = master.connect();
    client.run(["LOCK.ACQUIRE", "kept", "owner", "600000", "LIMIT", "2", "META", "why"]);
    let highest = client.run(["LOCK.ACQUIRE", "released", "owner", "600000"]).int();
    client.run(["LOCK.RELEASE", "released", "owner"]);
    // While writes are paused the master reclaims nothing, however slow this test is.
    client.pipeline([&["LOCK.ACQUIRE", "due", "owner", "300"][..], &["CLIENT", "PAUSE", "600000", "WRITE"]]);
    master.wait_synced(&replica);
    let kept = holds(&mut client, "kept");
    master.freeze();
    let mut promoted = replica.connect();
    eventually(BOUND, || promoted.run(["LOCK.TTL", "due"]) == Reply::Int(-2));
    assert_eq!(promoted.run(["EXISTS", "due"]), Reply::Int(1));
    promote(&replica);
    eventually(BOUND, || promoted.run(["EXISTS", "due"]) == Reply::Int(0));
    assert_eq!(replica.info_u64("lock", "lock_expired"), 1);
    assert_eq!(holds(&mut promoted, "kept"), kept);
    assert_eq!(promoted.run(["LOCK.ACQUIRE", "kept", "else", "1000"]), Reply::Nil);
    assert!(promoted.run(["LOCK.ACQUIRE", "kept", "else", "1000", "LIMIT", "2"]).int() > highest + 1);
    assert_eq!(promoted.run(["LOCK.RELEASE", "kept", "owner"]), Reply::Int(1));
    // It reclaims by itself from now on.
    promoted.run(["LOCK.ACQUIRE", "new", "owner", "20"]);
    eventually(BOUND, || promoted.run(["EXISTS", "new"]) == Reply::Int(0));
    master.thaw();
}

#[test]
fn a_promotion_starts_the_cooldown() {
    let full: i64 = 3_600_000;
    let master = quiet_master().start();
    let setup = Server::builder().config("lock.cooldown", &full.to_string());
    let replica = setup.replica_of(&master).start();
    master.connect().run(["LOCK.ACQUIRE", "key", "owner", "600000"]);
    master.wait_synced(&replica);
    let left = || replica.info_u64("lock", "lock_cooldown_ms") as i64;
    eventually(BOUND, || left() < full - 1000);
    promote(&replica);
    assert!((full - 1000..=full).contains(&left()), "{} of {full}", left());
    let mut client = replica.connect();
    for command in [
        &["LOCK.ACQUIRE", "new", "owner", "1000"][..],
        &["LOCK.ACQUIRE", "key", "owner", "1000"],
        &["LOCK.EXTEND", "key", "owner", "1000"],
        &["LOCK.MACQUIRE", "1", "new", "owner", "1000"],
        &["LOCK.MEXTEND", "1", "key", "owner", "1000"],
    ] {
        let reply = client.run(command);
        assert!(reply.is_error() && reply.text().starts_with("COOLDOWN locks are granted"), "{reply:?}");
    }
    assert_eq!(client.run(["LOCK.OWNER", "key"]), Reply::bulk("owner"));
    assert_eq!(client.run(["LOCK.RELEASE", "key", "owner"]), Reply::Int(1));
    assert_eq!(client.run(["CONFIG", "SET", "lock.cooldown", "0"]), Reply::ok());
    assert!(client.run(["LOCK.ACQUIRE", "new", "owner", "1000"]).int() > 0);
}

#[test]
fn a_replica_refuses_to_write_whatever_it_is_told() {
    let master = quiet_master().start();
    let replica = master.replica();
    prepare(&mut master.connect());
    master.wait_synced(&replica);
    let before = (everything(&replica), digest(&replica));
    let mut client = replica.connect();
    for read_only in ["yes", "no"] {
        assert_eq!(client.run(["CONFIG", "SET", "replica-read-only", read_only]), Reply::ok());
        for command in [
            &["LOCK.ACQUIRE", "new", "owner", "1000"][..],
            &["LOCK.ACQUIRE", "key", "owner", "1000"],
            &["LOCK.EXTEND", "key", "owner", "1000"],
            &["LOCK.RELEASE", "key", "owner"],
            &["LOCK.MACQUIRE", "2", "key", "twin", "owner", "1000"],
            &["LOCK.MEXTEND", "2", "key", "twin", "owner", "1000"],
            &["LOCK.MRELEASE", "2", "key", "twin", "owner"],
            &["EVAL", "return redis.call('LOCK.RELEASE', KEYS[1], 'owner')", "1", "key"],
        ] {
            let reply = client.run(command);
            let refused = reply.is_error() && reply.text().starts_with("READONLY ");
            assert!(refused, "replica-read-only {read_only}, {command:?}: {reply:?}");
        }
    }
    // An effect from an ordinary client has its bound here too: the token would outlive a promotion.
    let reply = client.run(["LOCK._LAST", "9007199254740000"]);
    assert_eq!(reply, Reply::error("ERR token is too far ahead"));
    assert_eq!((everything(&replica), digest(&replica)), before);
}

/// Channel and key of each.
type Events = Vec<(String, Vec<u8>)>;

/// What a subscriber saw up to the key `end`.
fn events_until_end(subscriber: &mut Client) -> Events {
    let mut events = Vec::new();
    loop {
        let message = subscriber.read();
        let parts = message.array();
        let (channel, key) = (parts[2].text().to_string(), parts[3].bytes().to_vec());
        if key == b"end" {
            return events;
        }
        events.push((channel, key));
    }
}

#[test]
fn a_replica_sends_the_same_events() {
    let setup = |builder: Builder| builder.config("notify-keyspace-events", "EA");
    let master = setup(quiet_master()).start();
    let replica = setup(Server::builder()).replica_of(&master).start();
    let subscribe = |server: &Server| {
        let mut client = server.connect();
        client.run(["PSUBSCRIBE", "__keyevent@*__:*"]);
        client
    };
    let (mut here, mut there) = (subscribe(&master), subscribe(&replica));
    let mut client = master.connect();
    let mut compare = |with_expired_keys: bool| {
        settle(&master);
        client.run(["SET", "end", "value"]);
        // A key that core expires is a `del` on a replica.
        let cores = |channel: &str| channel.ends_with(":expired") || channel.ends_with(":del");
        let [here, there] = [&mut here, &mut there].map(|subscriber| {
            let mut events = events_until_end(subscriber);
            events.retain(|(channel, _)| !with_expired_keys || !cores(channel));
            events
        });
        let at = here.iter().zip(&there).position(|(here, there)| here != there).unwrap_or(0);
        let around = |events: &Events| events[at..events.len().min(at + 5)].to_vec();
        assert!(here == there, "master {:?}\nreplica {:?}", around(&here), around(&there));
        here
    };
    each_event_once(&master);
    let seen: Vec<String> = compare(false).into_iter().map(|(channel, _)| channel).collect();
    let expected =
        ["acquire", "acquire", "extend", "release", "expired"].map(|event| format!("lock.{event}"));
    let channels =
        expected.iter().map(String::as_str).chain(["del"]).map(|name| format!("__keyevent@0__:{name}"));
    assert_eq!(seen, channels.collect::<Vec<_>>());
    Traffic::new(5, last_fence(&master)).run(&master, 1500);
    let number = compare(true).len();
    assert!(number > 300, "only {number} events");
}

/// Two holds of one lock: the one renewed and released, the other expired, and the lock gone.
fn each_event_once(master: &Server) {
    let mut client = master.connect();
    client.run(["LOCK.ACQUIRE", "key", "one", "600000", "SHARED"]);
    client.run(["LOCK.ACQUIRE", "key", "two", "100", "SHARED"]);
    client.run(["LOCK.EXTEND", "key", "one", "700000"]);
    client.run(["LOCK.RELEASE", "key", "one"]);
    eventually(BOUND, || client.run(["EXISTS", "key"]) == Reply::Int(0));
}

#[test]
fn an_expiry_of_the_servers_own_goes_with_each_grant_on_the_replica_too() {
    let master = quiet_master().start();
    let replica = master.replica();
    let mut client = master.connect();
    client.run(["LOCK.ACQUIRE", "key", "owner", "600000", "SHARED"]);
    for command in [
        &["LOCK.ACQUIRE", "key", "owner", "500", "SHARED"][..],
        &["LOCK.ACQUIRE", "key", "else", "600000", "SHARED"],
        &["LOCK.EXTEND", "key", "owner", "600000"],
        &["LOCK.EXTEND", "key", "owner", "500"],
        &["LOCK.MEXTEND", "1", "key", "owner", "500"],
        &["LOCK.MACQUIRE", "1", "key", "owner", "500", "SHARED"],
    ] {
        assert_eq!(client.run(["EXPIRE", "key", "1000"]), Reply::Int(1));
        master.wait_synced(&replica);
        assert!(replica.connect().run(["PTTL", "key"]).int() > 0);
        assert!(client.run(command).int() > 0, "{command:?}");
        assert_eq!(client.run(["PTTL", "key"]), Reply::Int(-1), "{command:?}");
        assert_agree(&master, &replica, &format!("{command:?}"));
    }
}
