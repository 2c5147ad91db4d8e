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

/// A failover pauses writes too; whoever waits then is told of the change of role.
#[test]
fn a_failover_while_somebody_waits() {
    let server = master().start();
    let replica = server.replica();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 600000");
    let mut waits = waiter(&server, "k", "b", "");
    server.wait_synced(&replica);
    replica.freeze();
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
