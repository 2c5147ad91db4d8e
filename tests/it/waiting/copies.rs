//! Hand-offs reach replicas and AOF as any grant does; only a master has a line.

use super::{ask, at_once, granted, holders, line, numbered, reply, waiter, waiter_saying, waiting, BOUND};
use crate::events::Ears;
use crate::keyspace::say_all;
use crate::support::{holds, Say};
use crate::view::{assert_agree, calls, digest, everything};
use redis_lock_harness::{eventually, Builder, Client, Reply, Server};

fn durable() -> Builder {
    Server::builder().tcp().config("appendonly", "yes").config("appendfsync", "always")
}

/// One hand-off of each kind; who holds what in the end.
fn hand_offs(server: &Server) -> Vec<Client> {
    let mut client = server.connect();
    let mut waiters = Vec::new();
    let mut hand_over = |key: &str, owner: &str, terms: &str, command: &str| {
        let mut waiter = waiter(server, key, owner, terms);
        client.say(command);
        granted(&mut waiter);
        waiters.push(waiter);
    };
    server.connect().say("LOCK.MACQUIRE 6 released dropped deleted pool bound raised a 600000");
    server.connect().say("LOCK.ACQUIRE expired a 300");
    hand_over("expired", "b", "", "PING");
    hand_over("released", "b", "META why", "LOCK.RELEASE released a");
    hand_over("dropped", "b", "LIMIT 3", "LOCK.MRELEASE 1 dropped a");
    hand_over("deleted", "b", "", "DEL deleted");
    hand_over("pool", "b", "SHARED", "LOCK.RELEASE pool a");
    hand_over("bound", "b", "SESSION", "LOCK.RELEASE bound a");
    hand_over("raised", "b", "FENCE 1", "LOCK.RELEASE raised a");
    // Two requests of one owner, the second of which raises the token and the deadline.
    let token = server.info_u64("lock", "lock_last_fence") + 1_000_000;
    let mut waits = [
        waiter(server, "released", "c", "META first"),
        waiter_saying(server, &format!("LOCK.ACQUIRE released c 700000 BLOCK 0 META second FENCE {token}")),
    ];
    client.say("LOCK.RELEASE released b");
    for waiter in &mut waits {
        granted(waiter);
    }
    waiters.extend(waits);
    waiters
}

#[test]
fn replicas_and_aof_have_what_the_master_has() {
    let mut server = durable().movable_clocks().start();
    // Past the minute that tokens begin ahead of the clock.
    server.step_monotonic(600_000);
    let replica = Server::builder().config("appendonly", "yes").replica_of(&server).start();
    let waiters = hand_offs(&server);
    assert_agree(&server, &replica, "after hand-offs");
    assert_eq!(server.info_u64("lock", "lock_handed_over"), 8);
    // Nothing but effects (the test itself asks for INFO), and none of them refused.
    let told = calls(&replica, "lock.");
    assert!(
        told.keys().all(|name| ["_hold", "_drop", "release", "info"].contains(&name.as_str())),
        "{told:?}"
    );
    assert_eq!(replica.info("errorstats").len(), 0);
    let expected = (everything(&server), digest(&server));
    drop(waiters);
    // (One of them was bound to its connection.)
    let mut client = server.connect();
    eventually(BOUND, || client.say("EXISTS bound") == Reply::Int(0));
    assert_agree(&server, &replica, "after a session ended");
    let expected_after = (everything(&server), digest(&server));
    assert_ne!(expected, expected_after);
    server.kill();
    server.restart();
    assert_eq!((everything(&server), digest(&server)), expected_after);
}

/// Also for rewritten files, and in the middle of it.
#[test]
fn a_rewritten_aof_and_a_snapshot_have_it_too() {
    for command in ["BGREWRITEAOF", "SAVE"] {
        let mut server = if command == "SAVE" { Server::builder() } else { durable() }.start();
        let mut client = server.connect();
        client.take("k", "a", "");
        let mut waiters = ["b", "c"].map(|owner| waiter(&server, "k", owner, ""));
        say_all(&mut client, &["LOCK.RELEASE k a", command]);
        let token = granted(&mut waiters[0]);
        eventually(BOUND, || server.info("persistence")["aof_rewrite_in_progress"] == "0");
        server.kill();
        server.restart();
        let held = holds(&mut server.connect(), "k");
        assert_eq!((held.len(), &held[0].owner[..], held[0].fence), (1, &b"b"[..], token), "{command}");
        assert_eq!(waiting(&server), 0);
    }
}

#[test]
fn a_replica_never_has_waiters() {
    let server = Server::builder().tcp().start();
    let replica = Server::builder().config("replica-read-only", "no").replica_of(&server).start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut waiters = ["b", "c"].map(|owner| waiter(&server, "k", owner, ""));
    server.wait_synced(&replica);
    let mut there = replica.connect();
    for request in [ask("k", "d", ""), ask("free", "d", "")] {
        let refused = there.say(&request);
        assert!(refused.text().starts_with("READONLY "), "{request}: {refused:?}");
    }
    assert_eq!((waiting(&replica), line(&mut there, "k")), (0, vec![]));
    client.say("LOCK.RELEASE k a");
    granted(&mut waiters[0]);
    server.wait_synced(&replica);
    assert_eq!((holders(&mut there, "k"), line(&mut there, "k")), (vec!["b".into()], vec![]));
    // Whoever waited at the master asks again at the promoted replica.
    say_all(&mut there, &["REPLICAOF NO ONE"]);
    let mut waiter = waiter(&replica, "k", "c", "");
    assert_eq!(there.say("LOCK.RELEASE k b"), Reply::Int(1));
    granted(&mut waiter);
}

#[test]
fn events_of_hand_offs_come_in_order_here_and_there() {
    let server = Server::builder().tcp().start();
    let replica = server.replica();
    let mut client = server.connect();
    client.take("k", "a", "");
    let (_victim, id) = numbered(&server, "k", "b", "");
    let mut readers = ["1", "2"].map(|owner| waiter(&server, "k", owner, "SHARED"));
    let mut last = waiter_saying(&server, "LOCK.ACQUIRE k last 50 BLOCK 0");
    server.wait_synced(&replica);
    let (mut here, mut there) = (Ears::on(&server), Ears::on(&replica));
    at_once(&mut client, &["LOCK.RELEASE k a", &format!("CLIENT KILL ID {id}")]);
    for reader in &mut readers {
        granted(reader);
    }
    say_all(&mut client, &["LOCK.RELEASE k 2", "DEL k"]);
    granted(&mut last);
    let heard = here.until("0 k lock.expired");
    let expected = [
        ("lock.release", "a"),
        ("lock.acquire", "b"),
        ("lock.release", "b"),
        ("lock.acquire", "1"),
        ("lock.acquire", "2"),
        ("lock.release", "2"),
        ("del", "by DEL"),
        ("lock.acquire", "last"),
        ("lock.expired", "last"),
    ];
    let expected: Vec<String> = expected.iter().map(|(event, _)| format!("0 k {event}")).collect();
    assert_eq!(heard, expected);
    here.until("0 k del");
    server.wait_synced(&replica);
    let mut copied = Vec::new();
    eventually(BOUND, || {
        copied.extend(there.heard());
        copied.len() > expected.len()
    });
    assert_eq!(copied[..expected.len()], expected);
}

/// What is watched changes with every hand-off; that somebody joins or leaves the line is no change.
#[test]
fn watch_sees_hand_offs() {
    let server = Server::start();
    let (mut client, mut watcher) = (server.connect(), server.connect());
    let touched = |watcher: &mut Client, action: &mut dyn FnMut()| {
        say_all(watcher, &["WATCH k"]);
        action();
        at_once_or_stopped(watcher)
    };
    client.take("k", "a", "");
    let mut next = None;
    assert!(!touched(&mut watcher, &mut || next = Some(waiter(&server, "k", "b", ""))));
    let (mut leaver, id) = numbered(&server, "k", "c", "");
    assert!(!touched(&mut watcher, &mut || drop(client.say(&format!("CLIENT UNBLOCK {id}")))));
    assert_eq!(reply(&mut leaver), Reply::Nil);
    let mut next = next.expect("it waits");
    assert!(touched(&mut watcher, &mut || drop(client.say("LOCK.RELEASE k a"))));
    granted(&mut next);
    // A hold that runs out is handed on.
    client.say("LOCK.RELEASE k b");
    client.say("LOCK.ACQUIRE k a 400");
    let mut last = waiter(&server, "k", "d", "");
    assert!(touched(&mut watcher, &mut || assert!(granted(&mut last) > 0)));
}

/// Ends a transaction; whether WATCH stopped it.
fn at_once_or_stopped(client: &mut Client) -> bool {
    client.pipeline([["MULTI"], ["PING"], ["EXEC"]])[2].is_nil()
}
