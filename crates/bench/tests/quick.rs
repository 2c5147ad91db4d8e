//! The benchmark runs, and measures what it says. What the figures are is no test's business.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redis-lock-bench"))
        .args(arguments)
        .output()
        .expect("the benchmark starts")
}

#[test]
fn every_measurement_prints_its_figures() {
    let output = bench(&["--quick"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for row in [
        "LOCK.ACQUIRE + LOCK.RELEASE  ",
        "SET NX PX + EVALSHA  ",
        "SHARED  ",
        "extend (one command)  ",
        "lock, owner of 36 bytes  ",
        "acquire + release, 1,000 names, 20,000 held  ",
        "max, 20,000 others held  ",
        "LOCK.RELEASE + LOCK.ACQUIRE BLOCK, wall, 200 clients  ",
        "RPUSH + BLPOP, server CPU, 20 clients  ",
        "LOCK.ACQUIRE … BLOCK 0: bytes a waiter  ",
        "longest PING meanwhile, ms, 200 clients  ",
        "LOCK.ACQUIRE BLOCK: p99 wait, ms  ",
        "SET NX PX, sleep 100 ms: acquires a second  ",
        "redis-lock, 5 nodes: acquire, p50  ",
        "rslock, 3 nodes: release, p99  ",
        "3 nodes, 32 clients, hold 1ms, redis-lock: p99 / p50  ",
        "5 nodes, 8 clients, hold 0ns, rslock: p99 / p50  ",
        "3 nodes, nothing happens: longest wait  ",
    ] {
        let line =
            text.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("no {row:?} in {text}"));
        let figure = line.split(row).nth(1).and_then(|rest| rest.split_whitespace().next());
        let figure: f64 = figure.and_then(|figure| figure.parse().ok()).unwrap_or(f64::NAN);
        // So few are let in at once that a PING need not notice it.
        let least = if row.starts_with("longest PING") { 0.0 } else { f64::MIN_POSITIVE };
        assert!(figure >= least && figure.is_finite(), "{line}");
    }
    assert!(text.contains(" of 52 bounds kept"), "{text}");
}

#[test]
fn an_unknown_argument_is_refused_with_the_usage() {
    for argument in ["--slow", "memories"] {
        let output = bench(&[argument]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: "), "{output:?}");
    }
}
