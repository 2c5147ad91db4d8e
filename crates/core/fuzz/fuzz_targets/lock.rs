//! Random commands on a few locks while time passes, compared with the naive model of the tests
//! after every step.
#![no_main]

#[path = "../../tests/model/naive.rs"]
mod naive;
#[path = "../../tests/model/world.rs"]
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use naive::{NaiveHold, Request};
use world::{Step, World, KEYS};

/// A step as the fuzzer writes it: small numbers, so that owners, keys and moments meet.
#[derive(Arbitrary, Debug)]
enum Small {
    Acquire(Ask),
    Extend(Ask),
    Release { key: u8, owner: u8 },
    Put { key: u8, owner: u8, limit: u8, deadline: u16, token: i8, meta: u8 },
    Edit { key: u8, owner: u8, deadline: i16, token: i8 },
    Reclaim { key: u8 },
    Pass(u16),
    Promote,
}

#[derive(Arbitrary, Debug)]
struct Ask {
    /// One bit a key.
    keys: u8,
    owner: u8,
    limit: u8,
    ttl_ms: u8,
    fence: Option<i16>,
    meta: Option<u8>,
}

// Long lists find nothing that short ones don't, and take the time of many.
fuzz_target!(|steps: Vec<Small>| {
    let mut world = World::new();
    for step in steps.iter().take(60) {
        world.run(&whole(step));
    }
});

fn whole(step: &Small) -> Step {
    match *step {
        Small::Acquire(ref ask) => Step::Acquire(request(ask), ask.fence.map(i64::from)),
        Small::Extend(ref ask) => Step::Extend(request(ask), ask.fence.map(i64::from)),
        Small::Release { key, owner: who } => Step::Release { key: index(key), owner: owner(who) },
        Small::Put { key, owner: who, limit: wire, deadline, token, meta: text } => {
            let (owner, limit, deadline) = (owner(who), limit(wire), i64::from(deadline));
            let hold = NaiveHold { owner, limit, deadline, since: 0, token: 0, meta: meta(text) };
            Step::Put { key: index(key), hold, token: token.into() }
        }
        Small::Edit { key, owner: who, deadline, token } => {
            Step::Edit { key: index(key), owner: owner(who), deadline: deadline.into(), token: token.into() }
        }
        Small::Reclaim { key } => Step::Reclaim { key: index(key) },
        Small::Pass(micros) => Step::Pass(micros.into()),
        Small::Promote => Step::Promote,
    }
}

fn request(ask: &Ask) -> Request {
    let mut keys: Vec<usize> = (0..KEYS).filter(|key| ask.keys >> key & 1 == 1).collect();
    if keys.is_empty() {
        keys.push(index(ask.keys));
    }
    Request {
        keys,
        owner: owner(ask.owner),
        limit: limit(ask.limit),
        ttl_ms: i64::from(ask.ttl_ms) + 1,
        fence: None,
        meta: ask.meta.map(meta),
    }
}

fn index(key: u8) -> usize {
    usize::from(key) % KEYS
}

/// Each eighth one is too long to be kept inline.
fn owner(who: u8) -> Vec<u8> {
    vec![who % 16; if who % 8 == 7 { 100 } else { 3 }]
}

fn limit(wire: u8) -> Option<u64> {
    [None, Some(1), Some(2), Some(3), Some(4), Some(10_000)][usize::from(wire) % 6]
}

fn meta(text: u8) -> Vec<u8> {
    vec![text; usize::from(text % 4)]
}
