//! Nothing stays behind: when a request fails, is given up, or its answer comes late.

use crate::support::*;
use redis_lock_harness::{Cluster, Way};
use redis_lock_quorum::{Error, Options, Quorum};
use std::time::Duration;

/// Enough polls for each request here to end.
const MAX_POLLS: usize = 60;

/// Each reply comes at another time, so that there are many points at which to cancel.
fn spread(cluster: &Cluster) {
    for (number, node) in cluster.nodes().iter().enumerate() {
        node.proxy().delay(Way::ToClient, Duration::from_millis(number as u64 * 2));
    }
}

async fn acquire_cancelled(quorum: &Quorum, cluster: &Cluster) {
    spread(cluster);
    let mut cancelled = 0;
    for polls in 0..MAX_POLLS {
        let key = format!("key:{polls}");
        let result = cancelled_after(polls, quorum.acquire(&key, TTL).into_future()).await;
        let ended = result.is_some();
        cancelled += usize::from(!ended);
        drop(result.map(|result| result.expect("all nodes answer")));
        quorum.settled().await;
        clean(cluster.nodes(), &key).await;
        // On a busy machine all replies may come between two polls: such an early end proves nothing.
        if ended && cancelled > 3 {
            return;
        }
    }
    panic!("never came to an end, or was cancelled {cancelled} times only");
}

#[tokio::test]
async fn an_acquire_cancelled_at_any_point() {
    let cluster = Cluster::start(5);
    acquire_cancelled(&quorum(&cluster).await, &cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquire_cancelled_at_any_point_on_many_threads() {
    let cluster = Cluster::start(3);
    acquire_cancelled(&quorum(&cluster).await, &cluster).await;
}

#[tokio::test]
async fn a_failing_acquire_cancelled_at_any_point() {
    let cluster = Cluster::start(4);
    let options = Options { retry_count: 1, retry_delay: Duration::from_millis(5), ..once() };
    let options = Options { retry_jitter: Duration::ZERO, ..options };
    let quorum = connect(&cluster.urls(), options).await;
    spread(&cluster);
    let mut cancelled = 0;
    for polls in 0..MAX_POLLS {
        let key = format!("key:{polls}");
        for node in &cluster.nodes()[2..] {
            hold_for_stranger(node, &key);
        }
        let result = cancelled_after(polls, quorum.acquire(&key, TTL).into_future()).await;
        clean(cluster.nodes(), &key).await;
        let Some(result) = result else {
            cancelled += 1;
            continue;
        };
        assert!(matches!(result, Err(Error::Held(_))), "{result:?}");
        if cancelled > 6 {
            return;
        }
    }
    panic!("never came to an end, or was cancelled {cancelled} times only");
}

#[tokio::test]
async fn an_extend_cancelled_at_any_point_and_then_a_release() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    spread(&cluster);
    let mut cancelled = 0;
    for polls in 0..MAX_POLLS {
        let key = format!("key:{polls}");
        let lock = quorum.acquire(&key, TTL).await.unwrap();
        // It has to join again on one node.
        cluster.node(1).server().connect().run(["DEL", &key]);
        let ended = cancelled_after(polls, lock.extend(TTL)).await.is_some();
        // Also cancelled, at a point that differs from round to round.
        cancelled_after(polls % 5, lock.release()).await;
        drop(lock);
        clean(cluster.nodes(), &key).await;
        cancelled += usize::from(!ended);
        if ended && cancelled > 2 {
            return;
        }
    }
    panic!("never came to an end, or was cancelled {cancelled} times only");
}

#[tokio::test]
async fn a_dropped_lock_is_released() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    drop(quorum.acquire("key", TTL).await.unwrap());
    quorum.settled().await;
    assert!(cluster.nodes().iter().all(|node| owners(node, "key").is_empty()), "settled means released");
}

#[tokio::test]
async fn a_lock_dropped_on_another_thread_is_released() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    std::thread::spawn(move || drop(lock)).join().expect("no runtime is needed to drop it");
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn a_node_that_answers_after_its_limit_is_released_too() {
    let cluster = Cluster::start(3);
    let quorum =
        connect(&cluster.urls(), Options { node_timeout: Some(Duration::from_millis(30)), ..once() }).await;
    for node in cluster.nodes() {
        node.proxy().hold(Way::ToClient);
    }
    let error = quorum.acquire("key", TTL).await.unwrap_err();
    assert!(matches!(error, Error::NoQuorum(_)), "{error}");
    // It was granted everywhere, and is released although nobody has read the answer.
    clean(cluster.nodes(), "key").await;
    for node in cluster.nodes() {
        node.proxy().heal();
    }
    quorum.settled().await;
    // The connections are still good.
    let accepted: u64 = cluster.nodes().iter().map(|node| node.proxy().accepted()).sum();
    assert_eq!(accepted, 3);
    quorum.acquire("key", TTL).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_frozen_node_is_released_when_it_goes_on() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    cluster.node(0).freeze();
    let kept = quorum.acquire("kept", TTL).await.unwrap();
    drop(quorum.acquire("dropped", TTL).await.unwrap());
    quorum.acquire("released", TTL).await.unwrap().release().await.unwrap();
    cluster.node(0).thaw();
    clean(cluster.nodes(), "dropped").await;
    clean(cluster.nodes(), "released").await;
    eventually(|| owners(cluster.node(0), "kept").len() == 1).await;
    quorum.settled().await;
    assert_eq!(kept.release().await.unwrap().released, 3);
}

/// Nor does it take memory without end: after a thousand unanswered requests it is asked no more.
#[tokio::test]
async fn a_node_that_is_frozen_for_long_slows_nobody() {
    const ROUNDS: u32 = 3_000;
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    cluster.node(0).freeze();
    let started = std::time::Instant::now();
    for _ in 0..ROUNDS {
        quorum.acquire("key", TTL).await.unwrap().release().await.unwrap();
    }
    let took = started.elapsed();
    assert!(took < LIMIT * ROUNDS / 20, "{took:?}: it waits for the frozen node each time");
    cluster.node(0).thaw();
    quorum.settled().await;
    clean(cluster.nodes(), "key").await;
    let asked = cluster.node(0).server().info_u64("lock", "lock_acquired");
    assert!(asked < 2_000, "{asked} of {ROUNDS} were sent to the frozen node");
    connected(&quorum, 3).await;
}

/// What was sent over a connection that broke may arrive after a release over the next one.
#[tokio::test]
async fn a_request_kept_back_by_a_broken_connection() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    for node in cluster.nodes() {
        node.proxy().lose(Way::ToClient);
    }
    let error = quorum.acquire("key", TTL).await.unwrap_err();
    assert!(matches!(error, Error::NoQuorum(_)), "{error}");
    for node in cluster.nodes() {
        node.proxy().heal();
    }
    quorum.settled().await;
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn the_runtime_may_be_gone_when_a_lock_is_dropped() {
    let cluster = Cluster::start(1);
    let urls = cluster.urls();
    let lock = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let quorum = Quorum::connect(urls, once()).await.unwrap();
            quorum.acquire("key", TTL).await.unwrap()
        })
    });
    drop(lock.join().expect("it was acquired"));
}

#[tokio::test]
async fn a_second_release_says_how_it_is_by_then() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    held_everywhere(&cluster, "key").await;
    cluster.nodes().iter().for_each(|node| node.proxy().freeze());
    for _ in 0..2 {
        let error = lock.release().await.expect_err("no node can be reached");
        assert!(matches!(error, Error::NoQuorum(_)), "{error}");
    }
    cluster.nodes().iter().for_each(|node| node.proxy().heal());
    clean(cluster.nodes(), "key").await;
    quorum.settled().await;
    let released = lock.release().await.unwrap();
    assert_eq!((released.released, released.gone), (0, 3), "{released:?}");
}

/// Thousands at once are many, and no reason to take a node for dead.
#[tokio::test]
async fn a_burst_of_requests_is_served() {
    const LOCKS: usize = 2_000;
    let cluster = Cluster::start(3);
    let options = Options { node_timeout: Some(BOUND), ..once() };
    let quorum = connect(&cluster.urls(), options).await;
    connected(&quorum, 3).await;
    let acquire = |number: usize| {
        let quorum = quorum.clone();
        tokio::spawn(async move { quorum.acquire(format!("key-{number}"), TTL).await })
    };
    let tasks: Vec<_> = (0..LOCKS).map(acquire).collect();
    for task in tasks {
        let lock = task.await.expect("it does not panic").unwrap();
        drop(lock);
    }
    quorum.settled().await;
    eventually(|| cluster.nodes().iter().all(|node| node.server().info_u64("lock", "lock_held") == 0)).await;
}
