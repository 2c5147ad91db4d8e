//! Many histories, on all cores.

use crate::run::{Report, Setup, run};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The results of many histories.
#[derive(Debug, Default)]
pub struct Totals {
    pub histories: u64,
    pub acquisitions: u64,
    pub requests: u64,
    pub outcomes: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    /// The fingerprint of all histories, independent of the order in which they were run.
    pub fingerprint: u64,
    /// Histories with a violation.
    pub failed: Vec<Report>,
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.histories += 1;
        self.acquisitions += report.acquisitions;
        self.requests += report.requests;
        self.fingerprint ^= report.fingerprint;
        for (sum, counts) in [(&mut self.faults, &report.faults), (&mut self.outcomes, &report.outcomes)] {
            counts.iter().for_each(|(kind, count)| *sum.entry(kind).or_default() += count);
        }
        if !report.violations.is_empty() {
            self.failed.push(report);
        }
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    pub histories: u64,
    pub failures: usize,
}

/// Runs the histories of this seed and the following ones.
pub fn search(first: u64, limits: Limits, setup: Setup) -> Totals {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (totals, next, enough) = (Mutex::<Totals>::default(), AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begun.elapsed() < limits.time && !enough.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= limits.histories {
                        return;
                    }
                    let report = run(first.wrapping_add(number), setup);
                    let mut totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    totals.add(report);
                    enough.fetch_or(totals.failed.len() >= limits.failures, Ordering::Relaxed);
                }
            });
        }
    });
    totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}
