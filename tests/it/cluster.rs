//! Locks on the nodes of a cluster.

use crate::events::Ears;
use crate::keyspace::{assert_counted, counts, crowd, say_all, CROWD};
use crate::support::{holds, Say};
use redis_lock_harness::{eventually, Builder, Client, Reply, Server};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(30);
const GONE: i64 = CROWD as i64;

fn node() -> Builder {
    let node = Server::builder().config("cluster-enabled", "yes").config("cluster-node-timeout", "5000");
    // A node whose last slot goes to another one stays a master.
    node.config("cluster-allow-replica-migration", "no")
}

/// A node that serves all slots.
pub fn whole_cluster() -> Server {
    serve_all(node())
}

fn serve_all(node: Builder) -> Server {
    let server = node.start();
    let mut client = server.connect();
    say_all(&mut client, &["CLUSTER ADDSLOTSRANGE 0 16383"]);
    eventually(BOUND, || client.say("CLUSTER INFO").text().contains("cluster_state:ok"));
    server
}

pub fn slot(client: &mut Client, key: &str) -> i64 {
    client.say(&format!("CLUSTER KEYSLOT {key}")).int()
}

pub fn node_id(client: &mut Client) -> String {
    client.say("CLUSTER MYID").text().into()
}

#[test]
fn all_commands_work_on_a_node() {
    let server = whole_cluster();
    let mut client = server.connect();
    let token = client.take("k", "a", "");
    for (line, expected) in [
        ("LOCK.EXTEND k a 7200000".to_string(), Reply::Int(1)),
        ("LOCK.OWNER k".into(), Reply::bulk("a")),
        (format!("LOCK.CHECK k {token}"), Reply::Int(1)),
        ("LOCK.ACQUIRE k b 1000".into(), Reply::Nil),
        ("LOCK.RELEASE k a".into(), Reply::Int(1)),
        ("LOCK.TTL k".into(), Reply::Int(-2)),
        ("LOCK.INFO k".into(), Reply::Nil),
    ] {
        assert_eq!(client.say(&line), expected, "{line}");
    }
}

#[test]
fn several_keys_must_be_in_one_slot() {
    let server = whole_cluster();
    let mut client = server.connect();
    for line in
        ["LOCK.MACQUIRE 2 one two a 1000000", "LOCK.MEXTEND 2 one two a 1000000", "LOCK.MRELEASE 2 one two a"]
    {
        let refused = client.say(line);
        assert!(refused.is_error() && refused.text().starts_with("CROSSSLOT "), "{line}: {refused:?}");
    }
    assert_eq!(client.say("DBSIZE"), Reply::Int(0));
    assert!(client.say("LOCK.MACQUIRE 2 {tag}one {tag}two a 1000000").int() > 0);
    assert_eq!(client.say("LOCK.MEXTEND 2 {tag}one {tag}two a 2000000"), Reply::Int(1));
    assert_eq!(client.say("LOCK.MRELEASE 2 {tag}one {tag}two a"), Reply::Int(2));
}

#[test]
fn deadlines_come_on_a_node() {
    let server = whole_cluster();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    say_all(&mut client, &["LOCK.ACQUIRE k a 20"]);
    assert_eq!(ears.until("0 k del"), ["0 k lock.acquire", "0 k lock.expired", "0 k del"]);
}

#[test]
fn a_slot_that_is_served_no_more_still_ends_its_locks() {
    let server = whole_cluster();
    let mut client = server.connect();
    let slot = slot(&mut client, "k");
    let kept = crowd(&mut client, "other");
    let delete = format!("CLUSTER DELSLOTS {slot}");
    let replies = client.pipeline(["LOCK.ACQUIRE k a 30".split(' '), delete.split(' ')]);
    assert_eq!(replies[1], Reply::ok());
    let down = client.say("LOCK.RELEASE k a");
    assert!(down.text().starts_with("CLUSTERDOWN"), "{down:?}");
    eventually(BOUND, || counts(&server)["lock_held"] == GONE);
    assert_eq!(counts(&server)["lock_expired"], 1);
    say_all(&mut client, &[&format!("CLUSTER ADDSLOTS {slot}")]);
    eventually(BOUND, || client.say("LOCK.OWNER k") == Reply::Nil);
    assert_eq!(holds(&mut client, "other"), kept);
    let refused = client.say("CLUSTER FLUSHSLOTS");
    assert!(refused.is_error(), "{refused:?}");
    assert_eq!(holds(&mut client, "other"), kept);
}

/// Two nodes that know each other; the first serves all slots.
pub fn two_nodes() -> (Server, Server) {
    introduce(whole_cluster(), node().start())
}

fn introduce(first: Server, second: Server) -> (Server, Server) {
    let (mut one, mut two) = (first.connect(), second.connect());
    // A node without slots must not claim the epoch of the one with all.
    say_all(&mut two, &["CLUSTER SET-CONFIG-EPOCH 2"]);
    say_all(&mut two, &[&format!("CLUSTER MEET 127.0.0.1 {}", first.port())]);
    let ids = [node_id(&mut one), node_id(&mut two)];
    eventually(BOUND, || {
        let nodes = [one.say("CLUSTER NODES"), two.say("CLUSTER NODES")];
        let know = nodes.iter().all(|nodes| {
            ids.iter().all(|id| nodes.text().contains(id)) && !nodes.text().contains("handshake")
        });
        know && two.say("CLUSTER INFO").text().contains("cluster_state:ok")
    });
    (first, second)
}

/// The key's slot is on its way from one node to the other: its number, and theirs.
fn begin_move(here: &mut Client, there: &mut Client, key: &str) -> (i64, (String, String)) {
    let (slot, ids) = (slot(here, key), (node_id(here), node_id(there)));
    say_all(there, &[&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids.0)]);
    say_all(here, &[&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids.1)]);
    (slot, ids)
}

/// Two nodes; the first grants tokens that the second would take from no client: its clock is ahead.
fn one_ahead() -> (Server, Server) {
    let nodes = introduce(serve_all(node().movable_clocks()), node().start());
    nodes.0.step_monotonic(100_000);
    nodes
}

/// What a node must not take from a client, it must take with a slot: there it would be lost.
#[test]
fn a_slot_moves_from_a_node_whose_clock_is_ahead() {
    let (from, to) = one_ahead();
    let (mut here, mut there) = (from.connect(), to.connect());
    let token = here.take("k", "a", "");
    let (slot, ids) = begin_move(&mut here, &mut there, "k");
    say_all(&mut here, &[&format!("MIGRATE 127.0.0.1 {} k 0 10000", to.port())]);
    for node in [&mut there, &mut here] {
        say_all(node, &[&format!("CLUSTER SETSLOT {slot} NODE {}", ids.1)]);
    }
    assert_eq!(there.say(&format!("LOCK.CHECK k {token}")), Reply::Int(1));
    say_all(&mut there, &["LOCK.RELEASE k a"]);
    assert!(there.take("k", "b", "") > token, "later tokens are greater");
    // The slot is its own now: the bound counts again.
    say_all(&mut there, &["DEL k"]);
    let later = further_ahead(&from, &mut here);
    let refused = there.run(["RESTORE", "k", "0"].map(str::as_bytes).into_iter().chain([later.as_slice()]));
    assert!(refused.is_error(), "{refused:?}");
}

/// The payload of a lock whose token is still further ahead.
fn further_ahead(server: &Server, client: &mut Client) -> Vec<u8> {
    server.step_monotonic(200_000);
    client.take("other", "a", "");
    client.run(["DUMP", "other"]).bytes().to_vec()
}

/// Has a node take a slot over by itself, where it can: Redis from 8.4 on, Valkey from 9 on. False where it can't.
fn take_over(here: &mut Client, there: &mut Client, slot: i64) -> bool {
    let by_redis = there.say(&format!("CLUSTER MIGRATION IMPORT {slot} {slot}"));
    let id = node_id(there);
    let mut by_valkey = || here.say(&format!("CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {id}"));
    let unknown = |reply: &Reply| reply.is_error() && reply.text().starts_with("ERR unknown subcommand");
    let begun = if unknown(&by_redis) { by_valkey() } else { by_redis };
    assert!(unknown(&begun) || !begun.is_error(), "{begun:?}");
    !unknown(&begun)
}

/// Such a move goes on where the target refuses a key, and the key is gone then.
#[test]
fn atomic_slot_migration_from_a_node_whose_clock_is_ahead() {
    let (from, to) = one_ahead();
    let (mut here, mut there) = (from.connect(), to.connect());
    let keys: Vec<String> = (0..20).map(|index| format!("{{k}}{index}")).collect();
    let held: Vec<_> = keys
        .iter()
        .map(|key| {
            here.take(key, "a", "");
            holds(&mut here, key)
        })
        .collect();
    let slot = slot(&mut here, "k");
    if !take_over(&mut here, &mut there, slot) {
        return;
    }
    // Changes on the way come as effects.
    eventually(BOUND, || {
        let moved = here.say(&format!("LOCK.ACQUIRE {} a 600000", keys[0])).is_error();
        moved && !there.say(&format!("LOCK.OWNER {}", keys[0])).is_error()
    });
    for (key, held) in keys.iter().zip(&held) {
        assert_eq!(holds(&mut there, key), *held, "{key}");
    }
    eventually(BOUND, || counts(&from)["lock_held"] == 0);
    assert_eq!(counts(&to)["lock_held"], keys.len() as i64);
    assert!(there.take("{k}new", "b", "") > held[0][0].fence, "later tokens are greater");
}

/// Redis takes the keys of a slot that it gave away without a word for each, and frees them on another thread.
#[test]
fn deadlines_that_come_while_their_slot_is_emptied() {
    const LOCKS: usize = 20_000;
    let (from, to) = two_nodes();
    let (mut here, mut there) = (from.connect(), to.connect());
    for _ in 0..2 {
        let ttl = |index: usize| 60 + index / 20;
        let line = |index| format!("LOCK.ACQUIRE {{k}}{index} o {}", ttl(index));
        let lines: Vec<String> = (0..LOCKS).map(line).collect();
        let granted = here.pipeline(lines.iter().map(|line| line.split(' ')));
        assert!(granted.iter().all(|reply| matches!(reply, Reply::Int(_))));
        let slot = slot(&mut here, "k");
        if !take_over(&mut here, &mut there, slot) {
            return;
        }
        eventually(BOUND, || !there.say("LOCK.OWNER {k}0").is_error());
        eventually(BOUND, || counts(&from)["lock_held"] + counts(&to)["lock_held"] == 0);
        std::mem::swap(&mut here, &mut there);
    }
}

/// Locks are taken, given back, extended and left to their ttl while their slot goes to and fro.
#[test]
fn locks_in_use_while_their_slot_moves() {
    let (from, to) = introduce(serve_all(node().movable_clocks()), node().movable_clocks().start());
    // Long after their start: tokens follow the clock.
    [&from, &to].into_iter().for_each(|node| node.step_monotonic(600_000));
    let mut clients = [from.connect(), to.connect()];
    let slot = slot(&mut clients[0], "{k}");
    let mut last = [0; 4];
    for round in 0..4 {
        let (here, there) = (round % 2, (round + 1) % 2);
        let mut ends = [&from, &to].map(Server::connect);
        let [one, two] = &mut ends;
        let (source, target) = if here == 0 { (one, two) } else { (two, one) };
        if !take_over(source, target, slot) {
            return;
        }
        let mut moved = false;
        let mut step = 0_usize;
        eventually(BOUND, || {
            step += 1;
            let key = step % last.len();
            let ttl = if step.is_multiple_of(3) { 5 } else { 600_000 };
            // Whoever serves the slot answers.
            let mut ask = |line: String| {
                let reply = clients[here].say(&line);
                moved = reply.is_error();
                if moved {
                    clients[there].say(&line)
                } else {
                    reply
                }
            };
            let lock = format!("{{k}}{key} owner-{round}-{step}");
            if let Reply::Int(token) = ask(format!("LOCK.ACQUIRE {lock} {ttl}")) {
                assert!(token > last[key], "a token that is not above the last one of its key: {token}");
                last[key] = token;
                ask(format!("LOCK.EXTEND {lock} 700000"));
                ask(format!("LOCK.RELEASE {lock}"));
            }
            moved && !clients[there].say("LOCK.OWNER {k}0").is_error()
        });
    }
    eventually(BOUND, || counts(&from)["lock_held"] + counts(&to)["lock_held"] == 0);
}

#[test]
fn a_slot_moves_with_its_locks() {
    let (from, to) = two_nodes();
    let (mut here, mut there) = (from.connect(), to.connect());
    let held = crowd(&mut here, "k");
    let (slot, ids) = begin_move(&mut here, &mut there, "k");
    let before = counts(&from);
    say_all(&mut here, &[&format!("MIGRATE 127.0.0.1 {} k 0 10000", to.port())]);
    assert_counted(&from, &before, &[("lock_held", -GONE), ("lock_removed", GONE)], "MIGRATE");
    let asked = here.say("LOCK.ACQUIRE k d 1000");
    assert!(asked.text().starts_with("ASK "), "{asked:?}");
    for node in [&mut there, &mut here] {
        say_all(node, &[&format!("CLUSTER SETSLOT {slot} NODE {}", ids.1)]);
    }
    assert_eq!(holds(&mut there, "k"), held);
    assert_eq!(there.say("LOCK.RELEASE k a"), Reply::Int(1));
    assert_eq!(counts(&to)["lock_held"], GONE - 1);
    for line in ["LOCK.OWNER k", "LOCK.RELEASE k b", "LOCK.MACQUIRE 1 k d 1000", "LOCK.MRELEASE 1 k b"] {
        let moved = here.say(line);
        assert!(moved.is_error() && moved.text().starts_with("MOVED "), "{line}: {moved:?}");
    }
    assert_eq!(here.say("DBSIZE"), Reply::Int(0));
}

/// The server itself deletes keys of a slot that another node serves, without a command and without an event.
#[test]
fn locks_of_a_slot_that_another_node_took_are_removed() {
    let (from, to) = two_nodes();
    let (mut here, mut there) = (from.connect(), to.connect());
    crowd(&mut here, "k");
    let kept = crowd(&mut here, "other");
    let (slot, id) = (slot(&mut here, "k"), node_id(&mut there));
    let before = counts(&from);
    say_all(&mut there, &[&format!("CLUSTER SETSLOT {slot} IMPORTING {}", node_id(&mut here))]);
    say_all(&mut there, &[&format!("CLUSTER SETSLOT {slot} NODE {id}")]);
    eventually(BOUND, || counts(&from)["lock_held"] == GONE);
    assert_counted(&from, &before, &[("lock_held", -GONE), ("lock_removed", GONE)], "the slot's move");
    let moved = here.say("LOCK.OWNER k");
    assert!(moved.text().starts_with("MOVED "), "{moved:?}");
    assert_eq!(holds(&mut here, "other"), kept);
    say_all(&mut here, &["LOCK.RELEASE other a", "LOCK.ACQUIRE other e 1000 SHARED"]);
    assert!(there.take("k", "new", "") > 0);
}
