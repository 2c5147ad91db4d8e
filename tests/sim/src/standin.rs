//! A server that stands in for the real one: the rules of the contract in the fewest lines.

use crate::node::{Node, NodeOptions, Persistence};
use crate::resp;
use std::collections::BTreeMap;

const MINUTE: u64 = 60_000_000;

#[derive(Clone, Debug)]
struct Hold {
    owner: Vec<u8>,
    deadline: i64,
    token: u64,
    limit: usize,
}

struct Waiter {
    client: u64,
    key: Vec<u8>,
    ask: Ask,
    until: Option<i64>,
}

#[derive(Clone)]
struct Ask {
    owner: Vec<u8>,
    ttl: i64,
    limit: usize,
    fence: Option<u64>,
}

type Holds = BTreeMap<Vec<u8>, Vec<Hold>>;

pub struct Standin {
    options: NodeOptions,
    now: i64,
    wall: u64,
    /// The token clock is the wall clock at the start and the time since.
    started: (i64, u64),
    last: u64,
    ready: i64,
    holds: Holds,
    snapshot: Holds,
    waiters: Vec<Waiter>,
    clients: u64,
    commands: u64,
    output: Vec<(u64, Vec<u8>)>,
}

pub fn make(options: NodeOptions) -> Box<dyn Node> {
    Box::new(Standin {
        options,
        now: 0,
        wall: 0,
        started: (0, 0),
        last: 0,
        ready: 0,
        holds: Holds::new(),
        snapshot: Holds::new(),
        waiters: Vec::new(),
        clients: 0,
        commands: 0,
        output: Vec::new(),
    })
}

impl Standin {
    fn start(&mut self) {
        self.started = (self.now, self.wall);
        self.last = self.last.max(self.wall + MINUTE);
        self.ready = self.now + self.options.cooldown_ms as i64 * 1_000;
    }

    fn clock(&self) -> u64 {
        self.started.1 + (self.now - self.started.0).unsigned_abs()
    }

    fn live(&mut self, key: &[u8]) -> &mut Vec<Hold> {
        let now = self.now;
        let holds = self.holds.entry(key.to_vec()).or_default();
        holds.retain(|hold| hold.deadline > now);
        holds
    }

    fn too_far(&self, fence: Option<u64>) -> bool {
        fence.is_some_and(|fence| fence > self.last + 1 && fence > self.clock() + MINUTE)
    }

    fn next_token(&mut self, fence: Option<u64>) -> u64 {
        let token = (self.last + 1).max(fence.unwrap_or_else(|| self.clock()));
        self.last = token;
        token
    }

    fn fits(&mut self, key: &[u8], ask: &Ask) -> bool {
        let holds = self.live(key);
        let others = holds.iter().filter(|hold| hold.owner != ask.owner).count();
        let limit = holds.iter().map(|hold| hold.limit).chain([ask.limit]).min().unwrap_or(1);
        others < limit
    }

    /// The token, or nothing.
    fn acquire(&mut self, keys: &[Vec<u8>], ask: &Ask) -> Option<u64> {
        if !keys.iter().all(|key| self.fits(key, ask)) {
            return None;
        }
        let deadline = self.now + ask.ttl * 1_000;
        let held = keys.len() == 1;
        let own = self.live(&keys[0]).iter().position(|hold| hold.owner == ask.owner).filter(|_| held);
        if let Some(own) = own {
            let hold = &mut self.live(&keys[0])[own];
            hold.deadline = hold.deadline.max(deadline);
            hold.token = hold.token.max(ask.fence.unwrap_or(0));
            let token = hold.token;
            self.last = self.last.max(token);
            return Some(token);
        }
        let token = self.next_token(ask.fence);
        for key in keys {
            let hold = Hold { owner: ask.owner.clone(), deadline, token, limit: ask.limit };
            self.live(key).retain(|hold| hold.owner != ask.owner);
            self.live(key).push(hold);
        }
        Some(token)
    }

    fn extend(&mut self, keys: &[Vec<u8>], owner: &[u8], ttl: i64, fence: Option<u64>) -> u64 {
        let all = keys.iter().all(|key| self.live(key).iter().any(|hold| hold.owner == owner));
        if !all {
            return 0;
        }
        let deadline = self.now + ttl * 1_000;
        let mut token = fence.unwrap_or(0);
        for _ in 0..2 {
            for key in keys {
                for hold in self.live(key).iter_mut().filter(|hold| hold.owner == owner) {
                    hold.deadline = hold.deadline.max(deadline);
                    if fence.is_some() {
                        hold.token = hold.token.max(token);
                        token = hold.token;
                    }
                }
            }
        }
        self.last = self.last.max(token);
        if fence.is_some() { token } else { 1 }
    }

    fn release(&mut self, keys: &[Vec<u8>], owner: &[u8]) -> u64 {
        let mut released = 0;
        for key in keys {
            let before = self.live(key).len();
            self.live(key).retain(|hold| hold.owner != owner);
            released += (before - self.live(key).len()) as u64;
            for waiter in
                self.waiters.extract_if(.., |waiter| waiter.key == *key && waiter.ask.owner == owner)
            {
                self.output.push((waiter.client, resp::nil()));
            }
        }
        self.serve();
        released
    }

    fn serve(&mut self) {
        let mut index = 0;
        let mut stuck: Vec<Vec<u8>> = Vec::new();
        while index < self.waiters.len() {
            let Waiter { client, key, ask, until } = &self.waiters[index];
            let (client, key, ask) = (*client, key.clone(), ask.clone());
            if until.is_some_and(|until| until <= self.now) {
                self.output.push((client, resp::nil()));
                self.waiters.remove(index);
            } else if stuck.contains(&key) {
                index += 1;
            } else if let Some(token) = self.acquire(std::slice::from_ref(&key), &ask) {
                self.output.push((client, resp::integer(token)));
                self.waiters.remove(index);
            } else {
                stuck.push(key);
                index += 1;
            }
        }
    }

    fn run(&mut self, client: u64, args: &[Vec<u8>]) -> Option<Vec<u8>> {
        let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
        let several = name.starts_with("LOCK.M");
        let count = if several { number(&args[1]) as usize } else { 1 };
        let first = if several { 2 } else { 1 };
        let keys = &args[first..first + count];
        let rest = &args[first + count..];
        let cooling = self.ready > self.now
            && matches!(name.as_str(), "LOCK.ACQUIRE" | "LOCK.MACQUIRE" | "LOCK.EXTEND" | "LOCK.MEXTEND");
        if cooling {
            let left = (self.ready - self.now) / 1_000 + 1;
            return Some(resp::error(&format!("COOLDOWN locks are granted and extended again in {left} ms")));
        }
        match name.as_str() {
            "LOCK.ACQUIRE" | "LOCK.MACQUIRE" => {
                let mut ask = Ask { owner: rest[0].clone(), ttl: number(&rest[1]), limit: 1, fence: None };
                let mut block = None;
                let mut options = rest[2..].iter();
                while let Some(option) = options.next() {
                    match option.as_slice() {
                        b"SHARED" => ask.limit = usize::MAX,
                        b"LIMIT" => ask.limit = options.next().map_or(1, |n| number(n) as usize),
                        b"BLOCK" => block = options.next().map(|ms| number(ms)),
                        b"FENCE" => ask.fence = options.next().map(|fence| number(fence) as u64),
                        _ => return Some(resp::error("ERR syntax error")),
                    }
                }
                if self.too_far(ask.fence) {
                    return Some(resp::error("ERR token is too far ahead"));
                }
                let waits = self.waiters.iter().any(|waiter| keys.contains(&waiter.key));
                let token = if waits { None } else { self.acquire(keys, &ask) };
                match token {
                    Some(token) => Some(resp::integer(token)),
                    None => match block {
                        None => Some(resp::nil()),
                        Some(ms) => {
                            let until = (ms > 0).then_some(self.now + ms * 1_000);
                            self.waiters.push(Waiter { client, key: keys[0].clone(), ask, until });
                            None
                        }
                    },
                }
            }
            "LOCK.EXTEND" | "LOCK.MEXTEND" => {
                let fence = rest.get(3).map(|fence| number(fence) as u64);
                if self.too_far(fence) {
                    return Some(resp::error("ERR token is too far ahead"));
                }
                Some(resp::integer(self.extend(keys, &rest[0], number(&rest[1]), fence)))
            }
            "LOCK.RELEASE" | "LOCK.MRELEASE" => Some(resp::integer(self.release(keys, &rest[0]))),
            "DEL" => {
                self.live(&keys[0]).clear();
                self.serve();
                Some(resp::integer(1))
            }
            "LOCK.OWNER" => Some(match self.live(&keys[0]).first() {
                Some(hold) => resp::bulk(&String::from_utf8_lossy(&hold.owner)),
                None => resp::nil(),
            }),
            "LOCK.INFO" => {
                let waits = self.waiters.iter().any(|waiter| waiter.key == keys[0]);
                let held = !self.live(&keys[0]).is_empty();
                Some(if held || waits { resp::simple("held") } else { resp::nil() })
            }
            _ => Some(resp::error("ERR unknown command")),
        }
    }
}

fn number(word: &[u8]) -> i64 {
    std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or(0)
}

impl Node for Standin {
    fn connect(&mut self) -> u64 {
        self.clients += 1;
        self.clients
    }

    fn command(&mut self, client: u64, args: &[Vec<u8>]) {
        self.commands += 1;
        if self.commands.is_multiple_of(50) {
            self.snapshot = self.holds.clone();
        }
        if let Some(reply) = self.run(client, args) {
            self.output.push((client, reply));
        }
    }

    fn disconnect(&mut self, client: u64) {
        self.waiters.retain(|waiter| waiter.client != client);
        self.serve();
    }

    fn before_sleep(&mut self) {
        self.serve();
    }

    fn after_sleep(&mut self) {}

    fn next_wake(&self) -> Option<i64> {
        let limits = self.waiters.iter().filter_map(|waiter| waiter.until);
        let deadlines = self.waiters.iter().filter_map(|waiter| self.holds.get(&waiter.key)).flatten();
        limits.chain(deadlines.map(|hold| hold.deadline)).min()
    }

    fn take_output(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.output)
    }

    fn set_clocks(&mut self, monotonic_micros: i64, wall_micros: u64) {
        let first = self.wall == 0;
        (self.now, self.wall) = (monotonic_micros, wall_micros);
        if first {
            self.start();
            self.ready = self.now;
        }
    }

    fn crash_and_restart(&mut self, keep: Persistence) {
        self.waiters.clear();
        self.output.clear();
        match keep {
            Persistence::Always => {}
            Persistence::Lost => {
                self.holds.clear();
                self.last = 0;
            }
            Persistence::Snapshot => {
                self.holds = self.snapshot.clone();
                self.last = 0;
            }
        }
        self.start();
    }
}
