//! Nodes that do not answer for long: what is asked of them meanwhile, and that they are asked again.

use crate::support::*;
use redis_lock_harness::{Cluster, Way};
use redis_lock_quorum::{Error, NodeAnswer, NodeError, Options};
use std::time::{Duration, Instant};

/// More than a node may leave unanswered.
const MANY: usize = 700;

#[tokio::test]
async fn a_node_that_was_frozen_for_long_is_asked_again() {
    let cluster = Cluster::start(1);
    let short = Options { node_timeout: Some(Duration::from_millis(20)), ..once() };
    let quorum = connect(&cluster.urls(), short).await;
    connected(&quorum, 1).await;
    cluster.node(0).freeze();
    // Each asks and releases, and nobody waits for the answers.
    let ttl = Duration::from_secs(1);
    let asked = (0..MANY).map(|_| quorum.acquire("key", ttl).into_future());
    let asked: Vec<_> = asked.map(tokio::spawn).collect();
    for attempt in asked {
        assert!(attempt.await.expect("it does not panic").is_err());
    }
    // As long as that may be cleaned up.
    tokio::time::timeout(BOUND, quorum.settled()).await.expect("nothing goes on after the ttl");
    let error = quorum.acquire("key", ttl).await.unwrap_err();
    let silent = |answer: &NodeAnswer| matches!(answer, NodeAnswer::Failed(NodeError::Silent(_)));
    assert!(error.failure().is_some_and(|failure| silent(&failure.nodes[0].answer)), "{error}");
    cluster.node(0).thaw();
    connected(&quorum, 1).await;
}

/// New connections come up and lead nowhere: a wait ends in time all the same.
#[tokio::test]
async fn a_wait_does_not_wait_for_a_connection_longer_than_for_the_lock() {
    let cluster = Cluster::start(1);
    let quorum = connect(&cluster.urls(), Options::default()).await;
    let _held = quorum.acquire("key", TTL).await.unwrap();
    cluster.node(0).proxy().strand();
    let started = Instant::now();
    let error = quorum.acquire("key", TTL).wait(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, Error::Held(_)), "{error}");
    // Making a connection may take two seconds.
    assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
}

/// A node that is far away needs no option, where no other is waited for.
#[tokio::test]
async fn a_single_node_may_be_far_away() {
    let cluster = Cluster::start(1);
    let quorum = connect(&cluster.urls(), Options { retry_count: 0, ..Options::default() }).await;
    let proxy = cluster.node(0).proxy();
    proxy.delay(Way::ToServer, Duration::from_millis(150));
    let lock = quorum.acquire("key", Duration::from_secs(10)).await.unwrap();
    lock.extend(Duration::from_secs(10)).await.unwrap();
    assert_eq!(lock.release().await.unwrap().released, 1);
}

/// What is told of a node that nobody asked, and of a connection that did not come up in time.
#[tokio::test]
async fn errors_say_what_happened() {
    let cluster = Cluster::start(1);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", Duration::from_millis(100)).await.unwrap();
    eventually(|| lock.validity().is_zero()).await;
    let error = lock.extend(TTL).await.unwrap_err().to_string();
    assert!(error.contains("was not asked: the lock was over before"), "{error}");
    let hasty = Options { connect_timeout: Duration::from_millis(100), ..once() };
    cluster.node(0).proxy().strand();
    let quorum = connect(&cluster.urls(), hasty).await;
    let error = quorum.acquire("key", TTL).await.unwrap_err().to_string();
    assert!(error.contains("no connection: none was there after 100 ms"), "{error}");
}
