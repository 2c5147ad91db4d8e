//! The table of outcomes: what nodes do, in which mixture, for which kind of lock, and what comes of it.

use crate::support::*;
use redis_lock_harness::{Cluster, Node, Reply, Way};
use redis_lock_quorum::{Failure, Kind, NodeAnswer, NodeError, Quorum};
use std::time::{Duration, Instant};

/// What a node does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Conduct {
    Yes,
    /// Others hold it there.
    Held,
    /// The key belongs to another type.
    Error,
    /// Its requests do not get through.
    Silent,
    /// Its replies come after its time limit.
    Late,
    /// It was started a short while ago.
    Cooling,
    /// It does not run.
    Down,
    /// Nobody can connect to it.
    Refusing,
}

use Conduct::*;

const NOT_YES: [Conduct; 7] = [Held, Error, Silent, Late, Cooling, Down, Refusing];

impl Conduct {
    fn begin(self, node: &Node, key: &str) {
        match self {
            Yes => {}
            Held => hold_for_stranger(node, key),
            Error => assert_eq!(node.server().connect().run(["SET", key, "x"]), Reply::ok()),
            Silent => node.proxy().hold(Way::ToServer),
            Late => node.proxy().delay(Way::ToClient, 2 * LIMIT),
            Cooling => set_cooldown(node, "3600000"),
            Down => node.kill(),
            Refusing => node.proxy().refuse(),
        }
    }

    fn end(self, node: &Node, key: &str) {
        match self {
            Yes | Held => {}
            Error => assert_eq!(node.server().connect().run(["DEL", key]), Reply::Int(1)),
            Silent | Late | Refusing => node.proxy().heal(),
            Cooling => set_cooldown(node, "0"),
            Down => node.restart(),
        }
    }

    /// Whether the report says what the node did.
    fn is_told_by(self, answer: &NodeAnswer) -> bool {
        match (self, answer) {
            (Yes, NodeAnswer::Granted(_)) | (Held, NodeAnswer::Held) => true,
            (Silent | Late, NodeAnswer::Failed(NodeError::NoAnswer(_))) => true,
            (Error, NodeAnswer::Failed(NodeError::Refused(error))) => error.code() == "WRONGTYPE",
            (Cooling, NodeAnswer::Failed(NodeError::Refused(error))) => error.code() == "COOLDOWN",
            (Down | Refusing, NodeAnswer::Failed(NodeError::Unreachable(_) | NodeError::Broken(_))) => true,
            _ => false,
        }
    }
}

fn set_cooldown(node: &Node, ms: &str) {
    let reply = node.server().connect().run(["CONFIG", "SET", "lock.cooldown", ms]);
    assert_eq!(reply, Reply::ok());
}

/// One row: so many yeses, and the rest does something else.
async fn row(cluster: &Cluster, quorum: &Quorum, kind: Kind, conducts: &[Conduct], key: &str) {
    let nodes = cluster.nodes();
    let told = format!("{kind:?} {conducts:?}");
    for (node, conduct) in nodes.iter().zip(conducts) {
        conduct.begin(node, key);
    }
    let started = Instant::now();
    let result = quorum.acquire(key, TTL).kind(kind).await;
    let took = started.elapsed();
    let count = |wanted: Conduct| conducts.iter().filter(|conduct| **conduct == wanted).count();
    let (needed, yes, held) = (kind.needed(nodes.len()), count(Yes), count(Held));
    let slow = count(Silent) + count(Late) > 0;
    // The node that keeps the line is waited for, and its no is enough (see `line.rs`). Which one it is depends on what is
    // known of the nodes after the row before.
    let most = if slow { LIMIT * 3 / 2 } else { LIMIT };
    match result {
        Ok(lock) => {
            assert!(yes >= needed, "{told}");
            assert!(lock.validity() > TTL / 2, "{told}: {lock:?}");
            assert!(took < most, "{told}: {took:?}: it waited for a node that it did not need");
            lock.release().await.unwrap_or_else(|error| panic!("{told}: {error}"));
        }
        Err(error) => {
            let refused = held > 0 && matches!(error, redis_lock_quorum::Error::Held(_));
            assert!(yes < needed || refused, "{told}: {error}");
            let is_held = held > nodes.len() - needed || refused;
            match &error {
                redis_lock_quorum::Error::Held(_) => assert!(is_held, "{told}: {error}"),
                redis_lock_quorum::Error::NoQuorum(_) => assert!(!is_held, "{told}: {error}"),
                other => panic!("{told}: {other}"),
            }
            assert!(slow || took < LIMIT, "{told}: {took:?}: it could have known at once");
            check(error.failure().expect("its nodes"), conducts, &told);
        }
    }
    for (node, conduct) in nodes.iter().zip(conducts) {
        conduct.end(node, key);
    }
    clean(nodes, key).await;
    connected(quorum, nodes.len()).await;
}

fn check(failure: &Failure, conducts: &[Conduct], told: &str) {
    assert_eq!(failure.left, Duration::ZERO);
    for (report, conduct) in failure.nodes.iter().zip(conducts) {
        assert!(conduct.is_told_by(&report.answer), "{told}: {report}");
    }
}

/// All rows for so many nodes: just enough yeses and one too few, beside each conduct, and beside all of them.
async fn table(nodes: usize) {
    let cluster = Cluster::start(nodes);
    let quorum = quorum(&cluster).await;
    let mut number = 0;
    for kind in [Kind::Exclusive, Kind::Shared, Kind::Limit(2), Kind::Limit(4)] {
        let needed = kind.needed(nodes);
        for yes in [needed, needed - 1] {
            let mixture = NOT_YES.len();
            for other in 0..=mixture {
                let rest = (yes..nodes).map(|node| match other {
                    other if other == mixture => NOT_YES[(node + number) % NOT_YES.len()],
                    other => NOT_YES[other],
                });
                let mut conducts: Vec<Conduct> = std::iter::repeat_n(Yes, yes).chain(rest).collect();
                conducts.rotate_right(number % nodes);
                row(&cluster, &quorum, kind, &conducts, &format!("key:{number}")).await;
                number += 1;
                if yes == nodes {
                    break;
                }
            }
        }
    }
    quorum.settled().await;
}

/// Most of the time goes into time limits, so all tables run at once.
#[test]
fn every_mixture() {
    std::thread::scope(|scope| {
        for nodes in 1..=7 {
            scope.spawn(move || {
                let runtime = match nodes {
                    3 | 5 => {
                        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
                    }
                    _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
                };
                runtime.expect("a runtime").block_on(table(nodes));
            });
        }
    });
}

#[tokio::test]
async fn an_even_split_fails_at_once() {
    for nodes in [2, 4] {
        let cluster = Cluster::start(nodes);
        let quorum = quorum(&cluster).await;
        for node in &cluster.nodes()[..nodes / 2] {
            hold_for_stranger(node, "key");
        }
        let started = Instant::now();
        let error = quorum.acquire("key", TTL).await.unwrap_err();
        assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
        assert!(matches!(error, redis_lock_quorum::Error::Held(_)), "{error}");
        clean(cluster.nodes(), "key").await;
    }
}

#[tokio::test]
async fn with_one_of_three_down_the_first_try_succeeds() {
    let cluster = Cluster::start(3);
    let quorum = quorum(&cluster).await;
    for (number, end) in
        [Node::kill as fn(&Node), Node::freeze, |node: &Node| node.proxy().freeze()].into_iter().enumerate()
    {
        end(cluster.node(number));
        // If it keeps a line, the first that finds it silent waits for it.
        let mut slow = 0;
        for attempt in 0..20 {
            let started = Instant::now();
            let lock = quorum
                .acquire(format!("key:{attempt}"), TTL)
                .await
                .unwrap_or_else(|error| panic!("{number}, {attempt}: {error}"));
            slow += usize::from(started.elapsed() >= LIMIT);
            lock.release().await.unwrap();
        }
        assert!(slow <= 1, "{number}: {slow} were not at the speed of the others");
        match number {
            0 => cluster.node(number).restart(),
            1 => cluster.node(number).thaw(),
            _ => cluster.node(number).proxy().heal(),
        }
        // The next one is down then, and this one is needed.
        connected(&quorum, 3).await;
        for attempt in 0..20 {
            clean(cluster.nodes(), &format!("key:{attempt}")).await;
        }
    }
}
