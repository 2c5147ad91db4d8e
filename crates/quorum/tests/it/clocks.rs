//! Clocks that are wrong stop nobody.

use crate::support::*;
use redis_lock_harness::Cluster;
use redis_lock_quorum::{Error, NodeAnswer};
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

async fn tokens_rise(quorum: &redis_lock_quorum::Quorum, mut last: u64) -> u64 {
    for _ in 0..20 {
        let lock = quorum.acquire("key", TTL).await.unwrap();
        assert!(lock.fencing_token() > last);
        last = lock.fencing_token();
        lock.release().await.unwrap();
    }
    last
}

#[tokio::test]
async fn a_node_an_hour_ahead_or_behind() {
    for step in [HOUR_MS, -HOUR_MS] {
        let cluster = Cluster::builder(3).movable_clocks().start();
        let node = cluster.node(1);
        node.server().step_wall(step);
        node.restart();
        let quorum = quorum(&cluster).await;
        let last = tokens_rise(&quorum, 0).await;
        // It goes on when the clock was set right.
        node.server().step_wall(-step);
        node.restart();
        tokens_rise(&quorum, last).await;
        // With another one down its answer is needed: they can't agree, and it is said why.
        if step > 0 {
            node.server().step_wall(step);
            node.restart();
            cluster.node(0).kill();
            connected_to(&quorum).await;
            let error = quorum.acquire("key", TTL).await.unwrap_err();
            let Error::NoQuorum(failure) = &error else { panic!("{error}") };
            let NodeAnswer::TooFarAhead { apart, .. } = failure.nodes[2].answer else { panic!("{error}") };
            assert!(apart > Duration::from_secs(3_500) && apart < Duration::from_secs(3_700), "{error}");
            clean(&cluster.nodes()[1..], "key").await;
        }
    }
}

/// Waits until nodes 1 and 2 both answer to an attempt.
async fn connected_to(quorum: &redis_lock_quorum::Quorum) {
    for _ in 0..400 {
        match quorum.acquire("connected", TTL).await {
            Err(error)
                if matches!(error.failure(), Some(failure) if failure.nodes[1..].iter().all(|node| {
                    matches!(node.answer, NodeAnswer::Granted(_) | NodeAnswer::TooFarAhead { .. })
                })) =>
            {
                return;
            }
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("they never answer");
}

#[tokio::test]
async fn a_client_an_hour_ahead_or_behind() {
    let cluster = Cluster::start(3);
    let right = quorum(&cluster).await;
    let mut last = tokens_rise(&right, 0).await;
    for step in [HOUR_MS, -HOUR_MS] {
        let wrong = quorum(&cluster).await;
        wrong.step_wall_clock(step);
        last = tokens_rise(&wrong, last).await;
        last = tokens_rise(&right, last).await;
    }
}

#[tokio::test]
async fn a_wall_clock_step_under_a_lock_changes_nothing() {
    let cluster = Cluster::builder(3).movable_clocks().start();
    let quorum = quorum(&cluster).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    for step in [2 * HOUR_MS, -4 * HOUR_MS] {
        for node in cluster.nodes() {
            node.server().step_wall(step);
        }
        assert!(matches!(quorum.acquire("key", TTL).await, Err(Error::Held(_))));
        lock.extend(TTL).await.unwrap();
    }
    assert_eq!(lock.release().await.unwrap().released, 3);
}
