//! What a server shows of its locks, without what may differ between servers that agree.

use crate::support::{holds, Hold};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::collections::BTreeMap;
use std::time::Duration;

/// The databases that the tests use.
pub const DATABASES: [&str; 2] = ["0", "1"];
/// For what comes soon on an idle server, and late on a busy one.
pub const BOUND: Duration = Duration::from_secs(20);

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub kind: String,
    /// Whether it has an expiry of the server's own.
    pub expires: bool,
    /// Oldest first; none where the key is no lock.
    pub holds: Vec<Hold>,
}

/// The holders as LOCK.INFO has them, with times.
#[track_caller]
pub fn holders(client: &mut Client, key: impl AsRef<[u8]>) -> Vec<Reply> {
    match client.run([&b"LOCK.INFO"[..], key.as_ref()]) {
        Reply::Nil => Vec::new(),
        info => info.get("holders").array().to_vec(),
    }
}

/// All keys of all databases in use.
#[track_caller]
pub fn everything(server: &Server) -> BTreeMap<(String, Vec<u8>), Key> {
    let mut client = server.connect();
    let mut found = BTreeMap::new();
    for database in DATABASES {
        client.run(["SELECT", database]);
        for name in client.run(["KEYS", "*"]).array() {
            let name = name.bytes().to_vec();
            let kind = client.run([b"TYPE", &name[..]]).text().to_string();
            let expires = client.run([b"PTTL", &name[..]]).int() != -1;
            let held = if kind == "redislock" { holds(&mut client, &name) } else { Vec::new() };
            // A connection is its own server's.
            let holds = held.into_iter().map(|hold| Hold { session: 0, ..hold }).collect();
            found.insert((database.to_string(), name), Key { kind, expires, holds });
        }
    }
    found
}

/// DEBUG DIGEST: over all databases.
#[track_caller]
pub fn digest(server: &Server) -> String {
    server.connect().run(["DEBUG", "DIGEST"]).text().to_string()
}

/// The highest token that the server granted or accepted.
#[track_caller]
pub fn last_fence(server: &Server) -> i64 {
    server.info_u64("lock", "lock_last_fence") as i64
}

/// How many holds the server counts.
#[track_caller]
pub fn held(server: &Server) -> u64 {
    server.info_u64("lock", "lock_held")
}

/// How often the commands that begin with `prefix` were called: name without `prefix`, and number.
#[track_caller]
pub fn calls(server: &Server, prefix: &str) -> BTreeMap<String, u64> {
    let of = |field: &str| field.strip_prefix("cmdstat_")?.strip_prefix(prefix).map(str::to_string);
    let number = |stat: &str| {
        let calls = stat.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
        calls.and_then(|calls| calls.parse().ok()).expect("a number of calls")
    };
    let stats = server.info("commandstats");
    stats.iter().filter_map(|(field, stat)| Some((of(field)?, number(stat)))).collect()
}

/// Waits until nothing on this master is about to expire, then says whether two servers agree in all that
/// does not depend on time.
#[track_caller]
pub fn assert_agree(master: &Server, other: &Server, context: &str) {
    settle(master);
    master.wait_synced(other);
    assert_eq!(everything(master), everything(other), "{context}");
    assert_eq!(digest(master), digest(other), "{context}");
    assert_eq!(held(master), held(other), "{context}");
    // One that started later has one more start to be ahead of.
    assert!(last_fence(other) >= last_fence(master), "{context}");
}

/// Waits until all that is short-lived has gone from this master.
#[track_caller]
pub fn settle(master: &Server) {
    let mut client = master.connect();
    eventually(BOUND, || {
        let (mut visible, mut lasting) = (0, true);
        for database in DATABASES {
            client.run(["SELECT", database]);
            for name in client.run(["KEYS", "*"]).array() {
                let holders = match client.run([b"TYPE", name.bytes()]).text() {
                    "redislock" => holders(&mut client, name.bytes()),
                    _ => Vec::new(),
                };
                visible += holders.len() as u64;
                lasting &= holders.iter().all(|holder| holder.get("ttl-ms").int() > LASTING_MS);
                let expiry = client.run([b"PTTL", name.bytes()]).int();
                lasting &= expiry == -1 || expiry > LASTING_MS;
            }
        }
        lasting && visible == held(master)
    });
}

const LASTING_MS: i64 = 60_000;
