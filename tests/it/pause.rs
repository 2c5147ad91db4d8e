//! While the server pauses writes, loads or runs a slow script nothing is reclaimed; afterwards all of it is.

use crate::view::{assert_agree, held, holders, BOUND};
use redis_lock_harness::{eventually, Builder, Client, Reply, Server};
use std::time::{Duration, Instant};

const LONG_PAUSE: &str = "600000";
/// How long nothing may happen before a test believes that it does not.
const QUIET: Duration = Duration::from_millis(250);

fn master() -> Builder {
    Server::builder()
        .tcp()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .config("repl-ping-replica-period", "3600")
        .config("notify-keyspace-events", "EA")
}

/// What a write would move: the stream to replicas, the AOF, the keys.
fn traces(server: &Server) -> (u64, u64, u64, i64) {
    (
        server.info_u64("replication", "master_repl_offset"),
        server.info_u64("persistence", "aof_current_size"),
        held(server),
        server.connect().run(["EXISTS", "due", "pool"]).int(),
    )
}

/// Takes locks that end soon, and pauses writes before they do.
fn take_and_pause(client: &mut Client, how: &[&str]) {
    let commands = [
        &["LOCK.ACQUIRE", "due", "owner", "300"][..],
        &["LOCK.ACQUIRE", "pool", "short", "300", "SHARED"],
        &["LOCK.ACQUIRE", "pool", "long", "600000", "SHARED"],
        how,
    ];
    let replies = client.pipeline(commands);
    assert!(replies.iter().all(|reply| !reply.is_error() && !reply.is_nil()), "{replies:?}");
}

/// Waits until the deadlines have passed, and then for a while that nothing comes of it.
fn assert_nothing_is_written(server: &Server) {
    let mut client = server.connect();
    eventually(BOUND, || client.run(["LOCK.TTL", "due"]) == Reply::Int(-2));
    assert_eq!(holders(&mut client, "pool").len(), 1);
    let before = traces(server);
    assert_eq!((before.2, before.3), (3, 2));
    let end = Instant::now() + QUIET;
    while Instant::now() < end {
        assert_eq!(traces(server), before);
    }
    assert_eq!(server.info_u64("lock", "lock_expired"), 0);
}

/// Waits for both locks to lose what was due; how long that took.
fn assert_reclaimed(server: &Server) -> Duration {
    let start = Instant::now();
    eventually(BOUND, || held(server) == 1);
    let took = start.elapsed();
    assert_eq!(server.connect().run(["EXISTS", "due", "pool"]), Reply::Int(1));
    took
}

#[test]
fn a_pause_of_writes_puts_reclaim_off() {
    let server = master().start();
    let replica = server.replica();
    let mut events = server.connect();
    events.run(["PSUBSCRIBE", "__keyevent@0__:lock.expired"]);
    let mut client = server.connect();
    take_and_pause(&mut client, &["CLIENT", "PAUSE", LONG_PAUSE, "WRITE"]);
    // A write of a client waits for the end of the pause.
    let mut writer = server.connect();
    writer.send(["LOCK.ACQUIRE", "due", "else", "600000"]);
    assert_nothing_is_written(&server);
    assert_eq!(events.read_within(Duration::from_millis(1)), None);
    assert_eq!(writer.read_within(Duration::from_millis(1)), None);
    assert_eq!(client.run(["CLIENT", "UNPAUSE"]), Reply::ok());
    assert!(writer.read().int() > 0);
    for _ in 0..2 {
        assert_eq!(events.read().array()[2].text(), "__keyevent@0__:lock.expired");
    }
    eventually(BOUND, || server.info_u64("lock", "lock_expired") == 2);
    assert_agree(&server, &replica, "after the pause");
}

#[test]
fn reclaim_follows_soon_after_a_pause() {
    let server = master().start();
    let mut client = server.connect();
    // The fastest of some rounds: a busy machine can delay one, not all.
    let fastest = (0..5).map(|_| {
        client.run(["DEL", "pool"]);
        take_and_pause(&mut client, &["CLIENT", "PAUSE", LONG_PAUSE, "WRITE"]);
        eventually(BOUND, || client.run(["LOCK.TTL", "due"]) == Reply::Int(-2));
        client.run(["CLIENT", "UNPAUSE"]);
        assert_reclaimed(&server)
    });
    let fastest = fastest.min().expect("there were rounds");
    assert!(fastest < Duration::from_millis(150), "{fastest:?}");
}

#[test]
fn a_pause_that_runs_out_ends_like_one_that_is_ended() {
    for mode in ["WRITE", "ALL"] {
        let server = master().start();
        let replica = server.replica();
        let mut client = server.connect();
        // The deadlines come at half of it.
        take_and_pause(&mut client, &["CLIENT", "PAUSE", "600", mode]);
        assert_reclaimed(&server);
        assert_agree(&server, &replica, mode);
        client.run(["LOCK.ACQUIRE", "later", "owner", "20"]);
        eventually(BOUND, || client.run(["EXISTS", "later"]) == Reply::Int(0));
    }
}

#[test]
fn many_deadlines_in_a_pause_are_all_kept() {
    let server = master().start();
    let replica = server.replica();
    let mut client = server.connect();
    let acquire = |n: usize| {
        let ttl = (100 + n % 100).to_string();
        vec!["LOCK.ACQUIRE".into(), format!("many:{n}"), "owner".into(), ttl]
    };
    let pause = vec!["CLIENT".into(), "PAUSE".into(), LONG_PAUSE.into(), "WRITE".into()];
    client.pipeline((0..2000).map(acquire).chain([pause]));
    eventually(BOUND, || client.run(["LOCK.TTL", "many:1999"]) == Reply::Int(-2));
    let left = held(&server);
    assert!(left > 0);
    std::thread::sleep(QUIET);
    assert_eq!(held(&server), left);
    client.run(["CLIENT", "UNPAUSE"]);
    eventually(BOUND, || held(&server) == 0);
    assert_eq!(client.run(["DBSIZE"]), Reply::Int(0));
    assert_agree(&server, &replica, "after the pause");
}

#[test]
fn a_failover_across_a_deadline() {
    let server = master().start();
    let replica = Server::builder().config("notify-keyspace-events", "EA").replica_of(&server).start();
    let mut client = server.connect();
    client.run(["LOCK.ACQUIRE", "first", "owner", "600000"]);
    server.wait_synced(&replica);
    // The failover waits for a replica that does not answer.
    replica.freeze();
    take_and_pause(&mut client, &["FAILOVER"]);
    eventually(BOUND, || client.run(["LOCK.TTL", "due"]) == Reply::Int(-2));
    let state = || server.info("replication")["master_failover_state"].clone();
    assert_eq!(state(), "waiting-for-sync");
    let offset = || server.info_u64("replication", "master_repl_offset");
    let (before, end) = (offset(), Instant::now() + QUIET);
    while Instant::now() < end {
        assert_eq!((offset(), held(&server)), (before, 4));
    }
    replica.thaw();
    eventually(BOUND, || replica.info("replication")["role"] == "master");
    eventually(BOUND, || held(&replica) == 2);
    assert!(replica.connect().run(["LOCK.ACQUIRE", "due", "else", "600000"]).int() > 0);
    assert_agree(&replica, &server, "after the failover");
    assert_eq!(server.info("replication")["role"], "slave");
}

#[test]
fn a_failover_that_is_given_up() {
    let server = master().start();
    let replica = server.replica();
    replica.freeze();
    let mut client = server.connect();
    take_and_pause(&mut client, &["FAILOVER"]);
    assert_nothing_is_written(&server);
    assert_eq!(client.run(["FAILOVER", "ABORT"]), Reply::ok());
    assert_reclaimed(&server);
    replica.thaw();
    assert_agree(&server, &replica, "after the failover was given up");
}

#[test]
fn a_shutdown_that_waits_for_a_replica() {
    let mut server = master().config("shutdown-timeout", "60").start();
    let replica = server.replica();
    replica.freeze();
    let mut client = server.connect();
    take_and_pause(&mut client, &["PING"]);
    let mut stopper = server.connect();
    stopper.send(["SHUTDOWN"]);
    eventually(BOUND, || server.info("server").contains_key("shutdown_in_milliseconds"));
    eventually(BOUND, || client.run(["LOCK.TTL", "due"]) == Reply::Int(-2));
    let before = traces(&server);
    let end = Instant::now() + QUIET;
    while Instant::now() < end {
        assert_eq!(traces(&server), before);
    }
    assert_eq!(client.run(["SHUTDOWN", "ABORT"]), Reply::ok());
    assert!(stopper.read().is_error());
    assert_reclaimed(&server);
    // And once more, to the end. (On its connection Redis 7.0 can't bear a second command.)
    take_and_pause(&mut client, &["PING"]);
    server.connect().send(["SHUTDOWN"]);
    eventually(BOUND, || client.run(["LOCK.TTL", "due"]) == Reply::Int(-2));
    assert!(server.is_alive());
    replica.thaw();
    eventually(BOUND, || !server.is_alive());
    assert!(!server.log().contains("BUG REPORT"), "{}", server.log());
    server.restart();
    assert_reclaimed(&server);
    assert_agree(&server, &replica, "after the restart");
}

#[test]
fn deadlines_that_pass_while_the_server_loads() {
    for preamble in ["yes", "no"] {
        let mut server = Server::builder()
            .config("appendonly", "yes")
            .config("appendfsync", "always")
            .config("aof-use-rdb-preamble", preamble)
            // The event loop runs while it loads, and it takes half a second.
            .config("key-load-delay", "500")
            .config("loading-process-events-interval-bytes", "1024")
            .start();
        let mut client = server.connect();
        let acquire = |n: usize| {
            let ttl = if n < 500 { 600_000 } else { 1 + n / 5 };
            ["LOCK.ACQUIRE".into(), format!("many:{n}"), "owner".into(), ttl.to_string()]
        };
        // Writes are paused, so that the file has what is past its deadline.
        let pause = ["CLIENT", "PAUSE", LONG_PAUSE, "WRITE"].map(String::from);
        client.pipeline((0..1000).map(acquire).chain([pause]));
        eventually(BOUND, || client.run(["LOCK.TTL", "many:999"]) == Reply::Int(-2));
        assert!(held(&server) > 500);
        client.run(["BGREWRITEAOF"]);
        eventually(BOUND, || server.info("persistence")["aof_rewrite_in_progress"] == "0");
        server.kill();
        server.restart();
        eventually(BOUND, || held(&server) == 500);
        assert_eq!(server.connect().run(["DBSIZE"]), Reply::Int(500));
        server.kill();
        server.restart();
        eventually(BOUND, || held(&server) == 500);
    }
}

#[test]
fn a_slow_script_across_a_deadline() {
    let server = master().config("busy-reply-threshold", "10").start();
    let replica = server.replica();
    let script = "redis.call('LOCK.ACQUIRE', KEYS[1], 'owner', 100)
        redis.call('LOCK.ACQUIRE', KEYS[2], 'clock', 600000)
        local start = redis.call('LOCK.TTL', KEYS[2])
        while start - redis.call('LOCK.TTL', KEYS[2]) < 400 do end
        return {redis.call('EXISTS', KEYS[1]), redis.call('LOCK.TTL', KEYS[1])}";
    let mut client = server.connect();
    client.run(["LOCK.ACQUIRE", "due", "owner", "50"]);
    client.send(["EVAL", script, "2", "inside", "clock"]);
    let mut other = server.connect();
    let busy = eventually(BOUND, || Some(other.run(["GET", "x"])).filter(Reply::is_error));
    assert!(busy.text().starts_with("BUSY"), "{busy:?}");
    assert_eq!(client.read(), Reply::Array(vec![Reply::Int(1), Reply::Int(-2)]));
    eventually(BOUND, || held(&server) == 1);
    assert_eq!(other.run(["EXISTS", "due", "inside", "clock"]), Reply::Int(1));
    assert_eq!(server.info_u64("lock", "lock_expired"), 2);
    assert_agree(&server, &replica, "after the script");
}
