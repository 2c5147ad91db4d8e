//! One server and many clients, against plain lists.

use clap::ValueEnum;
use redis_lock_sim::crowd::{Counts, InMemory, run};
use redis_lock_sim::mutants::Mutant;

const STEPS: usize = 1_000;
const RUNS: u64 = 200;

#[test]
fn everybody_gets_what_a_plain_list_gives() {
    let mut totals = Counts::new();
    for seed in 0..RUNS {
        let counts =
            run(&mut InMemory::new(None), seed, STEPS).unwrap_or_else(|difference| panic!("{difference}"));
        counts.into_iter().for_each(|(name, count)| *totals.entry(name).or_default() += count);
    }
    assert!(totals.values().all(|count| *count > RUNS), "{totals:?}");
}

#[test]
fn every_mutant_is_found() {
    for mutant in Mutant::value_variants().iter().copied().filter(|mutant| mutant.is_of_one_server()) {
        let found = (0..RUNS).any(|seed| run(&mut InMemory::new(Some(mutant)), seed, STEPS).is_err());
        assert!(found, "{mutant:?}");
    }
}
