//! `redis-lock run` started with signals that are not as usual, and signals that nobody typed.

use crate::support::*;
use redis_lock_harness::Cluster;
use std::io;
use std::os::unix::process::CommandExt;

/// `redis-lock run` with this command, by a process that has changed something about itself before.
fn run_after(
    cluster: &Cluster,
    change: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    command: &[&str],
) -> Program {
    let mut program = program();
    program.args(["run", "--node", &cluster.urls()[0], "--key", KEY, "--"]).args(command);
    // SAFETY: between fork and exec only system calls are made.
    unsafe { program.pre_exec(change) };
    start(program)
}

fn ignore_ended_children() -> io::Result<()> {
    // SAFETY: no handler is given.
    match unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn block_all_signals() -> io::Result<()> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is filled before it is used, and no old set is asked for.
    let failed = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut())
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[test]
fn it_ends_with_the_command_whatever_it_was_started_by() {
    let cluster = Cluster::start(1);
    let changes: [fn() -> io::Result<()>; 2] = [ignore_ended_children, block_all_signals];
    for change in changes {
        let outcome = run_after(&cluster, change, &["sh", "-c", "exit 3"]).outcome();
        assert_eq!(outcome.code(), 3, "{outcome:?}");
        assert!(owners(cluster.node(0), KEY).is_empty());
    }
}

#[test]
fn an_alarm_clock_is_passed_on() {
    let cluster = Cluster::start(1);
    let alarm = || {
        // SAFETY: no memory is involved.
        unsafe { libc::alarm(2) };
        Ok(())
    };
    let outcome = run_after(&cluster, alarm, &["sleep", "1000"]).outcome();
    assert_eq!(outcome.code(), 128 + libc::SIGALRM, "{outcome:?}");
    assert!(owners(cluster.node(0), KEY).is_empty());
}
