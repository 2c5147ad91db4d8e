//! One CPU for all servers: no contestant is slowed by the place that the scheduler chose for its server.
//! The client is free to run beside them; a contestant's round loses the same to that as another's.

use redis_lock_harness::Server;

/// Keeps the server's main thread, the measured one, to the last CPU of those it may use. Where that is
/// not possible things stay as they are: the figures then only scatter more.
#[cfg(target_os = "linux")]
pub fn share_one(server: &Server) {
    use rustix::process::Pid;
    use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    let usable = sched_getaffinity(pid).unwrap_or_else(|_| CpuSet::new());
    if let Some(last) = (0..CpuSet::MAX_CPU).rfind(|cpu| usable.is_set(*cpu)) {
        let mut one = CpuSet::new();
        one.set(last);
        let _ = sched_setaffinity(pid, &one);
    }
}

/// Only Linux is asked.
#[cfg(not(target_os = "linux"))]
pub fn share_one(_: &Server) {}
