//! Locks and queues as plain lists: slow, but short enough to be compared with the contract by reading.

use std::collections::{BTreeMap, BTreeSet};

/// A connection, by the server's id.
pub type Conn = u64;

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub conn: Conn,
    pub owner: String,
    /// 0 is shared.
    pub limit: usize,
    pub ttl: i64,
    pub until: Option<i64>,
    pub session: bool,
    pub fence: u64,
    pub meta: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Hold {
    pub owner: String,
    pub limit: usize,
    pub deadline: i64,
    /// The connections that it ends with, latest last.
    pub sessions: Vec<Conn>,
    pub meta: String,
    /// The token that somebody was told.
    pub token: Option<u64>,
    /// A lower bound of the token.
    pub fence: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Key {
    pub holds: Vec<Hold>,
    pub queue: Vec<Request>,
}

/// The reply that a client must get.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The key, and the owner whose hold has the token.
    Token(String, String),
    Nil,
    OtherLimit,
    /// A deadlock, with the number of locks in each cycle.
    Deadlock(BTreeSet<usize>),
}

#[derive(Clone, Default)]
pub struct Lists {
    pub now: i64,
    /// The keys of database 0, which all clients use.
    pub keys: BTreeMap<String, Key>,
    /// The keys of database 1.
    pub elsewhere: BTreeMap<String, Vec<Hold>>,
    pub counts: BTreeMap<&'static str, u64>,
    /// Replies that clients must get, since the last request for them.
    pub answers: Vec<(Conn, Told)>,
}

fn tolerates(limit: usize, holders: usize) -> bool {
    limit == 0 || holders <= limit
}

impl Key {
    fn admits(&self, limit: usize) -> bool {
        let limits = self.holds.iter().map(|hold| hold.limit).chain([limit]);
        limits.into_iter().all(|limit| tolerates(limit, self.holds.len() + 1))
    }

    pub fn hold(&mut self, owner: &str) -> Option<&mut Hold> {
        self.holds.iter_mut().find(|hold| hold.owner == owner)
    }
}

impl Hold {
    fn renew(&mut self, deadline: i64, fence: u64) {
        self.deadline = self.deadline.max(deadline);
        self.fence = self.fence.max(fence);
        self.token = self.token.map(|token| token.max(fence));
    }
}

impl Lists {
    pub fn count(&mut self, name: &'static str, n: usize) {
        *self.counts.entry(name).or_insert(0) += n as u64;
    }

    pub fn held(&self) -> usize {
        let elsewhere: usize = self.elsewhere.values().map(Vec::len).sum();
        self.keys.values().map(|key| key.holds.len()).sum::<usize>() + elsewhere
    }

    pub fn waiting(&self) -> usize {
        self.keys.values().map(|key| key.queue.len()).sum()
    }

    pub fn key(&mut self, name: &str) -> &mut Key {
        self.keys.entry(name.into()).or_default()
    }

    fn names(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    /// Returns the immediate reply to a client, or `None` if it waits.
    pub fn ask(&mut self, name: &str, request: Request, block: bool) -> Option<Told> {
        if !block || self.key(name).hold(&request.owner).is_some() {
            return Some(self.ask_all(&[name], request));
        }
        if self.key(name).queue.is_empty() && self.key(name).admits(request.limit) {
            return Some(self.ask_all(&[name], request));
        }
        let retried = self.key(name).queue.iter().any(|other| other.owner == request.owner);
        let owner = request.owner.clone();
        self.key(name).queue.push(request);
        let cycles = if retried { BTreeSet::new() } else { self.cycles(&owner, name) };
        if cycles.is_empty() {
            return None;
        }
        self.key(name).queue.pop();
        self.count("lock_deadlocks", 1);
        Some(Told::Deadlock(cycles))
    }

    /// Acquires all of these locks or none, without waiting.
    pub fn ask_all(&mut self, names: &[&str], request: Request) -> Told {
        let own = |key: &Key| key.holds.iter().find(|hold| hold.owner == request.owner).cloned();
        let keys: Vec<Key> = names.iter().map(|name| self.key(name).clone()).collect();
        let holds: Vec<Option<Hold>> = keys.iter().map(own).collect();
        if holds.iter().flatten().any(|hold| hold.limit != request.limit) {
            return Told::OtherLimit;
        }
        let is_free = |key: &Key| key.queue.is_empty() && key.admits(request.limit);
        if keys.iter().zip(&holds).any(|(key, hold)| hold.is_none() && !is_free(key)) {
            self.count("lock_refused", 1);
            return Told::Nil;
        }
        let token = holds[0].as_ref().and_then(|hold| hold.token);
        let again = holds.iter().all(|hold| hold.as_ref().is_some_and(|hold| hold.token == token));
        for (name, hold) in names.iter().zip(holds) {
            match hold {
                None => self.grant(name, &request),
                Some(_) => self.renew(name, &request),
            }
            if !again && let Some(hold) = self.key(name).hold(&request.owner) {
                hold.token = None;
            }
        }
        Told::Token(names[0].into(), request.owner)
    }

    fn grant(&mut self, name: &str, request: &Request) {
        let hold = Hold {
            owner: request.owner.clone(),
            limit: request.limit,
            deadline: self.now + request.ttl,
            sessions: if request.session { vec![request.conn] } else { Vec::new() },
            meta: request.meta.clone().unwrap_or_default(),
            token: None,
            fence: request.fence,
        };
        self.key(name).holds.push(hold);
        self.count("lock_acquired", 1);
    }

    fn renew(&mut self, name: &str, request: &Request) {
        let deadline = self.now + request.ttl;
        let Some(hold) = self.key(name).hold(&request.owner) else { return };
        hold.renew(deadline, request.fence);
        hold.meta = request.meta.clone().unwrap_or(std::mem::take(&mut hold.meta));
        hold.sessions.retain(|conn| *conn != request.conn);
        match request.session {
            true => hold.sessions.push(request.conn),
            false => hold.sessions.clear(),
        }
        self.count("lock_reacquired", 1);
    }

    /// Extends all of these holds or none. Returns whether all exist.
    pub fn extend(&mut self, names: &[&str], owner: &str, ttl: i64, fence: Option<u64>) -> bool {
        if !names.iter().all(|name| self.key(name).hold(owner).is_some()) {
            return false;
        }
        let deadline = self.now + ttl;
        let tokens = names.iter().filter_map(|name| self.key(name).hold(owner)?.token).max();
        for name in names {
            if let Some(hold) = self.key(name).hold(owner) {
                hold.renew(deadline, fence.map_or(0, |fence| fence.max(tokens.unwrap_or(0))));
            }
        }
        self.count("lock_extended", names.len());
        true
    }

    /// Grants from the front, up to the first that does not fit. A grant to a `gone` client is revoked.
    pub fn serve(&mut self, name: &str, gone: &[Conn]) {
        while let Some(first) = self.key(name).queue.first().cloned() {
            if !self.key(name).admits(first.limit) {
                return;
            }
            let key = self.key(name);
            let own: Vec<Request> =
                key.queue.iter().filter(|request| request.owner == first.owner).cloned().collect();
            key.queue.retain(|request| request.owner != first.owner);
            self.grant(name, &first);
            self.count("lock_handed_over", 1);
            let mut told = false;
            for (index, request) in own.iter().enumerate() {
                let fits = request.limit == first.limit;
                if index > 0 && fits {
                    self.renew(name, request);
                }
                if !gone.contains(&request.conn) {
                    told |= fits;
                    let what =
                        if fits { Told::Token(name.into(), request.owner.clone()) } else { Told::OtherLimit };
                    self.answers.push((request.conn, what));
                }
            }
            if !told {
                self.key(name).holds.retain(|hold| hold.owner != first.owner);
                self.count("lock_released", 1);
            }
        }
    }

    pub fn release(&mut self, name: &str, owner: &str, gone: &[Conn]) -> usize {
        let key = self.key(name);
        let before = key.holds.len();
        key.holds.retain(|hold| hold.owner != owner);
        let released = before - key.holds.len();
        let own: Vec<Conn> =
            key.queue.iter().filter(|request| request.owner == owner).map(|request| request.conn).collect();
        key.queue.retain(|request| request.owner != owner);
        self.answers
            .extend(own.into_iter().filter(|conn| !gone.contains(conn)).map(|conn| (conn, Told::Nil)));
        self.count("lock_released", released);
        self.serve(name, gone);
        released
    }

    pub fn delete(&mut self, name: &str) -> bool {
        let removed = std::mem::take(&mut self.key(name).holds).len();
        self.count("lock_removed", removed);
        self.serve(name, &[]);
        removed > 0
    }

    pub fn flush(&mut self) {
        let elsewhere: usize = std::mem::take(&mut self.elsewhere).values().map(Vec::len).sum();
        self.count("lock_removed", elsewhere);
        for name in self.names() {
            self.delete(&name);
        }
    }

    /// Renames a lock, over any existing one. Both queues stay where they are.
    pub fn rename(&mut self, from: &str, to: &str) {
        let holds = std::mem::take(&mut self.key(from).holds);
        let removed = std::mem::replace(&mut self.key(to).holds, holds).len();
        self.count("lock_removed", removed);
        self.arrived(to);
        self.serve(from, &[]);
    }

    /// Moves a lock to the other database, if its key is free. Returns whether it was moved.
    pub fn move_away(&mut self, name: &str) -> bool {
        let free = self.elsewhere.get(name).is_none_or(Vec::is_empty);
        if !free || self.key(name).holds.is_empty() {
            return false;
        }
        let holds = std::mem::take(&mut self.key(name).holds);
        self.elsewhere.insert(name.into(), holds);
        self.serve(name, &[]);
        true
    }

    /// Swaps the databases. Waiters stay.
    pub fn swap(&mut self) {
        let mut elsewhere = std::mem::take(&mut self.elsewhere);
        for name in self.names() {
            let holds = elsewhere.remove(&name).unwrap_or_default();
            let here = std::mem::replace(&mut self.key(&name).holds, holds);
            self.elsewhere.insert(name, here);
        }
        for (name, holds) in elsewhere {
            self.key(&name).holds = holds;
        }
        for name in self.names() {
            self.arrived(&name);
        }
    }

    /// Called when other holds have arrived. A waiter that holds the lock now is answered wherever it stands.
    fn arrived(&mut self, name: &str) {
        loop {
            let key = self.key(name);
            let holds = |request: &Request| key.holds.iter().find(|hold| hold.owner == request.owner);
            let found = key.queue.iter().position(|request| holds(request).is_some());
            let Some(at) = found else { break };
            let request = key.queue.remove(at);
            if key.hold(&request.owner).is_some_and(|hold| hold.limit == request.limit) {
                self.renew(name, &request);
                self.answers.push((request.conn, Told::Token(name.into(), request.owner)));
            } else {
                self.answers.push((request.conn, Told::OtherLimit));
            }
        }
        self.serve(name, &[]);
    }

    /// Closes a connection: its wait ends, and so do the holds bound to it.
    pub fn close(&mut self, conn: Conn) {
        self.leave(conn);
        let mut dropped = 0;
        let here = self.keys.values_mut().map(|key| &mut key.holds);
        for holds in here.chain(self.elsewhere.values_mut()) {
            let before = holds.len();
            holds.retain_mut(|hold| {
                let was_bound = !hold.sessions.is_empty();
                hold.sessions.retain(|session| *session != conn);
                !was_bound || !hold.sessions.is_empty()
            });
            dropped += before - holds.len();
        }
        self.count("lock_sessions_dropped", dropped);
        self.serve_all();
    }

    /// Ends the wait of a connection.
    pub fn leave(&mut self, conn: Conn) {
        for key in self.keys.values_mut() {
            key.queue.retain(|request| request.conn != conn);
        }
        self.serve_all();
    }

    fn serve_all(&mut self) {
        self.names().iter().for_each(|name| self.serve(name, &[]));
    }

    /// Lets time pass: timed-out waiters leave, expired holds go, queues are served.
    pub fn wait(&mut self, time: i64) {
        self.now += time;
        let now = self.now;
        let mut left = Vec::new();
        for key in self.keys.values_mut() {
            let late = |request: &Request| request.until.is_some_and(|until| until <= now);
            left.extend(key.queue.iter().filter(|request| late(request)).map(|request| request.conn));
            key.queue.retain(|request| !late(request));
        }
        let before = self.held();
        let here = self.keys.values_mut().map(|key| &mut key.holds);
        for holds in here.chain(self.elsewhere.values_mut()) {
            holds.retain(|hold| hold.deadline > now);
        }
        self.count("lock_expired", before - self.held());
        self.count("lock_wait_timeouts", left.len());
        self.answers.extend(left.into_iter().map(|conn| (conn, Told::Nil)));
        self.serve_all();
    }

    /// Makes a server the master that had followed this one up to the state of `followed`. Waiters,
    /// connections and counters are forgotten.
    pub fn promote(&mut self, followed: &Lists) {
        *self = Lists { now: self.now, ..followed.clone() };
        (self.counts, self.answers) = (BTreeMap::new(), Vec::new());
        self.keys.values_mut().for_each(|key| key.queue.clear());
        let here = self.keys.values_mut().map(|key| &mut key.holds);
        here.chain(self.elsewhere.values_mut()).flatten().for_each(|hold| hold.sessions.clear());
        self.wait(0);
    }

    /// Returns for whom an owner waits, and at which key. Only the first request per owner and key counts.
    fn edges(&self, owner: &str) -> Vec<(&str, &str)> {
        let mut edges = Vec::new();
        for (name, key) in &self.keys {
            let queue = &key.queue;
            let Some(at) = queue.iter().position(|request| request.owner == owner) else { continue };
            let is_first = |i: &usize| queue[..*i].iter().all(|other| other.owner != queue[*i].owner);
            let ahead = (0..at).filter(is_first).map(|i| (queue[i].owner.as_str(), queue[i].limit));
            let others = key.holds.iter().map(|hold| (hold.owner.as_str(), hold.limit)).chain(ahead);
            let counts = |other: &(&str, usize)| other.0 != owner && (queue[at].limit == 1 || other.1 == 1);
            edges.extend(others.filter(counts).map(|(other, _)| (other, name.as_str())));
        }
        edges
    }

    /// Returns the number of keys in each cycle that begins with `asker` waiting for `name`.
    fn cycles(&self, asker: &str, name: &str) -> BTreeSet<usize> {
        let first = self.edges(asker).into_iter().filter(|(_, at)| *at == name);
        let mut ways: Vec<Vec<(&str, &str)>> = first.map(|edge| vec![edge]).collect();
        let mut counts = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let Some(&(last, _)) = way.last() else { continue };
            if last == asker {
                counts.insert(way.iter().map(|(_, key)| key).collect::<BTreeSet<_>>().len());
                continue;
            }
            let fresh = |edge: &(&str, &str)| way.iter().all(|(owner, _)| *owner != edge.0);
            ways.extend(self.edges(last).into_iter().filter(fresh).map(|edge| [&way[..], &[edge]].concat()));
        }
        counts
    }
}
