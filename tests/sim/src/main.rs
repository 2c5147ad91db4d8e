//! Runs histories for some time, one of them by its seed, or the mutants.

use clap::{Parser, ValueEnum};
use redis_lock_sim::crowd::{self, Counts, InMemory};
use redis_lock_sim::mutants::Mutant;
use redis_lock_sim::{Limits, Setup, report, run, search};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// A mutant that is not found in this time counts as missed.
const MUTANT_TIME: Duration = Duration::from_secs(60);
/// Steps that are made with one seed on one server.
const CROWD: usize = 1_000;

fn main() -> ExitCode {
    Arguments::parse().run()
}

/// Runs histories of servers, network and clients on virtual time, and one server against plain lists.
#[derive(Parser)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// How long, in seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// At most this many histories
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    histories: u64,
    /// The first seed: a new one if not given
    #[arg(long, value_name = "SEED")]
    base: Option<u64>,
    /// Stop after this many histories that failed
    #[arg(long, default_value_t = 20)]
    failures: usize,
    /// Repeat the history of this seed, and tell what concerns its first violation
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: tell everything
    #[arg(long)]
    all: bool,
    /// Repeat this run of one server against plain lists
    #[arg(long, value_name = "SEED")]
    crowd: Option<u64>,
    /// With this defect
    #[arg(long, value_name = "NAME")]
    mutant: Option<Mutant>,
    /// See whether each defect is found
    #[arg(long)]
    mutants: bool,
}

impl Arguments {
    fn run(self) -> ExitCode {
        match (self.seed, self.crowd) {
            (Some(seed), _) => self.one(seed),
            (_, Some(seed)) => ExitCode::from(u8::from(!crowds(seed, Duration::ZERO))),
            _ if self.mutants => mutants(self.first()),
            _ => self.many(),
        }
    }

    /// Returns the first seed: a new one, unless it is given.
    fn first(&self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.base.unwrap_or(now.as_nanos() as u64 >> 10)
    }

    fn setup(&self) -> Setup {
        Setup { mutant: self.mutant, readable: self.seed.is_some() }
    }

    fn one(self, seed: u64) -> ExitCode {
        let report = run(seed, self.setup());
        if self.all {
            for line in &report.lines {
                println!("{:>10.3} {}", line.at as f64 / 1e6, line.text);
            }
        }
        print!("{}", report::story(&report));
        ExitCode::from(u8::from(!report.violations.is_empty()))
    }

    fn many(self) -> ExitCode {
        let (first, begun) = (self.first(), Instant::now());
        println!("histories from seed {first}");
        let time = Duration::from_secs(self.seconds.unwrap_or(self.minutes.saturating_mul(60)));
        let crowds_agree = crowds(first, time / 10);
        let limits = Limits { time: time - time / 10, histories: self.histories, failures: self.failures };
        let totals = search(first, limits, self.setup());
        print!("{}", report::totals(&totals, begun.elapsed()));
        ExitCode::from(u8::from(!totals.failed.is_empty() || !crowds_agree))
    }
}

/// Runs `crowd` for this time, at least once. Returns whether all runs agreed with plain lists.
fn crowds(first: u64, time: Duration) -> bool {
    let (begun, mut totals, mut seed) = (Instant::now(), Counts::new(), first);
    loop {
        match crowd::run(&mut InMemory::new(None), seed, CROWD) {
            Ok(counts) => counts.into_iter().for_each(|(name, n)| *totals.entry(name).or_default() += n),
            Err(difference) => {
                println!("CROWD={seed}: {difference}");
                return false;
            }
        }
        seed += 1;
        if begun.elapsed() >= time {
            println!(
                "one server and plain lists agree in {} steps: {totals:?}",
                (seed - first) * CROWD as u64
            );
            return true;
        }
    }
}

/// Runs `crowd` with this mutant until it is found. Returns the number of runs, and the difference.
fn crowd_finds(mutant: Mutant, first: u64) -> Option<(u64, String)> {
    let begun = Instant::now();
    (1..).take_while(|_| begun.elapsed() < MUTANT_TIME).find_map(|number| {
        let ran = crowd::run(&mut InMemory::new(Some(mutant)), first + number - 1, CROWD);
        ran.err().map(|difference| (number, difference.replace('\n', "; ")))
    })
}

/// Runs each mutant until it is found.
fn mutants(first: u64) -> ExitCode {
    let mut missed = 0;
    for &mutant in Mutant::value_variants() {
        let begun = Instant::now();
        if mutant.is_of_one_server() {
            match crowd_finds(mutant, first) {
                Some((crowds, what)) => println!("{mutant:?}: found in {crowds} crowds: {what}"),
                None => {
                    println!("{mutant:?}: NOT FOUND in {} s", MUTANT_TIME.as_secs());
                    missed += 1;
                }
            }
            continue;
        }
        let limits = Limits { time: MUTANT_TIME, histories: u64::MAX, failures: 1 };
        let setup = Setup { mutant: Some(mutant), readable: false };
        let totals = search(first, limits, setup);
        let (histories, seconds) = (totals.histories, begun.elapsed().as_secs_f64());
        match totals.failed.first() {
            Some(report) => {
                let what = report.violations.first().map_or("", |violation| &violation.what);
                println!(
                    "{mutant:?}: found in {histories} histories, {seconds:.1} s: SEED={}: {what}",
                    report.seed
                );
            }
            None => {
                println!("{mutant:?}: NOT FOUND in {histories} histories, {seconds:.1} s");
                missed += 1;
            }
        }
    }
    ExitCode::from(u8::from(missed > 0))
}
