//! Acquire + release against the native ways, without persistence and with an append-only file.

use crate::contest::{compete, Contestant};
use crate::size::Size;
use crate::table::{grouped, Row, Table};
use crate::workload::{lock_pair, native_pair, script_pair, Workload, PIPELINE};
use redis_lock_harness::{Builder, Server};

const TTL_MS: u64 = 30_000;
const COMPARE_AND_DELETE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";
const SCRIPT_BOUND: f64 = 0.55;

/// Returns both tables.
pub fn measure(size: &Size) -> Vec<Table> {
    let file = |builder: Builder| {
        builder
            .config("appendonly", "yes")
            .config("appendfsync", "everysec")
            .config("auto-aof-rewrite-percentage", "0")
    };
    vec![
        table(size, "no persistence", |builder| builder, 1.15),
        table(size, "append-only file, appendfsync everysec", file, 1.0),
    ]
}

fn table(size: &Size, persistence: &str, configure: impl Fn(Builder) -> Builder, native_bound: f64) -> Table {
    let with_module = configure(Server::builder()).start();
    let plain = configure(Server::builder().without_module()).start();
    let sha = plain.connect().run(["SCRIPT", "LOAD", COMPARE_AND_DELETE]);
    let contestant = |server, workload| Contestant::new(server, workload, size.repeats);
    let native = || Workload::new(size.names, |index| native_pair(index, TTL_MS));
    let mut contestants = [
        contestant(&with_module, Workload::new(size.names, |index| lock_pair(index, TTL_MS, ""))),
        contestant(&plain, native()),
        contestant(&plain, Workload::new(size.names, |index| script_pair(index, TTL_MS, sha.text()))),
        contestant(&with_module, native()),
    ];
    compete(&mut contestants, size.rounds);
    let [lock, native, script, control] = contestants.map(|contestant| contestant.micros());
    Table {
        title: title(size, persistence),
        unit: "us/pair",
        rows: vec![
            Row::new("LOCK.ACQUIRE + LOCK.RELEASE", lock),
            Row::new("SET NX PX + DEL", native).ratio(lock / native, "lock / this").at_most(native_bound),
            Row::new("SET NX PX + EVALSHA", script).ratio(lock / script, "lock / this").at_most(SCRIPT_BOUND),
            Row::new("SET NX PX + DEL on the server with the module", control)
                .ratio(control / native, "this / plain"),
        ],
    }
}

fn title(size: &Size, persistence: &str) -> String {
    format!(
        "Acquire + release, {persistence}: server CPU, median of {} rounds of {} pairs\n\
         (pipelines of {PIPELINE} pairs, {} names, owners of 20 bytes)",
        size.rounds,
        grouped(size.names * size.repeats),
        grouped(size.names),
    )
}
