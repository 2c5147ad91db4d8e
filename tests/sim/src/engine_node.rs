//! A server of the simulation: the module's own engine over a keyspace in memory.

use crate::memory::{Handle, Open, Purpose, Told, with_open};
use crate::mutants::Mutant;
use crate::node::{NodeOptions, Persistence};
use crate::resp;
use redis_lock_core::effect::{Cause, HoldEffect};
use redis_lock_core::request::{Acquire, Extend, Terms, parse_numkeys};
use redis_lock_core::time::{ms_since, ms_until};
use redis_lock_core::{Bytes, Error, Hold, Limit, Lock};
use redis_lock_engine::{Conditions, Engine, Gone, Origin, Outcome, Slot, Step, Ticket, Visit};
use std::collections::{BTreeMap, VecDeque};

const TERMS: Terms = Terms { max_ttl_ms: i64::MAX / 2_000, now: 0 };
/// A snapshot is made after this many commands.
const SAVE_AFTER: u64 = 50;

/// Database and name.
type Key = (i32, Vec<u8>);

/// What a snapshot or an append-only file restores.
#[derive(Clone, Default)]
struct Saved {
    locks: Vec<(Key, Lock)>,
    last_token: Option<u64>,
}

/// An effect for a replica; for a hold with its remaining ttl and the time held, in milliseconds.
enum Effect {
    Command(Vec<Vec<u8>>),
    Drop((i32, Bytes), Vec<Gone>),
    Hold((i32, Bytes), Hold, Vec<Gone>, i64, i64),
}

/// See the module. The engine's clock shows the time since `zero`.
pub struct EngineNode {
    options: NodeOptions,
    pub engine: Engine<Handle, u64>,
    pub keys: BTreeMap<Key, Handle>,
    /// A replica of this server; `behind` is what it has not received.
    pub replica: Option<Box<EngineNode>>,
    behind: VecDeque<Effect>,
    zero: Option<i64>,
    now: i64,
    wall: u64,
    clients: u64,
    waiting: BTreeMap<u64, Ticket>,
    commands: u64,
    snapshot: Saved,
    output: Vec<(u64, Vec<u8>)>,
}

impl EngineNode {
    pub fn new(options: NodeOptions) -> EngineNode {
        EngineNode {
            options,
            engine: Engine::new(0, false),
            keys: BTreeMap::new(),
            replica: None,
            behind: VecDeque::new(),
            zero: None,
            now: 0,
            wall: 0,
            clients: 0,
            waiting: BTreeMap::new(),
            commands: 0,
            snapshot: Saved::default(),
            output: Vec::new(),
        }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.options.mutant == Some(mutant)
    }

    fn conditions(&self) -> Conditions<'static, u64> {
        let (cooldown_ms, propagate) = (self.options.cooldown_ms as i64, self.replica.is_some());
        Conditions { now: self.now, cooldown_ms, propagate, may_acquire: &|_| true }
    }

    fn handle(&mut self, db: i32, name: &[u8]) -> Handle {
        *self.keys.entry((db, name.to_vec())).or_insert_with(|| Handle::new(db, name))
    }

    /// Lends the locks of these keys to the engine, then updates their deadlines and the replica.
    fn with_open<R>(
        &mut self,
        (db, names): (i32, &[Vec<u8>]),
        command: &[Vec<u8>],
        with: impl FnOnce(&mut Engine<Handle, u64>, &mut [Open]) -> R,
    ) -> R {
        let is_release = command.first().is_some_and(|name| name.eq_ignore_ascii_case(b"LOCK.RELEASE"));
        let purpose = if is_release { Purpose::Release } else { Purpose::Decide };
        let handles: Vec<Handle> = names.iter().map(|name| self.handle(db, name)).collect();
        let (result, told) = with_open(&mut self.engine, &handles, purpose, with);
        for (handle, told) in told {
            let effect = match told {
                Told::Verbatim => Effect::Command(command.to_vec()),
                Told::Drop(gone) => Effect::Drop(handle.home(), gone),
                Told::Hold(hold, gone) => {
                    let (left, held) = (ms_until(hold.deadline, self.now), ms_since(hold.since, self.now));
                    Effect::Hold(handle.home(), hold, gone, left, held)
                }
            };
            self.replicate(effect);
        }
        result
    }

    /// Sends an effect to the replica, now or later.
    fn replicate(&mut self, effect: Effect) {
        let Some(replica) = &mut self.replica else { return };
        self.behind.push_back(effect);
        while self.behind.len() > self.options.replica_lag.unwrap_or(0) {
            self.behind.pop_front().into_iter().for_each(|effect| replica.follow(effect));
        }
    }

    /// Carries out a command that its master got, or a decision of the master.
    fn follow(&mut self, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Command(args) => drop(self.run(0, &args)),
            Effect::Drop((db, name), gone) => {
                let handle = self.handle(db, name.as_slice());
                with_open(&mut self.engine, &[handle], Purpose::Follow, |engine, open| {
                    engine.follow_drop(&mut open[0].0, &lend(&gone), now);
                });
            }
            Effect::Hold((db, name), hold, gone, ttl_ms, held_ms) => {
                let handle = self.handle(db, name.as_slice());
                let (owner, token, limit, meta) = (hold.owner(), hold.token, hold.limit(), hold.meta());
                let effect = HoldEffect { owner, ttl_ms, token, limit, held_ms, meta, gone: lend(&gone) };
                with_open(&mut self.engine, &[handle], Purpose::Follow, |engine, open| {
                    engine.follow_hold(&mut open[0].0, &effect, now);
                });
            }
        }
    }

    /// Returns the reply, or `None` if the client waits.
    fn run(&mut self, client: u64, args: &[Vec<u8>]) -> Result<Option<Vec<u8>>, Error> {
        let name = String::from_utf8_lossy(args.first().ok_or(Error::Syntax)?).to_ascii_uppercase();
        if !name.starts_with("LOCK.") {
            return Ok(Some(self.run_core(&name, args)));
        }
        let several = name.starts_with("LOCK.M");
        let first = if several { 2 } else { 1 };
        let available = args.len().saturating_sub(first);
        let count = if several { parse_numkeys(args.get(1).ok_or(Error::Syntax)?, available)? } else { 1 };
        let keys = args.get(first..first + count).ok_or(Error::Syntax)?;
        let rest = || args.iter().skip(first + keys.len()).map(Vec::as_slice);
        let (terms, at) = (Terms { now: self.now, ..TERMS }, self.conditions());
        match name.as_str() {
            "LOCK.ACQUIRE" => self.acquire(client, keys, &Acquire::parse(rest(), true, terms, || false)?),
            "LOCK.MACQUIRE" => self.acquire(client, keys, &Acquire::parse(rest(), false, terms, || false)?),
            "LOCK.EXTEND" | "LOCK.MEXTEND" => {
                let request = Extend::parse(rest(), terms)?;
                self.engine.check(|| false, request.fence, self.now)?;
                let extended =
                    self.with_open((0, keys), args, |engine, open| engine.extend(open, &request, &at))?;
                Ok(Some(resp::integer(extended.map_or(0, |token| token.unwrap_or(1)))))
            }
            "LOCK.RELEASE" | "LOCK.MRELEASE" => {
                let owner = rest().next().ok_or(Error::Syntax)?;
                let released =
                    self.with_open((0, keys), args, |engine, open| engine.release(open, owner, &at));
                Ok(Some(resp::integer(released.unsigned_abs())))
            }
            "LOCK.OWNER" => {
                let owner = |lock: &mut Lock| lock.live(at.now).next().map(|hold| hold.owner().to_vec());
                let owner = self.handle(0, &keys[0]).with_lock(owner);
                Ok(Some(owner.map_or_else(resp::nil, |owner| resp::bulk(&String::from_utf8_lossy(&owner)))))
            }
            "LOCK.INFO" => {
                let held = self.handle(0, &keys[0]).with_lock(|lock| lock.live(at.now).next().is_some());
                let waited_for = self.engine.queues().find(0, &keys[0]).is_some();
                Ok(Some(if held || waited_for { resp::simple("held") } else { resp::nil() }))
            }
            _ => Ok(Some(resp::error("ERR unknown command"))),
        }
    }

    /// Runs the server's own commands, on the replica too.
    fn run_core(&mut self, name: &str, args: &[Vec<u8>]) -> Vec<u8> {
        if name != "CLIENT" {
            self.replicate(Effect::Command(args.to_vec()));
        }
        match (name, args) {
            ("DEL", [_, key]) => resp::integer(u64::from(self.remove((0, key.clone())))),
            ("FLUSHALL", _) => {
                self.engine.on_flushed(None, self.now);
                self.free_keys();
                resp::simple("OK")
            }
            ("RENAME", [_, from, to]) => {
                self.remove((0, to.clone()));
                self.transfer((0, from.clone()), (0, to.clone()));
                resp::simple("OK")
            }
            ("MOVE", [_, key, _]) => {
                let held = |node: &mut Self, db| !node.handle(db, key).with_lock(|lock| lock.is_empty());
                let goes = held(self, 0) && !held(self, 1);
                if goes {
                    self.transfer((0, key.clone()), (1, key.clone()));
                }
                resp::integer(u64::from(goes))
            }
            ("SWAPDB", _) => {
                self.engine.on_swapped(0, 1);
                let swapped = std::mem::take(&mut self.keys).into_iter().map(|((db, name), handle)| {
                    handle.move_to(1 - db, &name);
                    ((1 - db, name), handle)
                });
                self.keys = swapped.collect();
                resp::simple("OK")
            }
            ("CLIENT", [_, _, how, client]) if how == b"ID" => {
                self.disconnect(number(client));
                resp::integer(1)
            }
            ("CLIENT", [_, _, client, how]) => self.unblock(number(client), how == b"ERROR"),
            _ => resp::error("ERR unknown command"),
        }
    }

    /// Removes the value of a key. Returns whether there was one.
    fn remove(&mut self, key: Key) -> bool {
        let Some(handle) = self.keys.remove(&key) else { return false };
        let was_there = !handle.with_lock(|lock| lock.is_empty());
        if was_there {
            self.engine.on_removed(handle, self.now);
        }
        handle.give_back();
        was_there
    }

    /// Moves the lock from one key to another, which is empty.
    fn transfer(&mut self, from: Key, to: Key) {
        let Some(handle) = self.keys.remove(&from) else { return };
        let has_sessions = handle.with_lock(|lock| lock.holds().any(|hold| !hold.sessions().is_empty()));
        if self.is(Mutant::RenameForgetsQueues) && !has_sessions {
            // Nobody waits for a key without a name.
            handle.move_to(from.0, b"");
        }
        self.engine.on_removed(handle, self.now);
        handle.move_to(to.0, &to.1);
        self.engine.on_added(handle, Origin::OtherKey);
        if let Some(empty) = self.keys.insert(to, handle) {
            empty.give_back();
        }
    }

    /// Unblocks a waiting client, for an operator.
    fn unblock(&mut self, client: u64, with_error: bool) -> Vec<u8> {
        let Some(&ticket) = self.waiting.get(&client) else { return resp::integer(0) };
        let between_grant_and_reply = self.engine.has_resolved();
        let replies_twice = self.is(Mutant::RepliesTwice) && between_grant_and_reply;
        if !replies_twice {
            self.waiting.remove(&client);
        }
        let told = match with_error {
            true => resp::error("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
            false => resp::nil(),
        };
        self.output.push((client, told));
        match with_error {
            _ if replies_twice || (self.is(Mutant::UnblockIsNoNews) && between_grant_and_reply) => {}
            true => self.engine.on_disconnected(ticket),
            false => drop(self.engine.on_reply(ticket)),
        }
        resp::integer(1)
    }

    fn acquire(
        &mut self,
        client: u64,
        keys: &[Vec<u8>],
        request: &Acquire,
    ) -> Result<Option<Vec<u8>>, Error> {
        let at = self.conditions();
        self.engine.check(|| false, request.fence, self.now)?;
        let overtakes = self.is(Mutant::ReadersOvertake) && request.limit == Limit::SHARED;
        let token = self.with_open((0, keys), &[], |engine, open| {
            if overtakes {
                // Nobody waits for a key of this name.
                let locks = open.iter_mut().map(|open| &mut *open.0.lock);
                let open = locks.map(|lock| Open(engine.open((0, b""), lock, false, false)));
                let mut open: Vec<Open> = open.collect();
                return engine.acquire(&mut open, request, client, &at);
            }
            engine.acquire(open, request, client, &at)
        })?;
        if let Some(token) = token {
            return Ok(Some(resp::integer(token)));
        }
        if request.block_ms.is_none() {
            self.engine.on_refused();
            return Ok(Some(resp::nil()));
        }
        let ticket = self.engine.join((0, &keys[0]), request, (client, client), self.now);
        let cycle = self.find_cycle(ticket);
        self.engine.admit_waiter(ticket, cycle, i64::MAX)?;
        self.waiting.insert(client, ticket);
        Ok(None)
    }

    fn find_cycle(&mut self, ticket: Ticket) -> Option<usize> {
        let mut search = self.engine.queues().search(ticket)?;
        loop {
            let name = match search.step(self.engine.queues()) {
                Step::Done(cycle) => return cycle,
                Step::Holds(name) => name,
            };
            let lock = self.handle(0, name.as_slice()).with_lock(|lock| lock.clone());
            search.feed(self.engine.queues(), Some(&lock), self.now);
        }
    }

    fn make_visit(&mut self, visit: Visit<Handle>) {
        let at = self.conditions();
        let name = [visit.name.as_slice().to_vec()];
        let visited = self.with_open((visit.db, &name), &[], |engine, open| {
            engine.visit(&mut open[0].0, &visit, true, &at)
        });
        self.engine.end_visit(visit, visited, self.now);
    }

    fn save(&self) -> Saved {
        let lock = |handle: &Handle| {
            handle.with_lock(|lock| {
                let mut saved = lock.clone();
                saved.end_sessions();
                saved
            })
        };
        let locks = self.keys.iter().map(|(key, handle)| (key.clone(), lock(handle)));
        let tokens = self.engine.tokens();
        Saved { locks: locks.collect(), last_token: tokens.used().then(|| tokens.last()) }
    }

    fn start(&mut self, saved: Saved, as_replica: bool) {
        let wall_at_zero = self.wall.saturating_sub(self.now.unsigned_abs());
        self.engine = Engine::new(wall_at_zero, as_replica);
        self.free_keys();
        for ((db, name), lock) in saved.locks.into_iter().filter(|(_, lock)| !lock.is_empty()) {
            let handle = self.handle(db, &name);
            handle.with_lock(|stored| *stored = lock);
            self.engine.on_added(handle, Origin::Outside);
        }
        saved.last_token.into_iter().for_each(|token| self.engine.accept_token(token));
        if !as_replica {
            self.engine.on_role(true, self.wall, self.now);
        }
    }

    /// Attaches a replica that has the whole data set.
    pub fn attach_replica(&mut self) {
        let mut replica = EngineNode::new(self.options);
        (replica.zero, replica.now, replica.wall) = (self.zero, self.now, self.wall);
        replica.start(self.save(), true);
        self.replica = Some(Box::new(replica));
        self.behind.clear();
    }

    /// Gives its clients other ids than those of this server.
    pub fn skip_clients(&mut self, other: &EngineNode) {
        self.clients = other.clients;
    }

    /// Makes it a master from now on.
    pub fn promote(&mut self) {
        let wall = if self.is(Mutant::PromotedWithLowCounter) { 0 } else { self.wall };
        self.engine.on_role(true, wall, self.now);
    }

    fn free_keys(&mut self) {
        std::mem::take(&mut self.keys).into_values().for_each(Handle::give_back);
    }
}

fn lend(gone: &[Gone]) -> Vec<(Cause, &[u8])> {
    gone.iter().map(|(cause, owner)| (*cause, owner.as_slice())).collect()
}

fn number(text: &[u8]) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Drop for EngineNode {
    fn drop(&mut self) {
        self.free_keys();
    }
}

/// What the event loop in `host.rs` calls, with the server's clocks set: nothing happens by itself.
impl EngineNode {
    /// Connects a new client, and returns its id.
    pub fn connect(&mut self) -> u64 {
        self.clients += 1;
        self.clients
    }

    /// Runs a command of this client. Its reply appears in [`EngineNode::take_output`].
    pub fn command(&mut self, client: u64, args: &[Vec<u8>]) {
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

    /// Called when the client's connection is closed.
    pub fn disconnect(&mut self, client: u64) {
        let keeps_grant = self.is(Mutant::GrantsToTheDead) && self.engine.has_resolved();
        if let Some(ticket) = self.waiting.remove(&client).filter(|_| !keeps_grant) {
            self.engine.on_disconnected(ticket);
        }
        if !self.is(Mutant::SessionOutlivesConnection) {
            self.engine.on_client_closed(client, false);
        }
    }

    /// Called at the end of a cycle of the event loop.
    pub fn before_sleep(&mut self) {
        if let Some(replica) = &mut self.replica {
            replica.before_sleep();
        }
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

    /// Called at the beginning of the next cycle.
    pub fn after_sleep(&mut self) {
        self.engine.on_replies_sent();
    }

    /// Returns when it must be called again, in microseconds on the monotonic clock.
    pub fn next_wake(&self) -> Option<i64> {
        let next = if self.engine.has_work() { Some(self.now) } else { self.engine.next_moment() };
        next.zip(self.zero).map(|(next, zero)| next + zero)
    }

    /// Returns bytes for clients, in order.
    pub fn take_output(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.output)
    }

    /// Sets the clocks; the first call is the boot. Its cooldown is over, as only restarts are of interest.
    pub fn set_clocks(&mut self, monotonic_micros: i64, wall_micros: u64) {
        let first = self.zero.is_none();
        let zero = *self.zero.get_or_insert(monotonic_micros - self.options.cooldown_ms as i64 * 1_000);
        (self.now, self.wall) = (monotonic_micros - zero, wall_micros);
        if let Some(replica) = &mut self.replica {
            (replica.now, replica.wall) = (self.now, self.wall);
        }
        if first {
            self.engine = Engine::new(self.wall.saturating_sub(self.now.unsigned_abs()), false);
            self.options.replica_lag.into_iter().for_each(|_| self.attach_replica());
        }
    }

    /// Ends the process and restarts it. All clients are gone.
    pub fn crash_and_restart(&mut self, keep: Persistence) {
        self.waiting.clear();
        self.output.clear();
        let saved = match keep {
            Persistence::Lost => Some(Saved::default()),
            Persistence::Snapshot => Some(self.snapshot.clone()),
            Persistence::Promoted => None,
            Persistence::Always => Some(self.save()),
        };
        match (saved, self.replica.take()) {
            (None, Some(mut replica)) => {
                replica.skip_clients(self);
                replica.promote();
                *self = *replica;
                self.snapshot = self.save();
            }
            (saved, _) => {
                let saved = saved.unwrap_or_else(|| self.save());
                self.start(saved, false);
            }
        }
        self.options.replica_lag.into_iter().for_each(|_| self.attach_replica());
    }
}
