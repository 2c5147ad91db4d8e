//! Histories of many clients that wait in line for one lock over several nodes, beside some that don't wait.
//! Undisturbed they are served in the order in which the line's node received them. Whatever happens to one
//! node, or to one of them, the others go on.

use crate::clients::{Current, Process};
use crate::environment::urls;
use crate::history::{History, Operation};
use crate::mutants::Mutant;
use crate::network::BOTH;
use crate::node::Persistence;
use crate::scenario::{MAX_TTL_MS, Scenario};
use crate::world::World;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redis_lock_quorum::{Kind, Renewal, order};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;

/// The resource that all want.
const RESOURCE: &str = "r0";
/// Longer than anybody waits.
const WAIT: Duration = Duration::from_secs(60);
/// Besides a ttl, the longest time for which anything may stop the line.
const SLACK: Duration = Duration::from_secs(2);
/// The longest time of each earlier one: nodes that do not answer, clocks that run slow.
const TURN: Duration = Duration::from_millis(200);
/// How long it goes on undisturbed.
const WHILE: Duration = Duration::from_secs(2);

/// The fault of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Undisturbed,
    /// A node is killed, and restarted with its data or without.
    Kill {
        keep: Persistence,
    },
    Freeze,
    /// Some of the waiting clients can't reach a node.
    CutOff,
    /// One of the clients that wait or hold dies.
    Die,
    /// All nodes are restarted one by one while one client holds the lock, and renews it.
    RollingRestart {
        keep: Persistence,
    },
}

impl Plan {
    fn draw(random: &mut SmallRng, scenario: &Scenario) -> Plan {
        let keep = if scenario.lossy { Persistence::Lost } else { Persistence::Always };
        match random.random_range(0..8) {
            0 | 1 => Plan::Kill { keep },
            2 => Plan::Freeze,
            3 => Plan::CutOff,
            4 => Plan::Die,
            5 => Plan::RollingRestart { keep },
            _ => Plan::Undisturbed,
        }
    }
}

/// Returns whether the history of this seed is one of these.
pub fn is_drawn(seed: u64, mutant: Option<Mutant>) -> bool {
    match mutant {
        Some(mutant) => mutant == Mutant::LineNotKept,
        None => seed.is_multiple_of(4),
    }
}

/// Runs it, up to the moment when nobody asks for anything new.
pub async fn run(world: &Rc<World>, random: &mut SmallRng) {
    let plan = match world.mutant {
        Some(_) => Plan::Undisturbed,
        None => Plan::draw(random, &world.scenario),
    };
    world.history.note(|| format!("{plan:?}"));
    let ttl = Duration::from_millis(random.random_range(1_000..=MAX_TTL_MS));
    let keeper = match plan {
        Plan::RollingRestart { .. } => {
            let process = start(world, random).await;
            Some(spawn_local(keep(Rc::clone(world), process)))
        }
        _ => None,
    };
    tokio::time::sleep(WHILE / 10).await;
    for _ in 0..world.scenario.clients {
        let process = start(world, random).await;
        add(world, &process, random, Asks { ttl, wait: WAIT });
    }
    let hasty = start(world, random).await;
    for _ in 0..random.random_range(0..=8) {
        add(world, &hasty, random, Asks { ttl, wait: Duration::ZERO });
    }
    tokio::time::sleep(WHILE).await;
    let disturbed = world.time.now();
    let stalls = disturb(world, random, plan).await;
    let over = world.time.now();
    let since = match keeper {
        // Dropping it releases its lock.
        Some(keeper) => {
            keeper.abort();
            world.history.ended(0);
            over
        }
        None => disturbed,
    };
    // A client that is cut off may have to wait until that ends, while the others keep the lock busy.
    let cut_off = if plan == Plan::CutOff { cut_off(world) } else { 0 };
    let since = |client: usize| if client < cut_off { over } else { since };
    tokio::time::sleep(stalls * ttl + SLACK + WHILE).await;
    let most = stalls * ttl + SLACK + world.scenario.clients as u32 * TURN;
    judge(&world.history, plan, hasty.number, (since, world.time.now()), micros(most));
}

async fn start(world: &Rc<World>, random: &mut SmallRng) -> Rc<Process> {
    loop {
        match Process::start(world, random.random()).await {
            Ok(process) => {
                world.processes.borrow_mut().push(Rc::clone(&process));
                return process;
            }
            Err(error) => world.history.violation("", format!("a client did not start: {error}")),
        }
    }
}

/// How a client asks for the lock, repeatedly.
#[derive(Clone, Copy)]
struct Asks {
    ttl: Duration,
    wait: Duration,
}

fn add(world: &Rc<World>, process: &Rc<Process>, random: &mut SmallRng, asks: Asks) {
    let (world, of, seed) = (Rc::clone(world), Rc::clone(process), random.random());
    process.spawn(|current| ask_again_and_again(world, of, SmallRng::seed_from_u64(seed), asks, current));
}

async fn ask_again_and_again(
    world: Rc<World>,
    process: Rc<Process>,
    mut random: SmallRng,
    asks: Asks,
    current: Current,
) {
    let history = &world.history;
    while !world.stopped.get() {
        let pause = if asks.wait.is_zero() { 1..=5 } else { 0..=3 };
        tokio::time::sleep(Duration::from_millis(random.random_range(pause))).await;
        let told_by = world.time.now() + micros(asks.wait + SLACK);
        let operation = history.begin(process.number, &[RESOURCE.into()], Kind::Exclusive, told_by);
        current.set(Some(operation));
        match process.quorum.acquire(RESOURCE, asks.ttl).wait(asks.wait).await {
            Ok(lock) => {
                history.granted(operation, lock.fencing_token(), process.clock.true_micros(lock.validity()));
                tokio::time::sleep(Duration::from_millis(random.random_range(0..=4))).await;
                history.ended(operation);
                // Nodes that could not be told are left to the background.
                let _ = lock.release().await;
            }
            Err(error) => {
                history.failed(operation, &error);
                if !asks.wait.is_zero() {
                    history.violation(RESOURCE, format!("#{operation} waited in vain: {error}"));
                }
            }
        }
        current.set(None);
    }
}

/// Holds the lock, and renews it. It must not be lost.
async fn keep(world: Rc<World>, process: Rc<Process>) {
    let (history, ttl) = (&world.history, Duration::from_millis(MAX_TTL_MS));
    let told_by = world.time.now() + micros(SLACK);
    let operation = history.begin(process.number, &[RESOURCE.into()], Kind::Exclusive, told_by);
    let lock = match process.quorum.acquire(RESOURCE, ttl).await {
        Ok(lock) => lock,
        Err(error) => return history.failed(operation, &error),
    };
    let valid = || process.clock.true_micros(lock.validity());
    history.granted(operation, lock.fencing_token(), valid());
    let told = |renewal: Renewal| {
        if let Renewal::Extended = renewal {
            history.valid(operation, valid());
        }
    };
    let error = lock.renew(ttl, told).await;
    history.violation(RESOURCE, format!("#{operation} was pushed out: {error}"));
}

/// Returns how many clients are cut off, the first ones.
fn cut_off(world: &World) -> usize {
    1 + world.scenario.clients / 3
}

/// Causes the fault. Returns for how many ttls the line may stand still for it.
async fn disturb(world: &Rc<World>, random: &mut SmallRng, plan: Plan) -> u32 {
    let ranked = order::rank(RESOURCE, urls(world.hosts.len()).iter().map(|url| &url["redis://".len()..]));
    let node = if random.random_bool(0.7) { ranked[0] } else { ranked[1] };
    let host = &world.hosts[node];
    let history = &world.history;
    let lasts = Duration::from_millis(random.random_range(100..=12_000));
    match plan {
        Plan::Undisturbed => {}
        Plan::Kill { keep } => {
            history.fault("server killed", || format!("node {node}, {keep:?}"));
            host.kill();
            tokio::time::sleep(lasts).await;
            host.start(keep);
        }
        Plan::Freeze => {
            history.fault("server stopped", || format!("node {node}"));
            host.freeze();
            tokio::time::sleep(lasts).await;
            host.thaw();
        }
        Plan::CutOff => {
            let some = cut_off(world);
            history.fault("stall", || format!("{some} clients and node {node}"));
            let ways = || (0..some).flat_map(|client| BOTH.map(|way| (client, way)));
            ways().for_each(|(client, way)| world.network.silence(client, node, way));
            tokio::time::sleep(lasts).await;
            ways().for_each(|(client, way)| world.network.unsilence(client, node, way));
            // Each of them may be next in line, and not learn of it.
            return 1 + some as u32;
        }
        Plan::Die => {
            let process = Rc::clone(&world.processes.borrow()[0]);
            history.fault("client killed", || format!("client {}", process.number));
            world.network.client_dies(process.number);
            process.kill(world);
            process.dead.set(true);
            world.processes.borrow_mut().remove(0);
        }
        Plan::RollingRestart { keep } => {
            for host in &world.hosts {
                history.fault("server killed", || format!("{keep:?}"));
                host.kill();
                tokio::time::sleep(lasts / 10).await;
                host.start(keep);
                // It joins again with the next renewal or two.
                tokio::time::sleep(Duration::from_millis(world.scenario.cooldown_ms + MAX_TTL_MS)).await;
            }
        }
    }
    1
}

/// Checks that up to `end` nobody waited longer than `most`, counted for each client from `since`. If nothing
/// was wrong, they must also have been served in the order in which they came.
fn judge(history: &History, plan: Plan, hasty: usize, (since, end): (impl Fn(usize) -> i64, i64), most: i64) {
    let operations = history.operations();
    for (number, operation) in
        operations.iter().enumerate().filter(|(_, operation)| operation.client != hasty)
    {
        let end = if operation.completed.is_some() { operation.completed_at } else { end };
        let waited = end - operation.invoked_at.max(since(operation.client));
        if waited > most {
            let (waited, most) = (waited / 1_000, most / 1_000);
            history
                .violation(RESOURCE, format!("#{number} waited for {waited} ms, at most {most} are right"));
        }
    }
    let mut granted: Vec<&Operation> =
        operations.iter().filter(|operation| operation.token.is_some()).collect();
    granted.sort_by_key(|operation| operation.completed);
    if plan == Plan::Undisturbed {
        overtaking(history, &granted);
    }
}

/// Checks that nobody got it before one that was already in line when that one came.
fn overtaking(history: &History, granted: &[&Operation]) {
    let mut lines: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    history.lined_up().iter().for_each(|(client, at)| lines.entry(*client).or_default().push(*at));
    // When it last stood in line.
    let in_line = |operation: &Operation| {
        let of_client = lines.get(&operation.client)?.iter();
        let of_request =
            |at: &&u64| (operation.invoked..operation.completed.unwrap_or(u64::MAX)).contains(at);
        of_client.copied().filter(|at| of_request(&at)).max()
    };
    let mut first_of_later: Option<(u64, &Operation)> = None;
    for operation in granted.iter().rev() {
        let place = in_line(operation);
        let came = place.unwrap_or(operation.invoked);
        if let Some((earlier, other)) = first_of_later.filter(|(earlier, _)| *earlier < came) {
            history.violation(
                RESOURCE,
                format!(
                    "client {} came at {came} and got it before client {}, in line since {earlier}",
                    operation.client, other.client
                ),
            );
        }
        first_of_later = match (place, first_of_later) {
            (Some(place), Some((first, _))) if first < place => first_of_later,
            (Some(place), _) => Some((place, operation)),
            (None, _) => first_of_later,
        };
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
