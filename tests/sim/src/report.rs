//! Reports for people.

use crate::history::{Line, Violation};
use crate::run::Report;
use crate::search::Totals;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::time::Duration;

/// Maximum number of violations of one history that are shown.
const MAX_VIOLATIONS: usize = 10;
/// Maximum number of lines before the first one.
const MAX_LINES: usize = 250;

/// Returns the figures of many histories, and the seeds of those that failed.
pub fn totals(totals: &Totals, time: Duration) -> String {
    let faults: u64 = totals.faults.values().sum();
    let rate = totals.acquisitions as f64 / time.as_secs_f64();
    let mut text = format!(
        "{} histories in {} s: {} requests, {} acquisitions ({rate:.0} a second), {faults} faults, {} histories with \
         a violation, fingerprint {:016x}\n",
        totals.histories,
        time.as_secs(),
        totals.requests,
        totals.acquisitions,
        totals.failed.len(),
        totals.fingerprint
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

/// Returns the seed of a history that failed, and its violations.
pub fn failure(report: &Report) -> String {
    let mut text = format!("SEED={}: {} violations\n", report.seed, report.violations.len());
    for violation in report.violations.iter().take(MAX_VIOLATIONS) {
        let _ = writeln!(text, "  {}", line(violation));
    }
    text
}

/// Returns the part of a history that concerns its first violation.
pub fn story(report: &Report) -> String {
    let mut text = String::new();
    if let Some(violation) = report.violations.iter().min_by_key(|violation| violation.at) {
        let lines = concerning(violation, &report.lines);
        let left_out = lines.len().saturating_sub(MAX_LINES);
        let (first, rest) = lines.split_at(lines.len().min(MAX_LINES / 4));
        let rest = &rest[left_out.min(rest.len())..];
        first.iter().for_each(|line| text.push_str(&stamped(line)));
        if left_out > 0 {
            let _ = writeln!(text, "           ... {left_out} lines ...");
        }
        rest.iter().for_each(|line| text.push_str(&stamped(line)));
    }
    let faults: u64 = report.faults.values().sum();
    let _ = writeln!(
        text,
        "{} requests, {} acquisitions, {faults} faults, fingerprint {:016x}",
        report.requests, report.acquisitions, report.fingerprint
    );
    text + &failure(report)
}

/// Returns the lines since the beginning of the requests in question: faults, what these did, and commands on
/// the violation's resources with their replies, unless they changed nothing.
fn concerning<'a>(violation: &'a Violation, lines: &'a [Line]) -> Vec<&'a Line> {
    let names: BTreeSet<&str> = words(&violation.resource).collect();
    let requests: BTreeSet<&str> = words(&violation.what).filter(|word| word.starts_with('#')).collect();
    let is_of_request = |line: &Line| words(&line.text).any(|word| requests.contains(word));
    let begin = lines.iter().position(is_of_request).unwrap_or(0);
    let mut shown = BTreeSet::new();
    // Commands without a reply so far, of each connection.
    let mut asked: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
    for (number, line) in lines.iter().enumerate().skip(begin) {
        if line.at > violation.at {
            break;
        }
        let traffic = line.text.split_once(": ").filter(|_| line.text.starts_with("node"));
        match traffic.map(|(way, what)| (way.split_once(" < "), way.split_once(" > "), what)) {
            Some((Some((_, connection)), _, command)) => {
                asked.entry(connection).or_default().push_back(number);
                if words(command).any(|word| names.contains(word)) {
                    shown.insert(number);
                }
            }
            Some((_, Some((_, connection)), reply)) => {
                let command = asked.get_mut(connection).and_then(VecDeque::pop_front);
                match command.filter(|command| shown.contains(command)) {
                    Some(command) if ["_ ", ":0 "].contains(&reply) => drop(shown.remove(&command)),
                    Some(_) => drop(shown.insert(number)),
                    None => {}
                }
            }
            _ if line.text.starts_with("FAULT") || is_of_request(line) => drop(shown.insert(number)),
            _ => {}
        }
    }
    shown.into_iter().map(|number| &lines[number]).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', ':'])
}

fn stamped(line: &Line) -> String {
    format!("{} {}\n", stamp(line.at), line.text)
}

fn line(violation: &Violation) -> String {
    format!("{} {}: {}", stamp(violation.at), violation.resource, violation.what)
}

fn stamp(micros: i64) -> String {
    format!("{:>10.3}", micros as f64 / 1e6)
}
