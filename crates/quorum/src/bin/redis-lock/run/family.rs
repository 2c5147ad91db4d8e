//! The processes that a command consists of: itself, and all that it started.

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

/// The command's process and what descends from it. A process whose parent has ended becomes this program's
/// own child, so it is still found.
pub struct Family {
    child: Pid,
    child_ended: bool,
    /// Children that this program had when it started: a shell may have left it some.
    strangers: Vec<Pid>,
}

impl Family {
    /// The family of the child that `start` starts.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn start<E>(start: impl FnOnce() -> Result<Pid, E>) -> Result<Family, E> {
        #[cfg(target_os = "linux")]
        {
            // A kernel older than 3.4 can't: then a process that was left is not found.
            let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        }
        let strangers = descendants(&[]);
        Ok(Family { child: start()?, child_ended: false, strangers })
    }

    /// Passes a signal on to the child.
    pub fn tell(&self, signal: Signal) {
        if !self.child_ended {
            send(self.child, signal);
        }
    }

    /// Sends a signal to the child and all that descends from it.
    pub fn tell_all(&self, signal: Signal) {
        self.all().into_iter().for_each(|process| send(process, signal));
    }

    /// Takes leave of all processes that have ended; how the child did, if it is among them.
    pub fn reap(&mut self) -> Option<WaitStatus> {
        let mut ended = None;
        while let Ok(Some((process, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if process == self.child {
                self.child_ended = true;
                ended = Some(status);
            }
        }
        ended
    }

    /// Whether none of them is left.
    pub fn is_gone(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> Vec<Pid> {
        let mut all = descendants(&self.strangers);
        // Also where there is nothing to find descendants in.
        if !self.child_ended && !all.contains(&self.child) {
            all.push(self.child);
        }
        all
    }
}

fn send(process: Pid, signal: Signal) {
    // It has just ended.
    let _ = rustix::process::kill_process(process, signal);
}

/// All processes that descend from this one, but those that have ended and are only waited for, and but
/// strangers and what descends from them.
#[cfg(target_os = "linux")]
fn descendants(strangers: &[Pid]) -> Vec<Pid> {
    let mut children: std::collections::BTreeMap<i32, Vec<i32>> = Default::default();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if let Some(parent) = parent(process) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![rustix::process::getpid()];
    while let Some(process) = next.pop() {
        let children = children.remove(&process.as_raw_nonzero().get()).unwrap_or_default();
        let children =
            children.into_iter().filter_map(Pid::from_raw).filter(|child| !strangers.contains(child));
        let children: Vec<Pid> = children.collect();
        found.extend(&children);
        next.extend(children);
    }
    found
}

/// The parent of a process that has not ended. From `/proc/pid/stat`: number, name in brackets (which may hold
/// anything), state, parent.
#[cfg(target_os = "linux")]
fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let fields = String::from_utf8_lossy(&stat[after_name..]).into_owned();
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| !["Z", "X"].contains(&state))
}

/// Elsewhere only the child itself is known.
#[cfg(not(target_os = "linux"))]
fn descendants(_: &[Pid]) -> Vec<Pid> {
    Vec::new()
}
