//! A lock that was granted too late is none.

use crate::support::*;
use redis_lock_harness::{Cluster, Way};
use redis_lock_quorum::{Error, Options};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(150);

/// Waits for replies that are slower than the ttl.
fn patient() -> Options {
    Options { node_timeout: Some(Duration::from_secs(5)), ..once() }
}

#[tokio::test]
async fn replies_slower_than_the_ttl_are_no_lock() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        let quorum = connect(&cluster.urls(), patient()).await;
        for node in cluster.nodes() {
            node.proxy().delay(Way::ToClient, SHORT + Duration::from_millis(50));
        }
        for _ in 0..3 {
            let error = quorum.acquire("key", SHORT).await.unwrap_err();
            assert!(matches!(error, Error::Late(_)), "{error}");
        }
        for node in cluster.nodes() {
            node.proxy().heal();
        }
        clean(cluster.nodes(), "key").await;
    }
}

#[tokio::test]
async fn the_slowest_needed_reply_decides() {
    let cluster = Cluster::start(3);
    let quorum = connect(&cluster.urls(), patient()).await;
    cluster.node(0).proxy().delay(Way::ToClient, SHORT * 2);
    let lock = quorum.acquire("key", SHORT * 10).await.unwrap();
    assert!(lock.validity() > SHORT * 5, "it does not wait for the third");
    lock.release().await.unwrap();
    cluster.node(1).proxy().delay(Way::ToClient, SHORT * 2);
    let error = quorum.acquire("key", SHORT).await.unwrap_err();
    assert!(matches!(error, Error::Late(_)), "{error}");
    let lock = quorum.acquire("key", TTL).await.unwrap();
    assert!(lock.validity() <= TTL - SHORT * 2, "the time on the way is taken off");
}

#[tokio::test]
async fn validity_counts_from_the_sending_and_ends_before_the_holds_do() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let ttl = Duration::from_secs(10);
    let lock = quorum.acquire("key", ttl).await.unwrap();
    assert!(lock.validity() <= Duration::from_millis(10_000 - 102), "drift and timers are taken off");
    for node in cluster.nodes() {
        let left = node.server().connect().run(["LOCK.TTL", "key"]).int();
        assert!(left as u128 >= lock.validity().as_millis(), "{left} {lock:?}");
    }
}

#[tokio::test]
async fn an_extend_that_is_answered_too_late_never_lengthens() {
    let cluster = Cluster::start(3);
    let quorum = connect(&cluster.urls(), patient()).await;
    // Answered when the validity is over: lost, although every node extended.
    let lock = quorum.acquire("over", SHORT * 2).await.unwrap();
    for node in cluster.nodes() {
        node.proxy().delay(Way::ToClient, SHORT * 3);
    }
    let error = lock.extend(TTL).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error}");
    assert_eq!(lock.validity(), Duration::ZERO);
    assert!(matches!(lock.extend(TTL).await, Err(Error::Lost(_))), "and it stays so");
    for node in cluster.nodes() {
        node.proxy().heal();
    }
    // Answered in time, but later than the new ttl: no more than was there before.
    let lock = quorum.acquire("late", TTL).await.unwrap();
    for node in cluster.nodes() {
        node.proxy().delay(Way::ToClient, SHORT * 2);
    }
    let before = lock.validity();
    let error = lock.extend(SHORT).await.unwrap_err();
    assert!(matches!(error, Error::Late(_)), "{error}");
    assert!(lock.validity() < before && lock.validity() > TTL / 2);
    assert!(error.failure().expect("its nodes").left > TTL / 2, "{error}");
}
