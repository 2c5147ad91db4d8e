//! The clients: processes that run the real client crate, and tasks that acquire locks.

use crate::environment::{Machine, urls};
use crate::mutants::Mutant;
use crate::scenario::{Class, MAX_TTL_MS, Resource};
use crate::time::Clock;
use crate::world::World;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redis_lock_quorum::{Acquire, Error, Kind, Lock, Quorum};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

/// One program that acquires locks.
pub struct Process {
    pub number: usize,
    pub clock: Arc<Clock>,
    pub quorum: Quorum,
    /// When it was paused, if it is.
    paused: Cell<Option<i64>>,
    resumed: Notify,
    pub dead: Cell<bool>,
    pub workers: RefCell<Vec<Worker>>,
}

/// One of its tasks.
pub struct Worker {
    pub task: JoinHandle<()>,
    current: Current,
}

/// The current request of a task.
pub type Current = Rc<Cell<Option<usize>>>;

impl Process {
    /// Starts a process, and its tasks.
    pub async fn start(world: &Rc<World>, seed: u64) -> Result<Rc<Process>, Error> {
        let random = &mut SmallRng::seed_from_u64(seed);
        let scenario = &world.scenario;
        let number = world.network.add_client();
        let (ppm, wall) = (scenario.draw_ppm(random), scenario.draw_wall_offset(random));
        let clock = Arc::new(Clock::new(world.time, random.random_range(0..1_000_000_000), ppm, wall));
        let machine = Machine::new(&clock, &world.network, number, random.random(), world.mutant);
        let mut options = scenario.options.clone();
        if world.mutant == Some(Mutant::NoDriftAllowance) {
            options.drift = 0.0;
        }
        let quorum = Quorum::connect_in(Arc::new(machine), urls(scenario.servers), options).await?;
        let process = Rc::new(Process {
            number,
            clock,
            quorum,
            paused: Cell::new(None),
            resumed: Notify::new(),
            dead: Cell::new(false),
            workers: RefCell::default(),
        });
        // No tasks for a process that is started after the end.
        let workers = if world.stopped.get() { 0 } else { scenario.workers };
        for _ in 0..workers {
            let (world, of) = (Rc::clone(world), Rc::clone(&process));
            let random = SmallRng::seed_from_u64(random.random());
            process.spawn(|current| Work { world, process: of, random, current }.run());
        }
        Ok(process)
    }

    /// Starts a task, which records its current request.
    pub fn spawn<F: Future<Output = ()> + 'static>(&self, work: impl FnOnce(Current) -> F) {
        let current = Current::default();
        let task = spawn_local(work(Rc::clone(&current)));
        self.workers.borrow_mut().push(Worker { task, current });
    }

    pub fn pause(&self, now: i64) {
        self.paused.set(Some(now));
    }

    /// Resumes the process. Returns how long it was paused.
    pub fn resume(&self, now: i64) -> i64 {
        let since = self.paused.take();
        self.resumed.notify_waiters();
        since.map_or(0, |since| now - since)
    }

    async fn until_resumed(&self) {
        while self.paused.get().is_some() {
            self.resumed.notified().await;
        }
    }

    /// Ends the process as kill -9 does. Its connections are already gone.
    pub fn kill(&self, world: &World) {
        for worker in self.workers.borrow_mut().drain(..) {
            if let Some(operation) = worker.current.take() {
                world.history.killed(operation);
            }
            worker.task.abort();
        }
    }
}

struct Work {
    world: Rc<World>,
    process: Rc<Process>,
    random: SmallRng,
    current: Current,
}

impl Work {
    async fn run(mut self) {
        while !self.world.stopped.get() {
            self.sleep(self.world.scenario.idle_ms).await;
            self.request().await;
            self.current.set(None);
        }
    }

    /// Sleeps for at most this time, and longer while the process is paused.
    async fn sleep(&mut self, at_most_ms: u64) {
        let ms = self.random.random_range(0..=at_most_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.process.until_resumed().await;
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    /// Returns what to ask for: sometimes several exclusive resources at once.
    fn draw_resources(&mut self) -> (Vec<String>, Kind) {
        let resources = &self.world.scenario.resources;
        let first = &resources[self.random.random_range(0..resources.len())];
        let kind = first.class.draw_kind(&mut self.random);
        let exclusive = |resource: &&Resource| matches!(resource.class, Class::Exclusive);
        let names = match first.class {
            Class::Exclusive if self.random.random_bool(self.world.scenario.several) => {
                resources.iter().filter(exclusive).map(|resource| resource.name.clone()).collect()
            }
            _ => vec![first.name.clone()],
        };
        (names, kind)
    }

    /// Makes one request, with one of many courses.
    async fn request(&mut self) {
        let (resources, kind) = self.draw_resources();
        let ttl_ms = [40, 200, 500, 1_000, MAX_TTL_MS][self.random.random_range(0..5)];
        let wait_ms = self.chance(0.6).then(|| self.random.random_range(0..=3_000));
        let (ttl, wait) = (Duration::from_millis(ttl_ms), wait_ms.map(Duration::from_millis));
        let told_by = self.world.time.now() + self.longest(ttl, wait);
        let operation = self.world.history.begin(self.process.number, &resources, kind, told_by);
        self.current.set(Some(operation));
        let mut acquire = self.process.quorum.acquire(resources, ttl).kind(kind);
        if let Some(wait) = wait {
            acquire = acquire.wait(wait);
        }
        if self.chance(0.15) {
            self.using(operation, acquire).await;
            return;
        }
        let patience = match self.chance(0.1) {
            true => Duration::from_millis(self.random.random_range(0..=1_000)),
            false => Duration::MAX,
        };
        match tokio::time::timeout(patience, acquire).await {
            Err(_) => self.world.history.cancelled(operation),
            Ok(Err(error)) => self.world.history.failed(operation, &error),
            Ok(Ok(lock)) => {
                let validity = self.true_micros(lock.validity());
                self.world.history.granted(operation, lock.fencing_token(), validity);
                self.process.until_resumed().await;
                self.hold(operation, &lock, ttl).await;
                self.world.history.ended(operation);
                self.give_back(operation, lock).await;
            }
        }
    }

    /// Returns how long it may take until a request is answered.
    fn longest(&self, ttl: Duration, wait: Option<Duration>) -> i64 {
        let options = &self.world.scenario.options;
        let node = options.node_timeout.unwrap_or(ttl / 4).max(Duration::from_millis(50));
        // Asking, asking again or for confirmation, and the release, plus the pause before the next attempt.
        let attempt = 5 * node + options.retry_delay + options.retry_jitter;
        let longest = match wait {
            Some(wait) => wait + 2 * attempt,
            None => (options.retry_count + 1) * attempt + options.retry_count * options.retry_delay,
        };
        // For a slow clock, and the extra connection of a waiting request.
        micros(longest + longest / 8 + options.connect_timeout)
    }

    fn true_micros(&self, validity: Duration) -> i64 {
        self.process.clock.true_micros(validity)
    }

    /// Works under the lock, extends it, and checks its validity. Some keep it to the end.
    async fn hold(&mut self, operation: usize, lock: &Lock, ttl: Duration) {
        let steps = self.random.random_range(0..3);
        for _ in 0..steps {
            match self.random.random_range(0..12) {
                0..=2 => self.extend(operation, lock, ttl).await,
                3 => {
                    // Half of it is over: the usual time to extend.
                    tokio::time::sleep(ttl / 2).await;
                    self.extend(operation, lock, ttl).await;
                }
                4 => tokio::time::sleep(lock.validity()).await,
                _ => self.sleep(40).await,
            }
            self.process.until_resumed().await;
            let validity = lock.validity();
            self.world.history.valid(operation, self.true_micros(validity));
            if validity.is_zero() {
                return;
            }
        }
        if self.chance(0.1) {
            tokio::time::sleep(lock.validity()).await;
        }
    }

    async fn extend(&mut self, operation: usize, lock: &Lock, ttl: Duration) {
        let patience = if self.chance(0.1) { Duration::from_millis(3) } else { Duration::MAX };
        match tokio::time::timeout(patience, lock.extend(ttl)).await {
            Ok(Ok(_)) => self.world.history.count("extended"),
            Ok(Err(error)) => self.world.history.not_extended(operation, &error),
            Err(_) => self.world.history.count("extension given up"),
        }
    }

    async fn give_back(&mut self, operation: usize, lock: Lock) {
        let patience = match self.random.random_range(0..10) {
            0 => return drop(lock),
            1 => Duration::from_millis(self.random.random_range(0..=5)),
            _ => Duration::MAX,
        };
        if let Ok(Err(error)) = tokio::time::timeout(patience, lock.release()).await {
            self.world.history.judge(operation, &error);
        }
    }

    /// Works under a lock that is renewed automatically.
    async fn using(&mut self, operation: usize, acquire: Acquire) {
        let ms: Vec<u64> = (0..3).map(|_| self.random.random_range(0..=200)).collect();
        let (world, process) = (Rc::clone(&self.world), Rc::clone(&self.process));
        let history = &world.history;
        let worked = acquire.using(async |lease| {
            let look = || {
                let validity = lease.validity();
                (process.clock.true_micros(validity), validity.is_zero())
            };
            history.granted(operation, lease.fencing_token(), look().0);
            for ms in ms {
                let lost = tokio::time::timeout(Duration::from_millis(ms), lease.lost()).await.is_ok();
                process.until_resumed().await;
                let (validity, over) = look();
                history.valid(operation, validity);
                if lost || over {
                    break;
                }
            }
            history.ended(operation);
        });
        if let Err(error) = worked.await {
            history.failed(operation, &error);
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
