//! `redis-lock run` with a command that runs as another user, so that it can't be ended.
//!
//! Needs root, to run the program as somebody else: everybody else has no second user at hand.

use crate::support::*;
use redis_lock_harness::{Cluster, eventually};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const NOBODY: u32 = 65_534;
const SOURCE: &[u8] = b"#include <unistd.h>\nint main(void) { return setgid(0) || setuid(0) || pause(); }\n";
const REFUSED: &str = "runs as user 0: this program, as user 65534, may not signal it (EPERM)";

fn is_root() -> bool {
    // SAFETY: takes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        eprintln!("not run: it needs root to start a program as another user");
    }
    is_root
}

/// A copy of the program where everybody can read it, and a command that becomes root whoever starts it, as sudo does.
fn programs(folder: &Path) -> [PathBuf; 2] {
    let set_mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("its mode");
    };
    let [itself, as_root] = ["redis-lock", "sleep-as-root"].map(|name| folder.join(name));
    std::fs::copy(env!("CARGO_BIN_EXE_redis-lock"), &itself).expect("a copy");
    let mut compiler = Command::new("cc");
    compiler.args(["-x", "c", "-", "-o"]).arg(&as_root).stdin(Stdio::piped());
    let mut compiler = compiler.spawn().expect("there is a C compiler");
    compiler.stdin.take().expect("it is piped").write_all(SOURCE).expect("it reads");
    assert!(compiler.wait().expect("it ends").success());
    set_mode(folder, 0o755);
    set_mode(&itself, 0o755);
    set_mode(&as_root, 0o4755);
    [itself, as_root]
}

/// `redis-lock run` as nobody, with the command as root; and the command's process.
fn run_as_nobody(cluster: &Cluster, [itself, as_root]: &[PathBuf; 2]) -> (Program, String) {
    let mut command = Command::new(itself);
    listen_to_signals(&mut command);
    command.args(["run", "--node", &cluster.direct_urls()[0], "--key", KEY, "--ttl", "2s", "--"]);
    command.arg(as_root).uid(NOBODY).gid(NOBODY).current_dir("/");
    let program = start(command);
    let is_root = |process: &String| status(process).contains("Uid:\t0\t0");
    let child = eventually(BOUND, || child_of(program.id(), "sleep-as-root").filter(is_root));
    (program, child)
}

#[test]
fn a_command_of_another_user_is_named_and_waited_for_without_haste() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let programs = programs(folder.path());
    let cluster = Cluster::start(1);
    let (mut program, child) = run_as_nobody(&cluster, &programs);
    cluster.node(0).kill();
    program.says(&format!("process {child} (sleep-as-root) {REFUSED}"));
    program.says("the lock is lost");
    is_waited_for_without_haste(&program.id().to_string());
    assert!(is_running(&child));
    kill(child.parse().expect("a number"), libc::SIGKILL);
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 76, "{outcome:?}");
    assert_eq!(outcome.err.matches(REFUSED).count(), 1, "told once: {outcome:?}");
}

#[test]
fn the_watchdog_names_it_too_and_has_no_haste_either() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let programs = programs(folder.path());
    let cluster = Cluster::start(1);
    let (mut program, child) = run_as_nobody(&cluster, &programs);
    let watchdog = watchdog_of(program.id());
    program.signal(libc::SIGSTOP);
    program.says(&format!("process {child} (sleep-as-root) {REFUSED}"));
    eventually(BOUND, || owners(cluster.node(0), KEY).is_empty());
    is_waited_for_without_haste(&watchdog);
    kill(child.parse().expect("a number"), libc::SIGKILL);
    eventually(BOUND, || !is_running(&watchdog));
    program.signal(libc::SIGCONT);
    assert_eq!(program.outcome().code(), 76);
}

/// One that spun would use 8 to 12 hundredths.
#[track_caller]
fn is_waited_for_without_haste(by: &str) {
    let before = ticks(by);
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(by) - before;
    assert!(used <= 4, "{used} hundredths of a second of CPU within one");
}

/// CPU time that a process has used so far, in clock ticks.
fn ticks(process: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("its fields").split(' ').collect();
    fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
}
