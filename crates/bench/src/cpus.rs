//! One CPU for all contestants' servers and the client, for as long as they compete: to wake a process on
//! another CPU costs the server so much that the scheduler's choice would decide a close contest. Nobody
//! waits for it, since server and client never have work at the same time.

#[cfg(target_os = "linux")]
use rustix::{
    process::Pid,
    thread::{sched_getaffinity, sched_setaffinity, CpuSet},
};

/// Runs `work` with this thread, and the main threads of these processes, on one CPU. Where that is not
/// possible they stay where they are: the figures then only scatter more.
#[cfg(target_os = "linux")]
pub fn on_one<T>(processes: &[u32], work: impl FnOnce() -> T) -> T {
    let Ok(usable) = sched_getaffinity(None) else { return work() };
    // The last: the first is the one that serves the devices, on many machines.
    let Some(last) = (0..CpuSet::MAX_CPU).rfind(|cpu| usable.is_set(*cpu)) else { return work() };
    let mut one = CpuSet::new();
    one.set(last);
    keep_to(&one, processes);
    let result = work();
    keep_to(&usable, processes);
    result
}

#[cfg(target_os = "linux")]
fn keep_to(cpus: &CpuSet, processes: &[u32]) {
    let pids = processes.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
    for thread in pids.map(Some).chain([None]) {
        let _ = sched_setaffinity(thread, cpus);
    }
}

/// Only Linux is asked.
#[cfg(not(target_os = "linux"))]
pub fn on_one<T>(_: &[u32], work: impl FnOnce() -> T) -> T {
    work()
}
