//! `redis-lock demo`: it tells its story, and nothing is left of it.

use crate::support::*;
use redis_lock_harness::{eventually, module_path};
use std::path::Path;
use std::process::Stdio;

fn demo() -> Program {
    let mut command = program();
    command.args(["demo", "--fast", "--module"]).arg(module_path());
    start(command)
}

/// The directory of its servers.
#[track_caller]
fn dir(program: &mut Program) -> String {
    program.says("node 1");
    let out = program.out();
    let (_, rest) = out.split_once("unix sockets in ").expect("it says where");
    rest.lines().next().expect("a line").to_owned()
}

/// How many processes have this in their title or arguments.
fn processes_of(dir: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let names = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    names.filter(|name| String::from_utf8_lossy(name).contains(dir)).count()
}

#[test]
fn the_whole_story() {
    let mut program = demo();
    let dir = dir(&mut program);
    let outcome = program.outcome();
    assert_eq!((outcome.code(), outcome.err.as_str()), (0, ""), "{outcome:?}");
    for part in [
        "Alice has \"nightly-report\"",
        "Bob wants it too: refused, others hold it",
        "Bob tries again: three that Alice holds are left: refused",
        "Alice renews it",
        "Bob has it, under token",
        "Bob can't renew it",
        "before anybody else could have it",
        "better nobody than two at once",
    ] {
        assert!(outcome.out.contains(part), "{part}: {}", outcome.out);
    }
    assert_eq!(processes_of(&dir), 0);
    assert!(!Path::new(&dir).exists());
}

#[test]
fn it_ends_when_nobody_reads_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = program();
    command.args(["demo", "--fast", "--module"]).arg(module_path()).env("TMPDIR", dir.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it is built");
    drop(child.stdout.take());
    let outcome = child.wait_with_output().expect("it can be waited for");
    let err = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(69), "{err}");
    assert!(err.starts_with("redis-lock: can't write to standard output"), "{err}");
    assert_eq!(processes_of(dir.path().to_str().expect("text")), 0);
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0);
}

#[test]
fn any_directory_will_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let odd = dir.path().join("100%41 #odd?db=1");
    std::fs::create_dir(&odd).expect("it can be made");
    let mut command = program();
    command.args(["demo", "--fast", "--module"]).arg(module_path()).env("TMPDIR", &odd);
    let outcome = start(command).outcome();
    assert_eq!((outcome.code(), outcome.err.as_str()), (0, ""), "{outcome:?}");
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let long = dir.path().join("x".repeat(100));
    std::fs::create_dir(&long).expect("it can be made");
    let mut command = program();
    command.args(["demo", "--fast", "--module"]).arg(module_path()).env("TMPDIR", &long);
    let outcome = start(command).outcome();
    assert_eq!((outcome.code(), outcome.out.as_str()), (69, ""), "{outcome:?}");
    assert!(outcome.err.contains("TMPDIR") && outcome.err.lines().count() == 1, "{outcome:?}");
    assert_eq!(std::fs::read_dir(&long).expect("it is there").count(), 0);
}

#[test]
fn nothing_is_left_after_ctrl_c() {
    let mut program = demo();
    let dir = dir(&mut program);
    assert!(processes_of(&dir) > 0);
    program.signal(libc::SIGINT);
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 130, "{outcome:?}");
    assert_eq!(processes_of(&dir), 0);
    assert!(!Path::new(&dir).exists());
}

#[test]
fn no_server_outlives_a_demo_that_was_killed() {
    let mut program = demo();
    let dir = dir(&mut program);
    program.signal(libc::SIGKILL);
    eventually(BOUND, || processes_of(&dir) == 0);
    std::fs::remove_dir_all(dir).expect("only files are left");
}

#[test]
fn what_is_missing_is_told() {
    for (arguments, message) in [
        (["--module", "/no/such/module.so"], "cargo build --release"),
        (["--server", "/no/such/server"], "give --server a redis-server or valkey-server"),
    ] {
        let mut command = program();
        command.arg("demo").args(arguments);
        let outcome = start(command).outcome();
        assert_eq!((outcome.code(), outcome.out.as_str()), (69, ""), "{outcome:?}");
        assert!(outcome.err.contains(message), "{outcome:?}");
    }
}
