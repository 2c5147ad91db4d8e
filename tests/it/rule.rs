//! The one rule against a model of it: random requests, each reply and each lock compared.

use crate::support::{holds, seed, Hold};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis_lock_harness::{Client, Reply, Server};

const STEPS: usize = 5_000;
const OWNERS: usize = 6;
/// What a request tolerates; 0 is SHARED.
const LIMITS: [i64; 5] = [0, 1, 2, 3, 10_000];

/// A lock as the rule alone would have it.
#[derive(Default)]
struct Model {
    holds: Vec<Hold>,
}

impl Model {
    /// The smallest number of holders that all of them and a request tolerate.
    fn tolerated(&self, limit: i64) -> usize {
        let limits = self.holds.iter().map(|hold| hold.limit).chain([limit]);
        limits.filter(|&limit| limit != 0).min().map_or(usize::MAX, |limit| limit as usize)
    }

    /// Whether the reply to an ACQUIRE is right; carries it out.
    fn acquire(&mut self, owner: &str, limit: i64, reply: &Reply, last: &mut i64) -> bool {
        if let Some(own) = self.holds.iter().find(|hold| hold.owner == owner.as_bytes()) {
            return match own.limit == limit {
                true => *reply == Reply::Int(own.fence),
                false => *reply == Reply::error("ERR owner already holds this lock with another limit"),
            };
        }
        if self.holds.len() + 1 > self.tolerated(limit) {
            return *reply == Reply::Nil;
        }
        let Reply::Int(token) = *reply else { return false };
        let rises = token > *last;
        *last = token;
        self.holds.push(Hold::plain(owner, token, limit));
        rises
    }

    /// Whether the reply to a RELEASE is right; carries it out.
    fn release(&mut self, owner: &str, reply: &Reply) -> bool {
        let before = self.holds.len();
        self.holds.retain(|hold| hold.owner != owner.as_bytes());
        *reply == Reply::Int((before - self.holds.len()) as i64)
    }
}

fn acquire(client: &mut Client, key: &str, owner: &str, limit: i64) -> Reply {
    let number = limit.to_string();
    let terms: &[&str] = if limit == 0 { &["SHARED"] } else { &["LIMIT", &number] };
    client.run(["LOCK.ACQUIRE", key, owner, "600000"].iter().chain(terms))
}

#[test]
fn every_grant_and_refusal_follows_from_the_rule() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let server = Server::start();
    let mut client = server.connect();
    let mut locks = [("a", Model::default()), ("b", Model::default())];
    let mut last = 0;
    for step in 0..STEPS {
        let (key, model) = &mut locks[random.random_range(0..2)];
        let owner = format!("owner{}", random.random_range(0..OWNERS));
        let limit = LIMITS[random.random_range(0..LIMITS.len())];
        let right = if random.random_bool(0.6) {
            let reply = acquire(&mut client, key, &owner, limit);
            model.acquire(&owner, limit, &reply, &mut last)
        } else {
            let reply = client.run(["LOCK.RELEASE", key, &owner]);
            model.release(&owner, &reply)
        };
        assert!(right, "seed {seed}, step {step}: {owner}, limit {limit}, {key} was {:?}", model.holds);
        assert_eq!(holds(&mut client, key), model.holds, "seed {seed}, step {step}");
    }
}
