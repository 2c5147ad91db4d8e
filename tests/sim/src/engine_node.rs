//! A server of the simulation: the module's own engine over a keyspace in memory.

use crate::memory::{Handle, Open, with_open};
use crate::node::{Node, NodeOptions, Persistence};
use crate::resp;
use redis_lock_core::request::{Acquire, Extend, Terms, parse_numkeys};
use redis_lock_core::{Error, Lock};
use redis_lock_engine::{Conditions, Engine, Origin, Outcome, Slot, Ticket, Visit};
use std::collections::BTreeMap;

const TERMS: Terms = Terms { max_ttl_ms: 86_400_000, now: 0 };
/// A snapshot is taken after this many commands.
const SAVE_AFTER: u64 = 50;

/// What a snapshot or an append-only file brings back.
#[derive(Clone, Default)]
struct Saved {
    locks: Vec<(Vec<u8>, Lock)>,
    last_token: Option<u64>,
}

/// See the module. The engine's clock shows the time since `zero`.
struct EngineNode {
    options: NodeOptions,
    engine: Engine<Handle, u64>,
    keys: BTreeMap<Vec<u8>, Handle>,
    zero: Option<i64>,
    now: i64,
    wall: u64,
    clients: u64,
    waiting: BTreeMap<u64, Ticket>,
    commands: u64,
    snapshot: Saved,
    output: Vec<(u64, Vec<u8>)>,
}

/// Starts a server.
pub fn make(options: NodeOptions) -> Box<dyn Node> {
    Box::new(EngineNode {
        options,
        engine: Engine::new(0, false),
        keys: BTreeMap::new(),
        zero: None,
        now: 0,
        wall: 0,
        clients: 0,
        waiting: BTreeMap::new(),
        commands: 0,
        snapshot: Saved::default(),
        output: Vec::new(),
    })
}

impl EngineNode {
    fn conditions(&self) -> Conditions<'static, u64> {
        let cooldown_ms = self.options.cooldown_ms as i64;
        Conditions { now: self.now, cooldown_ms, propagate: false, may_acquire: &|_| true }
    }

    fn handle(&mut self, name: &[u8]) -> Handle {
        *self.keys.entry(name.to_vec()).or_insert_with(|| Handle::new(name))
    }

    /// Lends the locks of these keys to the engine, then has their deadlines kept.
    fn with_open<R>(
        &mut self,
        names: &[Vec<u8>],
        with: impl FnOnce(&mut Engine<Handle, u64>, &mut [Open]) -> R,
    ) -> R {
        let handles: Vec<Handle> = names.iter().map(|name| self.handle(name)).collect();
        with_open(&mut self.engine, &handles, with)
    }

    /// The reply, or nothing if the client waits.
    fn run(&mut self, client: u64, args: &[Vec<u8>]) -> Result<Option<Vec<u8>>, Error> {
        let name = String::from_utf8_lossy(args.first().ok_or(Error::Syntax)?).to_ascii_uppercase();
        let several = name.starts_with("LOCK.M");
        let first = if several { 2 } else { 1 };
        let available = args.len().saturating_sub(first);
        let count = if several { parse_numkeys(args.get(1).ok_or(Error::Syntax)?, available)? } else { 1 };
        let keys = args.get(first..first + count).ok_or(Error::Syntax)?;
        let rest = || args.iter().skip(first + keys.len()).map(Vec::as_slice);
        let (terms, at) = (Terms { now: self.now, ..TERMS }, self.conditions());
        match name.as_str() {
            "LOCK.ACQUIRE" => self.acquire(client, keys, &Acquire::parse(rest(), terms, || false)?),
            "LOCK.MACQUIRE" => self.acquire(client, keys, &Acquire::parse_many(rest(), terms, || false)?),
            "LOCK.EXTEND" | "LOCK.MEXTEND" => {
                let request = Extend::parse(rest(), terms)?;
                self.engine.check(|| false, request.fence, self.now)?;
                let extended = self.with_open(keys, |engine, open| engine.extend(open, &request, &at))?;
                Ok(Some(resp::integer(extended.map_or(0, |token| token.unwrap_or(1)))))
            }
            "LOCK.RELEASE" | "LOCK.MRELEASE" => {
                let owner = rest().next().ok_or(Error::Syntax)?;
                let released = self.with_open(keys, |engine, open| engine.release(open, owner, &at));
                Ok(Some(resp::integer(released.unsigned_abs())))
            }
            "DEL" => {
                for key in keys {
                    let handle = self.handle(key);
                    self.engine.on_removed(handle, self.now);
                    handle.with_lock(std::mem::take);
                }
                Ok(Some(resp::integer(1)))
            }
            "LOCK.OWNER" => {
                let owner = |lock: &mut Lock| lock.live(at.now).next().map(|hold| hold.owner().to_vec());
                let owner = self.handle(&keys[0]).with_lock(owner);
                Ok(Some(owner.map_or_else(resp::nil, |owner| resp::bulk(&String::from_utf8_lossy(&owner)))))
            }
            "LOCK.INFO" => {
                let held = self.handle(&keys[0]).with_lock(|lock| lock.live(at.now).next().is_some());
                let waited_for = self.engine.queues().find(0, &keys[0]).is_some();
                Ok(Some(if held || waited_for { resp::simple("held") } else { resp::nil() }))
            }
            _ => Ok(Some(resp::error("ERR unknown command"))),
        }
    }

    fn acquire(
        &mut self,
        client: u64,
        keys: &[Vec<u8>],
        request: &Acquire,
    ) -> Result<Option<Vec<u8>>, Error> {
        let at = self.conditions();
        self.engine.check(|| false, request.fence, self.now)?;
        let token = self.with_open(keys, |engine, open| engine.acquire(open, request, client, &at))?;
        if let Some(token) = token {
            return Ok(Some(resp::integer(token)));
        }
        if request.block_ms.is_none() {
            return Ok(Some(resp::nil()));
        }
        let ticket = self.engine.join((0, &keys[0]), request, (client, client), self.now);
        self.engine.admit_waiter(ticket, None, i64::MAX)?;
        self.waiting.insert(client, ticket);
        Ok(None)
    }

    fn make_visit(&mut self, visit: Visit<Handle>) {
        let at = self.conditions();
        let name = [visit.name.as_slice().to_vec()];
        let visited = self.with_open(&name, |engine, open| engine.visit(&mut open[0].0, &visit, true, &at));
        self.engine.end_visit(visit, visited, self.now);
    }

    fn save(&self) -> Saved {
        let lock = |handle: &Handle| handle.with_lock(|lock| lock.clone());
        let locks = self.keys.iter().map(|(name, handle)| (name.clone(), lock(handle)));
        let tokens = self.engine.tokens();
        Saved { locks: locks.collect(), last_token: tokens.used().then(|| tokens.last()) }
    }

    fn start(&mut self, saved: Saved) {
        let wall_at_zero = self.wall.saturating_sub(self.now.unsigned_abs());
        self.engine = Engine::new(wall_at_zero, false);
        self.free_keys();
        for (name, lock) in saved.locks.into_iter().filter(|(_, lock)| !lock.is_empty()) {
            let handle = self.handle(&name);
            handle.with_lock(|stored| *stored = lock);
            self.engine.on_added(handle, Origin::Outside);
        }
        saved.last_token.into_iter().for_each(|token| self.engine.accept_token(token));
        self.engine.on_role(true, self.wall, self.now);
    }

    fn free_keys(&mut self) {
        std::mem::take(&mut self.keys).into_values().for_each(Handle::give_back);
    }
}

impl Drop for EngineNode {
    fn drop(&mut self) {
        self.free_keys();
    }
}

impl Node for EngineNode {
    fn connect(&mut self) -> u64 {
        self.clients += 1;
        self.clients
    }

    fn command(&mut self, client: u64, args: &[Vec<u8>]) {
        self.commands += 1;
        if self.commands.is_multiple_of(SAVE_AFTER) {
            self.snapshot = self.save();
        }
        match self.run(client, args) {
            Ok(Some(reply)) => self.output.push((client, reply)),
            Ok(None) => {}
            Err(error) => self.output.push((client, resp::error(&error.to_string()))),
        }
    }

    fn disconnect(&mut self, client: u64) {
        if let Some(ticket) = self.waiting.remove(&client) {
            self.engine.on_disconnected(ticket);
        }
        self.engine.on_client_closed(client, false);
    }

    fn before_sleep(&mut self) {
        self.engine.end_cycle();
        while self.engine.time_out_next(self.now) {}
        while let Some(visit) = self.engine.next_visit(self.now) {
            self.make_visit(visit);
        }
        for client in self.engine.take_resolved() {
            let Some(ticket) = self.waiting.remove(&client) else { continue };
            let reply = match self.engine.on_reply(ticket) {
                Outcome::Granted(token) => resp::integer(token),
                Outcome::Nil => resp::nil(),
                Outcome::Failed(error) => resp::error(&error.to_string()),
            };
            self.output.push((client, reply));
        }
    }

    fn after_sleep(&mut self) {
        self.engine.on_replies_sent();
    }

    fn next_wake(&self) -> Option<i64> {
        let next = if self.engine.has_work() { Some(self.now) } else { self.engine.next_moment() };
        next.zip(self.zero).map(|(next, zero)| next + zero)
    }

    fn take_output(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.output)
    }

    /// The first moment is the boot. The cooldown of that is over: only restarts are of interest.
    fn set_clocks(&mut self, monotonic_micros: i64, wall_micros: u64) {
        let first = self.zero.is_none();
        let zero = *self.zero.get_or_insert(monotonic_micros - self.options.cooldown_ms as i64 * 1_000);
        (self.now, self.wall) = (monotonic_micros - zero, wall_micros);
        if first {
            self.engine = Engine::new(self.wall.saturating_sub(self.now.unsigned_abs()), false);
        }
    }

    fn crash_and_restart(&mut self, keep: Persistence) {
        self.waiting.clear();
        self.output.clear();
        let saved = match keep {
            Persistence::Always => self.save(),
            Persistence::Lost => Saved::default(),
            Persistence::Snapshot => self.snapshot.clone(),
        };
        self.start(saved);
    }
}
