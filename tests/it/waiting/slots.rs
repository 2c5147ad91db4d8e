//! Waiting on a node of a cluster.

use super::{ask, granted, line, reply, waiter, waiting, BOUND};
use crate::cluster::{node_id, slot, two_nodes, whole_cluster};
use crate::keyspace::say_all;
use crate::support::Say;
use redis_lock_harness::{eventually, Reply, Server};

#[test]
fn a_lock_is_handed_on_on_a_node() {
    let server = whole_cluster();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut waiters = ["b", "c"].map(|owner| waiter(&server, "k", owner, ""));
    client.say("LOCK.RELEASE k a");
    granted(&mut waiters[0]);
    client.say("DEL k");
    granted(&mut waiters[1]);
}

#[test]
fn who_waits_for_a_slot_that_nobody_serves_is_told_so() {
    let server = whole_cluster();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut waiters = ["b", "c"].map(|owner| waiter(&server, "k", owner, ""));
    let slot = slot(&mut client, "k");
    say_all(&mut client, &[&format!("CLUSTER DELSLOTS {slot}")]);
    for waiter in &mut waiters {
        let down = reply(waiter);
        assert!(down.is_error() && down.text().starts_with("CLUSTERDOWN "), "{down:?}");
    }
    eventually(BOUND, || waiting(&server) == 0);
}

/// Moves the only key of the slot, and leaves the slot under way.
fn move_key(from: &Server, to: &Server, slot: i64, key: &str) {
    let (mut here, mut there) = (from.connect(), to.connect());
    let ids = (node_id(&mut here), node_id(&mut there));
    say_all(&mut there, &[&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids.0)]);
    say_all(&mut here, &[&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids.1)]);
    say_all(&mut here, &[&format!("MIGRATE 127.0.0.1 {} {key} 0 10000", to.port())]);
}

fn move_slot(from: &Server, to: &Server, slot: i64) {
    let (mut here, mut there) = (from.connect(), to.connect());
    let id = node_id(&mut there);
    for node in [&mut there, &mut here] {
        say_all(node, &[&format!("CLUSTER SETSLOT {slot} NODE {id}")]);
    }
}

/// The lock goes before the slot: while it is away, nobody gets it here.
#[test]
fn who_waits_is_sent_after_a_slot_that_moves() {
    let (from, to) = two_nodes();
    let (mut here, mut there) = (from.connect(), to.connect());
    here.take("k", "a", "");
    let mut waiters = ["b", "c"].map(|owner| waiter(&from, "k", owner, ""));
    let slot = slot(&mut here, "k");
    move_key(&from, &to, slot, "k");
    assert_eq!(from.info_u64("lock", "lock_handed_over"), 0);
    move_slot(&from, &to, slot);
    for waiter in &mut waiters {
        let moved = reply(waiter);
        assert!(moved.is_error() && moved.text().starts_with("MOVED "), "{moved:?}");
    }
    eventually(BOUND, || waiting(&from) == 0);
    assert_eq!(from.info_u64("lock", "lock_acquired"), 1);
    // They go on waiting where the lock is now.
    let mut waiter = waiter(&to, "k", "b", "");
    assert_eq!(there.say("LOCK.RELEASE k a"), Reply::Int(1));
    granted(&mut waiter);
}

/// Whatever counts for the slot: the name, a tag, or a name that has braces and no tag.
#[test]
fn who_waits_is_sent_after_a_slot_whatever_the_name_of_the_lock() {
    let (from, to) = two_nodes();
    let mut client = from.connect();
    for key in ["name", "{tag}name", "{other}", "open{", "close}", "}{", "{}", "{}{tag}"] {
        client.take(key, "a", "");
        let mut waiter = waiter(&from, key, "b", "");
        let slot = slot(&mut client, key);
        move_key(&from, &to, slot, key);
        move_slot(&from, &to, slot);
        let moved = reply(&mut waiter);
        assert!(moved.text().starts_with(&format!("MOVED {slot} ")), "{key}: {moved:?}");
    }
}

/// One that came with ASKING waits on the node that imports the slot, and is served there afterwards.
#[test]
fn who_came_with_asking_is_served_when_the_slot_has_arrived() {
    let (from, to) = two_nodes();
    let (mut here, mut there) = (from.connect(), to.connect());
    here.take("k", "a", "");
    let slot = slot(&mut here, "k");
    move_key(&from, &to, slot, "k");
    let mut waiter = to.connect();
    say_all(&mut waiter, &["ASKING"]);
    super::join(&to, &mut waiter, &ask("k", "b", ""));
    let mut releaser = to.connect();
    say_all(&mut releaser, &["ASKING"]);
    assert_eq!(releaser.say("LOCK.RELEASE k a"), Reply::Int(1));
    move_slot(&from, &to, slot);
    granted(&mut waiter);
    assert_eq!(line(&mut there, "k"), [""; 0]);
}
