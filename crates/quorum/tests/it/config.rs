//! What is wrong with what the user said; and what URLs can say.

use crate::support::*;
use redis_lock_harness::{Cluster, Reply, Server};
use redis_lock_quorum::{Error, Options, Quorum};
use std::time::Duration;

fn config(result: Result<impl Sized, Error>) -> String {
    match result {
        Err(Error::Config(text)) => text,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

#[tokio::test]
async fn no_time_limit_is_too_long() {
    let cluster = Cluster::start(1);
    let most = Duration::MAX;
    let options = Options { node_timeout: Some(most), retry_delay: most, connect_timeout: most, ..once() };
    let quorum = connect(&cluster.urls(), Options { retry_count: 2, ..options }).await;
    let lock = quorum.acquire("key", TTL).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), quorum.acquire("key", TTL).into_future());
    assert!(waiting.await.is_err(), "it waits");
    lock.release().await.unwrap();
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn a_server_that_is_listed_twice() {
    let cluster = Cluster::start(2);
    let (one, two) = (cluster.node(0), cluster.node(1));
    // By another name: past its proxy.
    let urls = [one.url(), two.url(), one.direct_url()];
    let error = config(Quorum::connect(urls, once()).await);
    assert!(error.contains("are the same server"), "{error}");
    let error = config(Quorum::connect([one.url(), one.url()], once()).await);
    assert!(error.contains("is listed twice"), "{error}");
}

#[tokio::test]
async fn a_server_that_turns_out_to_be_listed_twice() {
    let cluster = Cluster::start(2);
    let (one, two) = (cluster.node(0), cluster.node(1));
    one.proxy().refuse();
    let urls = vec![one.direct_url(), two.url(), one.url()];
    let quorum = connect(&urls, once()).await;
    quorum.acquire("before", TTL).await.unwrap().release().await.unwrap();
    one.proxy().heal();
    // Found out as soon as it is connected.
    let start = std::time::Instant::now();
    let error = loop {
        match quorum.acquire("key", TTL).await {
            Err(Error::Config(error)) => break error,
            Ok(lock) => drop(lock),
            Err(error) => panic!("{error}"),
        }
        assert!(start.elapsed() < BOUND);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(error.contains("are the same server"), "{error}");
    clean(cluster.nodes(), "key").await;
}

#[tokio::test]
async fn bad_requests_are_refused_before_anything_is_sent() {
    let cluster = Cluster::start(1);
    let quorum = quorum(&cluster).await;
    let none: [&str; 0] = [];
    for (request, word) in [
        (quorum.acquire(none, TTL), "no resource"),
        (quorum.acquire("key", Duration::ZERO), "too short"),
        (quorum.acquire("key", Duration::MAX), "too long"),
        (quorum.acquire("key", TTL).limit(0), "limit is 0"),
        (quorum.acquire("key", TTL).limit(10_001), "limit is 10001"),
        (quorum.acquire("key", TTL).meta("m".repeat(513)), "meta has 513 bytes"),
    ] {
        let error = config(request.await);
        assert!(error.contains(word), "{error}");
    }
    let lock = quorum.acquire("key", TTL).await.unwrap();
    assert!(config(lock.extend(Duration::ZERO).await).contains("too short"));
    assert_eq!(cluster.node(0).server().info_u64("lock", "lock_acquired"), 1);
    let no_node: [&str; 0] = [];
    assert!(config(Quorum::connect(no_node, once()).await).contains("no node"));
    let error = config(Quorum::connect(["http://user:secret@host"], once()).await);
    assert!(error.contains("node 1") && !error.contains("secret"), "{error}");
    let options = Options { drift: 2.0, ..once() };
    assert!(config(Quorum::connect(["redis://127.0.0.1:1"], options).await).contains("drift is 2"));
}

#[tokio::test]
async fn what_is_wrong_with_a_node_is_said_with_what_to_do() {
    let plain = Server::builder().tcp().without_module().start();
    let guarded = Server::builder().tcp().config("requirepass", "secret").start();
    let replica_of = Server::builder().tcp().start();
    let replica = replica_of.replica();
    for (port, words) in [
        (plain.port(), "(the module is not loaded there)"),
        (guarded.port(), "(put user and password into its URL"),
        (replica.port(), "(a replica: list its master)"),
        (1, "no connection: "),
    ] {
        let quorum = connect(&[format!("redis://127.0.0.1:{port}")], once()).await;
        let error = quorum.acquire("key", TTL).await.unwrap_err();
        assert!(matches!(error, Error::NoQuorum(_)), "{error}");
        let error = error.to_string();
        assert!(error.contains(words) && error.contains(&format!("127.0.0.1:{port}")), "{error}");
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_asked_for_again() {
    let plain = Server::builder().tcp().without_module().start();
    let guarded = Server::builder().tcp().config("requirepass", "secret").start();
    let strict = Server::builder().tcp().config("lock.max-ttl", "1000").start();
    let (plain, guarded) = (plain.port(), guarded.port());
    for (url, words) in [
        (format!("redis://127.0.0.1:{plain}"), "unknown command"),
        (format!("redis://127.0.0.1:{guarded}"), "NOAUTH"),
        (format!("redis://:wrong@127.0.0.1:{guarded}"), "WRONGPASS"),
        (format!("redis://127.0.0.1:{}", strict.port()), "(lock.max-ttl there is lower than this ttl)"),
    ] {
        let quorum = connect(&[url], Options { retry_count: 1_000_000, ..once() }).await;
        for request in [quorum.acquire("key", TTL), quorum.acquire("key", TTL).wait(BOUND * 10)] {
            let answer = tokio::time::timeout(BOUND, request.into_future()).await;
            let error = answer.expect("it is given up").unwrap_err();
            assert!(matches!(&error, Error::NoQuorum(failure) if failure.is_final()), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[tokio::test]
async fn what_one_of_three_refuses_for_good_keeps_nobody_from_waiting() {
    let cluster = Cluster::start(2);
    let plain = Server::builder().tcp().without_module().start();
    let mut urls = cluster.urls();
    urls.push(format!("redis://127.0.0.1:{}", plain.port()));
    let quorum = connect(&urls, once()).await;
    hold_for_stranger(cluster.node(0), "key");
    let waiting = tokio::spawn(quorum.acquire("key", TTL).wait(BOUND).into_future());
    // Asked at least twice.
    eventually(|| cluster.node(1).server().info_u64("lock", "lock_acquired") > 1).await;
    let release = ["LOCK.RELEASE", "key", STRANGER];
    assert_eq!(cluster.node(0).server().connect().run(release), Reply::Int(1));
    waiting.await.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test]
async fn user_password_database_and_socket_come_from_the_url() {
    let server = Server::builder().tcp().config("requirepass", "secret").start();
    let run = |words: &[&str]| {
        let mut client = server.connect();
        assert_eq!(client.run(["AUTH", "secret"]), Reply::ok());
        client.run(words)
    };
    let acl =
        ["ACL", "SETUSER", "worker", "on", ">pw", "~key:*", "+lock.acquire", "+lock.extend", "+lock.release"];
    assert_eq!(run(&acl), Reply::ok());
    let port = server.port();
    let socket = server.socket().display().to_string();
    for url in [
        format!("redis://:secret@127.0.0.1:{port}/3"),
        // This one may not ask for the run_id.
        format!("redis://worker:pw@127.0.0.1:{port}"),
        format!("redis+unix://{socket}?user=worker&pass=pw"),
        format!("unix://{socket}?pass=secret&db=3"),
    ] {
        let quorum = connect(std::slice::from_ref(&url), once()).await;
        let lock = quorum.acquire("key:1", TTL).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        lock.extend(TTL).await.unwrap();
        lock.release().await.unwrap();
    }
}
