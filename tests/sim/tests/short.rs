//! The short form: fixed seeds, a few seconds. The long one is `make sim`.

use clap::ValueEnum;
use redis_lock_sim::mutants::Mutant;
use redis_lock_sim::{Limits, Setup, report, run, search};
use std::time::Duration;

/// So many histories.
const SHORT: u64 = 100;
/// So many are run twice.
const TWICE: u64 = 20;
/// A mutant must be found in so many. (`make sim` gives it a minute.)
const MUTANT: u64 = 3_000;
/// Never reached, unless something hangs.
const FOREVER: Duration = Duration::from_secs(3_600);

fn setup(mutant: Option<Mutant>) -> Setup {
    Setup { mutant, readable: false }
}

#[test]
fn no_history_breaks_a_promise() {
    let limits = Limits { time: FOREVER, histories: SHORT, failures: 5 };
    let totals = search(1, limits, setup(None));
    assert!(totals.failed.is_empty(), "{}", report::totals(&totals, FOREVER));
    assert_eq!(totals.histories, SHORT);
    assert!(totals.acquisitions > 50 * SHORT, "{} acquisitions", totals.acquisitions);
    let faults: u64 = totals.faults.values().sum();
    assert!(faults > 5 * SHORT && totals.faults.len() > 8, "{:?}", totals.faults);
}

#[test]
fn one_seed_is_one_history() {
    let fingerprints = || (0..TWICE).map(|seed| run(seed, setup(None)).fingerprint).collect::<Vec<_>>();
    // On another thread, and among others that run meanwhile.
    let other = std::thread::spawn(fingerprints);
    let first = fingerprints();
    assert_eq!(first, other.join().unwrap());
    let different: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(different.len(), first.len());
}

#[test]
fn a_history_that_is_read_is_the_same() {
    let readable = run(7, Setup { readable: true, ..setup(None) });
    assert_eq!(readable.fingerprint, run(7, setup(None)).fingerprint);
    assert!(!readable.lines.is_empty());
}

#[test]
fn every_mutant_is_found() {
    for mutant in Mutant::value_variants().iter().copied().filter(|mutant| !mutant.is_of_one_server()) {
        let limits = Limits { time: FOREVER, histories: MUTANT, failures: 1 };
        let totals = search(1, limits, setup(Some(mutant)));
        assert!(!totals.failed.is_empty(), "{mutant:?} is not found in {MUTANT} histories");
    }
}
