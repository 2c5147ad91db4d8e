//! One thing at a time, compared with plain lists after each. Time passes only by steps of the server's
//! monotonic clock, so large that what passes by itself does not count.

use super::model::{Conn, Model, Request, Told};
use super::scale;
use crate::support::{seed, Say};
use rand::{rngs::StdRng, Rng, SeedableRng};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::collections::BTreeMap;
use std::time::Duration;

const STEPS: usize = 4_000;
const KEYS: [&str; 4] = ["a", "b", "c", "d"];
/// Far longer than the test takes, in milliseconds.
const STEP_MS: i64 = 1_000_000;
const BOUND: Duration = Duration::from_secs(20);

struct Crowd {
    server: Server,
    control: Client,
    random: StdRng,
    model: Model,
    conns: BTreeMap<Conn, (Client, i64, bool)>,
    next: Conn,
    owners: usize,
    last_token: i64,
}

#[test]
fn everybody_gets_what_a_plain_list_gives() {
    let server = Server::builder().movable_clocks().config("lock.max-ttl", "1000000000000").start();
    let control = server.connect();
    let mut crowd = Crowd {
        control,
        random: StdRng::seed_from_u64(seed()),
        model: Model::default(),
        conns: BTreeMap::new(),
        next: 0,
        owners: 0,
        last_token: 0,
        server,
    };
    // Circles are another test's.
    assert_eq!(crowd.control.say("CONFIG SET lock.deadlock-detection no"), Reply::ok());
    for step in 0..STEPS * scale() {
        let what = crowd.step();
        crowd.read_answers(&format!("seed {}, step {step}: {what}", seed()));
        crowd.compare(&format!("seed {}, step {step}: {what}", seed()));
    }
    crowd.end();
}

impl Crowd {
    fn step(&mut self) -> String {
        match self.random.random_range(0..100) {
            0..=54 => self.ask(),
            55..=72 => self.release(),
            73..=78 => self.wait(),
            79..=83 => self.close(),
            84..=87 => self.kill(),
            88..=91 => self.unblock(),
            92..=93 => self.delete(),
            94..=95 => self.rename(),
            _ => self.release_and_lose_the_next(),
        }
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.random.random_range(0..KEYS.len())]
    }

    /// Mostly a new one; sometimes one that holds or waits already.
    fn owner(&mut self, key: &str) -> String {
        let known = self.model.keys.get(key);
        let holders = known.into_iter().flat_map(|key| key.holds.iter().map(|hold| hold.owner.clone()));
        let waiters = known.into_iter().flat_map(|key| key.line.iter().map(|request| request.owner.clone()));
        let known: Vec<String> = holders.chain(waiters).collect();
        if !known.is_empty() && self.random.random_bool(0.2) {
            return known[self.random.random_range(0..known.len())].clone();
        }
        self.owners += 1;
        format!("owner-{}", self.owners)
    }

    /// A connection that waits for nothing; a new one if there is none, or by chance.
    fn idle(&mut self) -> Conn {
        let idle: Vec<Conn> =
            self.conns.iter().filter(|(_, (_, _, waits))| !waits).map(|(conn, _)| *conn).collect();
        if !idle.is_empty() && self.random.random_bool(0.9) {
            return idle[self.random.random_range(0..idle.len())];
        }
        let mut client = self.server.connect();
        let id = client.id();
        self.next += 1;
        self.conns.insert(self.next, (client, id, false));
        self.next
    }

    fn any(&mut self, waiting: bool) -> Option<Conn> {
        let some: Vec<Conn> =
            self.conns.iter().filter(|(_, (_, _, waits))| *waits == waiting).map(|(conn, _)| *conn).collect();
        (!some.is_empty()).then(|| some[self.random.random_range(0..some.len())])
    }

    fn ask(&mut self) -> String {
        let (key, conn) = (self.key(), self.idle());
        let owner = self.owner(key);
        let limit = [1, 1, 1, 0, 0, 2, 3][self.random.random_range(0..7)];
        let steps = self.random.random_range(0..60);
        let ttl = steps * STEP_MS + STEP_MS / 2;
        let session = self.random.random_bool(0.2);
        // 0 is for ever.
        let block = self.random.random_bool(0.9).then(|| {
            if self.random.random_bool(0.5) {
                0
            } else {
                self.random.random_range(0..20) * STEP_MS + STEP_MS / 2
            }
        });
        let mut line = format!("LOCK.ACQUIRE {key} {owner} {ttl}");
        match limit {
            0 => line += " SHARED",
            1 => {}
            n => line += &format!(" LIMIT {n}"),
        }
        if session {
            line += " SESSION";
        }
        if let Some(ms) = block {
            line += &format!(" BLOCK {ms}");
        }
        let until = block.filter(|ms| *ms > 0).map(|ms| self.model.now + ms);
        let request = Request { conn, owner, limit, ttl, until, session };
        let told = self.model.ask(key, request, block.is_some());
        let (client, _, waits) = self.conns.get_mut(&conn).expect("it is there");
        client.send(line.split(' '));
        match told {
            Some(told) => self.model.answers.push((conn, told)),
            None => {
                *waits = true;
                let waiting = self.model.waiting() as u64;
                eventually(BOUND, || self.server.info_u64("lock", "lock_waiting") == waiting);
            }
        }
        format!("{conn} {line}")
    }

    fn release(&mut self) -> String {
        let key = self.key();
        let owner = match self.model.keys.get(key).and_then(|key| key.holds.first()) {
            Some(hold) if self.random.random_bool(0.8) => hold.owner.clone(),
            _ => self.owner(key),
        };
        let line = format!("LOCK.RELEASE {key} {owner}");
        let released = self.model.release(key, &owner, &[]);
        assert_eq!(self.control.say(&line), Reply::Int(released as i64), "{line}");
        line
    }

    fn wait(&mut self) -> String {
        let time = self.random.random_range(1..6) * STEP_MS;
        self.model.wait(time);
        self.server.step_monotonic(time);
        format!("{time} ms pass")
    }

    fn close(&mut self) -> String {
        let waiting = self.random.random_bool(0.5);
        let Some(conn) = self.any(waiting) else { return "nothing".into() };
        self.conns.remove(&conn);
        self.model.close(conn);
        format!("{conn} closes its socket")
    }

    fn kill(&mut self) -> String {
        let waiting = self.random.random_bool(0.7);
        let Some(conn) = self.any(waiting) else { return "nothing".into() };
        let id = self.conns[&conn].1;
        assert_eq!(self.control.say(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
        self.conns.remove(&conn);
        self.model.close(conn);
        format!("{conn} is killed")
    }

    fn unblock(&mut self) -> String {
        let Some(conn) = self.any(true) else { return "nothing".into() };
        let error = self.random.random_bool(0.5);
        let id = self.conns[&conn].1;
        self.model.leave(conn);
        let line = format!("CLIENT UNBLOCK {id} {}", if error { "ERROR" } else { "TIMEOUT" });
        assert_eq!(self.control.say(&line), Reply::Int(1), "{conn}");
        self.read_unblocked(conn, error);
        format!("{conn}: {line}")
    }

    fn read_unblocked(&mut self, conn: Conn, error: bool) {
        let (client, _, waits) = self.conns.get_mut(&conn).expect("it is there");
        *waits = false;
        let reply = client.read();
        let as_expected = if error {
            matches!(&reply, Reply::Error(line) if line.starts_with("UNBLOCKED"))
        } else {
            reply.is_nil()
        };
        assert!(as_expected, "{conn} was unblocked and got {reply:?}");
    }

    fn delete(&mut self) -> String {
        let key = self.key();
        let there = self.model.delete(key);
        assert_eq!(self.control.say(&format!("DEL {key}")), Reply::Int(i64::from(there)));
        format!("DEL {key}")
    }

    fn rename(&mut self) -> String {
        let (from, to) = (self.key(), self.key());
        if from == to || self.model.keys.get(from).is_none_or(|key| key.holds.is_empty()) {
            return "nothing".into();
        }
        self.model.rename(from, to);
        assert_eq!(self.control.say(&format!("RENAME {from} {to}")), Reply::ok());
        format!("RENAME {from} {to}")
    }

    /// In one transaction a lock is released, and the next in line unblocked or killed.
    fn release_and_lose_the_next(&mut self) -> String {
        let key = self.key();
        let Some(state) = self.model.keys.get(key) else { return "nothing".into() };
        let (Some(hold), Some(next)) = (state.holds.first().cloned(), state.line.first().cloned()) else {
            return "nothing".into();
        };
        let (conn, how) = (next.conn, self.random.random_range(0..3));
        let id = self.conns[&conn].1;
        let lose = match how {
            0 => format!("CLIENT KILL ID {id}"),
            1 => format!("CLIENT UNBLOCK {id} TIMEOUT"),
            _ => format!("CLIENT UNBLOCK {id} ERROR"),
        };
        let release = format!("LOCK.RELEASE {key} {}", hold.owner);
        let replies = self.control.pipeline(["MULTI", &release, &lose, "EXEC"].map(|line| line.split(' ')));
        assert_eq!(replies[3], Reply::Array(vec![Reply::Int(1), Reply::Int(1)]), "{lose}");
        self.model.release(key, &hold.owner, &[conn]);
        if how == 0 {
            self.conns.remove(&conn);
            self.model.close(conn);
        } else {
            self.model.leave(conn);
            self.read_unblocked(conn, how == 2);
        }
        format!("{conn}: {release} and {lose}")
    }

    fn read_answers(&mut self, what: &str) {
        // Time that was moved is noticed by the next command.
        self.control.say("PING");
        for (conn, told) in std::mem::take(&mut self.model.answers) {
            let Some((client, _, waits)) = self.conns.get_mut(&conn) else { continue };
            *waits = false;
            let reply = client.read();
            let as_told = match (told, &reply) {
                (Told::Token, Reply::Int(token)) => {
                    self.last_token = self.last_token.max(*token);
                    *token > 0
                }
                (Told::Nil, reply) => reply.is_nil(),
                (Told::OtherLimit, Reply::Error(line)) => line.contains("another limit"),
                _ => false,
            };
            assert!(as_told, "{what}\n{conn} was to be told {told:?}, and got {reply:?}");
        }
    }

    /// All that can be seen of locks and lines, until it is as it must be.
    fn compare(&mut self, what: &str) {
        let expected: Vec<_> = KEYS.iter().map(|key| self.expected(key)).collect();
        let mut seen = Vec::new();
        for _ in 0..2_000 {
            seen = KEYS.iter().map(|key| view(&mut self.control, key)).collect();
            if seen == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{what}\nseen     {seen:?}\nexpected {expected:?}");
    }

    fn expected(&self, key: &str) -> View {
        let id = |conn: Conn| self.conns.get(&conn).map_or(0, |(_, id, _)| *id);
        let Some(key) = self.model.keys.get(key) else { return View::default() };
        let hold = |hold: &super::model::Hold| {
            (hold.owner.clone(), hold.limit as i64, hold.sessions.last().map_or(0, |conn| id(*conn)))
        };
        let waiter = |request: &Request| (request.owner.clone(), request.limit as i64, id(request.conn));
        View { holders: key.holds.iter().map(hold).collect(), waiters: key.line.iter().map(waiter).collect() }
    }

    /// Everybody has had exactly one answer, and the counters say what happened.
    fn end(&mut self) {
        let info = self.server.info("lock");
        let number = |name: &str| info[name].parse::<i64>().expect("a number");
        for name in [
            "lock_acquired",
            "lock_reacquired",
            "lock_refused",
            "lock_handed_over",
            "lock_released",
            "lock_expired",
            "lock_removed",
            "lock_wait_timeouts",
            "lock_sessions_dropped",
        ] {
            let expected = self.model.counts.get(name).copied().unwrap_or(0);
            assert_eq!(number(name), expected, "{name}, seed {}", seed());
            assert!(expected > 0, "{name} was not put to the test");
        }
        assert_eq!(number("lock_held"), self.model.held() as i64);
        assert_eq!(number("lock_waiting"), self.model.waiting() as i64);
        for (conn, (client, _, waits)) in &mut self.conns {
            if !*waits {
                assert_eq!(client.say("PING"), Reply::Simple("PONG".into()), "{conn} had an answer too many");
            }
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct View {
    /// Owner, limit, session.
    holders: Vec<(String, i64, i64)>,
    /// Owner, limit, client.
    waiters: Vec<(String, i64, i64)>,
}

fn view(control: &mut Client, key: &str) -> View {
    let info = control.run(["LOCK.INFO", key]);
    if info.is_nil() {
        return View::default();
    }
    let list = |name: &str, last: &str| {
        let entry = |entry: &Reply| {
            (entry.get("owner").text().to_string(), entry.get("limit").int(), entry.get(last).int())
        };
        info.get(name).array().iter().map(entry).collect()
    };
    View { holders: list("holders", "session"), waiters: list("waiters", "client") }
}
