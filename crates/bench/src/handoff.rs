//! The cost of handing a lock to the next waiter, and the cost of waiting.

use crate::contender::{Contender, Way};
use crate::contest::median;
use crate::crowd::Crowd;
use crate::info::{cpu_micros, settled_memory};
use crate::size::Size;
use crate::table::{grouped, Row, Table};
use redis_lock_harness::{allow_connections, eventually, Client, Server};
use std::time::{Duration, Instant};

/// Bound of the server's cost of a hand-off with the long queue, relative to the short one.
const CPU_BOUND: f64 = 1.3;
/// Bound of its duration, relative to the token in a list.
const WALL_BOUND: f64 = 1.15;
const BOUND: Duration = Duration::from_secs(120);

/// Returns two tables.
pub fn measure(size: &Size) -> Vec<Table> {
    allow_connections();
    vec![handoffs(size), waiters(size)]
}

/// Contending clients on a server of their own.
struct Ring {
    _server: Server,
    client: Client,
    crowd: Crowd,
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

impl Ring {
    fn new(way: Way, clients: usize) -> Ring {
        let server = Server::builder().config("maxclients", "20000").start();
        let mut client = server.connect();
        if matches!(way, Way::Token) {
            client.run(["RPUSH", "lock", "token"]);
        }
        let contender = |index| Contender::new(way.clone(), Duration::ZERO, index);
        let mut crowd = Crowd::begin(&server, (0..clients).map(contender));
        crowd.run(clients, BOUND);
        Ring { _server: server, client, crowd, cpu: Vec::new(), wall: Vec::new() }
    }

    /// Runs one round of `count` hand-offs.
    fn sample(&mut self, count: usize) {
        let (cpu, began) = (cpu_micros(&mut self.client), Instant::now());
        let done = self.crowd.run(count, BOUND);
        assert!(done >= count, "{done} of {count} hand-offs within {BOUND:?}");
        self.wall.push(began.elapsed().as_secs_f64() * 1e6 / done as f64);
        self.cpu.push((cpu_micros(&mut self.client) - cpu) / done as f64);
    }
}

fn handoffs(size: &Size) -> Table {
    let [short, long] = size.waiters;
    let contests = [(Way::Line, short), (Way::Line, long), (Way::Token, short), (Way::Token, long)];
    let mut rings: Vec<Ring> = contests.into_iter().map(|(way, clients)| Ring::new(way, clients)).collect();
    for round in 0..size.rounds {
        for turn in 0..rings.len() {
            let index = (round + turn) % rings.len();
            rings[index].sample(size.handoffs);
        }
    }
    let figures: Vec<(f64, f64)> = rings.iter().map(|ring| (median(&ring.cpu), median(&ring.wall))).collect();
    let [(cpu_short, wall_short), (cpu_long, wall_long), token_short, token_long] = figures[..] else {
        unreachable!("four contests")
    };
    let name = |what: &str, clients: usize| format!("{what}, {} clients", grouped(clients));
    let rows = vec![
        Row::new(name("LOCK.RELEASE + LOCK.ACQUIRE BLOCK, server CPU", short), cpu_short),
        Row::new(name("LOCK.RELEASE + LOCK.ACQUIRE BLOCK, server CPU", long), cpu_long)
            .ratio(cpu_long / cpu_short, "long / short")
            .at_most(CPU_BOUND),
        Row::new(name("RPUSH + BLPOP, server CPU", short), token_short.0),
        Row::new(name("RPUSH + BLPOP, server CPU", long), token_long.0),
        Row::new(name("LOCK.RELEASE + LOCK.ACQUIRE BLOCK, wall", short), wall_short)
            .ratio(wall_short / token_short.1, "lock / token")
            .at_most(WALL_BOUND),
        Row::new(name("LOCK.RELEASE + LOCK.ACQUIRE BLOCK, wall", long), wall_long)
            .ratio(wall_long / token_long.1, "lock / token")
            .at_most(WALL_BOUND),
        Row::new(name("RPUSH + BLPOP, wall", short), token_short.1),
        Row::new(name("RPUSH + BLPOP, wall", long), token_long.1),
    ];
    let title = format!(
        "Hand-off in a line of waiting clients, held for 0 ms: median of {} rounds of {}",
        size.rounds,
        grouped(size.handoffs)
    );
    Table { title, unit: "us", rows }
}

fn waiters(size: &Size) -> Table {
    let clients = size.waiters[1];
    let mut rows = Vec::new();
    for (name, way) in [("LOCK.ACQUIRE … BLOCK 0", Way::Line), ("BLPOP … 0", Way::Token)] {
        let server = Server::builder().config("maxclients", "20000").start();
        let mut client = server.connect();
        client.run(["LOCK.ACQUIRE", "lock", "holder", "3600000"]);
        if matches!(way, Way::Token) {
            client.run(["DEL", "lock"]);
        }
        let idle: Vec<Client> = (0..clients).map(|_| idle_connection(&server)).collect();
        let connected = rested_memory(&server, size.rest);
        drop(idle);
        let contender = |index| Contender::new(way.clone(), Duration::ZERO, index);
        let crowd = Crowd::begin(&server, (0..clients).map(contender));
        eventually(BOUND, || server.info_u64("clients", "blocked_clients") == clients as u64);
        let bytes = (rested_memory(&server, size.rest) as f64 - connected as f64) / clients as f64;
        let before = cpu_micros(&mut client);
        std::thread::sleep(size.rest);
        let used = (cpu_micros(&mut client) - before) / size.rest.as_micros() as f64 * 100.0;
        rows.push(Row::new(format!("{name}: bytes a waiter"), bytes));
        rows.push(Row::new(format!("{name}: % of a CPU while all wait"), used));
        drop(crowd);
    }
    let title = format!("{} clients that wait, beyond what they cost as connections", grouped(clients));
    Table { title, unit: "", rows }
}

/// Returns a connection that has sent a command, as all of them have.
fn idle_connection(server: &Server) -> Client {
    let mut client = server.connect();
    client.run(["PING"]);
    client
}

/// Returns the bytes that the server has allocated once it has shrunk the buffers of idle connections, which
/// it does a few seconds after their use.
fn rested_memory(server: &Server, rest: Duration) -> u64 {
    std::thread::sleep(rest);
    settled_memory(server)
}
