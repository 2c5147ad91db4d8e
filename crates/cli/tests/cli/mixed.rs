//! Everything that takes locks, mixed on one lock: the package for Node.js over node-redis and over ioredis, the package for
//! Python on threads and in asyncio, the Rust client, and `redis-lock run`. Their server is killed and started again, again
//! and again, with `appendfsync always`.
//!
//! `scripts/packages.sh` runs it, once it has built the packages. `MIXED_TURNS=100000` makes it long.

mod line;
mod record;
mod verdict;
mod workers;

use crate::support::{BOUND, KEY};
use line::Line;
use record::{Ledger, Outage, Record, now};
use redis_lock_harness::{Server, eventually};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use workers::{Shape, Workers};

/// It goes on until the server was killed so often.
const MIN_OUTAGES: usize = 5;
/// The next kill comes after so many turns: what has no time to recover shows nothing, and a hold that nobody could release
/// must have time to run out (its ttl begins anew with each restart).
const TURNS_BETWEEN: usize = 20;
/// How often the line is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How many turns there are to be.
fn turns() -> usize {
    match std::env::var("MIXED_TURNS") {
        Ok(text) => text.parse().expect("MIXED_TURNS is a number"),
        Err(_) => 800,
    }
}

/// Looks at the line for this long, and until so many turns more have been taken.
fn watch(server: &Server, ledger: &Ledger, line: &mut Line, time: Duration) {
    let (start, turns) = (Instant::now(), ledger.turns() + TURNS_BETWEEN);
    let mut client = server.connect();
    eventually(time + BOUND, || {
        line.look(&client.run(["LOCK.INFO", KEY]));
        std::thread::sleep(LOOK);
        start.elapsed() >= time && ledger.turns() >= turns
    });
}

/// Kills the server, and starts it again after a while.
fn outage(server: &mut Server) -> Outage {
    let down = now();
    server.kill();
    std::thread::sleep(Duration::from_millis(rand::random_range(0..400)));
    server.restart();
    Outage { down, up: now() }
}

/// How long until the next kill.
fn calm() -> Duration {
    Duration::from_millis(rand::random_range(500..3_000))
}

fn summary(record: &Record, line: &Line, elapsed: Duration) -> String {
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    record.turns.iter().for_each(|turn| *shares.entry(turn.kind()).or_default() += 1);
    let held_over =
        |outage: &Outage| record.turns.iter().any(|turn| turn.entered < outage.down && turn.left > outage.up);
    let mut waits: Vec<u64> = record.turns.iter().map(|turn| turn.entered - turn.began).collect();
    waits.sort_unstable();
    let ms = |wait: &u64| *wait as f64 / 1e6;
    format!(
        "{} turns {shares:?} in {:.0} s; {} kills, {} of them survived by a section; waits: p50 {:.1} ms, p99 {:.1} ms, \
         longest {:.0} ms; closest to overtaking: {:.0} ms; {} looks at the line; told: {:?}",
        record.turns.len(),
        elapsed.as_secs_f64(),
        record.outages.len(),
        record.outages.iter().filter(|outage| held_over(outage)).count(),
        waits.get(waits.len() / 2).map_or(0.0, ms),
        waits.get(waits.len() * 99 / 100).map_or(0.0, ms),
        waits.last().map_or(0.0, ms),
        verdict::closest_to_overtaking(record) as f64 / 1e6,
        line.looks,
        record.told(),
    )
}

#[test]
#[ignore = "it needs the packages for Node.js and Python: scripts/packages.sh builds them, and runs it"]
fn no_two_at_once_no_token_back_nobody_overtaken() {
    let wanted = turns();
    let started = Instant::now();
    let mut server = Server::builder().config("appendonly", "yes").config("appendfsync", "always").start();
    let shape = Shape::for_turns(wanted);
    let workers = Workers::start(&server, &shape);
    let mut line = Line::default();
    let mut outages = Vec::new();
    loop {
        watch(&server, workers.ledger(), &mut line, calm());
        if workers.ledger().turns() >= wanted && outages.len() >= MIN_OUTAGES {
            break;
        }
        outages.push(outage(&mut server));
        line.is_new();
    }
    let record = Record { outages, ..workers.stop() };
    eventually(BOUND, || server.connect().run(["LOCK.INFO", KEY]).is_nil());
    println!("{}", summary(&record, &line, started.elapsed()));
    let objections = [verdict::objections(&record), line.objections].concat();
    assert!(objections.is_empty(), "{} objections:\n{}", objections.len(), objections.join("\n"));
}
