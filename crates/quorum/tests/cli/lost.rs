//! `redis-lock run`: the lock goes on while the command runs, and the command does not go on without it.

use crate::support::*;
use redis_lock_harness::{Cluster, Node, eventually};
use std::io::{self, Write};
use std::os::fd::AsRawFd;

#[test]
fn it_is_renewed_beyond_the_ttl() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        let mut program = run(&cluster.urls(), ["--ttl", "1s", "--", "sh", "-c", "echo ready; cat"]);
        program.says("ready");
        let before = owners(cluster.node(0), KEY);
        eventually(BOUND, || {
            let info = cluster.node(0).server().connect().run(["LOCK.INFO", KEY]);
            info.get("holders").array()[0].get("held-ms").int() > 2_500
        });
        assert_eq!(owners(cluster.node(0), KEY), before);
        let outcome = program.outcome();
        assert_eq!((outcome.code(), outcome.err.as_str()), (0, ""), "{outcome:?}");
    }
}

/// Taken away on the server, it may have been someone else's by the next renewal: it is not taken again.
#[test]
fn a_lock_that_was_deleted_is_lost() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        let mut program =
            run(&cluster.urls(), ["--ttl", "1500ms", "--", "sh", "-c", "echo ready; exec sleep 60"]);
        program.says("ready");
        for node in cluster.nodes() {
            node.server().connect().run(["DEL", KEY]);
        }
        let outcome = program.outcome();
        assert_eq!(outcome.code(), 76, "{outcome:?}");
        assert!(outcome.err.contains("had lost it"), "{outcome:?}");
    }
}

/// Two processes that do not listen to SIGTERM, one the child of the other; both tell their numbers.
const STUBBORN: &str = r#"
    trap '' TERM INT
    sh -c 'trap "" TERM; echo inner $$ end; while :; do sleep 0.1; done' &
    echo outer $$ end
    while :; do sleep 0.1; done"#;

/// The number that a process of the script told.
#[track_caller]
fn number(program: &mut Program, name: &str) -> String {
    eventually(BOUND, || {
        let out = program.out();
        let (_, rest) = out.split_once(&format!("{name} "))?;
        rest.split_once(" end").map(|(number, _)| number.to_owned())
    })
}

#[test]
fn a_lost_lock_ends_the_command_and_its_children_before_others_can_have_it() {
    let cluster = Cluster::start(3);
    let mut program = run(&cluster.urls(), ["--ttl", "6s", "--", "sh", "-c", STUBBORN]);
    let processes = [number(&mut program, "outer"), number(&mut program, "inner")];
    assert!(processes.iter().all(|process| is_running(process)));
    // The nodes live on and keep their holds: so it can be seen when those end.
    cluster.nodes().iter().for_each(|node| node.proxy().freeze());
    eventually(BOUND, || processes.iter().all(|process| !is_running(process)));
    let left = |node: &Node| node.server().connect().run(["LOCK.TTL", KEY]).int();
    let left: Vec<i64> = cluster.nodes().iter().map(left).collect();
    // Others need two nodes that are free.
    assert!(
        left.iter().filter(|left| **left > 0).count() >= 2,
        "holds had ended before the command: {left:?}"
    );
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 76, "{outcome:?}");
    assert!(outcome.err.contains("can't be renewed at the moment"), "{outcome:?}");
    assert!(outcome.err.contains("no answer within"), "{outcome:?}");
    assert!(outcome.err.contains("the lock is lost"), "{outcome:?}");
}

#[test]
fn a_command_that_listens_has_time_to_end_in_order() {
    let cluster = Cluster::start(3);
    let script = "trap 'echo cleaned up; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    let mut program = run(&cluster.urls(), ["--ttl", "3s", "--", "sh", "-c", script]);
    program.says("ready");
    (0..2).for_each(|node| cluster.node(node).kill());
    let outcome = program.outcome();
    assert_eq!((outcome.code(), outcome.out.as_str()), (76, "ready\ncleaned up\n"), "{outcome:?}");
    for node in &cluster.urls()[..2] {
        assert!(outcome.err.contains(node.trim_start_matches("redis://")), "{outcome:?}");
    }
}

#[test]
fn one_node_less_is_no_reason_to_stop() {
    let cluster = Cluster::start(3);
    let mut program = run(&cluster.urls(), ["--ttl", "1s", "--", "sh", "-c", "echo ready; cat"]);
    program.says("ready");
    cluster.node(0).kill();
    eventually(BOUND, || {
        let info = cluster.node(1).server().connect().run(["LOCK.INFO", KEY]);
        info.get("holders").array()[0].get("held-ms").int() > 2_000
    });
    assert_eq!(program.outcome().code(), 0);
}

#[test]
fn a_lock_that_others_took_ends_the_command() {
    let cluster = Cluster::start(3);
    let mut program = run(&cluster.urls(), ["--ttl", "2s", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    program.says("ready");
    for node in cluster.nodes() {
        node.server().connect().run(["DEL", KEY]);
    }
    hold_for_stranger(cluster.nodes());
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 76, "{outcome:?}");
    assert!(outcome.err.contains("had lost it") || outcome.err.contains("others hold it"), "{outcome:?}");
    nothing_is_left(&cluster);
}

#[test]
fn a_program_that_was_stopped_too_long_ends_the_command_when_it_goes_on() {
    let cluster = Cluster::start(1);
    let mut program =
        run(&cluster.urls(), ["--ttl", "1s", "--", "sh", "-c", "echo $$ ready; exec sleep 1000"]);
    program.says("ready");
    program.signal(libc::SIGSTOP);
    eventually(BOUND, || owners(cluster.node(0), KEY).is_empty());
    program.signal(libc::SIGCONT);
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 76, "{outcome:?}");
}

#[test]
fn the_command_does_not_outlive_a_program_that_was_killed() {
    let cluster = Cluster::start(1);
    let mut program = run(&cluster.urls(), ["--", "sh", "-c", "echo outer $$ end; exec sleep 1000"]);
    let process = number(&mut program, "outer");
    program.signal(libc::SIGKILL);
    eventually(BOUND, || !is_running(&process));
}

/// Whatever it started, wherever that is by then, and also under a lock of its own.
#[cfg(target_os = "linux")]
#[test]
fn what_the_command_started_does_not_outlive_a_program_that_was_killed() {
    let cluster = Cluster::start(1);
    let url = &cluster.urls()[0];
    let script = r#"
        setsid sh -c 'trap "" TERM HUP; echo far $$ end; while :; do sleep 0.1; done' &
        "$0" run --node "$1" --key another -- sh -c 'sleep 1000 & echo nested $! end; wait' &
        sleep 1000 & echo near $! end
        wait"#;
    let program_itself = env!("CARGO_BIN_EXE_redis-lock");
    let mut program = run(std::slice::from_ref(url), ["--", "sh", "-c", script, program_itself, url]);
    let processes = ["far", "near", "nested"].map(|name| number(&mut program, name));
    program.signal(libc::SIGKILL);
    eventually(BOUND, || !processes.iter().any(|process| is_running(process)));
    program.says("redis-lock run was killed");
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_command_left_in_the_background_runs_on_and_the_guard_does_not() {
    let cluster = Cluster::start(1);
    // Not with the test's pipes, which it would keep open.
    let script = "sleep 1000 > /dev/null 2>&1 & echo left $! end; cat";
    let mut program = run(&cluster.urls(), ["--", "sh", "-c", script]);
    let left = number(&mut program, "left");
    let guard = guard_of(program.id());
    assert!(is_running(&guard));
    let outcome = program.outcome();
    assert_eq!((outcome.code(), outcome.err.as_str()), (0, ""), "{outcome:?}");
    eventually(BOUND, || !is_running(&guard));
    assert!(is_running(&left));
    kill(left.parse().expect("a number"), libc::SIGKILL);
}

/// The number of the process that watches over another one.
#[cfg(target_os = "linux")]
fn guard_of(parent: u32) -> String {
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let read = |process: &str, file: &str| {
        std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default()
    };
    let is_guard = |process: &String| {
        read(process, "cmdline").contains("\0guard\0")
            && read(process, "status").lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    numbers.find(is_guard).expect("there is a guard")
}

#[test]
fn processes_that_were_there_before_are_left_alone() {
    let cluster = Cluster::start(1);
    let mut command = std::process::Command::new("sh");
    listen_to_signals(&mut command);
    let script = r#"sleep 1000 & echo before $! end; exec "$0" "$@""#;
    command.args(["-c", script, env!("CARGO_BIN_EXE_redis-lock"), "run", "--node", &cluster.urls()[0]]);
    command.args(["--key", KEY, "--ttl", "1s", "--", "sh", "-c", "echo after $$ end; sleep 1000 & wait"]);
    let mut program = start(command);
    let before = number(&mut program, "before");
    let after = number(&mut program, "after");
    cluster.node(0).kill();
    eventually(BOUND, || !is_running(&after));
    program.says("the lock is lost");
    assert!(is_running(&before));
    kill(before.parse().expect("a number"), libc::SIGKILL);
    assert_eq!(program.outcome().code(), 76);
}

/// A pipe that takes nothing more, and its other end.
fn full_pipe() -> (io::PipeReader, io::PipeWriter) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let set_flags = |flags: libc::c_int| {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) }, 0);
    };
    set_flags(libc::O_NONBLOCK);
    // Bit by bit: a larger piece is taken as a whole or not at all.
    let mut fill = &writer;
    while fill.write(b"x").is_ok() {}
    set_flags(0);
    (reader, writer)
}

#[test]
fn the_command_is_ended_also_when_nobody_reads_why() {
    let cluster = Cluster::start(1);
    let (_reader, writer) = full_pipe();
    let mut command = program();
    command.args(["run", "--node", &cluster.urls()[0], "--key", KEY, "--ttl", "2s", "--", "sleep", "1000"]);
    let mut child = command.stderr(writer).spawn().expect("the program is built");
    eventually(BOUND, || !owners(cluster.node(0), KEY).is_empty());
    cluster.node(0).kill();
    let status = eventually(BOUND, || child.try_wait().expect("it can be waited for"));
    assert_eq!(status.code(), Some(76));
}
