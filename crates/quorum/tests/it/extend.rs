//! Extending: over the loss of nodes, and into the arms of others.

use crate::support::*;
use redis_lock_harness::{Cluster, Way};
use redis_lock_quorum::{Error, NodeAnswer};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_node_that_was_down_joins_again_under_the_same_token() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    cluster.node(0).kill();
    let lock = quorum.acquire("key", TTL).await.unwrap();
    let token = lock.fencing_token();
    cluster.node(0).restart();
    eventually(|| cluster.node(0).server().is_alive()).await;
    // An extend is over when two have answered; the third joins at this one or the next.
    for _ in 0..200 {
        lock.extend(TTL).await.unwrap();
        if !owners(cluster.node(0), "key").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(owners(cluster.node(0), "key"), owners(cluster.node(1), "key"));
    assert_eq!(lock.fencing_token(), token);
    // Now it can do without another one.
    cluster.node(1).kill();
    lock.extend(TTL).await.unwrap();
    lock.release().await.unwrap();
    clean(&cluster.nodes()[2..], "key").await;
}

/// An extend is over when two have said yes; the third is heard all the same.
#[tokio::test]
async fn a_node_that_is_slower_than_the_others_joins_again_too() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    held_everywhere(&cluster, "key").await;
    cluster.node(2).proxy().delay(Way::ToClient, Duration::from_millis(30));
    cluster.node(2).server().connect().run(["DEL", "key"]);
    lock.extend(TTL).await.unwrap();
    eventually(|| owners(cluster.node(2), "key") == owners(cluster.node(0), "key")).await;
    // And is released with the others, however soon.
    lock.extend(TTL).await.unwrap();
    lock.release().await.unwrap();
    clean(cluster.nodes(), "key").await;
}

/// What is written over a lock is the end of it, as DEL is.
#[tokio::test]
async fn a_lock_that_something_else_is_written_over_is_lost() {
    let cluster = Cluster::start(1);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    cluster.node(0).server().connect().run(["SET", "key", "text"]);
    let error = lock.extend(TTL).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)) && error.to_string().contains("WRONGTYPE"), "{error}");
    assert_eq!(lock.release().await.unwrap().gone, 1, "there is nothing to be released");
}

#[tokio::test]
async fn a_failed_extend_says_how_much_is_left_and_releases_nothing() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    cluster.node(0).kill();
    cluster.node(1).kill();
    let error = lock.extend(TTL).await.unwrap_err();
    assert!(matches!(error, Error::NoQuorum(_)), "{error}");
    let failure = error.failure().expect("its nodes");
    assert!(failure.left > TTL / 2 && failure.left <= TTL, "{failure}");
    // It failed as soon as the two had: the third may not have answered by then.
    assert!(matches!(failure.nodes[2].answer, NodeAnswer::Extended | NodeAnswer::Open), "{failure}");
    assert_eq!(owners(cluster.node(2), "key").len(), 1);
    assert!(lock.validity() > TTL / 2);
}

#[tokio::test]
async fn a_lock_that_others_hold_by_now_is_lost() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    held_everywhere(&cluster, "key").await;
    for node in &cluster.nodes()[..2] {
        node.server().connect().run(["DEL", "key"]);
        hold_for_stranger(node, "key");
    }
    let error = lock.extend(TTL).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error}");
    assert_eq!(lock.validity(), Duration::ZERO);
    tokio::time::timeout(BOUND, lock.lost()).await.expect("it is told at once");
    drop(lock);
    clean(cluster.nodes(), "key").await;
}

/// A hold that is gone may have been someone else's in between: to take it again would bring an old token
/// back after a newer one.
#[tokio::test]
async fn a_lock_that_may_have_been_someone_elses_is_lost() {
    for (nodes, forget) in [(1, 1), (2, 2), (3, 2), (5, 3)] {
        let cluster = Cluster::start(nodes);
        let quorum = quorum(&cluster).await;
        let lock = quorum.acquire("key", TTL).await.unwrap();
        held_everywhere(&cluster, "key").await;
        lock.extend(TTL).await.unwrap();
        // The line's node among them.
        for node in &ranked(&cluster, "key")[..forget] {
            cluster.node(*node).server().connect().run(["DEL", "key", "key#line"]);
        }
        let other = quorum.acquire("key", TTL).await.unwrap();
        assert!(other.fencing_token() > lock.fencing_token());
        other.release().await.unwrap();
        let error = lock.extend(TTL).await.unwrap_err();
        assert!(matches!(error, Error::Lost(_)), "{nodes} nodes: {error}");
        assert_eq!(lock.validity(), Duration::ZERO);
        drop(lock);
        clean(cluster.nodes(), "key").await;
    }
}

/// As long as enough nodes have it without a gap, others were kept out: the rest joins again.
#[tokio::test]
async fn a_minority_that_forgets_joins_again() {
    for (nodes, forget) in [(2, 1), (3, 1), (5, 2)] {
        let cluster = Cluster::start(nodes);
        let quorum = quorum(&cluster).await;
        let lock = quorum.acquire("key", TTL).await.unwrap();
        held_everywhere(&cluster, "key").await;
        for node in &cluster.nodes()[..forget] {
            node.server().connect().run(["DEL", "key"]);
        }
        lock.extend(TTL).await.unwrap();
        held_everywhere(&cluster, "key").await;
        assert!(lock.validity() > TTL / 2);
    }
}

#[tokio::test]
async fn several_resources_are_one_lock() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire(["a", "b", "a"], TTL).await.unwrap();
    lock.extend(TTL).await.unwrap();
    assert!(matches!(quorum.acquire(["b", "c"], TTL).await, Err(Error::Held(_))));
    clean(cluster.nodes(), "c").await;
    for node in cluster.nodes() {
        eventually(|| owners(node, "a").len() == 1).await;
        assert_eq!(owners(node, "a"), owners(node, "b"), "one owner");
    }
    // A hold that was lost for one of them comes back for all.
    cluster.node(0).server().connect().run(["DEL", "b"]);
    for _ in 0..100 {
        lock.extend(TTL).await.unwrap();
        if owners(cluster.node(0), "b").len() == 1 {
            break;
        }
    }
    let released = lock.release().await.unwrap();
    assert_eq!((released.released, released.gone), (3, 0), "{released:?}");
    quorum.acquire(["b", "c"], TTL).await.unwrap().release().await.unwrap();
    for key in ["a", "b", "c"] {
        clean(cluster.nodes(), key).await;
    }
}

/// Also on several threads no re-join comes behind the release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_ends_a_running_extend() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    for round in 0..40 {
        let key = format!("key:{round}");
        let lock = Arc::new(quorum.acquire(&key, TTL).await.unwrap());
        for node in cluster.nodes() {
            node.server().connect().run(["DEL", &key]);
            node.proxy().delay(Way::ToClient, Duration::from_millis(round % 4));
        }
        let extending = tokio::spawn({
            let lock = Arc::clone(&lock);
            async move { lock.extend(TTL).await }
        });
        tokio::time::sleep(Duration::from_micros(250 * round)).await;
        lock.release().await.unwrap();
        match extending.await.expect("it does not panic") {
            Ok(_) => {}
            Err(error) => assert!(matches!(error, Error::Lost(_)), "{error}"),
        }
        assert_eq!(lock.validity(), Duration::ZERO);
        clean(cluster.nodes(), &key).await;
    }
}

#[tokio::test]
async fn a_release_reports_what_was_gone_and_what_is_unreachable() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    held_everywhere(&cluster, "key").await;
    cluster.node(0).server().connect().run(["DEL", "key"]);
    cluster.node(1).freeze();
    let released = lock.release().await.unwrap();
    assert_eq!((released.released, released.gone), (1, 1), "{released:?}");
    assert!(matches!(released.nodes[1].answer, NodeAnswer::Failed(_)), "{released:?}");
    cluster.node(1).thaw();
    clean(cluster.nodes(), "key").await;
    // A second one has nothing to do.
    assert_eq!(lock.release().await.unwrap().released, 0);

    let lock = quorum.acquire("key", TTL).await.unwrap();
    cluster.node(0).freeze();
    cluster.node(1).freeze();
    let error = lock.release().await.unwrap_err();
    assert!(matches!(error, Error::NoQuorum(_)), "{error}");
    cluster.node(0).thaw();
    cluster.node(1).thaw();
    clean(cluster.nodes(), "key").await;
}
