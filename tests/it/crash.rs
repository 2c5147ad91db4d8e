//! kill -9 under load with `appendfsync always`: what was answered is there after the restart.

use crate::support::Hold;
use crate::view::{everything, last_fence, BOUND};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const ROUNDS: usize = 8;
const WRITERS: usize = 2;
const PIPELINED: usize = 16;
const HOUR_MS: i64 = 3_600_000;
/// Outlives the test; the steps of the wall clock must not matter.
const LASTING_MS: &str = "80000000";

#[test]
fn what_was_answered_survives_kill_with_preamble() {
    survive("yes", 1);
}

#[test]
fn what_was_answered_survives_kill_without_preamble() {
    survive("no", 2);
}

fn survive(preamble: &str, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::builder()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .config("aof-use-rdb-preamble", preamble)
        // Slows the writing of snapshots down, so that kills hit it half-way.
        .config("rdb-key-save-delay", "40")
        .movable_clocks()
        .start();
    let mut ledgers: Vec<Ledger> = (0..WRITERS).map(Ledger::new).collect();
    for round in 0..ROUNDS {
        let known: usize = ledgers.iter().map(|ledger| ledger.holds.len()).sum();
        kill_under_load(&server, &mut ledgers, &mut random, round % 2 == 1);
        // The clock that a start takes its first token from says nothing now: only what was kept does.
        server.step_wall(random.random_range(-HOUR_MS..HOUR_MS));
        server.restart();
        check(&server, &mut ledgers, &format!("seed {seed}, round {round}, {known} holds before it"));
    }
}

/// Lets the writers run, and kills the server at a random moment; in every other round while it rewrites
/// its AOF, or just before or after.
fn kill_under_load(server: &Server, ledgers: &mut [Ledger], random: &mut StdRng, rewrite: bool) {
    let moment = |random: &mut StdRng| Duration::from_micros(random.random_range(1_000..70_000));
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for ledger in ledgers {
            let (client, seed, answered) = (server.connect(), random.random(), &answered);
            scope.spawn(move || ledger.write(client, StdRng::seed_from_u64(seed), answered));
        }
        eventually(BOUND, || answered.load(Ordering::Relaxed) > 0);
        std::thread::sleep(moment(random));
        if rewrite {
            let started = server.connect().run(["BGREWRITEAOF"]);
            assert!(!started.is_error(), "{started:?}");
            std::thread::sleep(moment(random));
        }
        server.kill();
    });
}

fn check(server: &Server, ledgers: &mut [Ledger], context: &str) {
    let mut found = BTreeMap::new();
    for ((_, key), lock) in everything(server) {
        for hold in lock.holds {
            found.insert((key.clone(), hold.owner.clone()), hold);
        }
    }
    for ledger in ledgers.iter_mut() {
        ledger.judge(&mut found, context);
    }
    found.retain(|(key, _), _| !key.starts_with(b"short"));
    assert!(found.is_empty(), "nobody holds these, {context}: {found:?}");
    let highest = ledgers.iter().map(|ledger| ledger.highest).max().unwrap_or(0);
    assert!(last_fence(server) >= highest, "{context}");
    let mut client = server.connect();
    let token = client.run(["LOCK.ACQUIRE", "short:probe", "probe", "1"]).int();
    assert!(token > highest, "{token} after {highest}, {context}");
}

type Name = (Vec<u8>, Vec<u8>);

/// What a client knows of a hold: as it was answered, or asked for where nothing was answered yet.
struct Known {
    hold: Hold,
    pending: Pending,
}

/// A command without a reply so far: it may have happened or not.
enum Pending {
    Nothing,
    Acquire,
    Change(Hold),
    Release,
}

/// All that one client sent and read.
struct Ledger {
    writer: usize,
    number: usize,
    holds: BTreeMap<Name, Known>,
    /// The highest token in any reply.
    highest: i64,
}

/// What a reply is about.
enum Sent {
    Acquire(Name),
    Pair([Name; 2]),
    Change(Name),
    Release(Name),
    Short,
}

impl Ledger {
    fn new(writer: usize) -> Ledger {
        Ledger { writer, number: 0, holds: BTreeMap::new(), highest: 0 }
    }

    /// Sends and reads until the server dies.
    fn write(&mut self, mut client: Client, mut random: StdRng, answered: &AtomicUsize) {
        loop {
            let mut batch = Vec::new();
            for _ in 0..PIPELINED {
                let (sent, command) = self.next(&mut random);
                if client.try_send(&command).is_err() {
                    return;
                }
                batch.push(sent);
            }
            for sent in batch {
                match client.try_read() {
                    Ok(reply) => {
                        self.note(sent, &reply);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => return,
                }
            }
        }
    }

    fn next(&mut self, random: &mut StdRng) -> (Sent, Vec<Vec<u8>>) {
        self.number += 1;
        let held = || self.holds.iter().filter(|(_, known)| matches!(known.pending, Pending::Nothing));
        let count = held().count();
        let name = (count > 0)
            .then(|| held().nth(random.random_range(0..count)).expect("it was counted").0.clone())
            .filter(|(key, _)| !key.starts_with(b"pair"));
        match (random.random_range(0..10), name) {
            (0..3, Some(name)) => self.change(name, random),
            (3..5, Some(name)) => self.release(name),
            (5, _) => self.acquire_short(),
            (6, _) => self.acquire_pair(),
            _ => self.acquire(random),
        }
    }

    fn owner(&self) -> Vec<u8> {
        [format!("{}-{}", self.writer, self.number).as_bytes(), b"\0\xff\r\n"].concat()
    }

    fn acquire(&mut self, random: &mut StdRng) -> (Sent, Vec<Vec<u8>>) {
        let limit = [1, 1, 1, 0, 3][random.random_range(0..5)];
        // Few keys: the writers share them, and refuse one another.
        let key = format!("{limit}:{}", random.random_range(0..100)).into_bytes();
        let meta = if random.random_bool(0.5) { b"why \0".to_vec() } else { Vec::new() };
        let hold = Hold {
            owner: self.owner(),
            fence: self.highest + random.random_range(0..500),
            limit,
            session: 0,
            meta,
        };
        let mut command = vec![b"LOCK.ACQUIRE".to_vec(), key.clone(), hold.owner.clone(), LASTING_MS.into()];
        match limit {
            0 => command.push(b"SHARED".to_vec()),
            limit => command.extend([b"LIMIT".to_vec(), limit.to_string().into_bytes()]),
        }
        if !hold.meta.is_empty() {
            command.extend([b"META".to_vec(), hold.meta.clone()]);
        }
        if random.random_bool(0.3) {
            command.extend(fence(hold.fence.max(1)));
        }
        let name = (key, hold.owner.clone());
        self.holds.insert(name.clone(), Known { hold, pending: Pending::Acquire });
        (Sent::Acquire(name), command)
    }

    /// Two keys under one owner, which nobody else uses.
    fn acquire_pair(&mut self) -> (Sent, Vec<Vec<u8>>) {
        let owner = self.owner();
        let keys = ["left", "right"].map(|side| format!("pair:{}:{}:{side}", self.writer, self.number));
        let names = keys.map(|key| (key.into_bytes(), owner.clone()));
        for name in &names {
            let hold = Hold { owner: owner.clone(), fence: 0, limit: 1, session: 0, meta: Vec::new() };
            self.holds.insert(name.clone(), Known { hold, pending: Pending::Acquire });
        }
        let [left, right] = names.clone().map(|name| name.0);
        let command = vec![b"LOCK.MACQUIRE".to_vec(), b"2".to_vec(), left, right, owner, LASTING_MS.into()];
        (Sent::Pair(names), command)
    }

    /// One that ends by itself while the others go on.
    fn acquire_short(&mut self) -> (Sent, Vec<Vec<u8>>) {
        let key = format!("short:{}:{}", self.writer, self.number).into_bytes();
        (Sent::Short, vec![b"LOCK.ACQUIRE".to_vec(), key, self.owner(), b"3".to_vec()])
    }

    /// EXTEND that raises the token, or a re-acquire with another META.
    fn change(&mut self, name: Name, random: &mut StdRng) -> (Sent, Vec<Vec<u8>>) {
        let known = self.holds.get_mut(&name).expect("it is one of them");
        let mut changed = known.hold.clone();
        // At most one above the highest token that was seen: never too far ahead.
        changed.fence = changed.fence.max(random.random_range(self.highest - 100..=self.highest + 1));
        let (key, owner) = name.clone();
        let mut command = if random.random_bool(0.5) {
            vec![b"LOCK.EXTEND".to_vec(), key, owner, LASTING_MS.into()]
        } else {
            changed.meta = format!("changed {}", self.number).into_bytes();
            let limit = match changed.limit {
                0 => vec![b"SHARED".to_vec()],
                limit => vec![b"LIMIT".to_vec(), limit.to_string().into_bytes()],
            };
            let meta = vec![b"META".to_vec(), changed.meta.clone()];
            [vec![b"LOCK.ACQUIRE".to_vec(), key, owner, LASTING_MS.into()], meta, limit].concat()
        };
        command.extend(fence(changed.fence));
        known.pending = Pending::Change(changed);
        (Sent::Change(name), command)
    }

    fn release(&mut self, name: Name) -> (Sent, Vec<Vec<u8>>) {
        self.holds.get_mut(&name).expect("it is one of them").pending = Pending::Release;
        let (key, owner) = name.clone();
        (Sent::Release(name), vec![b"LOCK.RELEASE".to_vec(), key, owner])
    }

    fn note(&mut self, sent: Sent, reply: &Reply) {
        match (sent, reply) {
            (Sent::Release(name), Reply::Int(1)) => drop(self.holds.remove(&name)),
            (Sent::Acquire(name), Reply::Int(token)) => self.granted(&name, *token),
            (Sent::Pair(names), Reply::Int(token)) => {
                names.iter().for_each(|name| self.granted(name, *token));
            }
            (Sent::Change(name), Reply::Int(token)) => {
                let known = self.holds.get_mut(&name).expect("it is held");
                match std::mem::replace(&mut known.pending, Pending::Nothing) {
                    Pending::Change(changed) => known.hold = changed,
                    _ => panic!("no change was sent"),
                }
                assert_eq!(*token, known.hold.fence);
                self.highest = self.highest.max(*token);
            }
            (Sent::Short, Reply::Int(token)) => self.highest = self.highest.max(*token),
            // Held by others, or a token too far ahead after the clock was set back.
            (Sent::Acquire(name), Reply::Nil | Reply::Error(_)) => drop(self.holds.remove(&name)),
            (_, reply) => panic!("{reply:?}"),
        }
    }

    fn granted(&mut self, name: &Name, token: i64) {
        let known = self.holds.get_mut(name).expect("it was asked for");
        known.hold.fence = token;
        known.pending = Pending::Nothing;
        self.highest = self.highest.max(token);
    }

    /// Takes what it knows of out of `found`, and goes on from there.
    fn judge(&mut self, found: &mut BTreeMap<Name, Hold>, context: &str) {
        let mut pairs: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        self.holds.retain(|name, known| {
            let there = found.remove(name);
            let as_it_was = there.as_ref() == Some(&known.hold);
            let right = match (&known.pending, &there) {
                (Pending::Nothing, _) => as_it_was,
                (Pending::Change(changed), there) => as_it_was || there.as_ref() == Some(changed),
                (Pending::Release, there) => as_it_was || there.is_none(),
                (Pending::Acquire, None) => true,
                (Pending::Acquire, Some(hold)) => {
                    hold.limit == known.hold.limit && hold.meta == known.hold.meta
                }
            };
            assert!(right, "{context}: {:?} was answered, {there:?} is there", known.hold);
            if name.0.starts_with(b"pair") {
                *pairs.entry(name.1.clone()).or_default() += usize::from(there.is_some());
            }
            known.pending = Pending::Nothing;
            there.map(|hold| known.hold = hold).is_some()
        });
        assert!(pairs.values().all(|held| *held != 1), "half a MACQUIRE, {context}");
    }
}

fn fence(token: i64) -> [Vec<u8>; 2] {
    [b"FENCE".to_vec(), token.to_string().into_bytes()]
}
