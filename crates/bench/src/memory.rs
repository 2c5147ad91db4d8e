//! The bytes of a held lock against those of a native key.

use crate::info::settled_memory;
use crate::size::Size;
use crate::table::{grouped, Row, Table};
use crate::workload::{Command, Expected, Workload};
use redis_lock_harness::Server;

const TTL_MS: u64 = 3_600_000;
const BOUND: f64 = 1.6;

/// Returns one table.
pub fn measure(size: &Size) -> Vec<Table> {
    let mut rows = Vec::new();
    for length in [20, 36] {
        let native = bytes_per_key(Server::builder().without_module().start(), size.memory_keys, |index| {
            Command(format!("SET lock:{index:06} {index:0length$} NX PX {TTL_MS}"), Expected::Ok)
        });
        let lock = bytes_per_key(Server::start(), size.memory_keys, |index| {
            Command(format!("LOCK.ACQUIRE lock:{index:06} {index:0length$} {TTL_MS}"), Expected::Token)
        });
        rows.push(Row::new(format!("native key, SET NX PX, value of {length} bytes"), native));
        rows.push(
            Row::new(format!("lock, owner of {length} bytes"), lock)
                .ratio(lock / native, "lock / native")
                .at_most(BOUND),
        );
    }
    let title =
        format!("Memory: growth of used_memory for {} keys, names of 11 bytes", grouped(size.memory_keys));
    vec![Table { title, unit: "bytes/key", rows }]
}

fn bytes_per_key(server: Server, keys: usize, command: impl Fn(usize) -> Command) -> f64 {
    let before = settled_memory(&server);
    // The connection and its buffers are gone before the second look.
    Workload::new(keys, |index| [command(index)]).run(&mut server.connect());
    let after = settled_memory(&server);
    (after - before) as f64 / keys as f64
}
