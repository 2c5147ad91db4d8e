//! Contestants that take turns, and the server's cost of a unit of each.

use crate::cpus;
use crate::info::{cpu_micros, wait_until_written};
use crate::workload::Workload;
use redis_lock_harness::{Client, Server};

/// A workload on one server.
pub struct Contestant {
    server: u32,
    client: Client,
    workload: Workload,
    repeats: usize,
    samples: Vec<f64>,
}

impl Contestant {
    /// Returns a contestant whose rounds go through `workload` `repeats` times.
    pub fn new(server: &Server, workload: Workload, repeats: usize) -> Contestant {
        Contestant { server: server.pid(), client: server.connect(), workload, repeats, samples: Vec::new() }
    }

    /// Returns the median over all rounds, in microseconds of server CPU per unit.
    pub fn micros(&self) -> f64 {
        median(&self.samples)
    }

    /// Runs one round.
    fn sample(&mut self) -> f64 {
        wait_until_written(&mut self.client);
        let before = cpu_micros(&mut self.client);
        for _ in 0..self.repeats {
            self.workload.run(&mut self.client);
        }
        wait_until_written(&mut self.client);
        let used = cpu_micros(&mut self.client) - before;
        used / (self.repeats * self.workload.units()) as f64
    }
}

/// Runs `rounds` rounds of each contestant, after one to warm up. The order rotates.
pub fn compete(contestants: &mut [Contestant], rounds: usize) {
    let servers: Vec<u32> = contestants.iter().map(|contestant| contestant.server).collect();
    cpus::on_one(&servers, || {
        for contestant in contestants.iter_mut() {
            contestant.sample();
        }
        for round in 0..rounds {
            take_turns(contestants, round);
        }
    });
}

fn take_turns(contestants: &mut [Contestant], round: usize) {
    let count = contestants.len();
    for turn in 0..count {
        let contestant = &mut contestants[(round + turn) % count];
        let sample = contestant.sample();
        contestant.samples.push(sample);
    }
}

/// Returns the median.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// Returns the value that `percent` percent of the values do not exceed.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 1), 1.0);
        assert_eq!(percentile(&values, 50), 50.0);
        assert_eq!(percentile(&values, 99), 99.0);
        assert_eq!(percentile(&values, 100), 100.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(percentile(&[7.0], 1), 7.0);
    }
}
