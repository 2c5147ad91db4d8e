//! What people read.

use crate::history::{Line, Violation};
use crate::run::Report;
use crate::search::Totals;
use std::fmt::Write;
use std::time::Duration;

/// So many violations of one history are shown.
const MAX_VIOLATIONS: usize = 10;
/// And so many lines before each.
const MAX_LINES: usize = 250;
/// Older ones have nothing to do with it.
const BEFORE: i64 = 8_000_000;

/// The figures of many histories, and the seeds of those that failed.
pub fn totals(totals: &Totals, time: Duration) -> String {
    let faults: u64 = totals.faults.values().sum();
    let rate = totals.acquisitions as f64 / time.as_secs_f64();
    let mut text = format!(
        "{} histories in {} s: {} requests, {} acquisitions ({rate:.0} a second), {faults} faults, {} histories with \
         a violation\n",
        totals.histories,
        time.as_secs(),
        totals.requests,
        totals.acquisitions,
        totals.failed.len()
    );
    for counts in [&totals.outcomes, &totals.faults] {
        for (kind, count) in counts {
            let _ = writeln!(text, "  {count:>8} {kind}");
        }
        text.push('\n');
    }
    for report in &totals.failed {
        text.push_str(&failure(report));
    }
    text
}

/// The seed of a history that failed, and what was wrong.
pub fn failure(report: &Report) -> String {
    let mut text = format!("SEED={}: {} violations\n", report.seed, report.violations.len());
    for violation in report.violations.iter().take(MAX_VIOLATIONS) {
        let _ = writeln!(text, "  {}", line(violation));
    }
    text
}

/// One history, shortened: what concerns its first violation.
pub fn story(report: &Report) -> String {
    let mut text = String::new();
    let first = report.violations.iter().min_by_key(|violation| violation.at);
    if let Some(violation) = first {
        let names: Vec<&str> = violation.resource.split(' ').collect();
        let concerns = |line: &&Line| {
            let near = line.at <= violation.at && line.at + BEFORE >= violation.at;
            near && (line.text.starts_with("FAULT") || names.iter().any(|name| line.text.contains(name)))
        };
        let lines: Vec<&Line> = report.lines.iter().filter(concerns).collect();
        for line in &lines[lines.len().saturating_sub(MAX_LINES)..] {
            let _ = writeln!(text, "{} {}", stamp(line.at), line.text);
        }
    }
    let faults: u64 = report.faults.values().sum();
    let _ = writeln!(
        text,
        "{} requests, {} acquisitions, {faults} faults, fingerprint {:016x}",
        report.requests, report.acquisitions, report.fingerprint
    );
    text + &failure(report)
}

fn line(violation: &Violation) -> String {
    format!("{} {}: {}", stamp(violation.at), violation.resource, violation.what)
}

fn stamp(micros: i64) -> String {
    format!("{:>10.3}", micros as f64 / 1e6)
}
