//! One lock over several nodes: the quorum client against rslock, on the same nodes in the same run.

use crate::contest::percentile;
use crate::info::cpu_micros;
use crate::size::Size;
use crate::table::{Row, Table};
use redis_lock_harness::Cluster;
use redis_lock_quorum::{Options, Quorum};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const NODES: [usize; 3] = [1, 3, 5];
const TTL: Duration = Duration::from_secs(10);
/// Bound of the acquire over five nodes, relative to one: the floor is one round trip.
const WIDE: f64 = 1.5;
/// Bound relative to rslock over the same five.
const FASTER: f64 = 0.7;
/// Pairs per turn of a client.
const CHUNK: usize = 100;

/// Returns one table for each runtime.
pub fn measure(size: &Size) -> Vec<Table> {
    let current = ("current-thread runtime", Builder::new_current_thread().enable_all().build());
    let several = ("multi-thread runtime", Builder::new_multi_thread().enable_all().build());
    [current, several]
        .into_iter()
        .map(|(name, runtime)| table(size, name, &runtime.expect("a runtime can be made")))
        .collect()
}

/// The times that one client needed.
#[derive(Default)]
struct Times {
    acquire: Vec<f64>,
    release: Vec<f64>,
    /// The CPU time of all nodes together, in all its turns.
    cpu: f64,
}

fn table(size: &Size, runtime_name: &str, runtime: &Runtime) -> Table {
    let results: Vec<(usize, [Times; 2])> =
        NODES.iter().map(|&nodes| (nodes, compete(size, runtime, nodes))).collect();
    let acquire = |nodes: usize, who: usize| {
        let (_, times) = results.iter().find(|(n, _)| *n == nodes).expect("it was measured");
        percentile(&times[who].acquire, 50)
    };
    let mut rows = Vec::new();
    for (nodes, times) in &results {
        for (who, (name, times)) in ["redis-lock", "rslock"].into_iter().zip(times).enumerate() {
            let row = |what: &str, figure| Row::new(format!("{name}, {nodes} nodes: {what}"), figure);
            let mut p50 = row("acquire, p50", percentile(&times.acquire, 50));
            if who == 0 && *nodes == 5 {
                p50 = p50.ratio(acquire(5, 0) / acquire(1, 0), "5 / 1 node").at_most(WIDE);
            }
            rows.push(p50);
            let mut p99 = row("acquire, p99", percentile(&times.acquire, 99));
            if who == 0 && *nodes == 5 {
                // Ratios of the medians, in rows of their own, as a row has one ratio.
                rows.push(p99);
                p99 = row("acquire, p50, against rslock's", acquire(5, 0))
                    .ratio(acquire(5, 0) / acquire(5, 1), "lock / rslock")
                    .at_most(FASTER);
            }
            rows.push(p99);
            rows.push(row("release, p50", percentile(&times.release, 50)));
            rows.push(row("release, p99", percentile(&times.release, 99)));
            let pairs = times.acquire.len() as f64;
            rows.push(row("CPU of all servers, a pair", times.cpu / pairs));
        }
    }
    let title = format!(
        "A lock over several nodes, uncontended, {runtime_name}: {} acquires each, by turns",
        size.quorum_pairs
    );
    Table { title, unit: "us", rows }
}

fn compete(size: &Size, runtime: &Runtime, nodes: usize) -> [Times; 2] {
    let cluster = Cluster::start(nodes);
    let urls: Vec<String> = (0..nodes).map(|node| cluster.node(node).direct_url()).collect();
    let mut ours = Times::default();
    let mut theirs = Times::default();
    runtime.block_on(async {
        let quorum = Quorum::connect(&urls, Options::default()).await.expect("the nodes are there");
        let manager = rslock::LockManager::new(urls.clone());
        for chunk in 0..=size.quorum_pairs / CHUNK {
            let before = cpu(&cluster);
            let done = lock_by_quorum(&quorum).await;
            let between = cpu(&cluster);
            let done_there = lock_by_rslock(&manager).await;
            // The first chunk is for connecting and warming up.
            if chunk > 0 {
                ours.add(done, between - before);
                theirs.add(done_there, cpu(&cluster) - between);
            }
        }
    });
    [ours, theirs]
}

impl Times {
    fn add(&mut self, (acquire, release): (Vec<f64>, Vec<f64>), cpu: f64) {
        self.acquire.extend(acquire);
        self.release.extend(release);
        self.cpu += cpu;
    }
}

fn cpu(cluster: &Cluster) -> f64 {
    (0..cluster.nodes().len()).map(|node| cpu_micros(&mut cluster.node(node).server().connect())).sum()
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

async fn lock_by_quorum(quorum: &Quorum) -> (Vec<f64>, Vec<f64>) {
    let (mut acquire, mut release) = (Vec::new(), Vec::new());
    for _ in 0..CHUNK {
        let began = Instant::now();
        let lock = quorum.acquire("bench", TTL).await.expect("nobody else wants it");
        acquire.push(micros(began));
        let began = Instant::now();
        lock.release().await.expect("all nodes are there");
        release.push(micros(began));
    }
    (acquire, release)
}

async fn lock_by_rslock(manager: &rslock::LockManager) -> (Vec<f64>, Vec<f64>) {
    let (mut acquire, mut release) = (Vec::new(), Vec::new());
    for _ in 0..CHUNK {
        let began = Instant::now();
        let lock = manager.lock("bench-rslock", TTL).await.expect("nobody else wants it");
        acquire.push(micros(began));
        let began = Instant::now();
        manager.unlock(&lock).await;
        release.push(micros(began));
    }
    (acquire, release)
}
