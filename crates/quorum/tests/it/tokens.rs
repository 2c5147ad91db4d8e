//! Fencing tokens rise, whatever happens to the nodes.

use crate::support::*;
use rand::{Rng, SeedableRng};
use redis_lock_harness::{Cluster, Node};
use redis_lock_quorum::{Options, Quorum};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many acquisitions.
fn acquisitions() -> usize {
    match std::env::var("QUORUM_TOKENS") {
        Ok(text) => text.parse().expect("QUORUM_TOKENS is a number"),
        Err(_) => 10_000,
    }
}

/// How many want the lock.
const CLIENTS: usize = 4;
/// They go on until there were so many.
const MIN_FAULTS: usize = 25;

/// Kills, freezes and restarts, one node at a time, for as long as the acquisitions go on.
fn havoc(nodes: &[Node], faults: &AtomicUsize, over: &AtomicBool, seed: u64) {
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    while !over.load(Ordering::Relaxed) {
        let node = &nodes[random.random_range(0..nodes.len())];
        let pause = Duration::from_millis(random.random_range(5..60));
        let way = random.random_range(0..5);
        match way {
            0 => node.kill(),
            1 => node.freeze(),
            2 => node.proxy().freeze(),
            3 => node.proxy().reset(),
            _ => node.stop(),
        }
        std::thread::sleep(pause);
        match way {
            0 | 4 => node.restart(),
            1 => node.thaw(),
            _ => node.proxy().heal(),
        }
        faults.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(pause);
    }
}

/// Some clients take turns on one lock, in line; every token is above all that were complete before its request began, and
/// no two hold it at once.
async fn take_turns(urls: &[String], count: usize, faults: &AtomicUsize) -> (u64, u64) {
    let options = Options {
        retry_count: 100,
        retry_delay: Duration::from_millis(5),
        retry_jitter: Duration::from_millis(4),
        node_timeout: Some(Duration::from_millis(50)),
        ..Options::default()
    };
    let (highest, held) = (AtomicU64::new(0), AtomicBool::new(false));
    let worker = |quorum: Quorum| {
        let (highest, held) = (&highest, &held);
        async move {
            let mut done = 0;
            while done < count / CLIENTS || faults.load(Ordering::Relaxed) < MIN_FAULTS {
                let before = highest.load(Ordering::SeqCst);
                let Ok(lock) = quorum.acquire("key", Duration::from_millis(500)).await else {
                    continue;
                };
                let token = lock.fencing_token();
                assert!(token > before, "{token} after {before}");
                highest.fetch_max(token, Ordering::SeqCst);
                assert!(!held.swap(true, Ordering::SeqCst), "{token}: another one holds it too");
                done += 1;
                tokio::task::yield_now().await;
                held.store(false, Ordering::SeqCst);
                drop(lock);
            }
            quorum.round_trips()
        }
    };
    let quorum = || connect(urls, options.clone());
    let [one, two, three, four] = [quorum().await, quorum().await, quorum().await, quorum().await];
    let done = tokio::join!(worker(one), worker(two), worker(three), worker(four));
    let done: [(u64, u64); CLIENTS] = [done.0, done.1, done.2, done.3];
    done.into_iter().fold((0, 0), |sum, (all, one_round)| (sum.0 + all, sum.1 + one_round))
}

fn rise(cluster: &Cluster, what: &str) {
    let seed = rand::random();
    let started = Instant::now();
    let (faults, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let urls = cluster.urls();
    let (acquired, one_round) = std::thread::scope(|scope| {
        scope.spawn(|| havoc(cluster.nodes(), &faults, &over, seed));
        let acquired = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(take_turns(&urls, acquisitions(), &faults))
        });
        let acquired = acquired.join();
        over.store(true, Ordering::Relaxed);
        acquired.unwrap_or_else(|_| panic!("seed {seed}"))
    });
    let faults = faults.into_inner();
    println!(
        "{what}: {acquired} acquired, {:.1} % in one round trip; {faults} faults; {:.1} s; seed {seed}",
        one_round as f64 * 100.0 / acquired as f64,
        started.elapsed().as_secs_f64()
    );
}

#[test]
fn with_an_append_only_file() {
    let nodes = Cluster::builder(3).config("appendonly", "yes").config("appendfsync", "always");
    rise(&nodes.start(), "appendfsync always");
}

#[test]
fn with_nodes_that_forget_and_sit_out() {
    rise(&Cluster::builder(3).config("lock.cooldown", "510").start(), "no persistence, cooldown");
}

#[tokio::test]
async fn without_faults_one_round_trip_is_enough() {
    let cluster = Cluster::start(5);
    let quorum = quorum(&cluster).await;
    for number in 0..200 {
        quorum.acquire(format!("key:{number}"), TTL).await.unwrap().release().await.unwrap();
    }
    let (acquired, one_round) = quorum.round_trips();
    println!("no faults: {one_round} of {acquired} in one round trip");
    // The nodes' counters differ until the first acquisition has brought them together.
    assert!(one_round >= acquired * 9 / 10, "{one_round} of {acquired}");
}
