//! `redis-lock run` that is killed, or stands still: another process ends the command then.

use crate::support::*;
use redis_lock_harness::{Cluster, eventually};

/// Whatever it started, wherever that is by then, and also under a lock of its own.
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

#[test]
fn what_the_command_left_in_the_background_runs_on_and_the_watchdog_does_not() {
    let cluster = Cluster::start(1);
    // Not with the test's pipes, which it would keep open.
    let script = "sleep 1000 > /dev/null 2>&1 & echo left $! end; cat";
    let mut program = run(&cluster.urls(), ["--", "sh", "-c", script]);
    let left = number(&mut program, "left");
    let watchdog = watchdog_of(program.id());
    assert!(is_running(&watchdog));
    let outcome = program.outcome();
    assert_eq!((outcome.code(), outcome.err.as_str()), (0, ""), "{outcome:?}");
    eventually(BOUND, || !is_running(&watchdog));
    assert!(is_running(&left));
    kill(left.parse().expect("a number"), libc::SIGKILL);
}

/// How long the lock was held already.
fn held_ms(cluster: &Cluster) -> i64 {
    let info = cluster.node(0).server().connect().run(["LOCK.INFO", KEY]);
    info.get("holders").array()[0].get("held-ms").int()
}

/// Waits for the end of the processes, and asserts that nobody else could have had the lock before.
#[track_caller]
fn end_under_the_lock(cluster: &Cluster, processes: &[String]) {
    let mut client = cluster.node(0).server().connect();
    let left = eventually(BOUND, || {
        let left = client.run(["LOCK.TTL", KEY]).int();
        (!processes.iter().any(|process| is_running(process))).then_some(left)
    });
    assert!(left > 0, "others could have the lock before the command had ended");
}

/// Whether all of the command can be found by its environment, or some of it only by its parents.
#[test]
fn a_command_does_not_go_on_beside_the_next_holder_of_a_lock_whose_program_stands_still() {
    for program_and_option in [&["env", "-i", "sh", "-c"][..], &["sh", "-c"]] {
        let cluster = Cluster::start(1);
        let command =
            ["--ttl", "6s", "--"].into_iter().chain(program_and_option.iter().copied()).chain([STUBBORN]);
        let mut program = run(&cluster.urls(), command);
        let processes = ["outer", "inner"].map(|name| number(&mut program, name));
        // After a renewal: the latest end counts.
        eventually(BOUND, || held_ms(&cluster) > 3_500);
        program.signal(libc::SIGSTOP);
        end_under_the_lock(&cluster, &processes);
        // Even if the lock is still valid: it was not the command that ended this.
        program.signal(libc::SIGCONT);
        let outcome = program.outcome();
        assert_eq!(outcome.code(), 76, "{outcome:?}");
        assert!(outcome.err.contains("stood still"), "{outcome:?}");
    }
}

#[test]
fn a_command_whose_program_stands_still_has_time_to_end_in_order() {
    let cluster = Cluster::start(1);
    let script = "trap 'echo cleaned up; exit 0' TERM; echo outer $$ end; while :; do sleep 0.1; done";
    let mut program = run(&cluster.urls(), ["--ttl", "6s", "--", "sh", "-c", script]);
    let process = number(&mut program, "outer");
    program.signal(libc::SIGSTOP);
    end_under_the_lock(&cluster, &[process]);
    assert!(program.out().contains("cleaned up"), "ended without being asked to");
    program.signal(libc::SIGCONT);
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 76, "{outcome:?}");
    assert!(outcome.err.contains("stood still"), "{outcome:?}");
}

/// The program has asked the command to end, and can't see to it that it does.
#[test]
fn an_end_that_was_begun_is_brought_to_its_end() {
    for signal in [libc::SIGSTOP, libc::SIGKILL] {
        let cluster = Cluster::start(1);
        let mut program = run(&cluster.urls(), ["--ttl", "8s", "--", "sh", "-c", STUBBORN]);
        let processes = ["outer", "inner"].map(|name| number(&mut program, name));
        // The node lives on and keeps its hold: so it can be seen when that ends.
        cluster.node(0).proxy().freeze();
        program.says("the lock is lost");
        program.signal(signal);
        end_under_the_lock(&cluster, &processes);
    }
}

/// What the program has told it meanwhile counts.
#[test]
fn a_watchdog_that_stood_still_itself_does_no_harm() {
    let cluster = Cluster::start(1);
    let mut program = run(&cluster.urls(), ["--ttl", "1s", "--", "sh", "-c", "echo ready; cat"]);
    program.says("ready");
    let watchdog = watchdog_of(program.id()).parse().expect("a number");
    kill(watchdog, libc::SIGSTOP);
    let held = held_ms(&cluster);
    eventually(BOUND, || held_ms(&cluster) > held + 2_000);
    kill(watchdog, libc::SIGCONT);
    eventually(BOUND, || held_ms(&cluster) > held + 3_000);
    let outcome = program.outcome();
    assert_eq!((outcome.code(), outcome.err.as_str()), (0, ""), "{outcome:?}");
}

/// As `pkill redis-lock` sends it to both.
#[test]
fn a_watchdog_that_is_asked_to_end_stays_with_its_program() {
    let cluster = Cluster::start(1);
    let mut program = run(&cluster.urls(), ["--", "sh", "-c", STUBBORN]);
    let processes = ["outer", "inner"].map(|name| number(&mut program, name));
    let watchdog: u32 = watchdog_of(program.id()).parse().expect("a number");
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        kill(watchdog, signal);
    }
    program.signal(libc::SIGKILL);
    eventually(BOUND, || !processes.iter().any(|process| is_running(process)));
}
