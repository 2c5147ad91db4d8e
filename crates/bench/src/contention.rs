//! Many clients that contend for one lock: how often it changes hands, and how long each waits.

use crate::contender::{Contender, Way};
use crate::contest::percentile;
use crate::crowd::Crowd;
use crate::size::Size;
use crate::table::{Row, Table};
use redis_lock_harness::{allow_connections, Server};
use std::time::{Duration, Instant};

const CLIENTS: usize = 64;
const HOLDS_MS: [u64; 3] = [0, 1, 10];
/// Bound of the 99th percentile of the waits in the queue, relative to the median.
const FAIR: f64 = 1.5;

const COMPARE_AND_DELETE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

/// Returns one table for each time of holding.
pub fn measure(size: &Size) -> Vec<Table> {
    allow_connections();
    HOLDS_MS.into_iter().map(|hold_ms| contend(size, hold_ms)).collect()
}

fn contend(size: &Size, hold_ms: u64) -> Table {
    let mut rows = Vec::new();
    for name in ["LOCK.ACQUIRE BLOCK", "BLPOP token", "SET NX PX, sleep 10 ms", "SET NX PX, sleep 100 ms"] {
        let server = Server::start();
        let way = way(name, &server);
        let fair = matches!(way, Way::Line).then_some(FAIR);
        let contender = |index| Contender::new(way.clone(), Duration::from_millis(hold_ms), index);
        let mut crowd = Crowd::begin(&server, (0..CLIENTS).map(contender));
        // The time in which they connect does not count.
        crowd.run(usize::MAX, size.contention / 10);
        crowd.reset();
        let began = Instant::now();
        crowd.run(usize::MAX, size.contention);
        rows.extend(figures(name, &crowd, began, fair));
    }
    let title = format!("{CLIENTS} clients fight for one lock and hold it for {hold_ms} ms");
    Table { title, unit: "", rows }
}

fn way(name: &str, server: &Server) -> Way {
    let mut client = server.connect();
    match name.rsplit_once("sleep ") {
        Some((_, pause)) => {
            let ms = pause.trim_end_matches(" ms").parse().expect("a number");
            let script = client.run(["SCRIPT", "LOAD", COMPARE_AND_DELETE]).text().to_string();
            Way::Poll(Duration::from_millis(ms), script)
        }
        None if name.starts_with("BLPOP") => {
            client.run(["RPUSH", "lock", "token"]);
            Way::Token
        }
        None => Way::Line,
    }
}

fn figures(name: &str, crowd: &Crowd, began: Instant, fair: Option<f64>) -> Vec<Row> {
    let now = Instant::now();
    let waits: Vec<f64> = crowd.contenders().flat_map(|contender| contender.waits_ms().to_vec()).collect();
    let commands: usize = crowd.contenders().map(Contender::commands).sum();
    // Clients that still wait have waited at least that long.
    let waiting = crowd.contenders().map(|contender| contender.waiting_ms(now));
    let worst = waits.iter().copied().chain(waiting).fold(0.0, f64::max);
    let (p50, p99) = (percentile(&waits, 50), percentile(&waits, 99));
    let p99_row = Row::new(format!("{name}: p99 wait, ms"), p99);
    vec![
        Row::new(
            format!("{name}: acquires a second"),
            waits.len() as f64 / now.duration_since(began).as_secs_f64(),
        ),
        Row::new(format!("{name}: p50 wait, ms"), p50),
        p99_row.ratio(p99 / p50, "p99 / p50").at_most(fair),
        Row::new(format!("{name}: worst wait, ms"), worst),
        Row::new(format!("{name}: commands an acquire"), commands as f64 / waits.len().max(1) as f64),
    ]
}
