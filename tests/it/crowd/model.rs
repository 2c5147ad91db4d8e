//! Locks and lines as plain lists.

use std::collections::BTreeMap;

pub type Conn = usize;

#[derive(Clone, Debug)]
pub struct Request {
    pub conn: Conn,
    pub owner: String,
    /// 0 is shared.
    pub limit: usize,
    pub ttl: i64,
    pub until: Option<i64>,
    pub session: bool,
}

#[derive(Clone, Debug)]
pub struct Hold {
    pub owner: String,
    pub limit: usize,
    pub deadline: i64,
    /// The connections that it ends with, the latest last.
    pub sessions: Vec<Conn>,
}

#[derive(Clone, Debug, Default)]
pub struct Key {
    pub holds: Vec<Hold>,
    pub line: Vec<Request>,
}

/// What a client that waited must be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    Token,
    Nil,
    OtherLimit,
}

#[derive(Default)]
pub struct Model {
    pub now: i64,
    pub keys: BTreeMap<String, Key>,
    pub counts: BTreeMap<&'static str, i64>,
    /// Whom to expect an answer of, since they were last asked.
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
}

impl Model {
    pub fn count(&mut self, name: &'static str, n: usize) {
        *self.counts.entry(name).or_insert(0) += n as i64;
    }

    pub fn held(&self) -> usize {
        self.keys.values().map(|key| key.holds.len()).sum()
    }

    pub fn waiting(&self) -> usize {
        self.keys.values().map(|key| key.line.len()).sum()
    }

    fn key(&mut self, name: &str) -> &mut Key {
        self.keys.entry(name.into()).or_default()
    }

    /// What the client is told at once; `None` where it waits.
    pub fn ask(&mut self, name: &str, request: Request, block: bool) -> Option<Told> {
        let key = self.key(name);
        if let Some(hold) = key.holds.iter().find(|hold| hold.owner == request.owner) {
            if hold.limit != request.limit {
                return Some(Told::OtherLimit);
            }
            self.renew(name, &request);
            return Some(Told::Token);
        }
        if key.line.is_empty() && key.admits(request.limit) {
            self.grant(name, &request);
            return Some(Told::Token);
        }
        if !block {
            self.count("lock_refused", 1);
            return Some(Told::Nil);
        }
        self.key(name).line.push(request);
        None
    }

    fn grant(&mut self, name: &str, request: &Request) {
        let deadline = self.now + request.ttl;
        let sessions = if request.session { vec![request.conn] } else { Vec::new() };
        let hold = Hold { owner: request.owner.clone(), limit: request.limit, deadline, sessions };
        self.key(name).holds.push(hold);
        self.count("lock_acquired", 1);
    }

    fn renew(&mut self, name: &str, request: &Request) {
        let deadline = self.now + request.ttl;
        let hold =
            self.key(name).holds.iter_mut().find(|hold| hold.owner == request.owner).expect("it holds");
        hold.deadline = hold.deadline.max(deadline);
        hold.sessions.retain(|conn| *conn != request.conn);
        if request.session {
            hold.sessions.push(request.conn);
        } else {
            hold.sessions.clear();
        }
        self.count("lock_reacquired", 1);
    }

    /// From the front, up to the first that does not fit. Who is in `gone` is granted, and robbed again.
    pub fn serve(&mut self, name: &str, gone: &[Conn]) {
        while let Some(first) = self.key(name).line.first().cloned() {
            if !self.key(name).admits(first.limit) {
                return;
            }
            let key = self.key(name);
            let own: Vec<Request> =
                key.line.iter().filter(|request| request.owner == first.owner).cloned().collect();
            key.line.retain(|request| request.owner != first.owner);
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
                    let what = if fits { Told::Token } else { Told::OtherLimit };
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
            key.line.iter().filter(|request| request.owner == owner).map(|request| request.conn).collect();
        key.line.retain(|request| request.owner != owner);
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

    /// The lock goes to another name, over what is there; both lines stay where they are.
    pub fn rename(&mut self, from: &str, to: &str) {
        let holds = std::mem::take(&mut self.key(from).holds);
        let removed = std::mem::replace(&mut self.key(to).holds, holds).len();
        self.count("lock_removed", removed);
        self.answer_holders(to);
        self.serve(from, &[]);
        self.serve(to, &[]);
    }

    /// Who waits for a lock that it holds now is answered wherever it stands.
    fn answer_holders(&mut self, name: &str) {
        loop {
            let key = self.key(name);
            let holds = |request: &Request| key.holds.iter().find(|hold| hold.owner == request.owner);
            let Some(at) = key.line.iter().position(|request| holds(request).is_some()) else { return };
            let limit = holds(&key.line[at]).expect("just found").limit;
            let request = key.line.remove(at);
            if request.limit == limit {
                self.renew(name, &request);
                self.answers.push((request.conn, Told::Token));
            } else {
                self.answers.push((request.conn, Told::OtherLimit));
            }
        }
    }

    /// A connection is gone: it waits for nothing, and what ends with it ends.
    pub fn close(&mut self, conn: Conn) {
        self.leave(conn);
        let names: Vec<String> = self.keys.keys().cloned().collect();
        for name in names {
            let key = self.key(&name);
            let before = key.holds.len();
            key.holds.retain_mut(|hold| {
                let was_bound = !hold.sessions.is_empty();
                hold.sessions.retain(|session| *session != conn);
                !was_bound || !hold.sessions.is_empty()
            });
            let dropped = before - key.holds.len();
            self.count("lock_sessions_dropped", dropped);
            self.serve(&name, &[]);
        }
    }

    /// A connection waits no more.
    pub fn leave(&mut self, conn: Conn) {
        let names: Vec<String> = self.keys.keys().cloned().collect();
        for name in names {
            self.key(&name).line.retain(|request| request.conn != conn);
            self.serve(&name, &[]);
        }
    }

    /// Time passes: who has waited too long leaves, holds past their deadline go, lines are served.
    pub fn wait(&mut self, time: i64) {
        self.now += time;
        let now = self.now;
        let names: Vec<String> = self.keys.keys().cloned().collect();
        for name in &names {
            let key = self.key(name);
            let late = |request: &Request| request.until.is_some_and(|until| until <= now);
            let left: Vec<Conn> =
                key.line.iter().filter(|request| late(request)).map(|request| request.conn).collect();
            key.line.retain(|request| !late(request));
            let before = key.holds.len();
            key.holds.retain(|hold| hold.deadline > now);
            let expired = before - key.holds.len();
            self.count("lock_wait_timeouts", left.len());
            self.count("lock_expired", expired);
            self.answers.extend(left.into_iter().map(|conn| (conn, Told::Nil)));
            self.serve(name, &[]);
        }
    }
}
