//! Many clients that acquire one lock over several nodes repeatedly, against rslock on the same nodes.

use crate::contest::percentile;
use crate::size::Size;
use crate::table::{Row, Table};
use redis_lock_harness::{Cluster, Node};
use redis_lock_quorum::{order, Options, Quorum};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

const NODES: [usize; 3] = [1, 3, 5];
const CLIENTS: [usize; 2] = [8, 32];
const HOLDS_MS: [u64; 3] = [0, 1, 10];
const TTL: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(60);
/// The first part of the time that does not count, after which each client has had a turn.
const WARM_UP: u32 = 4;
/// Bound of the waits' p99, relative to their p50.
const FAIR: f64 = 1.3;
/// A client that does not wait asks again after 1 to this many milliseconds.
const STORM_MS: u64 = 5;

/// Returns a table of all sizes.
pub fn measure(size: &Size) -> Vec<Table> {
    let mut rows = Vec::new();
    for clients in CLIENTS {
        for hold in HOLDS_MS.map(Duration::from_millis) {
            let mut alone = None;
            for nodes in NODES {
                let cluster = Cluster::start(nodes);
                let contest = Contest { clients, hold, time: size.several, stormers: 0, end: None };
                let ours = contest.run(&cluster, take_by_quorum);
                let one = *alone.get_or_insert(ours.rate());
                let share = format!("{:.2} of one node's rate", ours.rate() / one);
                let of = |name: &str| format!("{nodes} nodes, {clients} clients, hold {hold:?}, {name}");
                rows.push(ours.row(&of("redis-lock")).at_most(FAIR));
                rows.push(Row::new(format!("    {}; {share}", ours.text()), ours.worst()));
                let theirs = contest.run(&cluster, take_by_rslock);
                rows.push(theirs.row(&of("rslock")));
                rows.push(Row::new(format!("    {}", theirs.text()), theirs.worst()));
            }
        }
    }
    let title = format!(
        "One lock over several nodes, {:?} each, the first {}th not counted: p99 of the waits / p50; worst wait",
        size.several, WARM_UP
    );
    vec![Table { title, unit: "ratio; ms", rows }]
}

/// Beside those in line, as many of one process do not wait and ask every few milliseconds.
pub fn measure_storm(size: &Size) -> Vec<Table> {
    let mut rows = Vec::new();
    for nodes in [3, 5] {
        let run = |stormers| {
            // A cluster of its own: what was held at the end of the last run is still held.
            let cluster = Cluster::start(nodes);
            let hold = Duration::from_millis(1);
            let contest = Contest { clients: 16, hold, time: size.several, stormers, end: None };
            contest.run(&cluster, take_by_quorum)
        };
        let (alone, beside) = (run(0), run(16));
        let name = format!("{nodes} nodes, 16 in line beside 16 that do not wait: {}", beside.text());
        rows.push(Row::new(name, beside.rate()).ratio(beside.rate() / alone.rate(), "beside / alone"));
    }
    let title = "A storm of callers that do not wait, hold 1 ms".into();
    vec![Table { title, unit: "acquires / s", rows }]
}

/// Kills or stops a node while many wait. Returns the longest wait, and that without the fault.
pub fn measure_faults(size: &Size) -> Vec<Table> {
    // The client's own limit is two and a half seconds.
    const LONGER_MS: f64 = 3_000.0;
    let ends: [(&str, End); 2] = [("killed", Node::kill), ("stopped", Node::freeze)];
    let mut rows = Vec::new();
    for nodes in [3, 5] {
        let run = |which: Option<(usize, End)>| {
            let cluster = Cluster::start(nodes);
            let urls: Vec<String> = cluster.nodes().iter().map(|node| node.direct_url()).collect();
            let ranked = order::rank("lock", urls.iter().map(|url| url.trim_start_matches("redis://")));
            let end = which.map(|(which, end)| (ranked[which], end));
            let hold = Duration::from_millis(1);
            let contest = Contest { clients: 32, hold, time: size.several_faults, stormers: 0, end };
            contest.run(&cluster, take_by_quorum)
        };
        let without = run(None).worst();
        rows.push(Row::new(format!("{nodes} nodes, nothing happens: longest wait"), without));
        for (which, name) in ["the line's node", "another node"].into_iter().enumerate() {
            for (how, end) in ends {
                let worst = run(Some((which, end))).worst();
                let row = Row::new(format!("{nodes} nodes, {name} is {how}: longer by"), worst - without);
                rows.push(row.at_most(LONGER_MS));
            }
        }
    }
    let title = "One node of several is lost while 32 wait, hold 1 ms".into();
    vec![Table { title, unit: "ms", rows }]
}

/// What happens to a node.
type End = fn(&Node);

/// The clients that want the lock, and how long they hold it.
#[derive(Clone, Copy)]
struct Contest {
    clients: usize,
    hold: Duration,
    time: Duration,
    stormers: usize,
    /// What happens to a node at half time.
    end: Option<(usize, End)>,
}

/// The result of a contest.
pub struct Outcome {
    pub waits_ms: Vec<f64>,
    turns: Vec<usize>,
    requests: u64,
    time: Duration,
}

impl Contest {
    /// Has all clients contend. `take` is one of the clients, which calls back when it has the lock.
    fn run<F: Future<Output = ()> + 'static>(
        self,
        cluster: &Cluster,
        take: impl Fn(Vec<String>, Rc<Turns>) -> F,
    ) -> Outcome {
        let urls: Vec<String> = cluster.nodes().iter().map(|node| node.direct_url()).collect();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let turns: Vec<Rc<Turns>> = (0..self.clients).map(|_| Rc::new(Turns::new(self.hold))).collect();
        LocalSet::new().block_on(&runtime, async {
            let mut clients: Vec<_> = turns
                .iter()
                .map(|turns| tokio::task::spawn_local(take(urls.clone(), Rc::clone(turns))))
                .collect();
            if self.stormers > 0 {
                let quorum = Quorum::connect(&urls, hasty()).await.expect("the nodes are there");
                let stormer = |seed| tokio::task::spawn_local(ask_and_go(quorum.clone(), seed));
                clients.extend((0..self.stormers as u64).map(stormer));
            }
            tokio::time::sleep(self.time / WARM_UP).await;
            turns.iter().for_each(|turns| turns.begin());
            let (began, before) = (Instant::now(), requests(cluster));
            let half = (self.time - self.time / WARM_UP) / 2;
            tokio::time::sleep(half).await;
            if let Some((node, end)) = self.end {
                end(cluster.node(node));
            }
            tokio::time::sleep(half).await;
            let time = began.elapsed();
            let requests = if self.end.is_none() { requests(cluster) - before } else { 0 };
            clients.iter().for_each(tokio::task::JoinHandle::abort);
            let waits = turns.iter().map(|turns| turns.waits_ms.take()).collect::<Vec<_>>();
            Outcome { turns: waits.iter().map(Vec::len).collect(), waits_ms: waits.concat(), requests, time }
        })
    }
}

/// The turns that one client has had.
pub struct Turns {
    hold: Duration,
    counts: Cell<bool>,
    waits_ms: RefCell<Vec<f64>>,
}

impl Turns {
    fn new(hold: Duration) -> Turns {
        Turns { hold, counts: Cell::new(false), waits_ms: RefCell::default() }
    }

    fn begin(&self) {
        self.counts.set(true);
    }

    /// Holds the lock, for which it had waited since `asked`.
    async fn hold(&self, asked: Instant) {
        if self.counts.get() {
            self.waits_ms.borrow_mut().push(asked.elapsed().as_secs_f64() * 1e3);
        }
        if !self.hold.is_zero() {
            // The runtime's own timer has a resolution of two milliseconds.
            let hold = self.hold;
            let slept = tokio::task::spawn_blocking(move || std::thread::sleep(hold)).await;
            slept.expect("to sleep does not panic");
        }
    }
}

impl Outcome {
    /// Returns acquires per second.
    pub fn rate(&self) -> f64 {
        self.waits_ms.len() as f64 / self.time.as_secs_f64()
    }

    pub fn worst(&self) -> f64 {
        self.waits_ms.iter().copied().fold(0.0, f64::max)
    }

    fn row(&self, name: &str) -> Row {
        let name = format!("{name}: p99 / p50");
        if self.waits_ms.is_empty() {
            return Row::new(name, f64::INFINITY);
        }
        let [p50, p99] = [50, 99].map(|percent| percentile(&self.waits_ms, percent));
        Row::new(name, p99 / p50)
    }

    pub fn text(&self) -> String {
        if self.waits_ms.is_empty() {
            return "none".into();
        }
        let [p50, p99] = [50, 99].map(|percent| percentile(&self.waits_ms, percent));
        let (least, most) = (self.turns.iter().min(), self.turns.iter().max());
        let each = self.requests as f64 / self.waits_ms.len() as f64;
        format!(
            "{:.0}/s, p50 {p50:.1} p99 {p99:.1} ms, {} to {} turns, {each:.1} requests each",
            self.rate(),
            least.unwrap_or(&0),
            most.unwrap_or(&0)
        )
    }
}

/// Returns the options of a request that a client makes once, without waiting.
fn hasty() -> Options {
    Options { retry_count: 0, ..Options::default() }
}

async fn take_by_quorum(urls: Vec<String>, turns: Rc<Turns>) {
    let quorum = Quorum::connect(&urls, Options::default()).await.expect("the nodes are there");
    loop {
        let asked = Instant::now();
        let lock = quorum.acquire("lock", TTL).wait(WAIT).await.expect("it is waited for");
        turns.hold(asked).await;
        // Errors are those of nodes that are down.
        let _ = lock.release().await;
    }
}

async fn take_by_rslock(urls: Vec<String>, turns: Rc<Turns>) {
    let manager = rslock::LockManager::new(urls);
    loop {
        let asked = Instant::now();
        let lock = loop {
            if let Ok(lock) = manager.lock("lock-rslock", TTL).await {
                break lock;
            }
        };
        turns.hold(asked).await;
        manager.unlock(&lock).await;
    }
}

async fn ask_and_go(quorum: Quorum, seed: u64) {
    for number in seed.. {
        if let Ok(lock) = quorum.acquire("lock", TTL).await {
            // Errors are irrelevant in the storm.
            let _ = lock.release().await;
        }
        let ms = 1 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % STORM_MS;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Returns how many requests about locks all nodes have had.
fn requests(cluster: &Cluster) -> u64 {
    let asked = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let counts = name.starts_with("lock.") || ["set", "eval", "evalsha"].contains(&name);
        counts.then(|| rest.split(',').next()?.parse::<u64>().ok())?
    };
    let of_node = |node: &Node| {
        let info = node.server().connect().run(["INFO", "commandstats"]);
        info.text().lines().filter_map(asked).sum::<u64>()
    };
    cluster.nodes().iter().map(of_node).sum()
}
