//! Each example does what it says, on real nodes.

use crate::support::*;
use redis_lock_harness::Cluster;
use std::path::PathBuf;
use std::process::Command;

/// Where an example is: `cargo test` builds them beside the tests.
pub fn path(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this test is a file");
    tests.ancestors().nth(2).expect("target/…/deps/it").join("examples").join(name)
}

/// What an example prints.
fn run(name: &str, arguments: &[String]) -> String {
    let output = Command::new(path(name)).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{name}: {error}: run `cargo build --release --examples`"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

#[test]
fn take_work_release() {
    let cluster = Cluster::start(1);
    let printed = run("take_work_release", &cluster.urls());
    assert!(printed.contains("Lock released on 1 of 1 nodes."), "{printed}");
    hold_for_stranger(cluster.node(0), "resource_lock");
    let printed = run("take_work_release", &cluster.urls());
    assert!(printed.contains("Resource is locked"), "{printed}");
}

#[test]
fn three_nodes() {
    let cluster = Cluster::start(3);
    cluster.node(1).kill();
    let printed = run("three_nodes", &cluster.urls());
    assert!(printed.contains("Lock released."), "{printed}");
    cluster.node(2).kill();
    let printed = run("three_nodes", &cluster.urls());
    assert!(printed.contains("Failed to acquire lock: no quorum"), "{printed}");
}

#[test]
fn renewal() {
    let cluster = Cluster::start(3);
    let printed = run("renewal", &cluster.urls());
    assert!(printed.contains("Step 6") && printed.contains("Task finished"), "{printed}");
}

#[test]
fn retry_with_fallback() {
    let cluster = Cluster::start(3);
    let printed = run("retry_with_fallback", &cluster.urls());
    assert!(printed.contains("Lock acquired on attempt 1."), "{printed}");
    for node in cluster.nodes() {
        hold_for_stranger(node, "resource_lock");
    }
    let printed = run("retry_with_fallback", &cluster.urls());
    assert!(printed.contains("after 3 attempts: serving the cached report"), "{printed}");
}

#[test]
fn monitor() {
    let cluster = Cluster::start(2);
    hold_for_stranger(cluster.node(1), "resource_lock");
    let printed = run("monitor", &[vec!["resource_lock".to_string()], cluster.urls()].concat());
    assert!(printed.contains(&format!("{}: unlocked", cluster.node(0).url())), "{printed}");
    assert!(printed.contains(&format!("{}: locked by {STRANGER} for ", cluster.node(1).url())), "{printed}");
}

#[test]
fn latency() {
    let cluster = Cluster::start(1);
    let printed = run("latency", &cluster.urls());
    assert!(printed.contains("multi-thread: acquire p50"), "{printed}");
}
