//! Waiting in line over several nodes, one of which keeps the order.

use crate::support::*;
use redis_lock_harness::{Cluster, Node, Reply};
use redis_lock_quorum::{Error, Kind, Lock, Options, Quorum, order};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The line of `key`.
const LINE: &str = "key#line";
/// A node that is lost is left by those who wait after this, and a little.
const LEFT: Duration = Duration::from_secs(3);

/// The node that keeps the line of `key`.
fn line_node(cluster: &Cluster) -> &Node {
    cluster.node(ranked(cluster, "key")[0])
}

fn waiting(node: &Node) -> u64 {
    node.server().info_u64("lock", "lock_waiting")
}

fn holds(node: &Node, key: &str) -> usize {
    owners(node, key).len()
}

/// How often a command was called there.
fn calls(node: &Node, command: &str) -> u64 {
    let stats = node.server().connect().run(["INFO", "commandstats"]);
    let prefix = format!("cmdstat_{command}:calls=");
    let calls =
        stats.text().lines().find_map(|line| line.strip_prefix(&prefix)?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

fn wait_for(quorum: &Quorum, kind: Kind) -> JoinHandle<Result<Lock, Error>> {
    let acquire = quorum.acquire("key", TTL).kind(kind).wait(BOUND);
    tokio::spawn(async move { acquire.await })
}

/// Each of them takes the lock in its turn, and tells its number.
async fn line_up(cluster: &Cluster, count: u64, got: &Arc<Mutex<Vec<u64>>>) -> Vec<JoinHandle<()>> {
    let mut clients = Vec::new();
    for number in 0..count {
        let client = quorum(cluster).await;
        let got = Arc::clone(got);
        clients.push(tokio::spawn(async move {
            let lock = client.acquire("key", TTL).wait(BOUND).await.unwrap();
            got.lock().unwrap().push(number);
            lock.release().await.unwrap();
        }));
        eventually(|| waiting(line_node(cluster)) == number + 1).await;
    }
    clients
}

async fn all(clients: Vec<JoinHandle<()>>) {
    for client in clients {
        client.await.expect("it does not panic");
    }
}

#[tokio::test]
async fn who_came_first_is_served_first() {
    for nodes in [2, 3, 5] {
        let cluster = Cluster::start(nodes);
        let held = quorum(&cluster).await.acquire("key", TTL).await.unwrap();
        let got = Arc::default();
        let clients = line_up(&cluster, 10, &got).await;
        held.release().await.unwrap();
        all(clients).await;
        assert_eq!(*got.lock().unwrap(), (0..10).collect::<Vec<_>>(), "{nodes} nodes");
        clean(cluster.nodes(), "key").await;
    }
}

/// The holder goes on for longer than its first ttl, and so does its place: nobody polls meanwhile.
#[tokio::test]
async fn a_holder_keeps_the_line_as_long_as_the_lock() {
    let cluster = Cluster::start(3);
    let (holder, waiter) = (quorum(&cluster).await, quorum(&cluster).await);
    let lock = holder.acquire("key", Duration::from_secs(1)).await.unwrap();
    lock.extend(TTL).await.unwrap();
    let line = line_node(&cluster).server();
    let ttl = || line.connect().run(["LOCK.TTL", LINE]).int();
    eventually(|| ttl() > 30_000).await;
    let waiting = wait_for(&waiter, Kind::Exclusive);
    eventually(|| self::waiting(line_node(&cluster)) == 1).await;
    // On the others: a server may count a command that waits when it begins, or when it ends.
    let others = &ranked(&cluster, "key")[1..];
    let asked = || others.iter().map(|node| calls(cluster.node(*node), "lock.acquire")).sum::<u64>();
    let before = asked();
    lock.extend(TTL).await.unwrap();
    lock.release().await.unwrap();
    let lock = waiting.await.expect("it does not panic").unwrap();
    eventually(|| asked() >= before + 2).await;
    assert_eq!(asked(), before + 2, "one attempt");
    drop(lock);
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn readers_go_together_and_a_semaphore_has_room_for_its_holders() {
    for (kind, together) in [(Kind::Shared, 4), (Kind::Limit(2), 2)] {
        let cluster = Cluster::start(3);
        let quorum = quorum(&cluster).await;
        let writer = match kind {
            Kind::Shared => vec![quorum.acquire("key", TTL).await.unwrap()],
            _ => vec![
                quorum.acquire("key", TTL).kind(kind).await.unwrap(),
                quorum.acquire("key", TTL).kind(kind).await.unwrap(),
            ],
        };
        let mut waiters = Vec::new();
        for number in 1..=4 {
            // One after the other: they are released in this order.
            waiters.push(wait_for(&quorum, kind));
            eventually(|| waiting(line_node(&cluster)) == number).await;
        }
        drop(writer);
        let holders = || cluster.nodes().iter().map(|node| holds(node, "key")).max();
        eventually(|| holders() == Some(together)).await;
        for waiter in waiters {
            waiter.await.expect("it does not panic").unwrap().release().await.unwrap();
        }
        clean(cluster.nodes(), "key").await;
    }
}

/// Who does not wait does not get in before those who do, also when all the votes are free.
#[tokio::test]
async fn nobody_slips_in_before_the_one_whose_turn_it_is() {
    let cluster = Cluster::start(3);
    let line = line_node(&cluster);
    // Its turn, and it has not made its attempt yet.
    let mut client = line.server().connect();
    client.run(["LOCK.ACQUIRE", LINE, STRANGER, "60000"]);
    let quorum = quorum(&cluster).await;
    let error = quorum.acquire("key", TTL).await.unwrap_err();
    assert!(matches!(error, Error::Held(_)), "{error}");
    clean(cluster.nodes(), "key").await;
    // Once it has found the lock held, it spares the others.
    let before: Vec<u64> = cluster.nodes().iter().map(|node| calls(node, "lock.acquire")).collect();
    let error = quorum.acquire("key", TTL).await.unwrap_err();
    assert!(error.to_string().contains("was not asked"), "{error}");
    let after: Vec<u64> = cluster.nodes().iter().map(|node| calls(node, "lock.acquire")).collect();
    assert_eq!(before, after);
    client.run(["LOCK.RELEASE", LINE, STRANGER]);
    let lock = quorum.acquire("key", TTL).await.unwrap();
    assert_eq!((holds(line, "key"), holds(line, LINE)), (1, 1));
    assert_eq!(lock.release().await.unwrap().released, 3);
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn a_wait_given_up_at_any_point_leaves_nothing_behind() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    for polls in 0..24 {
        let held = quorum.acquire("key", TTL).wait(BOUND).await.unwrap();
        let waiting = async {
            let waiting = quorum.acquire("key", TTL).wait(BOUND);
            let release = async {
                if polls % 2 == 0 {
                    tokio::task::yield_now().await;
                    drop(held);
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                lock = waiting => drop(lock),
                () = release => {}
            }
        };
        cancelled_after(polls, tokio::time::timeout(Duration::from_millis(30), waiting)).await;
        eventually(|| cluster.nodes().iter().all(|node| self::waiting(node) == 0)).await;
        clean(cluster.nodes(), "key").await;
    }
    quorum.settled().await;
}

/// What becomes of the line's node while some wait.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Frozen,
    CutOff,
}

#[tokio::test]
async fn those_who_wait_go_on_when_the_lines_node_is_lost() {
    for end in [End::Killed, End::Frozen, End::CutOff] {
        let cluster = Cluster::start(3);
        let (node, next) = (line_node(&cluster), cluster.node(ranked(&cluster, "key")[1]));
        let held = quorum(&cluster).await.acquire("key", TTL).await.unwrap();
        let got = Arc::default();
        let clients = line_up(&cluster, 5, &got).await;
        match end {
            End::Killed => node.kill(),
            End::Frozen => node.freeze(),
            End::CutOff => node.proxy().freeze(),
        }
        let began = Instant::now();
        eventually(|| holds(next, LINE) == 1).await;
        assert!(began.elapsed() < LEFT, "{end:?}: {:?}", began.elapsed());
        eventually(|| waiting(next) == 4).await;
        // One of the three does not answer.
        let _ = held.release().await;
        all(clients).await;
        assert_eq!(got.lock().unwrap().len(), 5);
        match end {
            End::Killed => node.restart(),
            End::Frozen => node.thaw(),
            End::CutOff => node.proxy().heal(),
        }
        eventually(|| cluster.nodes().iter().all(|node| waiting(node) == 0)).await;
        clean(cluster.nodes(), "key").await;
    }
}

/// It answers, but grants nothing: those who wait in its line would never be served.
#[tokio::test]
async fn those_who_wait_go_on_when_the_lines_node_grants_nothing_any_more() {
    for (why, mend) in [
        (&["CONFIG", "SET", "lock.cooldown", "600000"][..], &["CONFIG", "SET", "lock.cooldown", "0"][..]),
        (&["CONFIG", "SET", "min-replicas-to-write", "1"], &["CONFIG", "SET", "min-replicas-to-write", "0"]),
        (&["CLIENT", "PAUSE", "60000", "WRITE"], &["CLIENT", "UNPAUSE"]),
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
    ] {
        let cluster = Cluster::start(3);
        let (node, next) = (line_node(&cluster), cluster.node(ranked(&cluster, "key")[1]));
        let held = quorum(&cluster).await.acquire("key", TTL).await.unwrap();
        let got = Arc::default();
        let clients = line_up(&cluster, 3, &got).await;
        let mut operator = node.server().connect();
        assert_eq!(operator.run(why), Reply::ok(), "{why:?}");
        let began = Instant::now();
        eventually(|| holds(next, LINE) == 1 && waiting(next) == 2).await;
        assert!(began.elapsed() < LEFT, "{why:?}: {:?}", began.elapsed());
        // The line's node does not let it go.
        let _ = held.release().await;
        all(clients).await;
        assert_eq!(operator.run(mend), Reply::ok(), "{mend:?}");
        eventually(|| cluster.nodes().iter().all(|node| waiting(node) == 0)).await;
    }
}

/// Two lines become one again: the one whose turn it is in the worse one moves over.
#[tokio::test]
async fn a_line_that_is_back_is_joined_again() {
    let cluster = Cluster::start(3);
    let (node, next) = (line_node(&cluster), cluster.node(ranked(&cluster, "key")[1]));
    let held = quorum(&cluster).await.acquire("key", TTL).await.unwrap();
    node.proxy().refuse();
    node.proxy().reset();
    let client = quorum(&cluster).await;
    let waiter = wait_for(&client, Kind::Exclusive);
    eventually(|| holds(next, LINE) == 1).await;
    node.proxy().heal();
    eventually(|| waiting(node) == 1 && holds(next, LINE) == 0).await;
    held.release().await.unwrap();
    waiter.await.expect("it does not panic").unwrap().release().await.unwrap();
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn a_node_that_sits_out_a_cooldown_keeps_no_line() {
    let cluster = Cluster::start(3);
    let (node, next) = (line_node(&cluster), cluster.node(ranked(&cluster, "key")[1]));
    // Out of line, and the next one is no better.
    assert_eq!(node.server().connect().run(["CONFIG", "SET", "lock.cooldown", "600000"]), Reply::ok());
    let quorum = quorum(&cluster).await;
    let held = quorum.acquire("key", TTL).await.unwrap();
    let waiter = wait_for(&quorum, Kind::Exclusive);
    eventually(|| holds(next, LINE) == 1).await;
    held.release().await.unwrap();
    let lock = waiter.await.expect("it does not panic").unwrap();
    assert_eq!(lock.release().await.unwrap().released, 2);
    assert_eq!(node.server().connect().run(["CONFIG", "SET", "lock.cooldown", "0"]), Reply::ok());
    clean(cluster.nodes(), "key").await;
}

/// A user of an earlier version, who may use the resource only, and a key of another type in the line's place: as if there
/// were no line, and no vote less.
#[tokio::test]
async fn who_may_not_use_the_line_asks_again_and_again() {
    for denied in [true, false] {
        let cluster = Cluster::start(3);
        let mut urls = cluster.urls();
        for (number, node) in cluster.nodes().iter().enumerate() {
            let mut client = node.server().connect();
            if denied {
                client.run(["ACL", "SETUSER", "app", "on", ">secret", "~key", "+@all"]);
                urls[number] = urls[number].replace("redis://", "redis://app:secret@");
            } else {
                client.run(["SET", LINE, "something else"]);
            }
        }
        let options = Options { retry_delay: Duration::from_millis(10), ..once() };
        let quorum = connect(&urls, options).await;
        let held = quorum.acquire("key", TTL).await.unwrap();
        held_everywhere(&cluster, "key").await;
        let waiter = wait_for(&quorum, Kind::Exclusive);
        held.extend(TTL).await.unwrap();
        assert_eq!(held.release().await.unwrap().released, 3);
        let lock = waiter.await.expect("it does not panic").unwrap();
        held_everywhere(&cluster, "key").await;
        assert_eq!(lock.release().await.unwrap().released, 3, "denied: {denied}");
        clean(cluster.nodes(), "key").await;
    }
}

#[tokio::test]
async fn a_node_with_too_many_waiters_is_asked_again() {
    let cluster = Cluster::start(3);
    let line = line_node(&cluster);
    assert_eq!(line.server().connect().run(["CONFIG", "SET", "lock.max-waiters", "0"]), Reply::ok());
    let options = Options { retry_delay: Duration::from_millis(10), ..once() };
    let quorum = connect(&cluster.urls(), options).await;
    let held = quorum.acquire("key", TTL).await.unwrap();
    let waiter = wait_for(&quorum, Kind::Exclusive);
    eventually(|| calls(line, "lock.acquire") >= 3).await;
    assert_eq!(line.server().connect().run(["CONFIG", "SET", "lock.max-waiters", "10"]), Reply::ok());
    eventually(|| waiting(line) == 1).await;
    held.release().await.unwrap();
    waiter.await.expect("it does not panic").unwrap();
}

/// A holder that lost its place is asked against, with pauses; and nobody takes its votes meanwhile.
#[tokio::test]
async fn a_holder_without_its_place_is_waited_for_all_the_same() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let held = quorum.acquire("key", TTL).await.unwrap();
    held_everywhere(&cluster, "key").await;
    line_node(&cluster).server().connect().run(["DEL", LINE]);
    let waiter = wait_for(&quorum, Kind::Exclusive);
    // Its turn, and nothing to be had.
    eventually(|| cluster.nodes().iter().map(|node| calls(node, "lock.acquire")).sum::<u64>() > 10).await;
    held.extend(TTL).await.unwrap();
    held.release().await.unwrap();
    let lock = waiter.await.expect("it does not panic").unwrap();
    assert_eq!(lock.release().await.unwrap().released, 3);
    clean(cluster.nodes(), "key").await;
}

/// What a holder that was killed leaves behind ends with its ttl, votes and place.
#[tokio::test]
async fn a_holder_that_is_gone_is_waited_for_until_its_ttl_is_over() {
    let cluster = Cluster::start(3);
    let ttl = "1500";
    for node in cluster.nodes() {
        node.server().connect().run(["LOCK.ACQUIRE", "key", "gone", ttl]);
    }
    line_node(&cluster).server().connect().run(["LOCK.ACQUIRE", LINE, "gone", ttl]);
    let lock = quorum(&cluster).await.acquire("key", TTL).wait(BOUND).await.unwrap();
    lock.release().await.unwrap();
}

#[tokio::test]
async fn a_wait_in_line_ends_in_time() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let _held = quorum.acquire("key", TTL).await.unwrap();
    let wait = Duration::from_millis(300);
    for _ in 0..2 {
        let began = Instant::now();
        let error = quorum.acquire("key", TTL).wait(wait).await.unwrap_err();
        assert!(matches!(error, Error::Held(_)), "{error}");
        assert!((wait..wait + LIMIT).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
    eventually(|| waiting(line_node(&cluster)) == 0).await;
}

#[tokio::test]
async fn names_of_lines_are_refused() {
    let cluster = Cluster::start(1);
    let quorum = quorum(&cluster).await;
    for names in [vec!["key#line"], vec!["key", "other#line"]] {
        let error = quorum.acquire(names, TTL).await.unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error}");
        assert!(error.to_string().contains("#line"), "{error}");
    }
    assert_eq!(order::line_of("key"), LINE);
}
