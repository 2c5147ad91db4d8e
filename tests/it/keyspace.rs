//! Locks under the generic commands.

use crate::support::{holds, Hold, Say};
use redis_lock_harness::{Client, Server};
use std::collections::BTreeMap;

mod dumps;
mod eviction;
mod leaks;
mod looks;
mod matrix;
mod moves;
mod native_expiry;
mod removal;
mod scripts;
mod types;
mod watch;

/// A ttl that no test outlives, in milliseconds.
pub const HOUR: &str = "3600000";

/// Runs commands one after the other; none may fail.
#[track_caller]
pub fn say_all(client: &mut Client, lines: &[&str]) {
    for line in lines {
        let reply = client.say(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
}

/// Three holders on one key: counters count holds, not keys.
pub const CROWD: usize = 3;

/// Lets [`CROWD`] owners hold `key`, all with different limits.
#[track_caller]
pub fn crowd(client: &mut Client, key: &str) -> Vec<Hold> {
    for (owner, kind) in [("a", "SHARED META first"), ("b", "LIMIT 7"), ("c", "LIMIT 10000")] {
        let token = client.say(&format!("LOCK.ACQUIRE {key} {owner} {HOUR} {kind}")).int();
        assert!(token > 0);
    }
    let held = holds(client, key);
    assert_eq!(held.len(), CROWD);
    held
}

/// The counters of INFO lock that tell what happened to holds.
pub fn counts(server: &Server) -> BTreeMap<String, i64> {
    let drifting = ["lock_hold_ms_sum", "lock_last_fence", "lock_cooldown_ms"];
    server
        .info("lock")
        .into_iter()
        .filter(|(name, _)| !drifting.contains(&name.as_str()))
        .map(|(name, value)| (name, value.parse().expect("fields of INFO lock are numbers")))
        .collect()
}

/// Asserts which counters changed since `before`, each by how much, and that no other did.
#[track_caller]
pub fn assert_counted(server: &Server, before: &BTreeMap<String, i64>, expected: &[(&str, i64)], what: &str) {
    let now = counts(server);
    let changed: BTreeMap<&str, i64> = now
        .iter()
        .map(|(name, value)| (name.as_str(), value - before[name]))
        .filter(|(_, change)| *change != 0)
        .collect();
    assert_eq!(changed, expected.iter().copied().collect(), "counted after {what}");
}
