//! One CPU for all contestants' servers and the client while they compete. Waking a process on another CPU
//! costs the server enough for the scheduler's choice to decide a close contest. Nobody waits for the CPU,
//! since server and client never have work at the same time.

#[cfg(target_os = "linux")]
use rustix::{
    process::Pid,
    thread::{sched_getaffinity, sched_setaffinity, CpuSet},
};

/// Runs `work` with this thread and the main threads of these processes on one CPU. If that is not possible,
/// they stay where they are, and the figures only scatter more.
#[cfg(target_os = "linux")]
pub fn on_one<T>(processes: &[u32], work: impl FnOnce() -> T) -> T {
    let Ok(usable) = sched_getaffinity(None) else { return work() };
    // The last one: on many machines the first one serves the devices.
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

/// Implemented only on Linux.
#[cfg(not(target_os = "linux"))]
pub fn on_one<T>(_: &[u32], work: impl FnOnce() -> T) -> T {
    work()
}
