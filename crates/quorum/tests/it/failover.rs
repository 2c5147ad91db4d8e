//! A server that is a master no more, behind a name that leads to the new one: the old connection lives on.

use crate::support::*;
use redis_lock_harness::{Cluster, Node, Reply, Server, eventually as soon};
use redis_lock_quorum::{Lock, Options, Quorum};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A node behind a proxy, and its replica.
struct Pair {
    node: Node,
    replica: Server,
}

impl Pair {
    fn start() -> Pair {
        let node = Node::behind_proxy(Server::builder().tcp().start());
        let replica = node.server().replica();
        Pair { node, replica }
    }

    async fn quorum(&self) -> Quorum {
        connect(&[self.node.url()], Options { node_timeout: Some(BOUND), ..once() }).await
    }

    async fn held(&self, quorum: &Quorum) -> Lock {
        let lock = quorum.acquire("key", TTL).await.unwrap();
        soon(BOUND, || !self.replica.connect().run(["LOCK.OWNER", "key"]).is_nil());
        lock
    }

    /// The replica takes over, and the name leads to it.
    fn fail_over(&self) {
        let port = self.replica.port();
        let mut new = self.replica.connect();
        assert_eq!(new.run(["REPLICAOF", "NO", "ONE"]), Reply::ok());
        self.node.proxy().lead_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut old = self.node.server().connect();
        assert_eq!(old.run(["REPLICAOF", "127.0.0.1", &port.to_string()]), Reply::ok());
    }
}

#[tokio::test]
async fn a_lock_goes_on_at_the_new_master() {
    let pair = Pair::start();
    let quorum = pair.quorum().await;
    let lock = pair.held(&quorum).await;
    pair.fail_over();
    lock.extend(TTL).await.unwrap();
    assert_eq!(lock.release().await.unwrap().released, 1);
    let next = quorum.acquire("key", TTL).await.unwrap();
    assert!(next.fencing_token() > lock.fencing_token());
}

#[tokio::test]
async fn a_release_reaches_the_new_master() {
    let pair = Pair::start();
    let quorum = pair.quorum().await;
    let lock = pair.held(&quorum).await;
    pair.fail_over();
    drop(lock);
    let mut new = pair.replica.connect();
    eventually(|| new.run(["LOCK.OWNER", "key"]).is_nil()).await;
}

#[tokio::test]
async fn a_waiter_goes_on_waiting_at_the_new_master() {
    let pair = Pair::start();
    let quorum = pair.quorum().await;
    let lock = pair.held(&quorum).await;
    let waiting = tokio::spawn({
        let quorum = quorum.clone();
        async move { quorum.acquire("key", TTL).wait(BOUND).await }
    });
    eventually(|| pair.node.server().info_u64("lock", "lock_waiting") == 1).await;
    pair.fail_over();
    eventually(|| pair.replica.info_u64("lock", "lock_waiting") == 1).await;
    assert_eq!(lock.release().await.unwrap().released, 1);
    waiting.await.expect("it does not panic").unwrap();
}

/// A majority that has forgotten its counters gives tokens that others have passed already.
#[tokio::test]
async fn a_token_below_one_that_was_held_is_no_lock() {
    for nodes in [1, 3] {
        let cluster = Cluster::builder(nodes).movable_clocks().start();
        let quorum = quorum(&cluster).await;
        connected(&quorum, nodes).await;
        for node in cluster.nodes() {
            node.server().step_monotonic(3_600_000);
        }
        // All clocks are an hour ahead, and then set right.
        quorum.step_wall_clock(3_600_000);
        let first = quorum.acquire("key", TTL).await.unwrap();
        let highest = first.fencing_token();
        first.release().await.unwrap();
        quorum.step_wall_clock(-3_600_000);
        for node in cluster.nodes() {
            node.kill();
            node.restart();
        }
        let refused = loop {
            match quorum.acquire("key", TTL).await {
                Err(error @ redis_lock_quorum::Error::CountersLost { .. }) => break error,
                Err(redis_lock_quorum::Error::NoQuorum(_)) => {
                    tokio::time::sleep(Duration::from_millis(5)).await
                }
                other => panic!("{nodes}: {other:?}"),
            }
        };
        let text = refused.to_string();
        assert!(text.contains(&format!("is not above {highest}")) && refused.is_final(), "{text}");
        clean(cluster.nodes(), "key").await;
    }
}
