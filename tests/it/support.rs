//! Words that the tests share: commands written as a line, and a lock as LOCK.INFO shows it.

use redis_lock_harness::{Client, Reply, Server};

/// Further ahead of its clock than this a server takes no token: a minute, in microseconds.
pub const LEAD: i64 = 60_000_000;

/// The seed of a test that makes things up: `REDIS_LOCK_SEED`, else always the same.
pub fn seed() -> u64 {
    match std::env::var("REDIS_LOCK_SEED") {
        Ok(seed) => seed.parse().expect("REDIS_LOCK_SEED is a number"),
        Err(_) => 20_260_101,
    }
}

/// A server long enough after its start that tokens follow its clock; its clocks can be moved.
pub fn settled() -> Server {
    let server = Server::builder().movable_clocks().start();
    server.step_monotonic(600_000);
    server
}

/// Commands as one would type them.
pub trait Say {
    /// Sends the words of `line` and reads the reply.
    fn say(&mut self, line: &str) -> Reply;

    /// Takes a lock that is free, for ten minutes; its token. `terms` are more options, or empty.
    fn take(&mut self, key: &str, owner: &str, terms: &str) -> i64;
}

impl Say for Client {
    #[track_caller]
    fn say(&mut self, line: &str) -> Reply {
        self.run(line.split_whitespace())
    }

    #[track_caller]
    fn take(&mut self, key: &str, owner: &str, terms: &str) -> i64 {
        let reply = self.say(&format!("LOCK.ACQUIRE {key} {owner} 600000 {terms}"));
        match reply {
            Reply::Int(token) if token > 0 => token,
            other => panic!("{owner} did not get {key}: {other:?}"),
        }
    }
}

/// A hold, without what the passing of time changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub owner: Vec<u8>,
    pub fence: i64,
    pub limit: i64,
    pub session: i64,
    pub meta: Vec<u8>,
}

impl Hold {
    /// Without SESSION and META.
    pub fn plain(owner: &str, fence: i64, limit: i64) -> Hold {
        Hold { owner: owner.into(), fence, limit, session: 0, meta: Vec::new() }
    }
}

/// The holds of a lock, oldest first; none where there is no lock.
#[track_caller]
pub fn holds(client: &mut Client, key: impl AsRef<[u8]>) -> Vec<Hold> {
    let info = client.run([&b"LOCK.INFO"[..], key.as_ref()]);
    if info.is_nil() {
        return Vec::new();
    }
    let hold = |hold: &Reply| Hold {
        owner: hold.get("owner").bytes().to_vec(),
        fence: hold.get("fence").int(),
        limit: hold.get("limit").int(),
        session: hold.get("session").int(),
        meta: hold.get("meta").bytes().to_vec(),
    };
    info.get("holders").array().iter().map(hold).collect()
}

/// Whether a ttl that was set to `set` milliseconds a moment ago may be `left` now. A machine may be so busy
/// that a minute passes in between, not more.
pub fn fresh(left: i64, set: i64) -> bool {
    (1.max(set - 60_000)..=set).contains(&left)
}
