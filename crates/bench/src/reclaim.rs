//! How late the end of a lock is reported.

use crate::contest::percentile;
use crate::size::Size;
use crate::table::{grouped, Row, Table};
use redis_lock_harness::{Client, Reply, Server};
use std::time::{Duration, Instant};

/// Time from the acquire of the first lock to its end, by which the last one has been acquired.
const FIRST_MS: usize = 1_000;
/// The contract's bound: reclaim and event within 10 ms of the deadline.
const BOUND_MS: f64 = 10.0;

/// Returns one table for both servers.
pub fn measure(size: &Size, empty: &Server, full: &Server) -> Table {
    let mut rows = Vec::new();
    for (server, held) in [(empty, 0), (full, size.held)] {
        let late = lateness(server, size.expiring);
        let name = |what| format!("{what}, {} others held", grouped(held));
        rows.push(Row::new(name("p50"), percentile(&late, 50)));
        rows.push(Row::new(name("p99"), percentile(&late, 99)));
        rows.push(Row::new(name("max"), percentile(&late, 100)).at_most(BOUND_MS));
    }
    let title = format!(
        "Reclaim: from the deadline to the arrival of lock.expired, {} locks ending 1 ms apart",
        grouped(size.expiring)
    );
    Table { title, unit: "ms late", rows }
}

/// Returns how many milliseconds late the events of `count` locks come, in order of arrival.
fn lateness(server: &Server, count: usize) -> Vec<f64> {
    let mut events = server.connect();
    let mut client = server.connect();
    let mut notify = |classes| {
        assert_eq!(client.run(["CONFIG", "SET", "notify-keyspace-events", classes]), Reply::ok());
    };
    notify("Ed");
    events.run(["SUBSCRIBE", "__keyevent@0__:lock.expired"]);
    let deadlines = acquire_all(&mut server.connect(), count);
    let late = (0..count).map(|_| {
        let message = events.read();
        let now = Instant::now();
        let key = message.array()[2].text();
        let index: usize = key.rsplit(':').next().and_then(|n| n.parse().ok()).expect("a key of ours");
        now.saturating_duration_since(deadlines[index]).as_secs_f64() * 1e3
    });
    let late = late.collect();
    notify("");
    late
}

fn acquire_all(client: &mut Client, count: usize) -> Vec<Instant> {
    (0..count).map(|index| acquire(client, index)).collect()
}

/// Acquires lock `index`, and returns when it ends at the earliest.
fn acquire(client: &mut Client, index: usize) -> Instant {
    let ttl = FIRST_MS + index;
    let sent = Instant::now();
    let token = client.run(["LOCK.ACQUIRE", &format!("ending:{index}"), "owner", &ttl.to_string()]);
    assert!(token.int() > 0);
    sent + Duration::from_millis(ttl as u64)
}
