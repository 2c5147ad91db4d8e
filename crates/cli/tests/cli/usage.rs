//! Wrong use: a clear message, a status of its own, and no side effect.

use crate::support::*;
use redis_lock_harness::{Cluster, Server};

#[test]
fn a_wrong_url_or_option_is_told_and_nothing_is_done() {
    let cluster = Cluster::start(1);
    let url = &cluster.urls()[0];
    let touch = ["--", "echo", "not to be seen"];
    for (arguments, code, message) in [
        (&["--node", "nonsense"][..], 64, "URL of node 2 is wrong"),
        (&["--node", "http://localhost"], 64, "URL of node 2 is wrong"),
        (&["--node", url], 64, "listed twice"),
        (&["--grace", "20s"], 64, "--grace 20s is too long for --ttl 30s"),
        (&["--ttl", "1ms"], 64, "too short"),
        (&["--ttl", "soon"], 2, "A duration looks like"),
        (&["--wait", "-5"], 2, "'-5'"),
        (&["--wait", "5 apples"], 2, "A duration looks like"),
        (&["--key", ""], 2, "--key <NAME>"),
        (&["--limit", "0"], 2, "--limit"),
        (&["--limit", "2", "--shared"], 2, "cannot be used with"),
        (&["--no-such-option"], 2, "unexpected argument '--no-such-option'"),
        (&["--meta", &"x".repeat(513)], 64, "at most 512"),
    ] {
        let all = arguments.iter().copied().chain(touch);
        let outcome = run(std::slice::from_ref(url), all).outcome();
        assert_eq!((outcome.code(), outcome.out.as_str()), (code, ""), "{arguments:?}: {outcome:?}");
        assert!(outcome.err.contains(message), "{arguments:?}: {outcome:?}");
        assert!(owners(cluster.node(0), KEY).is_empty());
    }
    assert_eq!(cluster.node(0).server().info_u64("lock", "lock_acquired"), 0);
}

#[test]
fn what_the_servers_refuse_for_good_is_told_at_once() {
    let strict = Server::builder().tcp().config("lock.max-ttl", "1000").start();
    let plain = Server::builder().tcp().without_module().start();
    for (server, message) in [
        (
            &strict,
            "ERR ttl must be between 1 and 1000 milliseconds (lock.max-ttl there is lower than this ttl)",
        ),
        (&plain, "(the module is not loaded there)"),
    ] {
        let url = format!("redis://127.0.0.1:{}", server.port());
        // Longer than anybody waits for a test.
        let outcome = run(&[url], ["--wait", "1h", "--", "echo", "not to be seen"]).outcome();
        assert_eq!((outcome.code(), outcome.out.as_str()), (69, ""), "{outcome:?}");
        assert!(outcome.err.contains(message), "{outcome:?}");
        assert!(!outcome.err.contains("waiting"), "{outcome:?}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (arguments, message) in [
        (&["run", "--key", "k", "--", "true"][..], "--node"),
        (&["run", "--node", "redis://127.0.0.1:1", "--", "true"], "--key"),
        (&["run", "--node", "redis://127.0.0.1:1", "--key", "k"], "COMMAND"),
        (&["watch"], "--node"),
        (&["nonsense"], "nonsense"),
        (&[], "Usage"),
    ] {
        let mut command = program();
        command.args(arguments);
        let outcome = start(command).outcome();
        assert_eq!(outcome.code(), 2, "{arguments:?}: {outcome:?}");
        assert!(outcome.err.contains(message), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn no_nodes_in_the_environment_is_told() {
    for nodes in ["", " "] {
        let mut command = program();
        command.env("REDIS_LOCK_NODES", nodes).args(["run", "--key", KEY, "--", "true"]);
        let outcome = start(command).outcome();
        assert_eq!(outcome.code(), 64, "{outcome:?}");
        assert!(outcome.err.contains("REDIS_LOCK_NODES is set, but empty"), "{outcome:?}");
    }
}

/// A comma is what several URLs are told apart by.
#[test]
fn a_comma_in_a_password_is_told() {
    for url in ["redis://:sec,ret@127.0.0.1:1", "redis://user:sec,r,et@127.0.0.1:1"] {
        let outcome = run(&[url.into()], ["--", "true"]).outcome();
        assert_eq!(outcome.code(), 64, "{outcome:?}");
        assert!(outcome.err.contains("%2C"), "{outcome:?}");
        assert!(!outcome.err.contains("sec") && !outcome.err.contains("et@"), "{outcome:?}");
    }
}

#[test]
fn a_password_is_not_shown() {
    let outcome = run(&["redis://:secret@127.0.0.1:1".into()], ["--wait", "0s", "--", "true"]).outcome();
    assert_eq!(outcome.code(), 75);
    assert!(outcome.err.contains("127.0.0.1:1") && !outcome.err.contains("secret"), "{outcome:?}");
}
