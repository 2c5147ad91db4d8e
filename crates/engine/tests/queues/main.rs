//! The queues of a server against a plain list, and the cycle search against one that looks at every
//! edge: after any sequence of requests, releases, time-outs and departures, both say the same.

mod naive;

use naive::{Naive, Request};
use proptest::prelude::*;
use redis_lock_core::decision::Grant;
use redis_lock_core::{Hold, Limit, Lock};
use redis_lock_engine::{Step as SearchStep, Ticket, WaitQueues, Waiter};

const KEYS: usize = 4;
const OWNERS: u8 = 6;

/// What happens to the queues of one database, keys and owners by number.
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
        client_id: 0,
    }
}

/// Over how many locks a request waits for itself, and whose holds were asked for; `lock` is what lies at a key.
fn cycle<T>(
    queues: &WaitQueues<T>,
    ticket: Ticket,
    lock: impl Fn(&[u8]) -> Lock,
) -> (Option<usize>, Vec<Vec<u8>>) {
    let mut asked = Vec::new();
    let Some(mut search) = queues.search(ticket) else { return (None, asked) };
    loop {
        match search.step(queues) {
            SearchStep::Done(cycle) => return (cycle, asked),
            SearchStep::Holds(name) => {
                search.feed(queues, Some(&lock(name.as_slice())), 0);
                asked.push(name.as_slice().to_vec());
            }
        }
    }
}

/// A lock that one owner holds alone.
fn held_by(owner: &[u8]) -> Lock {
    let mut lock = Lock::default();
    lock.put(Hold::new(owner, Limit::EXCLUSIVE, 0, 1_000_000, 1));
    lock
}

/// The code under test, driven as the module drives it.
struct World {
    queues: WaitQueues<u64>,
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
            queues: WaitQueues::default(),
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

    /// Granted, refused as a cycle over so many locks, or waiting.
    fn ask(&mut self, key: usize, owner: u8, n: u8, until: Option<i64>) -> Answer {
        self.asked += 1;
        let held = self.locks[key].get(&[owner]).is_some();
        let waited_for = self.queues.find(0, &name(key)).is_some();
        if held || (!waited_for && self.locks[key].admits(limit(n), self.now)) {
            self.grant(key, &[owner], limit(n));
            return Answer::Granted;
        }
        let until = until.map(|after| self.now + after);
        let waiter = Waiter { limit: limit(n), since: self.now, until, ..exclusive(&[owner], self.asked) };
        let ticket = self.queues.join(0, &name(key), waiter);
        let lock = |key: &[u8]| self.locks[usize::from(key[0] - b'a')].clone();
        if let (Some(count), _) = cycle(&self.queues, ticket, lock) {
            self.queues.leave(ticket);
            return Answer::Cycle(count);
        }
        self.tickets.push((self.asked, ticket));
        Answer::Waits
    }

    fn serve(&mut self, key: usize) {
        let Some(queue) = self.queues.find(0, &name(key)) else { return };
        while let Some(waiters) = self.queues.admit(queue, &self.locks[key], self.now) {
            for (_, waiter) in waiters {
                if self.locks[key].get(waiter.owner.as_slice()).is_none() {
                    self.grant(key, waiter.owner.as_slice(), waiter.limit);
                }
                self.granted[key].push(waiter.client);
            }
        }
    }

    fn serve_all(&mut self) {
        while let Some(queue) = self.queues.next_unserved() {
            let (_, name) = self.queues.place(queue).expect("it is there");
            let key = usize::from(name.as_slice()[0] - b'a');
            self.serve(key);
        }
    }

    fn wait(&mut self, time: i64) {
        self.now += time;
        while let Some((_, queue)) = self.queues.first_time_out().filter(|(until, _)| *until <= self.now) {
            let (_, waiter) = self.queues.time_out(queue, self.now).expect("somebody is late");
            assert!(waiter.until.is_some_and(|until| until <= self.now));
            self.left.push(waiter.client);
        }
        assert!(self.queues.first_time_out().is_none_or(|(until, _)| until > self.now));
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Granted,
    Waits,
    Cycle(usize),
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
                naive::Answer::Cycle(counts) => {
                    assert!(
                        matches!(answer, Answer::Cycle(n) if counts.contains(&n)),
                        "{answer:?}, {counts:?}"
                    );
                }
            }
        }
        Step::Release { key, owner } => {
            world.locks[key].remove(&[owner]);
            if let Some(queue) = world.queues.find(0, &name(key)) {
                let own = world.queues.leave_owner(queue, &[owner]);
                world.left.extend(own.iter().map(|(_, waiter)| waiter.client));
            }
            world.serve(key);
            naive.release(key, owner);
        }
        Step::Leave(which) if !world.tickets.is_empty() => {
            let (number, ticket) = world.tickets.swap_remove(which % world.tickets.len());
            let was_there = world.queues.leave(ticket).is_some();
            assert_eq!(naive.leave(number), was_there);
        }
        Step::Leave(_) => {}
        Step::Wait(time) => {
            world.wait(time);
            naive.wait(time);
        }
        Step::Delete(key) => {
            world.locks[key] = Lock::default();
            world.queues.mark_dirty(0, &name(key));
            naive.holders[key].clear();
        }
        Step::Swap(a, b) => {
            world.locks.swap(a, b);
            [a, b].iter().for_each(|&key| world.queues.mark_dirty(0, &name(key)));
            naive.holders.swap(a, b);
            naive.answer_holders();
        }
    }
    world.serve_all();
    naive.serve();
}

fn agree(world: &World, naive: &Naive) {
    assert_eq!(world.queues.len(), naive.queues.iter().map(Vec::len).sum::<usize>());
    assert_eq!(world.queues.is_empty(), naive.queues.iter().all(Vec::is_empty));
    for key in 0..KEYS {
        let queue = world.queues.find(0, &name(key));
        let waiting: Vec<u64> = queue
            .into_iter()
            .flat_map(|queue| world.queues.waiters(queue))
            .map(|waiter| waiter.client)
            .collect();
        let expected: Vec<u64> = naive.queues[key].iter().map(|request| request.number).collect();
        assert_eq!(waiting, expected, "queue {key}");
        assert_eq!(queue.is_some(), !expected.is_empty(), "an empty queue is no queue");
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

/// Cycles of many locks, not of the few that chance builds: owner i holds i and waits for i + 1.
#[test]
fn a_long_cycle_is_found_and_counted() {
    const LENGTH: usize = 300;
    let name = |i: usize| (i as u32).to_le_bytes();
    let mut queues: WaitQueues<usize> = WaitQueues::default();
    let join = |queues: &mut WaitQueues<usize>, i: usize| {
        let waiter = exclusive(&name(i), i);
        queues.join(0, &name((i + 1) % LENGTH), waiter)
    };
    // The lock of each name is held by the owner of that name.
    for i in 0..LENGTH - 1 {
        let ticket = join(&mut queues, i);
        assert_eq!(cycle(&queues, ticket, held_by).0, None, "{i}");
    }
    let last = join(&mut queues, LENGTH - 1);
    assert_eq!(cycle(&queues, last, held_by).0, Some(LENGTH));
    // In another database the same owners are others.
    queues.leave(last);
    let other = queues.join(1, &name(0), exclusive(&name(LENGTH - 1), 0));
    assert_eq!(cycle(&queues, other, held_by).0, None);
}

/// The search looks at each hold twice at most, however many wait for them and for one another; and it sees both.
#[test]
fn the_search_is_linear_in_the_graph() {
    const OWNERS: u32 = 2_000;
    let mut queues: WaitQueues<u32> = WaitQueues::default();
    let waiter = |owner: u32| exclusive(&owner.to_le_bytes(), owner);
    // All wait for both locks, in opposite order: every request leads to every other one.
    let mut last = None;
    for owner in 0..OWNERS {
        queues.join(0, b"a", waiter(owner));
        last = Some((owner, queues.join(0, b"b", waiter(OWNERS - 1 - owner))));
    }
    let (_, ticket) = last.expect("somebody waits");
    let (_, asked) = cycle(&queues, ticket, |_| held_by(b"holder"));
    assert!((2..=4).contains(&asked.len()), "holds were asked for {} times", asked.len());
    assert!(asked.contains(&b"a".to_vec()) && asked.contains(&b"b".to_vec()));
    // The same search finds what is at its far end: the last owner in `b` is the first in `a`.
    let owner = 0u32.to_le_bytes();
    let found = cycle(&queues, ticket, |key| held_by(if key == b"a" { &owner } else { b"holder" }));
    assert!(found.0.is_some(), "no cycle, though who asks holds what all others wait for");
}
