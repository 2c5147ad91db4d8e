//! While the server takes no writes, nobody is handed anything; limits of waiters run out all the same.

use super::{ask, granted, holders, line, numbered, reply, waiter, waiter_saying, waiting, BOUND};
use crate::keyspace::say_all;
use crate::support::Say;
use crate::view::assert_agree;
use redis_lock_harness::{eventually, Builder, Client, Reply, Server};
use std::time::{Duration, Instant};

/// How long nothing may happen before a test believes that it does not.
const QUIET: Duration = Duration::from_millis(200);

fn master() -> Builder {
    Server::builder().tcp().config("appendonly", "yes").config("repl-ping-replica-period", "3600")
}

/// For a while nobody is granted anything.
#[track_caller]
fn assert_quiet(server: &Server, waiters: u64) {
    let end = Instant::now() + QUIET;
    let before = server.info_u64("replication", "master_repl_offset");
    while Instant::now() < end {
        assert_eq!(waiting(server), waiters);
        assert_eq!(server.info_u64("lock", "lock_handed_over"), 0);
        assert_eq!(server.info_u64("replication", "master_repl_offset"), before);
    }
}

/// Lets the hold of `k` end soon, but not before the command.
#[track_caller]
fn end_soon_and(client: &mut Client, command: &str) {
    let replies = client.pipeline(["LOCK._HOLD k a 100 1", command].map(|line| line.split(' ')));
    assert_eq!(replies, [Reply::ok(), Reply::ok()]);
}

fn past_its_deadline(client: &mut Client, key: &str) {
    eventually(BOUND, || client.run(["LOCK.TTL", key]) == Reply::Int(-2));
}

#[test]
fn a_pause_of_writes_puts_hand_offs_off() {
    let server = master().start();
    let replica = server.replica();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 600000");
    client.take("m", "a", "SHARED");
    let mut waiters = ["b", "c"].map(|owner| waiter(&server, "k", owner, "SHARED"));
    let mut impatient = waiter_saying(&server, "LOCK.ACQUIRE k d 600000 BLOCK 1000");
    // A writer that leaves makes room for a reader.
    let (mut writer, id) = numbered(&server, "m", "writer", "");
    let mut reader = waiter(&server, "m", "reader", "SHARED");
    let mut session = server.connect();
    session.take("n", "a", "SESSION");
    let mut third = waiter(&server, "n", "b", "");
    end_soon_and(&mut client, "CLIENT PAUSE 600000 WRITE");
    drop(session);
    assert_eq!(client.say(&format!("CLIENT UNBLOCK {id}")), Reply::Int(1));
    assert_eq!(reply(&mut writer), Reply::Nil);
    past_its_deadline(&mut client, "k");
    assert_eq!(reply(&mut impatient), Reply::Nil);
    assert_quiet(&server, 4);
    assert_eq!(server.info_u64("lock", "lock_sessions_dropped"), 0);
    say_all(&mut client, &["CLIENT UNPAUSE"]);
    for waiter in waiters.iter_mut().chain([&mut reader, &mut third]) {
        granted(waiter);
    }
    assert_agree(&server, &replica, "after the pause");
}

/// The reference says within 100 ms. The fastest of some rounds: a busy machine can delay one, not all.
#[test]
fn hand_offs_follow_soon_after_a_pause() {
    let server = master().start();
    let mut client = server.connect();
    let round = |_| {
        client.say("DEL k");
        client.say("LOCK.ACQUIRE k a 300");
        let mut waiter = server.connect();
        waiter.send(ask("k", "b", "").split_whitespace());
        say_all(&mut client, &["CLIENT PAUSE 600000 WRITE"]);
        past_its_deadline(&mut client, "k");
        say_all(&mut client, &["CLIENT UNPAUSE"]);
        let start = Instant::now();
        assert!(waiter.read().int() > 0);
        start.elapsed()
    };
    let fastest = (0..5).map(round).min().expect("there were rounds");
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

/// Nobody else's command is needed for it: the end of a pause is no event.
#[test]
fn a_pause_that_runs_out_by_itself() {
    let server = master().start();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 300");
    let mut waiter = waiter(&server, "k", "b", "");
    say_all(&mut client, &["CLIENT PAUSE 600 WRITE"]);
    granted(&mut waiter);
}

/// A waiter whose time runs out exactly in a long pause is not kept until its end, nor served after it.
#[test]
fn limits_run_out_in_a_pause() {
    let server = master().start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let limits = [500, 520, 540].map(|ms| {
        let waiter = waiter_saying(&server, &format!("LOCK.ACQUIRE k b{ms} 600000 BLOCK {ms}"));
        (Instant::now(), waiter)
    });
    say_all(&mut client, &["CLIENT PAUSE 600000 WRITE"]);
    for (start, mut waiter) in limits {
        assert_eq!(waiter.read(), Reply::Nil);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
    assert_eq!(waiting(&server), 0);
    say_all(&mut client, &["CLIENT UNPAUSE"]);
    assert_eq!(holders(&mut client, "k"), ["a"]);
}

/// Somebody holds `k`, and somebody waits for it, on a server whose replica does not answer any more. That
/// replica, a connection, and who waits.
fn with_a_frozen_replica(server: &Server) -> (Server, Client, Client) {
    let replica = server.replica();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 600000");
    let waits = waiter(server, "k", "b", "");
    server.wait_synced(&replica);
    replica.freeze();
    (replica, client, waits)
}

/// A failover pauses writes too; whoever waits then is told of the change of role.
#[test]
fn a_failover_while_somebody_waits() {
    let server = master().start();
    let (replica, mut client, mut waits) = with_a_frozen_replica(&server);
    end_soon_and(&mut client, "FAILOVER");
    past_its_deadline(&mut client, "k");
    assert_quiet(&server, 1);
    replica.thaw();
    let told = waits.read();
    assert!(told.is_error() && told.text().starts_with("UNBLOCKED "), "{told:?}");
    eventually(BOUND, || replica.info("replication")["role"] == "master");
    assert_eq!(waiting(&server), 0);
    let mut again = server_granting(&replica);
    assert!(again.say(&ask("k", "b", "")).int() > 0);
    assert_agree(&replica, &server, "after the failover");
}

/// A connection, once the server has reclaimed all that is due.
fn server_granting(server: &Server) -> Client {
    eventually(BOUND, || server.info_u64("lock", "lock_held") == 0);
    server.connect()
}

/// A server that wants a replica and has none.
fn lonely(server: &Server) -> [Client; 2] {
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 500");
    let waiters = ["b", "c"].map(|owner| waiter(server, "k", owner, ""));
    say_all(&mut client, &["CONFIG SET min-replicas-to-write 1"]);
    let refused = client.say("LOCK.ACQUIRE other z 1000");
    assert!(refused.text().starts_with("NOREPLICAS "), "{refused:?}");
    // The expiry goes on, the waiters stay.
    eventually(BOUND, || server.info_u64("lock", "lock_expired") == 1);
    assert_eq!(client.say("EXISTS k"), Reply::Int(0));
    assert_quiet(server, 2);
    let info = client.say("LOCK.INFO k");
    assert_eq!((info.get("fence"), info.get("holders")), (&Reply::Int(0), &Reply::Array(vec![])));
    assert_eq!(line(&mut client, "k"), ["b", "c"]);
    waiters
}

#[test]
fn without_enough_replicas_waiters_stay_until_the_setting_goes() {
    let server = Server::builder().tcp().start();
    let [mut first, second] = lonely(&server);
    let mut client = server.connect();
    say_all(&mut client, &["CONFIG SET min-replicas-to-write 0"]);
    granted(&mut first);
    assert_eq!(line(&mut client, "k"), ["c"]);
    drop(second);
}

#[test]
fn without_enough_replicas_waiters_stay_until_one_is_there() {
    let server = Server::builder().tcp().start();
    let [mut first, _second] = lonely(&server);
    let replica = server.replica();
    granted(&mut first);
    assert_agree(&server, &replica, "with a replica");
}

/// A session ends without replicas too; time limits as ever.
#[test]
fn without_enough_replicas_sessions_and_limits_end() {
    let server = Server::builder().tcp().start();
    let mut client = server.connect();
    let mut holder = server.connect();
    holder.take("k", "a", "SESSION");
    let mut first = waiter_saying(&server, "LOCK.ACQUIRE k b 600000 BLOCK 600");
    let mut second = waiter(&server, "k", "c", "");
    say_all(&mut client, &["CONFIG SET min-replicas-to-write 1"]);
    drop(holder);
    eventually(BOUND, || server.info_u64("lock", "lock_sessions_dropped") == 1);
    assert_eq!(reply(&mut first), Reply::Nil);
    assert_eq!(line(&mut client, "k"), ["c"]);
    say_all(&mut client, &["CONFIG SET min-replicas-to-write 0"]);
    granted(&mut second);
}

#[test]
fn a_shutdown_that_waits_while_somebody_waits() {
    let mut server = master().config("shutdown-timeout", "600").start();
    let (replica, mut client, mut waits) = with_a_frozen_replica(&server);
    let mut stopper = server.connect();
    let shutting_down = || server.info("server").contains_key("shutdown_in_milliseconds");
    client.say("LOCK._HOLD k a 300 1");
    stopper.send(["SHUTDOWN"]);
    eventually(BOUND, shutting_down);
    past_its_deadline(&mut client, "k");
    assert_quiet(&server, 1);
    assert_eq!(client.say("SHUTDOWN ABORT"), Reply::ok());
    assert!(stopper.read().is_error());
    granted(&mut waits);
    // And once more, to the end. (On its connection Redis 7.0 can't bear a second command.)
    let mut waits = waiter(&server, "k", "c", "");
    client.say("LOCK._HOLD k b 300 2");
    server.connect().send(["SHUTDOWN"]);
    eventually(BOUND, shutting_down);
    past_its_deadline(&mut client, "k");
    assert!(server.is_alive());
    replica.thaw();
    eventually(BOUND, || !server.is_alive());
    assert!(!server.log().contains("BUG REPORT"), "{}", server.log());
    assert_eq!(waits.try_read().map_err(|_| ()), Err(()), "its connection is closed");
    server.restart();
    server.wait_synced(&replica);
    assert_agree(&server, &replica, "after the restart");
}

#[test]
fn a_shutdown_with_many_in_line() {
    let server = Server::start();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 600000");
    let mut waiters: Vec<Client> = (0..100).map(|n| waiter(&server, "k", &format!("b{n}"), "")).collect();
    client.send(["SHUTDOWN", "NOSAVE"]);
    eventually(BOUND, || !server.is_alive());
    assert!(!server.log().contains("BUG REPORT"), "{}", server.log());
    assert!(waiters.iter_mut().all(|waiter| waiter.try_read().is_err()));
}

/// A snapshot that can't be written has the server refuse writes, as a full disk does.
#[test]
fn while_the_disk_fails_waiters_stay() {
    let server = Server::builder().config("save", "3600 1000000").start();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 1000");
    let mut waits = waiter(&server, "k", "b", "");
    let in_the_way = server.dir().join("dump.rdb");
    std::fs::create_dir(&in_the_way).expect("a folder can be made");
    client.say("BGSAVE");
    eventually(BOUND, || server.info("persistence")["rdb_last_bgsave_status"] == "err");
    let refused = client.say("LOCK.ACQUIRE other z 1000");
    assert!(refused.text().starts_with("MISCONF "), "{refused:?}");
    eventually(BOUND, || server.info_u64("lock", "lock_expired") == 1);
    assert_quiet(&server, 1);
    std::fs::remove_dir(&in_the_way).expect("it is empty");
    client.say("BGSAVE");
    granted(&mut waits);
    assert_eq!(holders(&mut client, "k"), ["b"]);
}

/// The module asks the server by a command of its own: no client's commands are counted or shown, and no
/// name that an operator took away is missed.
#[test]
fn asking_whether_the_server_takes_writes_is_not_seen_and_not_stopped() {
    let server = Server::builder().config("rename-command", "RENAMENX \"\"").start();
    let mut client = server.connect();
    let mut monitor = server.connect();
    assert_eq!(monitor.say("MONITOR"), Reply::ok());
    let mut holder = server.connect();
    holder.take("k", "a", "SESSION");
    let mut next = waiter(&server, "k", "b", "");
    // A session's end needs no client that writes: only what follows it does.
    say_all(&mut client, &["CONFIG SET min-replicas-to-write 1"]);
    drop(holder);
    eventually(BOUND, || holders(&mut client, "k").is_empty());
    assert_quiet(&server, 1);
    say_all(&mut client, &["CONFIG SET min-replicas-to-write 0"]);
    granted(&mut next);
    let stats = client.say("INFO commandstats").text().to_string();
    let failed = |line: &&str| !line.contains("failed_calls=0") && line.starts_with("cmdstat_");
    let failed: Vec<&str> = stats.lines().filter(failed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    client.say("ECHO end");
    loop {
        let line = monitor.read().text().to_lowercase();
        assert!(!line.contains("_probe") && !line.contains("unblock"), "{line}");
        if line.contains("echo") {
            break;
        }
    }
}
