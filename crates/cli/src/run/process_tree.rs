//! The processes of a command: its own, and all that it started.

use crate::say;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::collections::{BTreeMap, BTreeSet};

/// The command's process and its descendants. A process whose parent has ended becomes this program's own
/// child, so it is still found.
pub struct ProcessTree {
    child: Pid,
    child_ended: bool,
    /// Children that this program had before, such as those that a shell left it.
    strangers: Vec<Pid>,
    refused: Refused,
}

/// Returns the current children of this program, which from now on also adopts orphaned descendants.
pub fn strangers() -> Vec<Pid> {
    #[cfg(target_os = "linux")]
    {
        // A kernel older than 3.4 can't do that: an orphan is then not found.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
    descendants(rustix::process::getpid(), &[], &processes())
}

impl ProcessTree {
    pub fn new(child: Pid, strangers: Vec<Pid>) -> ProcessTree {
        ProcessTree { child, child_ended: false, strangers, refused: Refused::default() }
    }

    /// Passes a signal on to the child, or to what it left if it has ended.
    pub fn tell(&mut self, signal: Signal) {
        match self.child_ended {
            false => self.refused.send(self.child, signal),
            true => self.tell_all(signal),
        }
    }

    /// Sends a signal to the child and its descendants.
    pub fn tell_all(&mut self, signal: Signal) {
        for process in self.all() {
            self.refused.send(process, signal);
        }
    }

    /// Reaps all processes that have ended. Returns the status of the child if it is among them.
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

    /// Returns whether none of them is left.
    pub fn is_gone(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> Vec<Pid> {
        let mut all = descendants(rustix::process::getpid(), &self.strangers, &processes());
        // The child counts even if there is no `/proc` to find descendants in.
        if !self.child_ended && !all.contains(&self.child) {
            all.push(self.child);
        }
        all
    }
}

/// Processes that this one may not signal, since they run as another user. Each is reported once.
#[derive(Default)]
pub struct Refused(BTreeSet<i32>);

impl Refused {
    /// Sends a signal, and reports it if that is not allowed.
    pub fn send(&mut self, process: Pid, signal: Signal) {
        let number = process.as_raw_nonzero().get();
        match rustix::process::kill_process(process, signal) {
            Err(Errno::PERM) if self.0.insert(number) => say(&format!(
                "process {number} ({}) runs as user {}: this program, as user {}, may not signal it (EPERM), and waits \
                 for its end. Run redis-lock as that user, or as root",
                name(number),
                user(number).map_or("unknown".into(), |user| user.to_string()),
                rustix::process::geteuid().as_raw()
            )),
            // The process has just ended, or was reported before.
            _ => {}
        }
    }
}

fn name(process: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.trim().chars().filter(|letter| !letter.is_control()).collect()
}

/// Returns the user that a process runs as.
fn user(process: i32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    numbers.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the numbers of all processes; none if there is no `/proc`.
pub fn processes() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns the descendants of `ancestor` among the processes, without zombies, and without strangers and
/// their descendants.
pub fn descendants(ancestor: Pid, strangers: &[Pid], processes: &[i32]) -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process in processes {
        if let Some(parent) = parent(*process) {
            children.entry(parent).or_default().push(*process);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![ancestor];
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

/// Returns the parent of a process that has not ended. `/proc/pid/stat` has the number, the name in brackets
/// (which may hold anything), the state and the parent.
fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let fields = String::from_utf8_lossy(&stat[after_name..]).into_owned();
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| !["Z", "X"].contains(&state))
}
