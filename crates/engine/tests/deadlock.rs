//! The search for cycles, where they are long and the graph is large. (Small ones: the simulator's crowd.)

use redis_lock_core::{Hold, Limit, Lock};
use redis_lock_engine::{Step as SearchStep, Ticket, WaitQueues, Waiter};

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
