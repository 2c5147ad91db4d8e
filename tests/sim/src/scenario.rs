//! The parameters of a history, drawn from its seed.

use crate::mutants::Mutant;
use crate::node::NodeOptions;
use rand::Rng;
use rand::rngs::SmallRng;
use redis_lock_quorum::{Kind, Options};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest ttl that is asked for, in milliseconds.
pub const MAX_TTL_MS: u64 = 3_000;
/// Greatest difference between wall clocks that are not wild, in microseconds.
const WALL_ERROR: i64 = 2_000_000;
/// Maximum number of effects that a replica is behind.
const MAX_LAG: usize = 20;
const HOUR: i64 = 3_600_000_000;

/// The use of a resource: kinds that may meet on it.
#[derive(Clone, Copy, Debug)]
pub enum Class {
    Exclusive,
    ReadersAndWriters,
    Limit(u16),
}

#[derive(Clone, Debug)]
pub struct Resource {
    pub name: String,
    pub class: Class,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub servers: usize,
    pub clients: usize,
    /// Tasks of each client.
    pub workers: usize,
    pub resources: Vec<Resource>,
    /// How long bytes are in flight, in microseconds.
    pub delay: RangeInclusive<i64>,
    /// Greatest error of the rates of clocks, in parts per million.
    pub max_ppm: i64,
    pub faults: usize,
    /// How long faults go on, in microseconds.
    pub active: i64,
    /// Whether clocks run right, and servers keep their holds or sit out a cooldown. If not, only tokens tell
    /// who came later.
    pub timed: bool,
    /// Whether servers lose data. They then have a cooldown, and their wall clocks never fall behind the
    /// monotonic ones, by being set back or by a jump: a lost counter restarts from the wall clock, and Claim
    /// 1 requires that this is not below what the server had accepted by its monotonic clock.
    pub lossy: bool,
    /// Whether wall clocks are set by an hour at a time. Tokens then keep nodes from agreeing.
    pub wild: bool,
    pub options: Options,
    /// How often several resources are asked for at once.
    pub several: f64,
    /// Longest pause of a worker between two requests, in milliseconds.
    pub idle_ms: u64,
    pub cooldown_ms: u64,
    /// Whether servers have replicas: up to date, or behind if servers lose data.
    pub replicated: bool,
}

impl Scenario {
    /// Draws a scenario. A mutant gets one in which it can do harm.
    pub fn draw(random: &mut SmallRng, mutant: Option<Mutant>) -> Scenario {
        let (mut timed, lossy) = (random.random_bool(0.8), random.random_bool(0.5));
        let mut servers = [1, 1, 3, 3, 3, 3, 5, 5][random.random_range(0..8)];
        match mutant {
            Some(Mutant::ConfirmsUnconditionally) => (timed, servers) = (false, 3),
            Some(Mutant::ExtendRevives) => servers = 1,
            _ => {}
        }
        let resources = random.random_range(1..=6);
        let resource = |number| Resource { name: format!("r{number}"), class: class(random) };
        let resources = (0..resources).map(resource).collect();
        Scenario {
            servers,
            clients: random.random_range(2..=4),
            workers: random.random_range(1..=3),
            resources,
            delay: [0..=0, -3_000..=1_000, 0..=2_000, 1_000..=5_000][random.random_range(0..4)].clone(),
            max_ppm: if timed { [0, 100, 4_900, 4_900][random.random_range(0..4)] } else { 100_000 },
            faults: random.random_range(5..=30),
            active: random.random_range(5_000_000..=20_000_000),
            timed,
            lossy,
            wild: !lossy && random.random_bool(0.2),
            options: options(random),
            several: if mutant == Some(Mutant::ConfirmsUnconditionally) { 0.9 } else { 0.1 },
            idle_ms: [3, 30, 200][random.random_range(0..3)],
            cooldown_ms: if lossy && timed { MAX_TTL_MS } else { 0 },
            replicated: random.random_bool(0.5),
        }
    }

    /// Draws one lock over several nodes with many waiters. The caller starts the clients.
    pub fn draw_line(random: &mut SmallRng) -> Scenario {
        let lossy = random.random_bool(0.5);
        Scenario {
            servers: [3, 3, 5][random.random_range(0..3)],
            clients: random.random_range(2..=12),
            workers: 0,
            resources: vec![Resource { name: "r0".into(), class: Class::Exclusive }],
            faults: 0,
            timed: true,
            lossy,
            wild: false,
            max_ppm: [0, 100, 4_900][random.random_range(0..3)],
            cooldown_ms: if lossy && random.random_bool(0.5) { MAX_TTL_MS } else { 0 },
            ..Scenario::draw(random, None)
        }
    }

    pub fn node_options(&self, seed: u64, mutant: Option<Mutant>) -> NodeOptions {
        let replica_lag = self.replicated.then_some(if self.lossy { MAX_LAG } else { 0 });
        NodeOptions { cooldown_ms: self.cooldown_ms, replica_lag, seed, mutant }
    }

    /// Draws the error of a clock's rate.
    pub fn draw_ppm(&self, random: &mut SmallRng) -> i64 {
        // The greatest error, more often than not.
        match random.random_range(0..3) {
            0 => self.max_ppm,
            1 => -self.max_ppm,
            _ => random.random_range(-self.max_ppm..=self.max_ppm),
        }
    }

    /// Draws the initial error of a wall clock.
    pub fn draw_wall_offset(&self, random: &mut SmallRng) -> i64 {
        random.random_range(-WALL_ERROR / 2..=WALL_ERROR / 2)
    }

    /// Draws by how much a server's wall clock is set.
    pub fn draw_wall_step(&self, random: &mut SmallRng, offset: i64) -> i64 {
        let lowest = if self.lossy { offset } else { -WALL_ERROR };
        match self.wild {
            true => random.random_range(-HOUR..=HOUR),
            false => random.random_range(lowest..=WALL_ERROR.max(lowest)) - offset,
        }
    }
}

fn class(random: &mut SmallRng) -> Class {
    match random.random_range(0..5) {
        0 => Class::ReadersAndWriters,
        1 => Class::Limit(random.random_range(2..=3)),
        _ => Class::Exclusive,
    }
}

fn options(random: &mut SmallRng) -> Options {
    let retry_ms = [20, 50, 200][random.random_range(0..3)];
    Options {
        retry_delay: Duration::from_millis(retry_ms),
        retry_jitter: Duration::from_millis(retry_ms / 2),
        retry_count: random.random_range(0..=3),
        node_timeout: random.random_bool(0.3).then(|| Duration::from_millis(random.random_range(15..=200))),
        ..Options::default()
    }
}

impl Class {
    pub fn draw_kind(self, random: &mut SmallRng) -> Kind {
        match self {
            Class::Exclusive => Kind::Exclusive,
            Class::ReadersAndWriters if random.random_bool(0.7) => Kind::Shared,
            Class::ReadersAndWriters => Kind::Exclusive,
            Class::Limit(n) => Kind::Limit(n),
        }
    }
}
