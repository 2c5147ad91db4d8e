//! `redis-lock run`: statuses, signals, what the command finds, and that nothing is left.

use crate::support::*;
use redis_lock_harness::{Cluster, Node, Way, eventually};
use std::io::Write;
use std::time::Duration;

#[test]
fn the_command_s_own_status_and_nothing_left() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
            let outcome = run(&cluster.urls(), ["--", "sh", "-c", script]).outcome();
            assert_eq!(outcome.code(), code, "{script}: {outcome:?}");
            assert_eq!(outcome.err, "", "{script}");
            for node in cluster.nodes() {
                assert_eq!(owners(node, KEY), [""; 0], "released when it ends, not later");
            }
        }
    }
}

#[test]
fn it_is_held_under_the_token_that_the_command_finds() {
    let cluster = Cluster::start(3);
    let script = "echo $REDIS_LOCK_FENCE; cat";
    let mut program = run(&cluster.urls(), ["--meta", "nightly", "--", "sh", "-c", script]);
    eventually(BOUND, || program.out().contains('\n'));
    let token: i64 = program.out().trim().parse().expect("a token");
    // A node may hold it under a higher one, that is no harm; one that was not needed, under any.
    let info = |node: &Node| node.server().connect().run(["LOCK.INFO", KEY]);
    assert!(cluster.nodes().iter().filter(|node| info(node).get("fence").int() >= token).count() >= 2);
    for info in cluster.nodes().iter().map(info) {
        assert_eq!(info.get("holders").array()[0].get("meta").text(), "nightly");
    }
    let refused = run(&cluster.urls(), ["--wait", "0s", "--", "true"]).outcome();
    assert_eq!(refused.code(), 75, "{refused:?}");
    let stdin = program.stdin.as_mut().expect("it is piped");
    stdin.write_all(b"to standard input\n").expect("the command reads");
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 0);
    assert!(outcome.out.ends_with("to standard input\n"), "{outcome:?}");
}

#[test]
fn not_acquired_in_time() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        hold_for_stranger(cluster.nodes());
        let outcome = run(&cluster.urls(), ["--wait", "300ms", "--", "echo", "not to be seen"]).outcome();
        assert_eq!((outcome.code(), outcome.out.as_str()), (75, ""), "{outcome:?}");
        assert!(outcome.err.contains("report is locked; waiting up to 300ms ("), "{outcome:?}");
        assert!(outcome.err.contains("the command was not run"), "{outcome:?}");
        assert!(outcome.err.contains("held by another owner"), "{outcome:?}");
        nothing_is_left(&cluster);
    }
}

/// As timeout(1) has it.
#[test]
fn bare_numbers_are_seconds() {
    let cluster = Cluster::start(1);
    hold_for_stranger(cluster.nodes());
    let outcome = run(&cluster.urls(), ["--wait", "0.3", "--ttl", "20", "--", "true"]).outcome();
    assert_eq!(outcome.code(), 75, "{outcome:?}");
    assert!(outcome.err.contains("report is locked; waiting up to 300ms ("), "{outcome:?}");
}

/// A connection is given two seconds, but not more than there is to wait, and one second at least.
#[test]
fn a_server_that_stands_still_is_not_waited_for_beyond_the_wait() {
    let cluster = Cluster::start(1);
    cluster.node(0).freeze();
    for (wait, connect) in [("0", "1000 ms"), ("1.5", "1500 ms")] {
        let outcome = run(&cluster.urls(), ["--wait", wait, "--", "true"]).outcome();
        assert_eq!(outcome.code(), 75, "{outcome:?}");
        assert!(outcome.err.contains(&format!("none was there after {connect}")), "{outcome:?}");
    }
    cluster.node(0).thaw();
}

#[test]
fn nodes_that_are_far_away_need_more_time() {
    let cluster = Cluster::start(3);
    let slow = |ms| {
        cluster.nodes().iter().for_each(|node| node.proxy().delay(Way::ToServer, Duration::from_millis(ms)))
    };
    slow(120);
    let outcome = run(&cluster.urls(), ["--wait", "1", "--", "echo", "not to be seen"]).outcome();
    assert_eq!((outcome.code(), outcome.out.as_str()), (75, ""), "{outcome:?}");
    assert!(outcome.err.contains("may take longer with --node-timeout"), "{outcome:?}");
    let patient = ["--node-timeout", "5", "--", "echo", "done"];
    let outcome = run(&cluster.urls(), patient).outcome();
    assert_eq!((outcome.code(), outcome.out.as_str()), (0, "done\n"), "{outcome:?}");
    // To be connected takes more than one answer does.
    let outcome = run(&cluster.urls(), ["--node-timeout", "0.2", "--", "echo", "done"]).outcome();
    assert_eq!((outcome.code(), outcome.out.as_str()), (0, "done\n"), "{outcome:?}");
    // One alone is given time without that.
    let outcome = run(&cluster.urls()[..1], ["--", "echo", "done"]).outcome();
    assert_eq!((outcome.code(), outcome.out.as_str()), (0, "done\n"), "{outcome:?}");
}

#[test]
fn too_many_nodes_down_are_named() {
    let cluster = Cluster::start(3);
    (0..2).for_each(|node| cluster.node(node).kill());
    let outcome = run(&cluster.urls(), ["--wait", "0s", "--", "true"]).outcome();
    assert_eq!(outcome.code(), 75);
    for node in &cluster.urls()[..2] {
        assert!(outcome.err.contains(node.trim_start_matches("redis://")), "{outcome:?}");
    }
    nothing_is_left_on_the_last(&cluster);
}

fn nothing_is_left_on_the_last(cluster: &Cluster) {
    eventually(BOUND, || owners(cluster.node(2), KEY).is_empty());
}

#[test]
fn it_waits_and_runs_when_the_lock_is_free() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        hold_for_stranger(cluster.nodes());
        let mut program = run(&cluster.urls(), ["--", "echo", "my turn"]);
        program.says("waiting up to 1m");
        release_of_stranger(cluster.nodes());
        let outcome = program.outcome();
        assert_eq!((outcome.code(), outcome.out.as_str()), (0, "my turn\n"), "{outcome:?}");
    }
}

#[test]
fn signals_are_passed_on() {
    let cluster = Cluster::start(1);
    let script = r#"
        for signal in HUP INT QUIT TERM USR1 USR2 ALRM; do trap "echo got $signal; exit 7" $signal; done
        echo ready; while :; do sleep 0.05; done"#;
    for (signal, name) in [
        (libc::SIGHUP, "HUP"),
        (libc::SIGINT, "INT"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGTERM, "TERM"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
        (libc::SIGALRM, "ALRM"),
    ] {
        let mut program = run(&cluster.urls(), ["--", "sh", "-c", script]);
        program.says("ready");
        program.signal(signal);
        program.says(&format!("got {name}\n"));
        let outcome = program.outcome();
        assert_eq!(outcome.code(), 7, "{outcome:?}");
        assert_eq!(owners(cluster.node(0), KEY), [""; 0]);
    }
}

#[test]
fn a_command_ended_by_a_signal_leaves_no_lock() {
    let cluster = Cluster::start(3);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut program = run(&cluster.urls(), ["--", "sh", "-c", "echo ready; exec sleep 1000"]);
        program.says("ready");
        program.signal(signal);
        assert_eq!(program.outcome().code(), 128 + signal);
        for node in cluster.nodes() {
            assert_eq!(owners(node, KEY), [""; 0]);
        }
    }
}

#[test]
fn a_signal_while_it_waits_leaves_no_lock_and_no_place_in_line() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        hold_for_stranger(cluster.nodes());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let mut program = run(&cluster.urls(), ["--", "echo", "not to be seen"]);
            program.says("waiting up to 1m");
            if nodes == 1 {
                eventually(BOUND, || owners(cluster.node(0), KEY).len() == 2);
            }
            program.signal(signal);
            let outcome = program.outcome();
            assert_eq!((outcome.code(), outcome.out.as_str()), (128 + signal, ""), "{outcome:?}");
            nothing_is_left(&cluster);
        }
    }
}

#[test]
fn a_command_that_does_not_exist_or_can_t_be_run() {
    let cluster = Cluster::start(3);
    for (command, code) in
        [("/no/such/command", 127), ("no-such-command-anywhere", 127), ("/etc/passwd", 126)]
    {
        let outcome = run(&cluster.urls(), ["--", command]).outcome();
        assert_eq!(outcome.code(), code, "{outcome:?}");
        assert!(outcome.err.contains(command), "{outcome:?}");
        for node in cluster.nodes() {
            assert_eq!(owners(node, KEY), [""; 0]);
        }
    }
}

#[test]
fn shared_and_limited_locks_let_others_in() {
    let cluster = Cluster::start(3);
    let hold = ["--", "sh", "-c", "echo ready; cat"];
    for (kind, fits) in [(&["--shared"][..], 3), (&["--limit", "2"][..], 2)] {
        let start = || run(&cluster.urls(), kind.iter().copied().chain(["--wait", "20s"]).chain(hold));
        let mut programs: Vec<_> = (0..fits).map(|_| start()).collect();
        programs.iter_mut().for_each(|program| program.says("ready"));
        let other = run(&cluster.urls(), ["--wait", "0s", "--", "true"]).outcome();
        assert_eq!(other.code(), 75, "exclusive beside {kind:?}: {other:?}");
        if fits == 2 {
            let third = run(&cluster.urls(), ["--limit", "2", "--wait", "0s", "--", "true"]).outcome();
            assert_eq!(third.code(), 75, "{third:?}");
            assert!(third.err.contains("needs all of them"), "{third:?}");
        }
        assert!(programs.into_iter().all(|program| program.outcome().code() == 0));
    }
}

#[test]
fn several_keys_are_one_lock() {
    let cluster = Cluster::start(3);
    let script = "echo ready; cat";
    let mut program = run(&cluster.urls(), ["--key", "second", "--", "sh", "-c", script]);
    program.says("ready");
    for node in cluster.nodes() {
        assert_eq!(owners(node, KEY), owners(node, "second"));
        assert_eq!(owners(node, KEY).len(), 1);
    }
    assert_eq!(program.outcome().code(), 0);
    assert!(owners(cluster.node(0), "second").is_empty());
}

#[test]
fn nodes_can_come_from_the_environment() {
    let cluster = Cluster::start(3);
    let mut command = program();
    command.env("REDIS_LOCK_NODES", cluster.urls().join(","));
    command.args(["run", "--key", KEY, "--", "sh", "-c", "echo ready; cat"]);
    let mut program = start(command);
    program.says("ready");
    assert!(cluster.nodes().iter().all(|node| owners(node, KEY).len() == 1));
    assert_eq!(program.outcome().code(), 0);
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let cluster = Cluster::start(1);
    let mut command = std::process::Command::new("nohup");
    listen_to_signals(&mut command);
    command.arg(env!("CARGO_BIN_EXE_redis-lock")).args(["run", "--node", &cluster.urls()[0], "--key", KEY]);
    command.args(["--", "sh", "-c", "echo ready; cat"]);
    let mut program = start(command);
    program.says("ready");
    program.signal(libc::SIGHUP);
    let stdin = program.stdin.as_mut().expect("it is piped");
    stdin.write_all(b"still there\n").expect("the command reads");
    program.says("still there");
    assert_eq!(program.outcome().code(), 0);
}
