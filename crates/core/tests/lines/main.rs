//! The lines of a server against a plain list, and the circle search against one that looks at every
//! edge: after any sequence of requests, releases, time-outs and departures, both say the same.

mod naive;

use naive::{Naive, Request};
use proptest::prelude::*;
use redis_lock_core::decision::Grant;
use redis_lock_core::{Limit, Lock, Ticket, WaitQueues, Waiter};

const KEYS: usize = 4;
const OWNERS: u8 = 6;

/// What happens to the lines of one database, keys and owners by number.
#[derive(Clone, Debug)]
enum Step {
    Ask { key: usize, owner: u8, limit: u8, until: Option<i64> },
    Release { key: usize, owner: u8 },
    Leave(usize),
    Wait(i64),
    Delete(usize),
    Swap(usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let (key, owner) = (0..KEYS, 0..OWNERS);
    prop_oneof![
        8 => (key.clone(), owner.clone(), 0..4u8, prop::option::of(1..40i64))
            .prop_map(|(key, owner, limit, until)| Step::Ask { key, owner, limit, until }),
        3 => (key.clone(), owner).prop_map(|(key, owner)| Step::Release { key, owner }),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => (1..20i64).prop_map(Step::Wait),
        1 => key.clone().prop_map(Step::Delete),
        1 => (key.clone(), key).prop_map(|(a, b)| Step::Swap(a, b)),
    ]
}

/// 0 is shared, 1 exclusive, n a semaphore.
fn limit(n: u8) -> Limit {
    Limit::from_wire(i64::from(n)).expect("a small limit")
}

fn name(key: usize) -> [u8; 1] {
    [b'a' + key as u8]
}

/// A request for an exclusive lock that waits for ever.
fn exclusive<T>(owner: &[u8], client: T) -> Waiter<T> {
    Waiter {
        owner: owner.into(),
        limit: Limit::EXCLUSIVE,
        ttl_ms: 1_000_000,
        fence: None,
        meta: None,
        session: None,
        since: 0,
        until: None,
        client,
    }
}

/// The code under test, driven as the module drives it.
struct World {
    lines: WaitQueues<u64>,
    tickets: Vec<(u64, Ticket)>,
    locks: Vec<Lock>,
    now: i64,
    asked: u64,
    /// Requests granted so far, for each key in order, by their number.
    granted: Vec<Vec<u64>>,
    left: Vec<u64>,
}

impl World {
    fn new() -> Self {
        World {
            lines: WaitQueues::default(),
            tickets: Vec::new(),
            locks: vec![Lock::default(); KEYS],
            now: 0,
            asked: 0,
            granted: vec![Vec::new(); KEYS],
            left: Vec::new(),
        }
    }

    fn grant(&mut self, key: usize, owner: &[u8], limit: Limit) {
        let grant =
            Grant { owner, limit, now: self.now, ttl_ms: 1_000_000, token: 1, meta: None, session: None };
        self.locks[key].grant(&grant);
    }

    /// Granted, refused as a circle over so many locks, or waiting.
    fn ask(&mut self, key: usize, owner: u8, n: u8, until: Option<i64>) -> Answer {
        self.asked += 1;
        let held = self.locks[key].get(&[owner]).is_some();
        let waited_for = self.lines.find(0, &name(key)).is_some();
        if held || (!waited_for && self.locks[key].admits(limit(n), self.now)) {
            self.grant(key, &[owner], limit(n));
            return Answer::Granted;
        }
        let until = until.map(|after| self.now + after);
        let waiter = Waiter { limit: limit(n), since: self.now, until, ..exclusive(&[owner], self.asked) };
        let ticket = self.lines.join(0, &name(key), waiter);
        let locks = &self.locks;
        let holds = |key: &[u8], tell: &mut dyn FnMut(&[u8], Limit)| {
            locks[usize::from(key[0] - b'a')].holds().for_each(|hold| tell(hold.owner(), hold.limit()));
        };
        if let Some(count) = self.lines.cycle(ticket, holds) {
            self.lines.leave(ticket);
            return Answer::Circle(count);
        }
        self.tickets.push((self.asked, ticket));
        Answer::Waits
    }

    fn serve(&mut self, key: usize) {
        let Some(line) = self.lines.find(0, &name(key)) else { return };
        while let Some(waiters) = self.lines.admit(line, Some(&self.locks[key]), self.now) {
            for waiter in waiters {
                if self.locks[key].get(waiter.owner.as_slice()).is_none() {
                    self.grant(key, waiter.owner.as_slice(), waiter.limit);
                }
                self.granted[key].push(waiter.client);
            }
        }
    }

    fn serve_all(&mut self) {
        while let Some(line) = self.lines.next_unserved() {
            let (_, name) = self.lines.place(line).expect("it is there");
            let key = usize::from(name.as_slice()[0] - b'a');
            self.serve(key);
        }
    }

    fn wait(&mut self, time: i64) {
        self.now += time;
        while let Some((_, line)) = self.lines.first_limit().filter(|(until, _)| *until <= self.now) {
            let waiter = self.lines.time_out(line, self.now).expect("somebody is late");
            assert!(waiter.until.is_some_and(|until| until <= self.now));
            self.left.push(waiter.client);
        }
        assert!(self.lines.first_limit().is_none_or(|(until, _)| until > self.now));
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Granted,
    Waits,
    Circle(usize),
}

fn run(step: &Step, world: &mut World, naive: &mut Naive) {
    match *step {
        Step::Ask { key, owner, limit, until } => {
            let answer = world.ask(key, owner, limit, until);
            let request =
                Request { number: world.asked, owner, limit, until: until.map(|after| naive.now + after) };
            match naive.ask(key, request) {
                naive::Answer::Granted => assert_eq!(answer, Answer::Granted),
                naive::Answer::Waits => assert_eq!(answer, Answer::Waits),
                naive::Answer::Circle(counts) => {
                    assert!(
                        matches!(answer, Answer::Circle(n) if counts.contains(&n)),
                        "{answer:?}, {counts:?}"
                    );
                }
            }
        }
        Step::Release { key, owner } => {
            world.locks[key].remove(&[owner]);
            if let Some(line) = world.lines.find(0, &name(key)) {
                let own = world.lines.leave_owner(line, &[owner]);
                world.left.extend(own.iter().map(|waiter| waiter.client));
            }
            world.serve(key);
            naive.release(key, owner);
        }
        Step::Leave(which) if !world.tickets.is_empty() => {
            let (number, ticket) = world.tickets.swap_remove(which % world.tickets.len());
            let was_there = world.lines.leave(ticket).is_some();
            assert_eq!(naive.leave(number), was_there);
        }
        Step::Leave(_) => {}
        Step::Wait(time) => {
            world.wait(time);
            naive.wait(time);
        }
        Step::Delete(key) => {
            world.locks[key] = Lock::default();
            world.lines.mark_dirty(0, &name(key));
            naive.holders[key].clear();
        }
        Step::Swap(a, b) => {
            world.locks.swap(a, b);
            [a, b].iter().for_each(|&key| world.lines.mark_dirty(0, &name(key)));
            naive.holders.swap(a, b);
            naive.answer_holders();
        }
    }
    world.serve_all();
    naive.serve();
}

fn agree(world: &World, naive: &Naive) {
    assert_eq!(world.lines.len(), naive.lines.iter().map(Vec::len).sum::<usize>());
    assert_eq!(world.lines.is_empty(), naive.lines.iter().all(Vec::is_empty));
    for key in 0..KEYS {
        let line = world.lines.find(0, &name(key));
        let waiting: Vec<u64> =
            line.into_iter().flat_map(|line| world.lines.waiters(line)).map(|waiter| waiter.client).collect();
        let expected: Vec<u64> = naive.lines[key].iter().map(|request| request.number).collect();
        assert_eq!(waiting, expected, "line {key}");
        assert_eq!(line.is_some(), !expected.is_empty(), "an empty line is no line");
        let holders: Vec<u8> = world.locks[key].holds().map(|hold| hold.owner()[0]).collect();
        let expected: Vec<u8> = naive.holders[key].iter().map(|(owner, _)| *owner).collect();
        assert_eq!(holders, expected, "holders of {key}");
    }
    assert_eq!(world.granted, naive.granted);
    let (mut left, mut expected) = (world.left.clone(), naive.left.clone());
    left.sort_unstable();
    expected.sort_unstable();
    assert_eq!(left, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn lines_do_what_plain_lists_do(steps in prop::collection::vec(any_step(), 1..60)) {
        let (mut world, mut naive) = (World::new(), Naive::new(KEYS));
        for step in &steps {
            run(step, &mut world, &mut naive);
            agree(&world, &naive);
        }
    }
}

/// Circles of many locks, not of the few that chance builds: owner i holds i and waits for i + 1.
#[test]
fn a_long_circle_is_found_and_counted() {
    const LENGTH: usize = 300;
    let name = |i: usize| (i as u32).to_le_bytes();
    let mut lines: WaitQueues<usize> = WaitQueues::default();
    let join = |lines: &mut WaitQueues<usize>, i: usize| {
        let waiter = exclusive(&name(i), i);
        lines.join(0, &name((i + 1) % LENGTH), waiter)
    };
    // The lock of each name is held by the owner of that name.
    let holds = |key: &[u8], tell: &mut dyn FnMut(&[u8], Limit)| tell(key, Limit::EXCLUSIVE);
    for i in 0..LENGTH - 1 {
        let ticket = join(&mut lines, i);
        assert_eq!(lines.cycle(ticket, holds), None, "{i}");
    }
    let last = join(&mut lines, LENGTH - 1);
    assert_eq!(lines.cycle(last, holds), Some(LENGTH));
    // In another database the same owners are others.
    lines.leave(last);
    let other = lines.join(1, &name(0), exclusive(&name(LENGTH - 1), 0));
    assert_eq!(lines.cycle(other, holds), None);
}

/// The search looks at each hold twice at most, however many wait for them and for one another.
#[test]
fn the_search_is_linear_in_the_graph() {
    const OWNERS: u32 = 2_000;
    let mut lines: WaitQueues<u32> = WaitQueues::default();
    let waiter = |owner: u32| exclusive(&owner.to_le_bytes(), owner);
    // All wait for both locks, in opposite order: every request leads to every other one.
    let mut last = None;
    for owner in 0..OWNERS {
        lines.join(0, b"a", waiter(owner));
        last = Some(lines.join(0, b"b", waiter(OWNERS - owner)));
    }
    let mut told = 0;
    let holds = |_: &[u8], tell: &mut dyn FnMut(&[u8], Limit)| {
        told += 1;
        tell(b"holder", Limit::EXCLUSIVE);
    };
    lines.cycle(last.expect("somebody waits"), holds);
    assert!(told <= 4, "holds of two locks were asked for {told} times");
}
