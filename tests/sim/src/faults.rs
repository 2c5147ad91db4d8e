//! The nemesis: faults at random moments, each of which ends.

use crate::clients::Process;
use crate::mutants::Mutant;
use crate::network::{BOTH, Direction};
use crate::node::Persistence;
use crate::world::World;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;

/// Causes all faults of a history, and returns once the last has ended.
pub async fn run(world: Rc<World>, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let faults = world.scenario.faults;
    let pause = 2 * world.scenario.active.unsigned_abs() / faults as u64;
    let mut running = Vec::new();
    for _ in 0..faults {
        tokio::time::sleep(Duration::from_micros(random.random_range(0..=pause))).await;
        let fault = Fault { world: Rc::clone(&world), random: SmallRng::seed_from_u64(random.random()) };
        running.push(spawn_local(fault.run()));
    }
    for fault in running {
        if let Err(error) = fault.await {
            world.history.violation("", format!("a fault ended with: {error}"));
        }
    }
}

struct Fault {
    world: Rc<World>,
    random: SmallRng,
}

impl Fault {
    async fn run(mut self) {
        let kinds = if self.world.scenario.timed { 13 } else { 20 };
        match self.random.random_range(0..kinds) {
            0 | 1 => self.cut(),
            2 => self.refuse().await,
            3 => {
                let direction = BOTH[self.random.random_range(0..2)];
                self.silence("one-way silence", &[direction]).await;
            }
            4 => self.silence("stall", &BOTH).await,
            5 => self.slow().await,
            6 | 7 => self.freeze().await,
            8 | 9 => self.kill_server().await,
            10 => self.set_wall_clock(),
            11 => self.pause_client().await,
            12 => self.kill_client().await,
            13 | 14 => self.jump(),
            _ => self.delete().await,
        }
    }

    fn note(&self, kind: &'static str, what: impl FnOnce() -> String) {
        self.world.history.fault(kind, what);
    }

    fn server(&mut self) -> usize {
        self.random.random_range(0..self.world.hosts.len())
    }

    fn process(&mut self) -> Rc<Process> {
        let processes = self.world.processes.borrow();
        Rc::clone(&processes[self.random.random_range(0..processes.len())])
    }

    /// Returns a server, and the clients whose connections to it are affected: one, or all.
    fn ways(&mut self) -> (usize, Vec<usize>) {
        let server = self.server();
        let clients = match self.random.random_bool(0.3) {
            true => self.world.processes.borrow().iter().map(|process| process.number).collect(),
            false => vec![self.process().number],
        };
        (server, clients)
    }

    /// Sleeps for up to this time, more often briefly than long.
    async fn last(&mut self, at_most_ms: u64) {
        let most = self.random.random_range(0..=at_most_ms);
        let ms = self.random.random_range(0..=most);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    fn cut(&mut self) {
        let (server, clients) = self.ways();
        self.note("connection cut", || format!("clients {clients:?} to node {server}"));
        for client in clients {
            self.world.network.cut(client, server);
        }
    }

    async fn refuse(&mut self) {
        let (server, clients) = self.ways();
        self.note("refused", || format!("clients {clients:?} to node {server}"));
        for client in &clients {
            self.world.network.refuse(*client, server, true);
            self.world.network.cut(*client, server);
        }
        self.last(3_000).await;
        clients.iter().for_each(|client| self.world.network.refuse(*client, server, false));
    }

    async fn silence(&mut self, kind: &'static str, directions: &[Direction]) {
        let (server, clients) = self.ways();
        self.note(kind, || format!("clients {clients:?} and node {server}, {directions:?}"));
        let ways = || clients.iter().flat_map(|client| directions.iter().map(|way| (*client, *way)));
        ways().for_each(|(client, way)| self.world.network.silence(client, server, way));
        self.last(4_000).await;
        ways().for_each(|(client, way)| self.world.network.unsilence(client, server, way));
        self.world.history.note(|| format!("FAULT over: clients {clients:?} and node {server}"));
    }

    async fn slow(&mut self) {
        let (server, clients) = self.ways();
        let micros = self.random.random_range(1_000..=600_000);
        self.note("slow", || format!("clients {clients:?} and node {server}, {micros} µs"));
        clients.iter().for_each(|client| self.world.network.slow(*client, server, micros));
        self.last(4_000).await;
        clients.iter().for_each(|client| self.world.network.slow(*client, server, 0));
    }

    async fn freeze(&mut self) {
        let server = self.server();
        self.note("server stopped", || format!("node {server}"));
        self.world.hosts[server].freeze();
        self.last(5_000).await;
        self.world.hosts[server].thaw();
        self.world.history.note(|| format!("FAULT over: node {server} goes on"));
    }

    async fn kill_server(&mut self) {
        let server = self.server();
        let scenario = &self.world.scenario;
        let keep = match (scenario.lossy, self.random.random_range(0..3)) {
            _ if scenario.replicated && self.random.random_bool(0.5) => Persistence::Promoted,
            (true, 0) => Persistence::Lost,
            (true, 1) => Persistence::Snapshot,
            _ => Persistence::Always,
        };
        let kind = match keep {
            Persistence::Always => "server killed",
            Persistence::Lost => "server killed, data lost",
            Persistence::Snapshot => "server killed, old snapshot",
            Persistence::Promoted => "server killed, replica promoted",
        };
        self.note(kind, || format!("node {server}"));
        self.world.hosts[server].kill();
        self.last(2_000).await;
        self.world.hosts[server].start(keep);
        self.world.history.note(|| format!("FAULT over: node {server} is started"));
    }

    fn set_wall_clock(&mut self) {
        if self.random.random_bool(0.3) {
            let process = self.process();
            let step = self.world.scenario.draw_wall_step(&mut self.random, process.clock.wall_offset());
            self.note("wall clock set", || format!("client {}, {step} µs", process.number));
            process.clock.step_wall(step);
            return;
        }
        let server = self.server();
        let clock = &self.world.hosts[server].clock;
        let step = self.world.scenario.draw_wall_step(&mut self.random, clock.wall_offset());
        self.note("wall clock set", || format!("node {server}, {step} µs"));
        clock.step_wall(step);
    }

    fn jump(&mut self) {
        let (server, micros) = (self.server(), self.random.random_range(0..=3_000_000));
        self.note("monotonic clock jumped", || format!("node {server}, {micros} µs"));
        let clock = &self.world.hosts[server].clock;
        clock.miss(-micros);
        if self.world.scenario.lossy {
            clock.step_wall(micros);
        }
    }

    /// An operator's DEL, or a program that repeats it for a while.
    async fn delete(&mut self) {
        let resources = &self.world.scenario.resources;
        let resource = resources[self.random.random_range(0..resources.len())].name.clone();
        let (server, times) = (self.server(), self.random.random_range(1..=100));
        self.note("lock deleted", || format!("{resource} on node {server}, {times} times"));
        for _ in 0..times {
            self.world.hosts[server].operate(&["DEL", &resource]);
            self.last(20).await;
        }
    }

    /// Pauses a client: nothing reaches it, and none of its tasks runs.
    async fn pause_client(&mut self) {
        let process = self.process();
        let (client, world) = (process.number, Rc::clone(&self.world));
        self.note("client stopped", || format!("client {client}"));
        let ways = || (0..world.hosts.len()).flat_map(|server| BOTH.map(|way| (server, way)));
        process.pause(world.time.now());
        ways().for_each(|(server, way)| world.network.silence(client, server, way));
        self.last(5_000).await;
        let paused = process.resume(world.time.now());
        if world.mutant == Some(Mutant::ClockStopsWhilePaused) {
            process.clock.miss(paused);
        }
        ways().for_each(|(server, way)| world.network.unsilence(client, server, way));
        world.history.note(|| format!("FAULT over: client {client} goes on"));
    }

    /// Kills a client, which another one replaces.
    async fn kill_client(&mut self) {
        let process = self.process();
        if process.dead.replace(true) {
            return;
        }
        self.note("client killed", || format!("client {}", process.number));
        self.world.network.client_dies(process.number);
        process.kill(&self.world);
        match Process::start(&self.world, self.random.random()).await {
            Ok(started) => {
                let mut processes = self.world.processes.borrow_mut();
                if let Some(place) = processes.iter_mut().find(|place| place.number == process.number) {
                    *place = started;
                }
            }
            Err(error) => self.world.history.violation("", format!("a client did not start: {error}")),
        }
    }
}
