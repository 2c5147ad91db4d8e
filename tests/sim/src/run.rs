//! One history from beginning to end.

use crate::checks;
use crate::clients::Process;
use crate::engine_node::EngineNode;
use crate::faults;
use crate::fingerprint::Fingerprint;
use crate::front::Front;
use crate::history::{History, Line, Violation};
use crate::host::Host;
use crate::line;
use crate::mutants::Mutant;
use crate::network::Network;
use crate::panics;
use crate::resp;
use crate::scenario::{MAX_TTL_MS, Scenario};
use crate::time::{Clock, Time};
use crate::world::World;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redis_lock_quorum::order;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{LocalSet, spawn_local};

/// How long clients go on after the last fault. What it has delayed arrives within two seconds, and leaves a
/// hold for at most a ttl.
const QUIET: Duration = Duration::from_millis(2_000 + MAX_TTL_MS + MAX_TTL_MS / 5);
/// Time by which replies that nobody awaits have arrived.
const ARRIVED: Duration = Duration::from_millis(200);
/// Work that is not completed by then never will be.
const STUCK: Duration = Duration::from_secs(60);
/// Time by which small differences between wall clocks, and slow clocks, no longer matter.
const CLOCKS_AGREE: Duration = Duration::from_secs(6);

/// The configuration of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    pub mutant: Option<Mutant>,
    /// Whether the lines are kept.
    pub readable: bool,
}

/// The result of a history.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub seed: u64,
    pub acquisitions: u64,
    pub requests: u64,
    /// How often each outcome occurred.
    pub outcomes: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    pub violations: Vec<Violation>,
    pub fingerprint: u64,
    pub lines: Vec<Line>,
}

/// Runs the history of this seed.
pub fn run(seed: u64, setup: Setup) -> Report {
    let ran = panics::collect(|| catch_unwind(AssertUnwindSafe(|| run_inside(seed, setup))));
    let (report, panics) = ran;
    let mut report = report.unwrap_or_default();
    report.seed = seed;
    let panicked = |what| Violation { at: 0, resource: String::new(), what };
    report.violations.extend(panics.into_iter().map(panicked));
    report
}

fn run_inside(seed: u64, setup: Setup) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing that could be missing");
    LocalSet::new().block_on(&runtime, history(seed, setup))
}

async fn history(seed: u64, setup: Setup) -> Report {
    let random = &mut SmallRng::seed_from_u64(seed);
    let has_line = line::is_drawn(seed, setup.mutant);
    let scenario = if has_line { Scenario::draw_line(random) } else { Scenario::draw(random, setup.mutant) };
    let world = begin(random, setup, scenario);
    if has_line {
        line::run(&world, random).await;
    } else {
        for _ in 0..world.scenario.clients {
            start(&world, random.random()).await;
        }
        faults::run(Rc::clone(&world), random.random()).await;
        tokio::time::sleep(QUIET).await;
    }
    end(&world, random).await;
    report(&world)
}

/// Sets up servers and the network, without any clients.
fn begin(random: &mut SmallRng, setup: Setup, mut scenario: Scenario) -> Rc<World> {
    if setup.mutant == Some(Mutant::NoCooldown) {
        scenario.cooldown_ms = 0;
    }
    let time = Time::start();
    let history = Rc::new(History::new(time, setup.readable));
    history.note(|| format!("{scenario:?}"));
    let network = Network::new(time, random.random(), scenario.servers, scenario.delay.clone());
    spawn_local(network.clone().run());
    let host = |number: usize| {
        let (ppm, wall) = (scenario.draw_ppm(random), scenario.draw_wall_offset(random));
        let clock = Clock::new(time, random.random_range(0..1_000_000_000), ppm, wall);
        let node = EngineNode::new(scenario.node_options(random.random(), setup.mutant));
        let front = Front::new(number, setup.mutant);
        Rc::new(Host::new(number, node, front, clock, &network, &history, random.random()))
    };
    let hosts: Vec<_> = (0..scenario.servers).map(host).collect();
    hosts.iter().for_each(|host| drop(spawn_local(Rc::clone(host).run())));
    Rc::new(World {
        time,
        scenario,
        network,
        history,
        hosts,
        processes: RefCell::default(),
        mutant: setup.mutant,
        stopped: Cell::new(false),
    })
}

async fn start(world: &Rc<World>, seed: u64) {
    match Process::start(world, seed).await {
        Ok(process) => world.processes.borrow_mut().push(process),
        Err(error) => world.history.violation("", format!("a client did not start: {error}")),
    }
}

/// Ends all clients, and checks that nothing is left behind.
async fn end(world: &Rc<World>, random: &mut SmallRng) {
    world.stopped.set(true);
    let processes = world.processes.borrow().clone();
    for process in &processes {
        let workers = std::mem::take(&mut *process.workers.borrow_mut());
        for worker in workers {
            match tokio::time::timeout(STUCK, worker.task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => world.history.violation("", format!("a worker ended with: {error}")),
                Err(_) => {
                    world.history.violation("", format!("a worker of client {} is stuck", process.number))
                }
            }
        }
        if tokio::time::timeout(STUCK, process.quorum.settled()).await.is_err() {
            world.history.violation("", format!("client {} does not settle", process.number));
        }
    }
    tokio::time::sleep(ARRIVED).await;
    // Released locks are free at once, not only when their ttl is over.
    nothing_is_left(world);
    let all_over = Duration::from_millis(MAX_TTL_MS + world.scenario.cooldown_ms).mul_f64(1.01);
    tokio::time::sleep(all_over + CLOCKS_AGREE).await;
    nothing_is_left(world);
    start(world, random.random()).await;
    if !world.scenario.wild {
        let processes = world.processes.borrow().clone();
        for process in processes {
            all_can_be_had(world, &process).await;
        }
    }
    nothing_is_left(world);
}

/// Checks that nobody holds anything, or waits for it.
fn nothing_is_left(world: &World) {
    let names = world.scenario.resources.iter().map(|resource| &resource.name);
    for name in names.flat_map(|name| [name.clone(), order::line_of(name)]) {
        for (number, host) in world.hosts.iter().enumerate() {
            let reply = host.operate(&["LOCK.INFO", &name]);
            if reply != resp::nil() {
                let reply = String::from_utf8_lossy(&reply).replace("\r\n", " ");
                world.history.violation(&name, format!("node {number} still has it: {reply}"));
            }
        }
    }
}

/// Checks that every node grants every resource.
async fn all_can_be_had(world: &World, process: &Process) {
    for resource in &world.scenario.resources {
        let acquire = process.quorum.acquire(resource.name.as_str(), Duration::from_secs(1));
        let released = match acquire.wait(Duration::from_secs(2)).await {
            Ok(lock) => lock.release().await,
            Err(error) => Err(error),
        };
        let what = match released {
            Ok(released) if released.released == world.hosts.len() => continue,
            Ok(released) => format!("only {} nodes granted it: {:?}", released.released, released.nodes),
            Err(error) => error.to_string(),
        };
        let what = format!("client {} can't have it when all is over: {what}", process.number);
        world.history.violation(&resource.name, what);
    }
}

fn report(world: &World) -> Report {
    let operations = world.history.operations();
    let mut violations = world.history.violations();
    violations.extend(checks::check(&operations, world.scenario.timed));
    let mut fingerprint = Fingerprint::default();
    fingerprint.number(world.history.fingerprint());
    fingerprint.number(world.network.fingerprint());
    Report {
        seed: 0,
        acquisitions: operations.iter().filter(|operation| operation.token.is_some()).count() as u64,
        requests: operations.len() as u64,
        outcomes: world.history.outcomes(),
        faults: world.history.faults(),
        violations,
        fingerprint: fingerprint.value(),
        lines: world.history.lines(),
    }
}
