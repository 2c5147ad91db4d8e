//! The cost of a pair, and how late a lock is reclaimed, while a million locks are held.

use crate::contest::{compete, Contestant};
use crate::reclaim;
use crate::size::Size;
use crate::table::{grouped, Row, Table};
use crate::workload::{lock_pair, native_pair, owner, Command, Expected, Workload, PIPELINE};
use redis_lock_harness::Server;

const HELD_MS: u64 = 3_600_000;
const SHORTER_MS: u64 = 30_000;
const LONGER_MS: u64 = 2 * HELD_MS;
/// As in the comparison without a million: their data stays in the CPU's caches.
const FEW_NAMES: usize = 1_000;
const BOUND: f64 = 1.25;

/// Returns the costs, and the reclaim.
pub fn measure(size: &Size) -> Vec<Table> {
    let locks = Pair { empty: Server::start(), full: Server::start() };
    hold(&locks.full, size.held, |index| {
        Command(format!("LOCK.ACQUIRE held:{index:07} {} {HELD_MS}", owner(index)), Expected::Token)
    });
    let plain = || Server::builder().without_module().start();
    let keys = Pair { empty: plain(), full: plain() };
    hold(&keys.full, size.held, |index| {
        Command(format!("SET held:{index:07} {} NX PX {HELD_MS}", owner(index)), Expected::Ok)
    });
    let reclaim = reclaim::measure(size, &locks.empty, &locks.full);
    let costs = costs(size, &locks, &keys);
    assert_eq!(locks.full.info_u64("lock", "lock_held"), size.held as u64, "all are held still");
    vec![costs, reclaim]
}

/// Two servers that differ only in the locks that are held on them.
struct Pair {
    empty: Server,
    full: Server,
}

fn hold(server: &Server, count: usize, command: impl Fn(usize) -> Command) {
    Workload::new(count, |index| [command(index)]).run(&mut server.connect());
}

/// One workload, on an empty server and on a full one.
struct Case<'a> {
    name: &'static str,
    servers: &'a Pair,
    names: usize,
    unit: fn(usize) -> [Command; 2],
    bound: Option<f64>,
}

fn cases<'a>(size: &Size, locks: &'a Pair, keys: &'a Pair) -> [Case<'a>; 5] {
    let case = |name, servers, names, unit, bound| Case { name, servers, names, unit, bound };
    let shorter: fn(usize) -> [Command; 2] = |index| lock_pair(index, SHORTER_MS, "");
    let native: fn(usize) -> [Command; 2] = |index| native_pair(index, SHORTER_MS);
    [
        case("acquire + release, fresh names, ttl 30 s", locks, size.beside, shorter, Some(BOUND)),
        case(
            "acquire + release, fresh names, ttl 2 h",
            locks,
            size.beside,
            |i| lock_pair(i, LONGER_MS, ""),
            Some(BOUND),
        ),
        case("SET NX PX + DEL, fresh names, plain", keys, size.beside, native, None),
        case("acquire + release, 1,000 names", locks, FEW_NAMES, shorter, Some(BOUND)),
        case("SET NX PX + DEL, 1,000 names, plain", keys, FEW_NAMES, native, None),
    ]
}

fn costs(size: &Size, locks: &Pair, keys: &Pair) -> Table {
    let cases = cases(size, locks, keys);
    let contestant = |case: &Case, server| {
        Contestant::new(server, Workload::new(case.names, case.unit), size.beside / case.names)
    };
    let mut contestants: Vec<Contestant> = cases
        .iter()
        .flat_map(|case| [contestant(case, &case.servers.empty), contestant(case, &case.servers.full)])
        .collect();
    compete(&mut contestants, size.rounds);
    let rows = cases.iter().zip(contestants.chunks_exact(2)).flat_map(|(case, both)| {
        let (empty, full) = (both[0].micros(), both[1].micros());
        let row = Row::new(format!("{}, {} held", case.name, grouped(size.held)), full)
            .ratio(full / empty, "full / empty");
        [Row::new(format!("{}, none held", case.name), empty), row.at_most(case.bound)]
    });
    Table { title: title(size), unit: "us/pair", rows: rows.collect() }
}

fn title(size: &Size) -> String {
    format!(
        "{} locks held for 1 h against none, no persistence: server CPU, median of {} rounds of {} pairs\n\
         (pipelines of {PIPELINE} pairs; each pair of a round on a fresh name, or all on {})",
        grouped(size.held),
        size.rounds,
        grouped(size.beside),
        grouped(FEW_NAMES),
    )
}
