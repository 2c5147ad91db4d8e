//! LIMIT n over N nodes: never more than n hold it, whatever happens to the nodes.

use crate::support::*;
use rand::{Rng, SeedableRng};
use redis_lock_harness::Cluster;
use redis_lock_quorum::{Kind, Options, Quorum};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const RUN: Duration = Duration::from_secs(4);
const HOLDERS: u16 = 2;
const NODES: usize = 4;

/// When somebody certainly held it: from the grant until it was released or its validity was over.
type Held = Mutex<Vec<(Instant, Instant)>>;

async fn worker(quorum: Quorum, held: &Held, until: Instant, seed: u64) {
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    while Instant::now() < until {
        let ttl = Duration::from_millis(random.random_range(100..400));
        let Ok(lock) = quorum.acquire("key", ttl).limit(HOLDERS).await else {
            continue;
        };
        let from = Instant::now();
        let mut certain = from + lock.validity();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await;
        if random.random_bool(0.3)
            && let Ok(validity) = lock.extend(ttl).await
        {
            certain = Instant::now() + validity;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await;
        }
        let to = match random.random_bool(0.2) {
            // Left to its ttl, as by a process that died.
            true => {
                std::mem::forget(lock);
                certain
            }
            false => {
                let to = Instant::now().min(certain);
                drop(lock);
                to
            }
        };
        held.lock().expect("no panic").push((from, to));
    }
}

/// Fails one node at a time, in all ways.
async fn havoc(cluster: &Cluster, until: Instant, seed: u64) {
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    while Instant::now() < until {
        let node = cluster.node(random.random_range(0..NODES));
        let pause = Duration::from_millis(random.random_range(10..120));
        let way = random.random_range(0..4);
        match way {
            0 => node.kill(),
            1 => node.freeze(),
            2 => node.proxy().freeze(),
            _ => node.proxy().reset(),
        }
        tokio::time::sleep(pause).await;
        match way {
            0 => node.restart(),
            1 => node.thaw(),
            _ => node.proxy().heal(),
        }
        tokio::time::sleep(pause / 2).await;
    }
}

fn most_at_once(held: &[(Instant, Instant)]) -> usize {
    let mut changes: Vec<(Instant, bool)> = Vec::new();
    for (from, to) in held.iter().filter(|(from, to)| from < to) {
        changes.extend([(*from, true), (*to, false)]);
    }
    // Where one ends as another begins, the end comes first.
    changes.sort();
    let (mut now, mut most) = (0usize, 0);
    for (_, begins) in changes {
        now = if begins { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_n_holders() {
    let seed = rand::random();
    println!("seed {seed}");
    // A node that comes back sits out the longest ttl.
    let cluster = Cluster::builder(NODES).config("lock.cooldown", "450").start();
    let options =
        Options { retry_count: 0, node_timeout: Some(Duration::from_millis(40)), ..Options::default() };
    let held = Held::default();
    tokio::time::sleep(Duration::from_millis(450)).await;
    let until = Instant::now() + RUN;
    let workers = async {
        let quorums = futures(&cluster, &options).await;
        let workers = quorums.into_iter().enumerate();
        let mut running: Vec<_> = workers
            .map(|(number, quorum)| Box::pin(worker(quorum, &held, until, seed ^ number as u64)))
            .collect();
        std::future::poll_fn(|context| {
            running.retain_mut(|worker| worker.as_mut().poll(context).is_pending());
            match running.is_empty() {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    };
    tokio::join!(workers, havoc(&cluster, until, seed));
    let held = held.into_inner().expect("no panic");
    let most = most_at_once(&held);
    println!("{} acquired, at most {most} at once", held.len());
    assert_eq!(Kind::Limit(HOLDERS).needed(NODES), 3);
    assert!(held.len() > 20, "only {} were acquired: it shows nothing", held.len());
    assert!(most <= usize::from(HOLDERS), "{most} at once, seed {seed}");
    assert_eq!(most, usize::from(HOLDERS), "never as many as allowed: it shows nothing");
}

async fn futures(cluster: &Cluster, options: &Options) -> Vec<Quorum> {
    let mut quorums = Vec::new();
    for _ in 0..6 {
        quorums.push(connect(&cluster.urls(), options.clone()).await);
    }
    quorums
}

#[tokio::test]
async fn exactly_n_fit() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    for (holders, kind) in [(1, Kind::Limit(1)), (2, Kind::Limit(2)), (5, Kind::Limit(5))] {
        let mut locks = Vec::new();
        for _ in 0..holders {
            locks.push(quorum.acquire("key", TTL).kind(kind).await.unwrap());
        }
        assert!(quorum.acquire("key", TTL).kind(kind).await.is_err());
        drop(locks.pop());
        clean_but(&cluster, holders - 1).await;
        quorum.acquire("key", TTL).kind(kind).await.unwrap();
        drop(locks);
        clean(cluster.nodes(), "key").await;
    }
    let readers = [
        quorum.acquire("key", TTL).shared().await.unwrap(),
        quorum.acquire("key", TTL).shared().await.unwrap(),
    ];
    assert!(quorum.acquire("key", TTL).await.is_err());
    drop(readers);
    clean(cluster.nodes(), "key").await;
    quorum.acquire("key", TTL).await.unwrap();
}

async fn clean_but(cluster: &Cluster, holders: usize) {
    eventually(|| cluster.nodes().iter().all(|node| owners(node, "key").len() == holders)).await;
}
