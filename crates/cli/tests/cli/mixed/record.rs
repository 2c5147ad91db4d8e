//! What the workers tell, as it comes and as a whole.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Nanoseconds on the clock that all processes of a machine share. All times here are read from it.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A section under the lock.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    pub who: String,
    /// Before the lock was asked for.
    pub began: u64,
    /// After it was granted.
    pub entered: u64,
    /// The last moment at which it was seen to be valid.
    pub left: u64,
    pub token: u64,
}

impl Turn {
    /// The kind of worker: its name without its number.
    pub fn kind(&self) -> &str {
        self.who.rsplit_once('-').map_or(&self.who, |(kind, _)| kind)
    }
}

/// A request that failed, or a lock that was lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub who: String,
    pub began: u64,
    pub ended: u64,
    /// The error's name, a colon, what it says.
    pub error: String,
}

/// From before the server was killed until it answered again.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub down: u64,
    pub up: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Record {
    pub workers: Vec<String>,
    pub turns: Vec<Turn>,
    pub troubles: Vec<Trouble>,
    pub outages: Vec<Outage>,
}

impl Record {
    /// How often which error was told.
    pub fn told(&self) -> BTreeMap<&str, usize> {
        let mut told = BTreeMap::new();
        for trouble in &self.troubles {
            *told.entry(trouble.error.split(':').next().unwrap_or_default()).or_default() += 1;
        }
        told
    }
}

/// Where the workers write.
#[derive(Default)]
pub struct Ledger {
    turns: Mutex<Vec<Turn>>,
    troubles: Mutex<Vec<Trouble>>,
    count: AtomicUsize,
    over: AtomicBool,
}

impl Ledger {
    pub fn turns(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn add(&self, turn: Turn) {
        self.turns.lock().unwrap().push(turn);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn complain(&self, who: &str, began: u64, error: String) {
        let trouble = Trouble { who: who.into(), began, ended: now(), error };
        self.troubles.lock().unwrap().push(trouble);
    }

    /// Takes down what another process tells: `turn WHO BEGAN ENTERED LEFT TOKEN` or `trouble WHO BEGAN ENDED ERROR`.
    #[track_caller]
    pub fn take_down(&self, line: &str) {
        let number =
            |text: &str| text.parse().unwrap_or_else(|_| panic!("{text:?} in {line:?} is no number"));
        match *line.splitn(5, ' ').collect::<Vec<_>>() {
            ["turn", who, began, entered, rest] => {
                let (left, token) = rest.split_once(' ').unwrap_or_else(|| panic!("no token in {line:?}"));
                let [began, entered, left, token] = [began, entered, left, token].map(number);
                self.add(Turn { who: who.into(), began, entered, left, token });
            }
            ["trouble", who, began, ended, error] => {
                let [began, ended] = [began, ended].map(number);
                let trouble = Trouble { who: who.into(), began, ended, error: error.into() };
                self.troubles.lock().unwrap().push(trouble);
            }
            _ => panic!("a worker said {line:?}"),
        }
    }

    /// Whether the workers are to stop.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// All that was written.
    pub fn record(&self, workers: Vec<String>) -> Record {
        let turns = self.turns.lock().unwrap().clone();
        let troubles = self.troubles.lock().unwrap().clone();
        Record { workers, turns, troubles, outages: Vec::new() }
    }
}
