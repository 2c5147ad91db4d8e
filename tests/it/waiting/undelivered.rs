//! A grant of which its client can't be told goes to the next, and every client gets exactly one reply.
//!
//! A hand-off is decided in the step that frees the lock and answered at the end of that turn of the event loop:
//! in a transaction, and among commands that were sent in one go, something else can come in between.

use super::{
    assert_counters_add_up, at_once, granted, holders, line, numbered, reply, waiter, waiting, BOUND,
};
use crate::events::Ears;
use crate::keyspace::{counts, say_all};
use crate::support::{holds, Say};
use redis_lock_harness::{eventually, Client, Reply, Server};

const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// `a` holds `k`; `b` and `c` wait for it in this order.
struct Scene {
    server: Server,
    client: Client,
    ears: Ears,
    victim: Client,
    id: i64,
    next: Client,
}

fn scene() -> Scene {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let (victim, id) = numbered(&server, "k", "b", "");
    let next = waiter(&server, "k", "c", "");
    let ears = Ears::on(&server);
    Scene { server, client, ears, victim, id, next }
}

impl Scene {
    /// The next in line got it; what else is to be seen of it.
    #[track_caller]
    fn assert_next_got_it(&mut self, what: &str, events: &[&str]) {
        granted(&mut self.next);
        assert_eq!(holders(&mut self.client, "k"), ["c"], "{what}");
        assert_eq!(self.ears.heard(), events, "{what}");
        let now = counts(&self.server);
        let ends = events.iter().filter(|event| event.ends_with("lock.release")).count() as i64;
        assert_eq!((now["lock_held"], now["lock_waiting"], now["lock_released"]), (1, 0, ends), "{what}");
        assert_counters_add_up(&self.server);
    }
}

const TAKEN_BACK: [&str; 4] =
    ["0 k lock.release", "0 k lock.acquire", "0 k lock.release", "0 k lock.acquire"];
const NEVER_GIVEN: [&str; 2] = ["0 k lock.release", "0 k lock.acquire"];

type Send = fn(&mut Client, &[&str]);

/// As a transaction, and as commands sent in one go.
const SENDS: [Send; 2] = [
    |client, commands| drop(at_once(client, commands)),
    |client, commands| drop(client.pipeline(commands.iter().map(|line| line.split(' ')))),
];

#[test]
fn killed_in_the_step_of_the_release() {
    for send in SENDS {
        let mut scene = scene();
        let kill = format!("CLIENT KILL ID {}", scene.id);
        send(&mut scene.client, &["LOCK.RELEASE k a", &kill]);
        scene.assert_next_got_it("released, then killed", &TAKEN_BACK);
        assert!(scene.victim.try_read().is_err(), "a killed client hears nothing");
    }
    let mut scene = scene();
    let kill = format!("CLIENT KILL ID {}", scene.id);
    at_once(&mut scene.client, &[&kill, "LOCK.RELEASE k a"]);
    scene.assert_next_got_it("killed, then released", &NEVER_GIVEN);
}

#[test]
fn unblocked_in_the_step_of_the_release() {
    for (kind, expected) in [("TIMEOUT", Reply::Nil), ("ERROR", Reply::error(UNBLOCKED))] {
        for send in SENDS {
            let mut scene = scene();
            let unblock = format!("CLIENT UNBLOCK {} {kind}", scene.id);
            send(&mut scene.client, &["LOCK.RELEASE k a", &unblock]);
            scene.assert_next_got_it("released, then unblocked", &TAKEN_BACK);
            assert_eq!(reply(&mut scene.victim), expected);
        }
        let mut scene = scene();
        let unblock = format!("CLIENT UNBLOCK {} {kind}", scene.id);
        at_once(&mut scene.client, &[&unblock, "LOCK.RELEASE k a"]);
        scene.assert_next_got_it("unblocked, then released", &NEVER_GIVEN);
        assert_eq!(reply(&mut scene.victim), expected);
    }
}

/// Whatever comes first counts, and nothing of what follows gives another reply.
#[test]
fn unblocked_twice_and_killed() {
    let server = Server::start();
    let mut client = server.connect();
    for (first, second) in [("ERROR", "TIMEOUT"), ("TIMEOUT", "ERROR"), ("ERROR", "ERROR")] {
        client.take("k", "a", "");
        let (mut victim, id) = numbered(&server, "k", "b", "");
        let mut next = waiter(&server, "k", "c", "");
        let unblock = [first, second].map(|kind| format!("CLIENT UNBLOCK {id} {kind}"));
        at_once(&mut client, &["LOCK.RELEASE k a", &unblock[0], &unblock[1]]);
        granted(&mut next);
        let told = reply(&mut victim);
        assert_eq!(told, if first == "ERROR" { Reply::error(UNBLOCKED) } else { Reply::Nil });
        assert_eq!(victim.say("LOCK.OWNER k"), Reply::bulk("c"));
        client.say("LOCK.RELEASE k c");
        let kill = format!("CLIENT KILL ID {id}");
        client.take("k", "a", "");
        super::join(&server, &mut victim, &super::ask("k", "b", ""));
        at_once(&mut client, &["LOCK.RELEASE k a", &unblock[0], &kill]);
        eventually(BOUND, || client.say("EXISTS k") == Reply::Int(0));
        assert_counters_add_up(&server);
    }
}

/// The server stands still, and not only soon.
fn stop(server: &Server) {
    server.freeze();
    let stat =
        || std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("the server's state");
    eventually(BOUND, || stat().rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')));
}

/// A socket that was closed is read in the same turn as the release, before it or after it: the server had
/// stood still meanwhile.
#[test]
fn a_close_that_is_read_in_the_turn_of_the_release() {
    for close_first in [true, false] {
        let Scene { server, mut client, victim, mut next, .. } = scene();
        stop(&server);
        if close_first {
            drop(victim);
            client.send(["LOCK.RELEASE", "k", "a"]);
        } else {
            client.send(["LOCK.RELEASE", "k", "a"]);
            drop(victim);
        }
        server.thaw();
        assert_eq!(client.read(), Reply::Int(1));
        granted(&mut next);
        assert_eq!(holders(&mut client, "k"), ["c"], "closed first: {close_first}");
        assert_counters_add_up(&server);
    }
}

/// The whole line is killed: nobody gets it, and it is free.
#[test]
fn all_who_wait_are_killed() {
    // All are kept: one that is dropped leaves the queue while the next is counted.
    let Scene { server, mut client, victim: _victim, next: _next, .. } = scene();
    let _third = waiter(&server, "k", "d", "SHARED");
    at_once(&mut client, &["LOCK.RELEASE k a", "CLIENT KILL TYPE normal SKIPME yes"]);
    eventually(BOUND, || client.say("EXISTS k") == Reply::Int(0));
    assert_eq!((counts(&server)["lock_held"], waiting(&server)), (0, 0));
    assert_counters_add_up(&server);
}

/// Another connection of that owner was told of the hold: it counts on it.
#[test]
fn a_hold_that_its_owner_was_told_of_otherwise_stays() {
    for command in [
        "LOCK.EXTEND k b 700000",
        "LOCK.EXTEND k b 1",
        "LOCK.EXTEND k b 1 FENCE 1",
        "LOCK.MEXTEND 1 k b 700000",
        "LOCK.ACQUIRE k b 700000",
        "LOCK.ACQUIRE k b 1",
        "LOCK.MACQUIRE 1 k b 700000",
        "LOCK.MACQUIRE 2 l k b 700000",
    ] {
        for end in ["CLIENT KILL ID", "CLIENT UNBLOCK"] {
            let mut scene = scene();
            let end = format!("{end} {}", scene.id);
            let replies = at_once(&mut scene.client, &["LOCK.RELEASE k a", command, &end]);
            assert!(replies[1].int() > 0, "{command}: {replies:?}");
            assert_eq!(holders(&mut scene.client, "k"), ["b"], "{command}");
            assert_eq!(line(&mut scene.client, "k"), ["c"], "{command}");
            scene.client.say("LOCK.RELEASE k b");
            granted(&mut scene.next);
            assert_counters_add_up(&scene.server);
        }
    }
}

/// Two requests of one owner are answered by one grant: as long as one of them is told, it stays.
#[test]
fn a_grant_for_two_requests_is_taken_back_if_neither_is_told() {
    for (killed, held) in [(1, "b"), (2, "c")] {
        let server = Server::start();
        let mut client = server.connect();
        client.take("k", "a", "");
        let mut waiters = ["b", "b"].map(|owner| numbered(&server, "k", owner, ""));
        let mut next = waiter(&server, "k", "c", "");
        let kills: Vec<String> =
            waiters[..killed].iter().map(|(_, id)| format!("CLIENT KILL ID {id}")).collect();
        let mut commands = vec!["LOCK.RELEASE k a"];
        commands.extend(kills.iter().map(String::as_str));
        at_once(&mut client, &commands);
        if killed == 1 {
            granted(&mut waiters[1].0);
        } else {
            granted(&mut next);
        }
        assert_eq!(holders(&mut client, "k"), [held]);
        assert_counters_add_up(&server);
    }
}

/// What has happened to the hold meanwhile is not undone, and what came after it is left alone.
#[test]
fn a_hold_that_is_gone_is_not_taken_back() {
    let mut scene = scene();
    let kill = format!("CLIENT KILL ID {}", scene.id);
    at_once(&mut scene.client, &["LOCK.RELEASE k a", "LOCK.RELEASE k b", &kill]);
    scene.assert_next_got_it("released by its owner", &TAKEN_BACK);

    let server = Server::start();
    let mut client = server.connect();
    for between in ["LOCK.RELEASE k b", "DEL k", "FLUSHALL"] {
        client.take("k", "a", "");
        let (_victim, id) = numbered(&server, "k", "b", "");
        let kill = format!("CLIENT KILL ID {id}");
        let replies = at_once(&mut client, &["LOCK.RELEASE k a", between, "LOCK.ACQUIRE k b 600000", &kill]);
        let held = holds(&mut client, "k");
        assert_eq!(held.len(), 1, "{between}");
        assert_eq!(Reply::Int(held[0].fence), replies[2], "a newer hold stays: {between}");
        client.say("LOCK.RELEASE k b");
        assert_counters_add_up(&server);
    }
}

/// The lock that was handed over went elsewhere in the same step, and its hold with it.
#[test]
fn a_hold_that_was_moved_is_taken_back_where_it_is() {
    for (moves, key, db) in [("RENAME k l", "l", "0"), ("MOVE k 1", "k", "1"), ("SWAPDB 0 1", "k", "1")] {
        let mut scene = scene();
        let kill = format!("CLIENT KILL ID {}", scene.id);
        at_once(&mut scene.client, &["LOCK.RELEASE k a", moves, &kill]);
        granted(&mut scene.next);
        say_all(&mut scene.client, &[&format!("SELECT {db}")]);
        eventually(BOUND, || scene.client.say(&format!("EXISTS {key}")) == Reply::Int(0));
        assert_counters_add_up(&scene.server);
    }
}

/// As a replica the server decides nothing; the hold is taken back once it is a master again.
#[test]
fn a_change_of_role_in_the_step_of_the_release() {
    let demote = "REPLICAOF 127.0.0.1 1";
    for commands in [
        &["LOCK.RELEASE k a", demote][..],
        &[demote, "LOCK.RELEASE k a"],
        &["LOCK.RELEASE k a", demote, "REPLICAOF NO ONE"],
    ] {
        let Scene { server, mut client, mut victim, mut next, .. } = scene();
        at_once(&mut client, commands);
        for waiter in [&mut victim, &mut next] {
            let told = waiter.read();
            assert!(told.is_error() && told.text().starts_with("UNBLOCKED "), "{commands:?}: {told:?}");
            assert!(waiter.try_run(["PING"]).is_err(), "the server closes such connections");
        }
        assert_eq!(client.say("REPLICAOF NO ONE"), Reply::ok());
        client.say("LOCK.RELEASE k a");
        eventually(BOUND, || client.say("EXISTS k") == Reply::Int(0));
        assert_eq!((counts(&server)["lock_held"], waiting(&server)), (0, 0), "{commands:?}");
        assert_counters_add_up(&server);
    }
}
