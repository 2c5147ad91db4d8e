//! What several of these tests need.

use redis_lock_harness::{Cluster, Node};
use redis_lock_quorum::{Options, Quorum, order};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Long enough on a busy machine.
pub const BOUND: Duration = Duration::from_secs(20);
/// A live node answers earlier, also on a busy machine.
pub const LIMIT: Duration = Duration::from_millis(400);
/// Longer than any of these tests needs a lock.
pub const TTL: Duration = Duration::from_secs(60);

/// One attempt, and a time limit that a busy machine keeps.
pub fn once() -> Options {
    Options { retry_count: 0, node_timeout: Some(LIMIT), ..Options::default() }
}

pub async fn connect(urls: &[String], options: Options) -> Quorum {
    Quorum::connect(urls, options).await.expect("these options are right")
}

/// Connected to all nodes of a cluster, through their proxies, for one attempt at a time.
pub async fn quorum(cluster: &Cluster) -> Quorum {
    connect(&cluster.urls(), once()).await
}

/// Asks again and again until the answer is yes. The runtime goes on meanwhile.
#[track_caller]
pub fn eventually(mut probe: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        loop {
            let late = start.elapsed() > BOUND;
            if probe() {
                return;
            }
            assert!(!late, "not met within {BOUND:?}: {caller}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The owners that hold a key on a node, past its proxy.
pub fn owners(node: &Node, key: &str) -> Vec<String> {
    let info = node.server().connect().run(["LOCK.INFO", key]);
    if info.is_nil() || info.is_error() {
        return Vec::new();
    }
    info.get("holders").array().iter().map(|holder| holder.get("owner").text().to_owned()).collect()
}

/// Someone else's hold, on this node only.
pub fn hold_for_stranger(node: &Node, key: &str) {
    let reply = node.server().connect().run(["LOCK.ACQUIRE", key, STRANGER, "600000"]);
    assert!(reply.int() > 0, "{reply:?}");
}

pub const STRANGER: &str = "stranger";

/// The nodes in the order in which they keep the line of this resource.
pub fn ranked(cluster: &Cluster, resource: &str) -> Vec<usize> {
    let names: Vec<String> = cluster.urls().iter().map(|url| url.replace("redis://", "")).collect();
    order::rank(resource, names.iter().map(String::as_str))
}

/// Waits until nobody but strangers holds a key, or the lock of its line, on any of the nodes.
#[track_caller]
pub fn clean<'a>(nodes: &'a [Node], key: &'a str) -> impl Future<Output = ()> + 'a {
    let line = order::line_of(key);
    let is_clean = move |node: &Node, key: &str| owners(node, key).iter().all(|owner| owner == STRANGER);
    eventually(move || nodes.iter().all(|node| is_clean(node, key) && is_clean(node, &line)))
}

/// Waits until there is a connection to each of so many nodes, and all of them grant.
pub async fn connected(quorum: &Quorum, nodes: usize) {
    let start = Instant::now();
    loop {
        let result = match quorum.acquire("connected", TTL).await {
            Ok(lock) => lock.release().await,
            Err(error) => Err(error),
        };
        if result.as_ref().is_ok_and(|released| released.released == nodes) {
            return;
        }
        assert!(start.elapsed() < BOUND, "not all nodes grant: {result:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until each node holds the key: a lock is there before the last of them has been asked.
#[track_caller]
pub fn held_everywhere<'a>(cluster: &'a Cluster, key: &'a str) -> impl Future<Output = ()> + 'a {
    eventually(move || cluster.nodes().iter().all(|node| !owners(node, key).is_empty()))
}

/// Polls a future at most so often, then drops it.
pub async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
