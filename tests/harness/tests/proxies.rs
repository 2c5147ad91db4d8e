//! The proxies of the harness: each test shows the fault, and that it is gone afterwards.

use redis_lock_harness::{eventually, Client, Node, Reply, Server, Way};
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_secs(10);
/// Long enough for a byte to arrive if it passes.
const SILENCE: Duration = Duration::from_millis(100);

fn plain() -> Node {
    Node::behind_proxy(Server::builder().without_module().tcp().start())
}

fn pong(client: &mut Client) {
    assert_eq!(client.run(["PING"]).text(), "PONG");
}

fn value(node: &Node, key: &str) -> Reply {
    node.server().connect().run(["GET", key])
}

#[test]
fn everything_passes() {
    let node = plain();
    let mut client = node.connect();
    let big = vec![b'x'; 5_000_000];
    assert_eq!(client.run([&b"SET"[..], b"big", &big]), Reply::ok());
    assert_eq!(client.run(["GET", "big"]), Reply::Bulk(big));
    let replies = client.pipeline((0..100).map(|_| ["INCR", "n"]));
    assert_eq!(replies.last(), Some(&Reply::Int(100)));
    let mut others: Vec<_> = (0..20).map(|_| node.connect()).collect();
    others.iter_mut().for_each(pong);
    assert_eq!(node.proxy().accepted(), 21);
    assert_eq!(value(&node, "n"), Reply::bulk("100"));
}

#[test]
fn the_end_of_a_connection_passes_too() {
    let node = plain();
    let clients = || node.server().info_u64("clients", "connected_clients");
    let mut client = node.connect();
    pong(&mut client);
    assert_eq!(clients(), 2, "the client's and the one that asks");
    drop(client);
    eventually(BOUND, || clients() == 1);
    let mut client = node.connect();
    pong(&mut client);
    node.kill();
    assert!(client.try_read().is_err());
}

#[test]
fn a_frozen_network_delivers_later() {
    let node = plain();
    let mut client = node.connect();
    pong(&mut client);
    node.proxy().freeze();
    client.send(["INCR", "n"]);
    eventually(BOUND, || node.proxy().waiting(Way::ToServer) > 0);
    assert_eq!(client.read_within(SILENCE), None);
    assert_eq!(value(&node, "n"), Reply::Nil);
    node.proxy().heal();
    assert_eq!(client.read(), Reply::Int(1));
    assert_eq!(node.proxy().waiting(Way::ToServer), 0);
}

#[test]
fn a_request_held_back_arrives_though_its_client_has_gone() {
    let node = plain();
    node.proxy().hold(Way::ToServer);
    let mut client = node.connect();
    client.send(["INCR", "n"]);
    drop(client);
    eventually(BOUND, || node.proxy().waiting(Way::ToServer) > 0);
    assert_eq!(value(&node, "n"), Reply::Nil);
    node.proxy().heal();
    eventually(BOUND, || value(&node, "n") == Reply::bulk("1"));
}

#[test]
fn replies_can_be_held_alone() {
    let node = plain();
    let mut client = node.connect();
    node.proxy().hold(Way::ToClient);
    client.send(["INCR", "n"]);
    eventually(BOUND, || node.proxy().waiting(Way::ToClient) > 0);
    assert_eq!(value(&node, "n"), Reply::bulk("1"));
    assert_eq!(client.read_within(SILENCE), None);
    node.proxy().heal();
    assert_eq!(client.read(), Reply::Int(1));
}

#[test]
fn lost_requests_never_arrive_and_end_the_connection() {
    let node = plain();
    let mut client = node.connect();
    let mut idle = node.connect();
    pong(&mut client);
    pong(&mut idle);
    node.proxy().lose(Way::ToServer);
    client.send(["INCR", "n"]);
    assert_eq!(client.read_within(SILENCE), None);
    node.proxy().heal();
    assert!(client.try_read().is_err());
    pong(&mut idle);
    assert_eq!(node.connect().run(["INCR", "n"]), Reply::Int(1));
}

#[test]
fn lost_replies_leave_their_effect() {
    let node = plain();
    let mut client = node.connect();
    node.proxy().lose(Way::ToClient);
    client.send(["INCR", "n"]);
    eventually(BOUND, || value(&node, "n") == Reply::bulk("1"));
    assert_eq!(client.read_within(SILENCE), None);
    node.proxy().heal();
    assert!(client.try_read().is_err());
}

#[test]
fn what_waits_can_still_be_lost() {
    let node = plain();
    node.proxy().hold(Way::ToServer);
    let mut client = node.connect();
    client.send(["INCR", "n"]);
    eventually(BOUND, || node.proxy().waiting(Way::ToServer) > 0);
    node.proxy().lose(Way::ToServer);
    node.proxy().heal();
    assert!(client.try_read().is_err());
    assert_eq!(value(&node, "n"), Reply::Nil);
}

#[test]
fn each_way_has_its_delay() {
    const DELAY: Duration = Duration::from_millis(150);
    let node = plain();
    let mut client = node.connect();
    pong(&mut client);
    for way in Way::BOTH {
        node.proxy().delay(way, DELAY);
        let start = Instant::now();
        client.send(["PING"]);
        eventually(BOUND, || node.proxy().waiting(way) > 0);
        assert_eq!(client.read().text(), "PONG");
        assert!(start.elapsed() >= DELAY);
        node.proxy().heal();
        pong(&mut client);
    }
}

#[test]
fn a_shorter_delay_does_not_overtake() {
    let node = plain();
    let mut client = node.connect();
    node.proxy().delay(Way::ToServer, Duration::from_secs(3600));
    client.send(["SET", "key", "first"]);
    eventually(BOUND, || node.proxy().waiting(Way::ToServer) > 0);
    let first = node.proxy().waiting(Way::ToServer);
    node.proxy().delay(Way::ToServer, Duration::ZERO);
    client.send(["SET", "key", "second"]);
    eventually(BOUND, || node.proxy().waiting(Way::ToServer) > first);
    assert_eq!(client.read_within(SILENCE), None);
    node.proxy().heal();
    assert_eq!((client.read(), client.read()), (Reply::ok(), Reply::ok()));
    assert_eq!(value(&node, "key"), Reply::bulk("second"));
}

#[test]
fn requests_can_come_twice() {
    let node = plain();
    let mut client = node.connect();
    assert_eq!(client.run(["INCR", "n"]), Reply::Int(1));
    node.proxy().duplicate(Duration::ZERO);
    assert!(client.run(["INCR", "n"]).int() >= 2);
    eventually(BOUND, || value(&node, "n") == Reply::bulk("3"));
    assert_eq!(node.proxy().duplicated(), 1);
    assert_eq!(client.read_within(SILENCE), None, "one reply");
    node.proxy().heal();
    assert_eq!(client.run(["INCR", "n"]), Reply::Int(4));
    assert_eq!(node.proxy().duplicated(), 1);
}

#[test]
fn the_second_time_can_be_after_the_client_has_gone() {
    const AFTER: Duration = Duration::from_millis(200);
    let node = plain();
    let start = Instant::now();
    node.proxy().duplicate(AFTER);
    let mut client = node.connect();
    assert_eq!(client.run(["APPEND", "key", "x"]), Reply::Int(1));
    drop(client);
    eventually(BOUND, || value(&node, "key") == Reply::bulk("xx"));
    assert!(start.elapsed() >= AFTER);
}

#[test]
fn refused_connections_and_the_end_of_that() {
    let node = plain();
    let mut client = node.connect();
    pong(&mut client);
    node.proxy().refuse();
    assert!(client.try_read().is_err());
    assert!(node.try_connect().and_then(|mut client| client.try_run(["PING"])).is_err());
    node.proxy().heal();
    pong(&mut node.connect());
}

#[test]
fn a_reset_hits_only_what_is_open() {
    let node = plain();
    let mut client = node.connect();
    pong(&mut client);
    node.proxy().reset();
    assert!(client.try_read().is_err());
    pong(&mut node.connect());
}

#[test]
fn a_server_that_is_down_ends_connections() {
    let node = plain();
    node.kill();
    assert!(node.connect().try_run(["PING"]).is_err());
    node.restart();
    pong(&mut node.connect());
}
