//! The other kinds of lock and the other commands, without persistence.

use crate::contest::{compete, Contestant};
use crate::size::Size;
use crate::table::{grouped, Row, Table};
use crate::workload::{lock_pair, owner, Command, Expected, Workload};
use redis_lock_harness::Server;

const TTL_MS: u64 = 30_000;
/// Longer than the measurement takes.
const HELD_MS: u64 = 3_600_000;
/// Other holders of the lock that has many.
const CROWD: usize = 1_000;

/// Returns one table.
pub fn measure(size: &Size) -> Vec<Table> {
    let (locks, plain) = (Server::start(), Server::builder().without_module().start());
    prepare(size, &locks, &plain);
    let rows = [
        ("acquire + release, exclusive", &locks, pairs(size, "")),
        ("acquire + release, SHARED", &locks, pairs(size, " SHARED")),
        ("acquire + release, LIMIT 10", &locks, pairs(size, " LIMIT 10")),
        ("acquire + release, META of 20 bytes", &locks, pairs(size, " META who-is-it-and-what-for")),
        ("acquire + release, SHARED, 1,000 others hold the lock", &locks, crowded_pairs(size)),
        ("acquire again by the holder (one command)", &locks, singles(size, |i| acquire(i, &owner(i)))),
        ("extend (one command)", &locks, singles(size, extend)),
        (
            "acquire, refused (one command)",
            &locks,
            singles(size, |i| refused(acquire(i, "someone-else-entirely"))),
        ),
        ("SET NX PX, refused, plain server (one command)", &plain, singles(size, |i| refused(set(i)))),
    ];
    let (names, mut contestants): (Vec<&str>, Vec<Contestant>) = rows
        .into_iter()
        .map(|(name, server, workload)| (name, Contestant::new(server, workload, size.repeats)))
        .unzip();
    compete(&mut contestants, size.rounds);
    vec![Table {
        title: format!(
            "Kinds and commands, no persistence: server CPU, median of {} rounds of {}",
            size.rounds,
            grouped(size.names * size.repeats)
        ),
        unit: "us",
        rows: names.iter().zip(&contestants).map(|(name, c)| Row::new(*name, c.micros())).collect(),
    }]
}

/// Acquires the locks and sets the keys that the single commands find held.
fn prepare(size: &Size, locks: &Server, plain: &Server) {
    singles(size, |index| acquire(index, &owner(index))).run(&mut locks.connect());
    singles(size, set).run(&mut plain.connect());
    let join =
        |index| [Command(format!("LOCK.ACQUIRE crowded member-{index} {HELD_MS} SHARED"), Expected::Token)];
    Workload::new(CROWD, join).run(&mut locks.connect());
}

fn pairs(size: &Size, options: &str) -> Workload {
    Workload::new(size.names, |index| lock_pair(index, TTL_MS, options))
}

fn crowded_pairs(size: &Size) -> Workload {
    Workload::new(size.names, |index| {
        let owner = owner(index);
        [
            Command(format!("LOCK.ACQUIRE crowded {owner} {TTL_MS} SHARED"), Expected::Token),
            Command(format!("LOCK.RELEASE crowded {owner}"), Expected::One),
        ]
    })
}

fn singles(size: &Size, command: impl Fn(usize) -> Command) -> Workload {
    Workload::new(size.names, |index| [command(index)])
}

fn acquire(index: usize, owner: &str) -> Command {
    Command(format!("LOCK.ACQUIRE held:{index:06} {owner} {HELD_MS}"), Expected::Token)
}

fn extend(index: usize) -> Command {
    Command(format!("LOCK.EXTEND held:{index:06} {} {HELD_MS}", owner(index)), Expected::One)
}

fn set(index: usize) -> Command {
    Command(format!("SET held:{index:06} {} NX PX {HELD_MS}", owner(index)), Expected::Ok)
}

fn refused(command: Command) -> Command {
    Command(command.0, Expected::Nil)
}
