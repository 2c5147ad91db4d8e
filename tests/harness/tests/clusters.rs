//! Clusters of nodes with the module: independent, and at the same address whatever happens.

use redis_lock_harness::{Client, Cluster, Reply};
use std::collections::BTreeSet;
use std::time::Duration;

fn acquire(client: &mut Client, owner: &str) -> Reply {
    client.run(["LOCK.ACQUIRE", "key", owner, "60000"])
}

#[test]
fn nodes_know_nothing_of_each_other() {
    let cluster = Cluster::start(3);
    let urls: BTreeSet<String> = cluster.urls().into_iter().chain(cluster.direct_urls()).collect();
    assert_eq!(urls.len(), 6, "{urls:?}");
    for (i, node) in cluster.nodes().iter().enumerate() {
        assert!(acquire(&mut node.connect(), &format!("owner {i}")).int() > 0);
    }
    for (i, node) in cluster.nodes().iter().enumerate() {
        assert_eq!(node.server().connect().run(["LOCK.OWNER", "key"]).text(), format!("owner {i}"));
        assert_eq!(acquire(&mut node.connect(), "other"), Reply::Nil);
    }
}

#[test]
fn a_node_keeps_its_address_when_it_is_killed_and_comes_back() {
    let cluster = Cluster::builder(2)
        .each(|i, node| {
            if i == 0 {
                return node;
            }
            node.config("appendonly", "yes").config("appendfsync", "always")
        })
        .start();
    let (urls, direct) = (cluster.urls(), cluster.direct_urls());
    for node in cluster.nodes() {
        let mut client = node.connect();
        acquire(&mut client, "owner");
        node.kill();
        assert!(client.try_run(["PING"]).is_err());
        assert!(!node.server().is_alive());
        node.restart();
    }
    assert_eq!((cluster.urls(), cluster.direct_urls()), (urls, direct));
    let owner = |i| cluster.node(i).connect().run(["LOCK.OWNER", "key"]);
    assert_eq!(owner(0), Reply::Nil, "without a file it forgot");
    assert_eq!(owner(1), Reply::bulk("owner"));
}

#[test]
fn nodes_are_shared_between_threads() {
    let cluster = Cluster::start(2);
    std::thread::scope(|scope| {
        for node in cluster.nodes() {
            scope.spawn(|| {
                node.stop();
                node.restart();
                assert!(acquire(&mut node.connect(), "owner").int() > 0);
            });
        }
    });
}

#[test]
fn a_frozen_node_is_silent_and_the_others_are_not() {
    let cluster = Cluster::start(2);
    let mut clients: Vec<_> = cluster.nodes().iter().map(|node| node.connect()).collect();
    cluster.node(0).freeze();
    clients[0].send(["PING"]);
    assert_eq!(clients[0].read_within(Duration::from_millis(50)), None);
    assert_eq!(clients[1].run(["PING"]).text(), "PONG");
    cluster.node(0).thaw();
    assert_eq!(clients[0].read().text(), "PONG");
}

#[test]
fn each_node_has_clocks_of_its_own() {
    const HOUR: i64 = 3_600_000_000;
    let cluster = Cluster::builder(2).movable_clocks().config("lock.max-ttl", "120000").start();
    cluster.node(1).server().step_wall(HOUR / 1000);
    cluster.node(1).restart();
    let tokens: Vec<i64> =
        cluster.nodes().iter().map(|node| acquire(&mut node.connect(), "owner").int()).collect();
    let ahead = tokens[1] - tokens[0];
    assert!((HOUR - HOUR / 10..HOUR + HOUR / 10).contains(&ahead), "{tokens:?}");
    assert!(cluster.node(0).connect().run(["LOCK.ACQUIRE", "k", "o", "130000"]).is_error());
}
