//! The cost of granting a lock to a large number of waiters at once, and how long others wait meanwhile.

use crate::info::cpu_micros;
use crate::size::Size;
use crate::table::{grouped, Row, Table};
use redis_lock_harness::{allow_connections, eventually, Client, Reply, Server};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bound of the cost of one of many waiters, relative to one of few.
const LINEAR: f64 = 1.3;
/// Bound of a PING meanwhile, in milliseconds: one time budget, and the replies to the waiters granted in it.
const PING_BOUND_MS: f64 = 50.0;
const BOUND: Duration = Duration::from_secs(120);

/// Returns one table.
pub fn measure(size: &Size) -> Vec<Table> {
    allow_connections();
    let drains: Vec<Drain> = size.crowds.into_iter().map(drain).collect();
    let first = drains[0].cpu;
    let mut rows = Vec::new();
    for (number, (drain, clients)) in drains.iter().zip(size.crowds).enumerate() {
        let name = |what: &str| format!("{what}, {} clients", grouped(clients));
        let each = Row::new(name("server CPU for each, us"), drain.cpu);
        rows.push(match number {
            0 => each,
            _ => each.ratio(drain.cpu / first, "large / small").at_most(LINEAR),
        });
        rows.push(Row::new(name("until all were told, ms"), drain.took));
        rows.push(Row::new(name("longest PING meanwhile, ms"), drain.ping).at_most(PING_BOUND_MS));
    }
    vec![Table { title: "DEL of a lock for which a crowd waits with SHARED".into(), unit: "", rows }]
}

struct Drain {
    cpu: f64,
    took: f64,
    ping: f64,
}

fn drain(clients: usize) -> Drain {
    let server = Server::builder().config("maxclients", "20000").start();
    let mut client = server.connect();
    assert!(client.run(["LOCK.ACQUIRE", "lock", "holder", "600000"]).int() > 0);
    let mut crowd: Vec<Client> = (0..clients).map(|index| waiter(&server, index)).collect();
    eventually(BOUND, || server.info_u64("lock", "lock_waiting") == clients as u64);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ping = scope.spawn(|| longest_ping(&server, &over));
        let (cpu, began) = (cpu_micros(&mut client), Instant::now());
        assert_eq!(client.run(["DEL", "lock"]), Reply::Int(1));
        crowd.iter_mut().for_each(|client| assert!(client.read().int() > 0));
        let took = began.elapsed();
        let cpu = (cpu_micros(&mut client) - cpu) / clients as f64;
        over.store(true, Ordering::Relaxed);
        let ping = ping.join().expect("the server answers");
        Drain { cpu, took: took.as_secs_f64() * 1e3, ping: ping.as_secs_f64() * 1e3 }
    })
}

fn waiter(server: &Server, index: usize) -> Client {
    let mut client = server.connect();
    client.send(["LOCK.ACQUIRE", "lock", &format!("waiter-{index}"), "600000", "BLOCK", "0", "SHARED"]);
    client
}

/// Returns how long the slowest PING took until it is over.
fn longest_ping(server: &Server, over: &AtomicBool) -> Duration {
    let mut client = server.connect();
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        client.run(["PING"]);
        longest = longest.max(sent.elapsed());
        std::thread::sleep(Duration::from_micros(500));
    }
    longest
}
