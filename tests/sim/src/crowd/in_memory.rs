//! The engine in memory, with a replica.

use super::{Answer, Conn, Holder, Target, View};
use crate::engine_node::EngineNode;
use crate::mutants::Mutant;
use crate::node::NodeOptions;
use redis_lock_core::Hold;
use redis_lock_engine::Slot;
use std::collections::BTreeMap;

/// An arbitrary wall clock, in microseconds since 1970.
const WALL: i64 = 1_700_000_000_000_000;

/// The engine in memory, with a replica.
pub struct InMemory {
    node: EngineNode,
    operator: Conn,
    /// The replica that is cut off.
    cut: Option<Box<EngineNode>>,
    output: BTreeMap<Conn, Vec<String>>,
    now: i64,
    /// The first difference between the replica and its master.
    differs: Option<String>,
}

impl InMemory {
    pub fn new(mutant: Option<Mutant>) -> InMemory {
        let mut node = EngineNode::new(NodeOptions { cooldown_ms: 0, replica_lag: None, seed: 0, mutant });
        node.set_clocks(0, WALL as u64);
        if mutant != Some(Mutant::ReadersOvertake) {
            // That mutant would show in the replica first.
            node.attach_replica();
        }
        let operator = node.connect();
        InMemory { node, operator, cut: None, output: BTreeMap::new(), now: 0, differs: None }
    }

    fn command(&mut self, conn: Conn, line: &str) {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        self.node.command(conn, &words);
    }

    /// Runs cycles until nothing is left to do.
    fn sleep(&mut self) {
        loop {
            self.node.before_sleep();
            self.node.after_sleep();
            if !self.node.engine.has_work() && !self.node.engine.has_resolved() {
                break;
            }
        }
        for (conn, reply) in self.node.take_output() {
            self.output.entry(conn).or_default().push(String::from_utf8_lossy(&reply).into());
        }
        let difference = self.node.replica.as_ref().and_then(|replica| difference(&self.node, replica));
        self.differs = self.differs.take().or(difference);
    }
}

/// Returns the difference between the two.
fn difference(node: &EngineNode, replica: &EngineNode) -> Option<String> {
    let all = |node: &EngineNode| {
        // In milliseconds, as they are propagated.
        let hold = |hold: &Hold| {
            let deadline = (hold.deadline + 500).div_euclid(1_000);
            (hold.owner().to_vec(), hold.limit(), hold.token, hold.meta().to_vec(), deadline)
        };
        let locks = node.keys.iter().map(|(key, handle)| {
            let mut holds: Vec<_> = handle.with_lock(|lock| lock.holds().map(hold).collect());
            holds.sort();
            (key.clone(), holds)
        });
        locks.filter(|(_, holds)| !holds.is_empty()).collect::<BTreeMap<_, _>>()
    };
    let (master, replica) = (all(node), all(replica));
    (master != replica).then(|| format!("the master has {master:?}\nits replica {replica:?}"))
}

fn answer(reply: &str) -> Answer {
    match reply.split_at(1) {
        (":", number) => Answer::Integer(number.trim_end().parse().unwrap_or(u64::MAX)),
        ("-", line) => Answer::Error(line.trim_end().into()),
        ("_", _) => Answer::Nil,
        _ => Answer::Ok,
    }
}

impl Target for InMemory {
    fn connect(&mut self) -> Conn {
        self.node.connect()
    }

    fn send(&mut self, conn: Conn, line: &str) {
        self.command(conn, line);
        self.sleep();
    }

    fn read(&mut self, conn: Conn) -> Result<Answer, String> {
        let replies = self.output.get_mut(&conn).filter(|replies| !replies.is_empty());
        replies.map(|replies| answer(&replies.remove(0))).ok_or_else(|| format!("{conn} was told nothing"))
    }

    fn operate(&mut self, lines: &[&str]) -> Vec<Answer> {
        lines.iter().for_each(|line| self.command(self.operator, line));
        self.sleep();
        let replies = self.output.remove(&self.operator).unwrap_or_default();
        replies.iter().map(|reply| answer(reply)).collect()
    }

    fn close(&mut self, conn: Conn) {
        self.node.disconnect(conn);
        self.sleep();
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms * 1_000;
        self.node.set_clocks(self.now, (WALL + self.now) as u64);
        self.sleep();
    }

    fn settle(&mut self) -> Result<(), String> {
        self.differs.take().map_or(Ok(()), Err)
    }

    fn look_again(&mut self) -> bool {
        false
    }

    fn view(&mut self, key: &str) -> View {
        let name = (0, key.as_bytes().to_vec());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let holder = |hold: &Hold| Holder {
            owner: text(hold.owner()),
            limit: u64::from(hold.limit().to_wire()),
            session: hold.sessions().last().copied().unwrap_or(0),
            token: hold.token,
            meta: text(hold.meta()),
        };
        let holders =
            |handle: &crate::memory::Handle| handle.with_lock(|lock| lock.holds().map(holder).collect());
        let queues = self.node.engine.queues();
        let waiters = queues.find(0, key.as_bytes()).into_iter().flat_map(|queue| queues.waiters(queue));
        let waiter = |waiter: &redis_lock_engine::Waiter<u64>| {
            (text(waiter.owner.as_slice()), u64::from(waiter.limit.to_wire()), waiter.client)
        };
        View {
            holders: self.node.keys.get(&name).map(holders).unwrap_or_default(),
            waiters: waiters.map(waiter).collect(),
        }
    }

    fn count(&mut self, name: &str) -> u64 {
        let (engine, totals) = (&self.node.engine, self.node.engine.totals());
        match name {
            "lock_held" => engine.held(),
            "lock_waiting" => engine.queues().len() as u64,
            "lock_acquired" => totals.acquired,
            "lock_reacquired" => totals.reacquired,
            "lock_refused" => totals.refused,
            "lock_handed_over" => totals.handed_over,
            "lock_released" => totals.released,
            "lock_extended" => totals.extended,
            "lock_expired" => totals.expired,
            "lock_removed" => totals.removed,
            "lock_deadlocks" => totals.deadlocks,
            "lock_wait_timeouts" => totals.wait_timeouts,
            "lock_sessions_dropped" => totals.sessions_dropped,
            _ => 0,
        }
    }

    fn is_quiet(&mut self, conn: Conn) -> bool {
        self.output.get(&conn).is_none_or(Vec::is_empty)
    }

    fn cut_replica(&mut self) -> bool {
        self.cut = self.node.replica.take();
        self.cut.is_some()
    }

    fn promote(&mut self) {
        let Some(mut replica) = self.cut.take() else { return };
        replica.set_clocks(self.now, (WALL + self.now) as u64);
        replica.skip_clients(&self.node);
        replica.promote();
        replica.attach_replica();
        self.node = *replica;
        self.operator = self.node.connect();
        self.output.clear();
        self.sleep();
    }
}
