//! `redis-lock run`: the lock goes on while the command runs, and the command does not go on without it.

use crate::support::*;
use redis_lock_harness::{Cluster, Node, Way, eventually};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

/// Deletes the lock on all nodes before the program hears of any: one node alone would be joined again.
fn delete_everywhere_and(cluster: &Cluster, then: impl FnOnce()) {
    cluster.nodes().iter().for_each(|node| node.proxy().hold(Way::ToClient));
    for node in cluster.nodes() {
        node.server().connect().run(["DEL", KEY]);
    }
    then();
    cluster.nodes().iter().for_each(|node| node.proxy().heal());
}

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

/// Others may have it by then: there is no time to end in order.
#[test]
fn a_lock_that_something_else_was_written_over_is_lost() {
    let cluster = Cluster::start(1);
    let script = "trap 'sleep 3; echo late' TERM; echo ready; sleep 1000 & wait";
    let mut program = run(&cluster.urls(), ["--ttl", "2m", "--", "sh", "-c", script]);
    program.says("ready");
    let node = cluster.node(0).server();
    eventually(BOUND, || node.info_u64("stats", "tracking_total_keys") > 0);
    node.connect().run(["SET", KEY, "text"]);
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 76, "{outcome:?}");
    assert!(!outcome.err.contains("is not released") && !outcome.out.contains("late"), "{outcome:?}");
}

/// Taken away on the server, it may have been someone else's by the next renewal: it is not taken again. The servers
/// tell of it: nobody waits for the next renewal, which is half a minute away.
#[test]
fn a_lock_that_was_deleted_is_known_to_be_lost_at_once() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes);
        let mut program =
            run(&cluster.urls(), ["--ttl", "2m", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
        program.says("ready");
        // Once the servers know that it is looked at.
        let tracked = |node: &Node| node.server().info_u64("stats", "tracking_total_keys") > 0;
        eventually(BOUND, || cluster.nodes().iter().all(tracked));
        delete_everywhere_and(&cluster, || {});
        let outcome = program.outcome();
        assert_eq!(outcome.code(), 76, "{outcome:?}");
        assert!(outcome.err.contains("had lost it"), "{outcome:?}");
    }
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
    delete_everywhere_and(&cluster, || hold_for_stranger(cluster.nodes()));
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 76, "{outcome:?}");
    assert!(
        outcome.err.contains("had lost it") || outcome.err.contains("held by another owner"),
        "{outcome:?}"
    );
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
fn full_pipe(blocks: bool) -> (io::PipeReader, io::PipeWriter) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let set_flags = |flags: libc::c_int| {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) }, 0);
    };
    set_flags(libc::O_NONBLOCK);
    // Bit by bit: a larger piece is taken as a whole or not at all.
    let mut fill = &writer;
    while fill.write(b"x").is_ok() {}
    set_flags(if blocks { 0 } else { libc::O_NONBLOCK });
    (reader, writer)
}

/// A message waits for its reader also where another program made the stream non-blocking.
#[test]
fn a_message_is_not_lost_because_its_reader_is_slow() {
    let cluster = Cluster::start(1);
    hold_for_stranger(cluster.nodes());
    let (mut reader, writer) = full_pipe(false);
    let mut command = program();
    command.args(["run", "--node", &cluster.urls()[0], "--key", KEY, "--wait", "20s", "--", "true"]);
    let mut child = command.stderr(writer).spawn().expect("the program is built");
    drop(command);
    // It says that it waits before it stands in line.
    eventually(BOUND, || cluster.node(0).server().info_u64("lock", "lock_waiting") == 1);
    let (mut told, mut piece) = (String::new(), [0; 4096]);
    while !told.contains("is locked; waiting up to 20s") {
        let count = reader.read(&mut piece).expect("it can be read");
        assert!(count > 0, "it ended without a word");
        told.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    kill(child.id(), libc::SIGTERM);
    eventually(BOUND, || child.try_wait().expect("it can be waited for"));
}

#[test]
fn the_command_is_ended_also_when_nobody_reads_why() {
    let cluster = Cluster::start(1);
    let (_reader, writer) = full_pipe(true);
    let mut command = program();
    command.args(["run", "--node", &cluster.urls()[0], "--key", KEY, "--ttl", "2s", "--", "sleep", "1000"]);
    let mut child = command.stderr(writer).spawn().expect("the program is built");
    eventually(BOUND, || !owners(cluster.node(0), KEY).is_empty());
    cluster.node(0).kill();
    let status = eventually(BOUND, || child.try_wait().expect("it can be waited for"));
    assert_eq!(status.code(), Some(76));
}

/// Ended from outside, a script leaves its current step: that goes on under the lock. Also if another script has
/// started that one, and ends by itself then, with the status that tells of a signal.
#[test]
fn the_lock_is_kept_until_all_that_was_ended_is_gone() {
    const WITHIN: &str = r#"sh -c "$0"; exit $?"#;
    for (target, ended_by, within) in
        [("program", libc::SIGTERM, false), ("outer", libc::SIGKILL, false), ("outer", libc::SIGKILL, true)]
    {
        let cluster = Cluster::start(1);
        let script = r#"sh -c 'trap "echo last words $$ end; exit" USR1; echo inner $$ end; while :; do sleep 0.05; done' &
            echo outer $$ end; wait; exit 1"#;
        let command = if within { [WITHIN, script] } else { [script, ""] };
        let mut program = run(&cluster.urls(), ["--", "sh", "-c"].into_iter().chain(command));
        let [outer, inner] = ["outer", "inner"].map(|name| number(&mut program, name));
        let target: u32 = if target == "program" { program.id() } else { outer.parse().expect("a number") };
        kill(target, ended_by);
        eventually(BOUND, || !is_running(&outer));
        // For some time, so that a release had time to come.
        for _ in 0..40 {
            assert_eq!(owners(cluster.node(0), KEY).len(), 1, "the step goes on, and so does the lock");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(is_running(&inner));
        kill(inner.parse().expect("a number"), libc::SIGUSR1);
        let outcome = program.outcome();
        assert_eq!(outcome.code(), 128 + ended_by, "{outcome:?}");
        assert!(outcome.out.contains("last words") && !is_running(&inner), "{outcome:?}");
        nothing_is_left(&cluster);
    }
}

#[test]
fn a_step_that_does_not_end_after_its_script_is_ended() {
    let cluster = Cluster::start(1);
    let mut program = run(&cluster.urls(), ["--grace", "200ms", "--", "sh", "-c", STUBBORN]);
    let [outer, inner] = ["outer", "inner"].map(|name| number(&mut program, name));
    kill(outer.parse().expect("a number"), libc::SIGKILL);
    eventually(BOUND, || {
        let held = !owners(cluster.node(0), KEY).is_empty();
        let ended = !is_running(&inner);
        assert!(held || ended, "released, and the step goes on");
        ended
    });
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 137, "{outcome:?}");
    assert!(outcome.err.contains("ending that too"), "{outcome:?}");
    nothing_is_left(&cluster);
}
