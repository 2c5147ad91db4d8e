//! Trying again, and waiting in line on a single node.

use crate::support::*;
use redis_lock_harness::Cluster;
use redis_lock_quorum::{Error, Options};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_lock_that_becomes_free_is_waited_for() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        let quorum = quorum(&cluster).await;
        let held = quorum.acquire("key", TTL).await.unwrap();
        let waiting = tokio::spawn({
            let quorum = quorum.clone();
            async move { quorum.acquire("key", TTL).wait(BOUND).await }
        });
        tokio::time::sleep(SOON).await;
        let first = held.fencing_token();
        held.release().await.unwrap();
        let lock = waiting.await.expect("it does not panic").unwrap();
        assert!(lock.fencing_token() > first);
        lock.extend(TTL).await.unwrap();
        assert_eq!(lock.release().await.unwrap().released, nodes);
        clean(cluster.nodes(), "key").await;
    }
}

#[tokio::test]
async fn a_wait_ends_in_time() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        let quorum = quorum(&cluster).await;
        let _held = quorum.acquire("key", TTL).await.unwrap();
        let started = Instant::now();
        let error = quorum.acquire("key", TTL).wait(SOON).await.unwrap_err();
        assert!(matches!(error, Error::Held(_)), "{error}");
        assert!(started.elapsed() < SOON + LIMIT, "{:?}", started.elapsed());
        // That of the holder: a node may have been asked too late to have it.
        eventually(|| cluster.nodes().iter().all(|node| owners(node, "key").len() <= 1)).await;
    }
}

#[tokio::test]
async fn a_wait_for_ever_is_in_line() {
    let cluster = Cluster::start(1);
    let quorum = quorum(&cluster).await;
    let held = quorum.acquire("key", TTL).await.unwrap();
    let waiting = tokio::spawn({
        let quorum = quorum.clone();
        async move { quorum.acquire("key", TTL).wait(Duration::MAX).await }
    });
    eventually(|| cluster.node(0).server().info_u64("lock", "lock_waiting") == 1).await;
    held.release().await.unwrap();
    waiting.await.expect("it does not panic").unwrap();
}

/// The connection that releases it is another one than that which waited.
#[tokio::test]
async fn a_lock_granted_in_line_while_the_other_connection_is_down_is_released_later() {
    let cluster = Cluster::start(1);
    let quorum = quorum(&cluster).await;
    let server = cluster.node(0).server();
    let mut admin = server.connect();
    quorum.acquire("key", TTL).await.unwrap().release().await.unwrap();
    hold_for_stranger(cluster.node(0), "key");
    let waiting = tokio::spawn({
        let quorum = quorum.clone();
        async move { quorum.acquire("key", TTL).wait(BOUND).await }
    });
    eventually(|| server.info_u64("lock", "lock_waiting") == 1).await;
    // Whoever is connected stays so, but the one that released, and nobody gets in any more.
    admin.run(["CONFIG", "SET", "requirepass", "secret"]);
    let list = admin.run(["CLIENT", "LIST"]);
    let is_main = |line: &&str| line.contains("cmd=lock.acquire") && !line.contains(" flags=b");
    let main = list.text().lines().find(is_main).expect("it asked last");
    let id = main.split(' ').find_map(|field| field.strip_prefix("id=")).expect("it has one");
    assert_eq!(admin.run(["CLIENT", "KILL", "ID", id]).int(), 1);
    tokio::time::sleep(SOON).await;
    admin.run(["LOCK.RELEASE", "key", STRANGER]);
    let lock = waiting.await.expect("it does not panic").unwrap();
    assert!(lock.release().await.is_err(), "the node can't be reached");
    admin.run(["CONFIG", "SET", "requirepass", ""]);
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn a_wait_given_up_leaves_nobody_in_line() {
    let cluster = Cluster::start(1);
    let quorum = quorum(&cluster).await;
    for polls in 0..12 {
        let held = quorum.acquire("key", TTL).await.unwrap();
        let waiting = quorum.acquire("key", TTL).wait(BOUND).into_future();
        cancelled_after(polls, tokio::time::timeout(SOON / 10, waiting)).await;
        let waiters = || cluster.node(0).server().info_u64("lock", "lock_waiting");
        eventually(|| waiters() == 0).await;
        held.release().await.unwrap();
        clean(cluster.nodes(), "key").await;
    }
}

#[tokio::test]
async fn it_is_tried_as_often_as_the_options_say() {
    let cluster = Cluster::start(3);
    for node in cluster.nodes() {
        hold_for_stranger(node, "key");
    }
    // Of several resources none has a line.
    let both = ["key", "other"];
    let options = Options {
        retry_count: 3,
        retry_delay: Duration::from_millis(20),
        retry_jitter: Duration::from_millis(10),
        ..once()
    };
    let quorum = connect(&cluster.urls(), options).await;
    let started = Instant::now();
    let error = quorum.acquire(both, TTL).await.unwrap_err();
    assert!(matches!(error, Error::Held(_)), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(30), "{:?}", started.elapsed());
    for node in cluster.nodes() {
        assert_eq!(node.server().info_u64("lock", "lock_refused"), 4);
    }
    assert!(started.elapsed() < BOUND);
}

/// A lock with one node down, and with its own earlier attempt in the way, would never be had.
#[tokio::test]
async fn its_own_failed_attempt_does_not_block_the_next() {
    let cluster = Cluster::start(3);
    let options = Options {
        retry_count: 1_000,
        retry_delay: Duration::from_millis(1),
        retry_jitter: Duration::ZERO,
        ..once()
    };
    let quorum = connect(&cluster.urls(), options).await;
    cluster.node(0).kill();
    cluster.node(1).kill();
    let waiting = tokio::spawn({
        let quorum = quorum.clone();
        async move { quorum.acquire("key", TTL).await }
    });
    tokio::time::sleep(SOON).await;
    cluster.node(1).restart();
    let lock = waiting.await.expect("it does not panic").unwrap();
    lock.release().await.unwrap();
    clean(&cluster.nodes()[1..], "key").await;
}

/// The time is used up also where it is shorter than the delay between two attempts.
#[tokio::test]
async fn a_short_wait_over_several_nodes_is_waited_for() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    cluster.nodes().iter().for_each(|node| hold_for_stranger(node, "key"));
    let wait = Duration::from_millis(60);
    let began = std::time::Instant::now();
    let error = quorum.acquire("key", TTL).wait(wait).await.unwrap_err();
    assert!(matches!(error, Error::Held(_)), "{error}");
    assert!(began.elapsed() >= wait, "{:?}", began.elapsed());
}
