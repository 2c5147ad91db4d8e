//! The steps of the simulator's crowd on a real server. Time passes only by steps of its monotonic clock.

use super::scale;
use crate::support::{seed, Say};
use redis_lock_harness::{Client, Reply, Server};
use redis_lock_sim::crowd::{run, Answer, Conn, Counts, Holder, Target, View};
use std::collections::BTreeMap;
use std::time::Duration;

const STEPS: usize = 5_000;
/// So often a difference is looked at again, a millisecond apart.
const LOOKS: u32 = 20_000;

struct Real {
    server: Server,
    control: Client,
    conns: BTreeMap<Conn, Client>,
    looks: u32,
}

/// One where owners are many, and one where they are few and wait for each other.
#[test]
fn everybody_gets_what_a_plain_list_gives() {
    let mut totals = Counts::new();
    for seed in [2 * seed(), 2 * seed() + 1] {
        let server = Server::builder().movable_clocks().config("lock.max-ttl", "1000000000000").start();
        let control = server.connect();
        let mut real = Real { server, control, conns: BTreeMap::new(), looks: 0 };
        let counts =
            run(&mut real, seed, STEPS * scale()).unwrap_or_else(|difference| panic!("{difference}"));
        counts.into_iter().for_each(|(name, count)| *totals.entry(name).or_default() += count);
    }
    assert!(totals.values().all(|count| *count > 0), "{totals:?}");
}

fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Int(number) => Answer::Integer(number.unsigned_abs()),
        Reply::Error(line) => Answer::Error(line),
        reply if reply.is_nil() => Answer::Nil,
        _ => Answer::Ok,
    }
}

impl Target for Real {
    fn connect(&mut self) -> Conn {
        let mut client = self.server.connect();
        let id = client.id().unsigned_abs();
        self.conns.insert(id, client);
        id
    }

    fn send(&mut self, conn: Conn, line: &str) {
        self.conns.get_mut(&conn).expect("it is there").send(line.split(' '));
    }

    fn read(&mut self, conn: Conn) -> Result<Answer, String> {
        Ok(answer(self.conns.get_mut(&conn).expect("it is there").read()))
    }

    fn operate(&mut self, lines: &[&str]) -> Vec<Answer> {
        if let [line] = lines {
            return vec![answer(self.control.say(line))];
        }
        let commands = ["MULTI"].iter().chain(lines).chain(&["EXEC"]);
        let replies = self.control.pipeline(commands.map(|line| line.split(' ')));
        replies[lines.len() + 1].array().iter().cloned().map(answer).collect()
    }

    fn close(&mut self, conn: Conn) {
        self.conns.remove(&conn);
    }

    fn pass(&mut self, ms: i64) {
        self.server.step_monotonic(ms);
    }

    /// Time that was moved is noticed by the next command.
    fn settle(&mut self) -> Result<(), String> {
        self.looks = 0;
        let pong = self.control.say("PING");
        (pong == Reply::Simple("PONG".into())).then_some(()).ok_or_else(|| format!("{pong:?}"))
    }

    fn look_again(&mut self) -> bool {
        self.looks += 1;
        std::thread::sleep(Duration::from_millis(1));
        self.looks < LOOKS
    }

    fn view(&mut self, key: &str) -> View {
        let info = self.control.run(["LOCK.INFO", key]);
        if info.is_nil() {
            return View::default();
        }
        let number = |entry: &Reply, name| entry.get(name).int().unsigned_abs();
        let text = |entry: &Reply, name| entry.get(name).text().to_string();
        let holder = |entry: &Reply| Holder {
            owner: text(entry, "owner"),
            limit: number(entry, "limit"),
            session: number(entry, "session"),
            token: number(entry, "fence"),
            meta: text(entry, "meta"),
        };
        let waiter = |entry: &Reply| (text(entry, "owner"), number(entry, "limit"), number(entry, "client"));
        View {
            holders: info.get("holders").array().iter().map(holder).collect(),
            waiters: info.get("waiters").array().iter().map(waiter).collect(),
        }
    }

    fn count(&mut self, name: &str) -> u64 {
        self.server.info_u64("lock", name)
    }

    fn is_quiet(&mut self, conn: Conn) -> bool {
        let client = self.conns.get_mut(&conn).expect("it is there");
        client.say("PING") == Reply::Simple("PONG".into())
    }
}
