//! Work under a lock that is renewed.

use crate::support::*;
use redis_lock_harness::{Cluster, Way};
use redis_lock_quorum::{Error, Lease};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(600);

#[tokio::test]
async fn work_may_take_longer_than_the_ttl() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let started = Instant::now();
    let (first, last) = quorum
        .using("key", SHORT, |lock| async move {
            let first = lock.fencing_token();
            while started.elapsed() < SHORT * 3 {
                assert!(lock.validity() > Duration::ZERO);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (first, lock.fencing_token())
        })
        .await
        .unwrap();
    assert_eq!(first, last);
    clean(cluster.nodes(), "key").await;
}

/// The time between the signal and the end of what was still certain before it.
async fn told_in_time(lock: Lease) -> Duration {
    let mut certain_until = Instant::now();
    loop {
        let validity = lock.validity();
        if !validity.is_zero() {
            certain_until = Instant::now() + validity;
        }
        if tokio::time::timeout(Duration::from_millis(5), lock.lost()).await.is_ok() {
            return certain_until.saturating_duration_since(Instant::now());
        }
    }
}

#[tokio::test]
async fn the_signal_comes_before_the_validity_ends_when_nodes_die() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    for silence in [false, true] {
        let early = quorum
            .using("key", SHORT, |lock| async {
                for node in &cluster.nodes()[..2] {
                    match silence {
                        true => node.proxy().hold(Way::ToClient),
                        false => node.kill(),
                    }
                }
                told_in_time(lock).await
            })
            .await
            .unwrap();
        assert!(early > Duration::ZERO, "told only after the end");
        for node in &cluster.nodes()[..2] {
            match silence {
                true => node.proxy().heal(),
                false => node.restart(),
            }
        }
        clean(cluster.nodes(), "key").await;
        connected(&quorum, 3).await;
    }
}

#[tokio::test]
async fn the_signal_comes_at_once_when_others_have_it() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let left = quorum
        .using("key", Duration::from_secs(4), |lock| async {
            held_everywhere(&cluster, "key").await;
            // Before the client hears of either: one node alone would be joined again.
            cluster.nodes().iter().for_each(|node| node.proxy().hold(Way::ToClient));
            for node in &cluster.nodes()[..2] {
                node.server().connect().run(["DEL", "key"]);
                hold_for_stranger(node, "key");
            }
            cluster.nodes().iter().for_each(|node| node.proxy().heal());
            told_in_time(lock).await
        })
        .await
        .unwrap();
    assert!(left > Duration::from_millis(500), "with the renewal, not at the end: {left:?}");
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn the_works_own_error_is_never_masked() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let result: Result<Result<(), String>, Error> = quorum
        .using("key", TTL, |_| async {
            for node in cluster.nodes() {
                node.kill();
            }
            Err("disk full".to_string())
        })
        .await;
    assert_eq!(result.unwrap(), Err("disk full".to_string()));
}

#[tokio::test]
async fn work_is_not_begun_without_the_lock() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let _held = quorum.acquire("key", TTL).await.unwrap();
    let result = quorum.using("key", TTL, |_| async { unreachable!("it is held") }).await;
    assert!(matches!(result, Err(Error::Held(_))));
}

#[tokio::test]
async fn work_that_panics_or_is_dropped_releases() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    let task = tokio::spawn({
        let quorum = quorum.clone();
        async move { quorum.using("panic", TTL, |_| async { panic!("as planned") }).await }
    });
    assert!(task.await.unwrap_err().is_panic());
    clean(cluster.nodes(), "panic").await;
    for polls in 0..12 {
        let work = |_| std::future::pending::<()>();
        let using = Box::pin(quorum.using("dropped", TTL, work));
        let _ = tokio::time::timeout(Duration::from_millis(20), cancelled_after(polls, using)).await;
        clean(cluster.nodes(), "dropped").await;
    }
}
