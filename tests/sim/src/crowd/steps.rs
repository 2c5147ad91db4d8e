//! One step at a time, compared with plain lists after each. Time passes only in steps that are large
//! compared to the time that passes by itself.

use super::lists::{Conn, Hold, Lists, Request, Told};
use super::{Answer, Holder, Target, View};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
/// Far longer than a run takes, in milliseconds.
const STEP_MS: i64 = 1_000_000;
/// The server's counters, by their names in INFO.
pub const COUNTED: [&str; 11] = [
    "lock_acquired",
    "lock_reacquired",
    "lock_refused",
    "lock_handed_over",
    "lock_released",
    "lock_extended",
    "lock_expired",
    "lock_removed",
    "lock_deadlocks",
    "lock_wait_timeouts",
    "lock_sessions_dropped",
];

/// How often each thing happened.
pub type Counts = BTreeMap<&'static str, u64>;

struct Crowd<'t, T> {
    target: &'t mut T,
    random: SmallRng,
    lists: Lists,
    /// What the replica has received, if it is cut off.
    followed: Option<Lists>,
    /// Whether each connection waits.
    conns: BTreeMap<Conn, bool>,
    owners: u32,
    /// The number of owners to draw from, so that there are cycles. Otherwise most owners are new.
    few: Option<u32>,
    highest: u64,
    /// The highest token before the step.
    before: u64,
    /// Keys, owners, and the tokens that these were told in this step.
    told: Vec<(String, String, u64)>,
    /// Whether time passed in this step: what was granted in it may be over.
    time_passed: bool,
    totals: Counts,
}

/// Makes this number of steps. With an odd seed there are few owners.
///
/// # Errors
/// Returns the first difference.
pub fn run<T: Target>(target: &mut T, seed: u64, steps: usize) -> Result<Counts, String> {
    let random = SmallRng::seed_from_u64(seed);
    let few = (seed % 2 == 1).then_some(6);
    let (lists, conns, totals) = (Lists::default(), BTreeMap::new(), Counts::new());
    let mut crowd = Crowd {
        target,
        random,
        lists,
        followed: None,
        conns,
        owners: 0,
        few,
        highest: 0,
        before: 0,
        told: Vec::new(),
        time_passed: false,
        totals,
    };
    for step in 0..steps {
        (crowd.before, crowd.time_passed) = (crowd.highest, false);
        let mut what = String::new();
        let taken = crowd.step(&mut what).and_then(|()| crowd.read_answers()).and_then(|()| crowd.compare());
        taken.map_err(|error| format!("seed {seed}, step {step}: {what}\n{error}"))?;
    }
    crowd.count().and_then(|()| crowd.nothing_is_left()).map_err(|error| format!("seed {seed}: {error}"))?;
    Ok(crowd.totals)
}

fn differs<A: std::fmt::Debug + PartialEq>(seen: A, expected: A, what: &str) -> Result<(), String> {
    let same = seen == expected;
    if same { Ok(()) } else { Err(format!("{what}: seen     {seen:?}\nexpected {expected:?}")) }
}

impl<T: Target> Crowd<'_, T> {
    /// Makes one step. `what` describes it.
    fn step(&mut self, what: &mut String) -> Result<(), String> {
        match self.random.random_range(0..100) {
            0..=47 => self.ask(what),
            48..=50 => self.ask_all(what),
            51..=67 => self.release(what),
            68..=73 => self.wait(what),
            74..=78 => self.close(what),
            79..=82 => self.kill(what),
            83..=86 => self.unblock(what),
            87 => self.delete(what),
            88..=89 => self.rename(what),
            90 => self.between_databases(what),
            91..=93 => self.extend(what),
            94 => self.fail_over(what),
            _ => self.release_and_lose_the_next(what),
        }
    }

    fn operate(&mut self, line: &str, expected: Answer) -> Result<(), String> {
        let seen = self.target.operate(&[line]);
        differs(seen, vec![expected], line)
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.random.random_range(0..KEYS.len())]
    }

    /// Returns mostly a new owner, and sometimes one that already holds or waits.
    fn owner(&mut self, key: &str) -> String {
        if let Some(few) = self.few {
            return format!("owner-{}", self.random.random_range(0..few));
        }
        let known = self.lists.key(key);
        let holders = known.holds.iter().map(|hold| &hold.owner);
        let known: Vec<String> =
            holders.chain(known.queue.iter().map(|request| &request.owner)).cloned().collect();
        if !known.is_empty() && self.random.random_bool(0.2) {
            return known[self.random.random_range(0..known.len())].clone();
        }
        self.owners += 1;
        format!("owner-{}", self.owners)
    }

    fn any(&mut self, waiting: bool) -> Option<Conn> {
        let some: Vec<Conn> =
            self.conns.iter().filter(|(_, waits)| **waits == waiting).map(|(conn, _)| *conn).collect();
        (!some.is_empty()).then(|| some[self.random.random_range(0..some.len())])
    }

    /// Returns a connection that does not wait: a new one if there is none, or by chance.
    fn idle(&mut self) -> Conn {
        match self.any(false).filter(|_| self.random.random_bool(0.9)) {
            Some(conn) => conn,
            None => {
                let conn = self.target.connect();
                self.conns.insert(conn, false);
                conn
            }
        }
    }

    /// Returns a request, and its options as text.
    fn request(&mut self, conn: Conn, owner: String) -> (Request, String) {
        let limit = [1, 1, 1, 0, 0, 2, 3][self.random.random_range(0..7)];
        let ttl = self.random.random_range(0..60) * STEP_MS + STEP_MS / 2;
        let fence = if self.random.random_bool(0.05) { self.highest + 1 } else { 0 };
        let meta = self.random.random_bool(0.1).then(|| format!("meta-{}", self.owners));
        let session = self.random.random_bool(0.2);
        let mut words = format!("{owner} {ttl}");
        match limit {
            0 => words += " SHARED",
            1 => {}
            n => words += &format!(" LIMIT {n}"),
        }
        if fence > 0 {
            words += &format!(" FENCE {fence}");
        }
        if let Some(meta) = &meta {
            words += &format!(" META {meta}");
        }
        if session {
            words += " SESSION";
        }
        (Request { conn, owner, limit, ttl, until: None, session, fence, meta }, words)
    }

    fn ask(&mut self, what: &mut String) -> Result<(), String> {
        let (key, conn) = (self.key(), self.idle());
        let owner = self.owner(key);
        let (mut request, words) = self.request(conn, owner);
        let mut line = format!("LOCK.ACQUIRE {key} {words}");
        let block = self.random.random_bool(0.9);
        if block {
            // 0 is forever.
            let ms = match self.random.random_bool(0.5) {
                true => 0,
                false => self.random.random_range(0..20) * STEP_MS + STEP_MS / 2,
            };
            line += &format!(" BLOCK {ms}");
            request.until = Some(self.lists.now + ms).filter(|_| ms > 0);
        }
        *what = format!("{conn} {line}");
        self.target.send(conn, &line);
        match self.lists.ask(key, request, block) {
            Some(told) => self.lists.answers.push((conn, told)),
            None => {
                self.conns.insert(conn, true);
                let waiting = self.lists.waiting() as u64;
                while self.target.count("lock_waiting") != waiting {
                    if !self.target.look_again() {
                        return Err("it does not wait".into());
                    }
                }
            }
        }
        Ok(())
    }

    fn some_keys(&mut self) -> Vec<&'static str> {
        let first = self.random.random_range(0..KEYS.len());
        (0..self.random.random_range(1..=KEYS.len())).map(|i| KEYS[(first + i) % KEYS.len()]).collect()
    }

    fn ask_all(&mut self, what: &mut String) -> Result<(), String> {
        let (keys, conn) = (self.some_keys(), self.idle());
        let owner = self.owner(keys[0]);
        let (request, words) = self.request(conn, owner);
        *what = format!("{conn} LOCK.MACQUIRE {} {} {words}", keys.len(), keys.join(" "));
        self.target.send(conn, what.split_once(' ').map_or("", |(_, line)| line));
        let told = self.lists.ask_all(&keys, request);
        self.lists.answers.push((conn, told));
        Ok(())
    }

    fn holder(&mut self, key: &str) -> String {
        match self.lists.key(key).holds.first().map(|hold| hold.owner.clone()) {
            Some(owner) if self.random.random_bool(0.8) => owner,
            _ => self.owner(key),
        }
    }

    fn release(&mut self, what: &mut String) -> Result<(), String> {
        let several = self.random.random_bool(0.1);
        let keys = if several { self.some_keys() } else { vec![self.key()] };
        let owner = self.holder(keys[0]);
        *what = match several {
            true => format!("LOCK.MRELEASE {} {} {owner}", keys.len(), keys.join(" ")),
            false => format!("LOCK.RELEASE {} {owner}", keys[0]),
        };
        let released: usize = keys.iter().map(|key| self.lists.release(key, &owner, &[])).sum();
        self.operate(what, Answer::Integer(released as u64))
    }

    fn extend(&mut self, what: &mut String) -> Result<(), String> {
        let several = self.random.random_bool(0.3);
        let keys = if several { self.some_keys() } else { vec![self.key()] };
        let owner = self.holder(keys[0]);
        let ttl = self.random.random_range(0..60) * STEP_MS + STEP_MS / 2;
        let fence = self.random.random_bool(0.5).then_some(self.highest + 1);
        *what = match several {
            true => format!("LOCK.MEXTEND {} {} {owner} {ttl}", keys.len(), keys.join(" ")),
            false => format!("LOCK.EXTEND {} {owner} {ttl}", keys[0]),
        };
        if let Some(fence) = fence {
            *what += &format!(" FENCE {fence}");
        }
        let told = match self.lists.extend(&keys, &owner, ttl, fence) {
            false => 0,
            true => fence.unwrap_or(1),
        };
        self.highest = self.highest.max(told);
        self.operate(what, Answer::Integer(told))
    }

    fn wait(&mut self, what: &mut String) -> Result<(), String> {
        let time = self.random.random_range(1..6) * STEP_MS;
        *what = format!("{time} ms pass");
        self.time_passed = true;
        self.lists.wait(time);
        if let Some(followed) = &mut self.followed {
            followed.now += time;
        }
        self.target.pass(time);
        Ok(())
    }

    fn close(&mut self, what: &mut String) -> Result<(), String> {
        let waiting = self.random.random_bool(0.5);
        let Some(conn) = self.any(waiting) else { return Ok(()) };
        *what = format!("{conn} closes its socket");
        self.conns.remove(&conn);
        self.lists.close(conn);
        self.target.close(conn);
        Ok(())
    }

    fn kill(&mut self, what: &mut String) -> Result<(), String> {
        let waiting = self.random.random_bool(0.7);
        let Some(conn) = self.any(waiting) else { return Ok(()) };
        *what = format!("CLIENT KILL ID {conn}");
        self.conns.remove(&conn);
        self.lists.close(conn);
        self.operate(what, Answer::Integer(1))
    }

    fn unblock(&mut self, what: &mut String) -> Result<(), String> {
        let Some(conn) = self.any(true) else { return Ok(()) };
        let error = self.random.random_bool(0.5);
        *what = format!("CLIENT UNBLOCK {conn} {}", if error { "ERROR" } else { "TIMEOUT" });
        self.lists.leave(conn);
        self.operate(what, Answer::Integer(1))?;
        self.read_unblocked(conn, error)
    }

    fn read_unblocked(&mut self, conn: Conn, error: bool) -> Result<(), String> {
        self.conns.insert(conn, false);
        match self.target.read(conn)? {
            Answer::Error(line) if error && line.starts_with("UNBLOCKED") => Ok(()),
            Answer::Nil if !error => Ok(()),
            reply => Err(format!("{conn} was unblocked and got {reply:?}")),
        }
    }

    fn delete(&mut self, what: &mut String) -> Result<(), String> {
        if self.random.random_bool(0.1) {
            *what = "FLUSHALL".into();
            self.lists.flush();
            return self.operate(what, Answer::Ok);
        }
        let key = self.key();
        *what = format!("DEL {key}");
        let there = self.lists.delete(key);
        self.operate(what, Answer::Integer(u64::from(there)))
    }

    fn rename(&mut self, what: &mut String) -> Result<(), String> {
        let (from, to) = (self.key(), self.key());
        if from == to || self.lists.key(from).holds.is_empty() {
            return Ok(());
        }
        *what = format!("RENAME {from} {to}");
        self.lists.rename(from, to);
        self.operate(what, Answer::Ok)
    }

    fn between_databases(&mut self, what: &mut String) -> Result<(), String> {
        if self.random.random_bool(0.5) {
            *what = "SWAPDB 0 1".into();
            self.lists.swap();
            return self.operate(what, Answer::Ok);
        }
        let key = self.key();
        *what = format!("MOVE {key} 1");
        let moved = self.lists.move_away(key);
        self.operate(what, Answer::Integer(u64::from(moved)))
    }

    /// Releases a lock, and unblocks or kills the next waiter, in one transaction.
    fn release_and_lose_the_next(&mut self, what: &mut String) -> Result<(), String> {
        let key = self.key();
        let state = self.lists.key(key);
        let (Some(hold), Some(next)) = (state.holds.first(), state.queue.first()) else { return Ok(()) };
        let (owner, conn) = (hold.owner.clone(), next.conn);
        let how = self.random.random_range(0..3);
        let lose = match how {
            0 => format!("CLIENT KILL ID {conn}"),
            1 => format!("CLIENT UNBLOCK {conn} TIMEOUT"),
            _ => format!("CLIENT UNBLOCK {conn} ERROR"),
        };
        let release = format!("LOCK.RELEASE {key} {owner}");
        *what = format!("{release}; {lose}");
        let replies = self.target.operate(&[&release, &lose]);
        differs(replies, vec![Answer::Integer(1); 2], what)?;
        self.lists.release(key, &owner, &[conn]);
        if how == 0 {
            self.conns.remove(&conn);
            self.lists.close(conn);
            return Ok(());
        }
        self.lists.leave(conn);
        self.read_unblocked(conn, how == 2)
    }

    /// Cuts the replica off. Some steps later it replaces the master.
    fn fail_over(&mut self, what: &mut String) -> Result<(), String> {
        if self.followed.is_none() && self.random.random_bool(0.5) {
            *what = "the replica is cut off".into();
            self.followed = self.target.cut_replica().then(|| self.lists.clone());
            return Ok(());
        }
        if self.followed.is_none() {
            return Ok(());
        }
        // Tokens follow the clock: the new master continues where no token of the old one can be.
        self.wait(what)?;
        self.read_answers()?;
        let Some(followed) = self.followed.take() else { return Ok(()) };
        *what += ", and the replica is promoted";
        self.count()?;
        self.lists.promote(&followed);
        self.conns.clear();
        self.target.promote();
        Ok(())
    }

    fn read_answers(&mut self) -> Result<(), String> {
        self.target.settle()?;
        for (conn, told) in std::mem::take(&mut self.lists.answers) {
            let Some(waits) = self.conns.get_mut(&conn) else { continue };
            *waits = false;
            let owner = match (self.target.read(conn)?, &told) {
                (Answer::Integer(token), Told::Token(key, owner)) => {
                    self.highest = self.highest.max(token);
                    self.told.push((key.clone(), owner.clone(), token));
                    continue;
                }
                (Answer::Nil, Told::Nil) => continue,
                (Answer::Error(line), _) => line,
                (answer, _) => return Err(format!("{conn} was to be told {told:?}, and got {answer:?}")),
            };
            let is_right = match &told {
                Told::OtherLimit => owner.contains("another limit"),
                Told::Deadlock(counts) => counts
                    .iter()
                    .any(|count| owner.starts_with("DEADLOCK") && owner.contains(&count.to_string())),
                _ => false,
            };
            if !is_right {
                return Err(format!("{conn} was to be told {told:?}, and got {owner:?}"));
            }
        }
        Ok(())
    }

    /// Compares all that is visible of locks and queues, until it is as it must be.
    fn compare(&mut self) -> Result<(), String> {
        loop {
            let difference = KEYS.iter().find_map(|key| {
                let seen = self.target.view(key);
                self.compare_key(key, seen).err()
            });
            match difference {
                None => return self.compare_told(),
                Some(difference) if !self.target.look_again() => return Err(difference),
                Some(_) => {}
            }
        }
    }

    /// Compares the tokens that clients were told with those of the holds.
    fn compare_told(&mut self) -> Result<(), String> {
        for (key, owner, token) in std::mem::take(&mut self.told) {
            let held = self.lists.key(&key).hold(&owner).is_some_and(|hold| hold.token == Some(token));
            if !held && !self.time_passed {
                return Err(format!("{key}: {owner} was told {token}, which is not the token of its hold"));
            }
        }
        Ok(())
    }

    /// Compares a key, and records tokens that were not known.
    fn compare_key(&mut self, name: &str, seen: View) -> Result<(), String> {
        let before = self.before;
        let key = self.lists.key(name);
        let waiter = |request: &Request| (request.owner.clone(), request.limit as u64, request.conn);
        differs(&seen.waiters, &key.queue.iter().map(waiter).collect(), name)?;
        let tokens: Vec<u64> = seen.holders.iter().map(|holder| holder.token).collect();
        let holder = |(hold, seen): (&Hold, u64)| Holder {
            owner: hold.owner.clone(),
            limit: hold.limit as u64,
            session: hold.sessions.last().copied().unwrap_or(0),
            token: hold.token.unwrap_or(seen),
            meta: hold.meta.clone(),
        };
        let tokens_or_none = tokens.iter().copied().chain(std::iter::repeat(0));
        let expected: Vec<Holder> = key.holds.iter().zip(tokens_or_none).map(holder).collect();
        differs(&seen.holders, &expected, name)?;
        for (hold, token) in key.holds.iter_mut().zip(tokens) {
            if hold.token.is_none() && (token <= before || token < hold.fence) {
                return Err(format!("{name}: token {token} after {before}, at least {}", hold.fence));
            }
            hold.token = Some(token);
            self.highest = self.highest.max(token);
        }
        Ok(())
    }

    /// Compares the counters.
    fn count(&mut self) -> Result<(), String> {
        for name in COUNTED {
            let expected = self.lists.counts.get(name).copied().unwrap_or(0);
            differs(self.target.count(name), expected, name)?;
            *self.totals.entry(name).or_default() += expected;
        }
        differs(self.target.count("lock_held"), self.lists.held() as u64, "lock_held")?;
        differs(self.target.count("lock_waiting"), self.lists.waiting() as u64, "lock_waiting")
    }

    /// Checks that each connection has had exactly one reply.
    fn nothing_is_left(&mut self) -> Result<(), String> {
        let answered: Vec<Conn> =
            self.conns.iter().filter(|(_, waits)| !**waits).map(|(conn, _)| *conn).collect();
        match answered.into_iter().find(|conn| !self.target.is_quiet(*conn)) {
            Some(conn) => Err(format!("{conn} had an answer too many")),
            None => Ok(()),
        }
    }
}
