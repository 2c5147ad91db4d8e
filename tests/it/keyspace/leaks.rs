//! Nothing is left in memory of locks that are gone.

use super::HOUR;
use crate::support::Say;
use redis_lock_harness::{eventually, Client, Server};
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_secs(20);
const CYCLES: usize = 2000;
const ROUNDS: usize = 6;
/// What the server itself varies by (connections, their buffers). Over all measured cycles it is less than
/// the smallest piece of memory, 16 bytes, left behind in each.
const NOISE: u64 = 140_000;

/// Lives of a lock; `#` is the number of the cycle.
const LIVES: &[&[&str]] = &[
    &["LOCK.ACQUIRE k# a HOUR", "LOCK.RELEASE k# a"],
    &["LOCK.ACQUIRE k# a HOUR META m#", "LOCK.ACQUIRE k# a HOUR META n#", "LOCK.RELEASE k# a"],
    &[
        "LOCK.ACQUIRE k a# HOUR SHARED",
        "LOCK.ACQUIRE k b# HOUR SHARED",
        "LOCK.MRELEASE 1 k a#",
        "LOCK.RELEASE k b#",
    ],
    &[
        "LOCK.ACQUIRE k# a HOUR",
        "LOCK.ACQUIRE k# b HOUR",
        "LOCK.ACQUIRE k# a HOUR LIMIT 2",
        "LOCK.RELEASE k# a",
    ],
    &[
        "LOCK.MACQUIRE 2 k# l# a HOUR",
        "LOCK.MEXTEND 2 k# l# a HOUR",
        "LOCK.MACQUIRE 2 m# l# b HOUR",
        "LOCK.MRELEASE 2 k# l# a",
    ],
    &["LOCK.ACQUIRE k# a HOUR", "DEL k#"],
    &["LOCK.ACQUIRE k# a HOUR", "UNLINK k#"],
    &["LOCK.ACQUIRE k# a HOUR", "SET k# v", "LOCK.ACQUIRE k# a HOUR", "DEL k#"],
    &["LOCK.ACQUIRE k# a HOUR", "RENAME k# l#", "LOCK.RELEASE l# a"],
    &["LOCK.ACQUIRE k# a HOUR", "LOCK.ACQUIRE l# a HOUR", "RENAME k# l#", "LOCK.RELEASE l# a"],
    &["LOCK.ACQUIRE k# a HOUR", "MOVE k# 1", "SWAPDB 0 1", "LOCK.RELEASE k# a"],
    &["LOCK.ACQUIRE k# a HOUR", "COPY k# l#", "EXPIRE k# 100", "LOCK.EXTEND k# a HOUR", "PEXPIRE k# -1"],
    &[
        "LOCK.ACQUIRE k# a HOUR META m",
        "EVAL redis.call('restore',KEYS[2],0,redis.call('dump',KEYS[1])) 2 k# l#",
        "LOCK.MRELEASE 2 k# l# a",
    ],
    &[
        "LOCK.ACQUIRE k# a HOUR",
        "EVAL return(redis.pcall('restore',KEYS[2],0,string.sub(redis.call('dump',KEYS[1]),2))) 2 k# l#",
        "LOCK.RELEASE k# a",
    ],
    &["LOCK.ACQUIRE k# a HOUR", "FLUSHDB ASYNC"],
    &["LOCK.ACQUIRE k# a 1"],
    &["LOCK.INFO k#", "LOCK.OWNER k#", "LOCK.CHECK k# 1", "LOCK.ACQUIRE k# a 0", "LOCK.MACQUIRE 9 k# a 1"],
];

#[test]
fn memory_does_not_grow_with_locks_that_are_gone() {
    let server = Server::start();
    let mut client = server.connect();
    for life in LIVES {
        live(&mut client, life);
        let used = settled(&server);
        for _ in 0..ROUNDS {
            live(&mut client, life);
        }
        let mut left = settled(&server);
        let began = Instant::now();
        // A client's buffer may shrink a moment later.
        while left >= used + NOISE && began.elapsed() < BOUND {
            left = settled(&server);
        }
        let cycles = CYCLES * ROUNDS;
        assert!(left < used + NOISE, "{life:?}: {used} bytes, {left} after {cycles} more cycles");
    }
}

fn live(client: &mut Client, life: &[&str]) {
    let line = |cycle: usize, line: &str| line.replace("HOUR", HOUR).replace('#', &cycle.to_string());
    let lines: Vec<String> = (0..CYCLES).flat_map(|cycle| life.iter().map(move |l| line(cycle, l))).collect();
    let replies = client.pipeline(lines.iter().map(|line| line.split(' ')));
    assert_eq!(replies.len(), lines.len());
    // Lives that only ask are refused on purpose; all others begin with a grant.
    assert!(life[0].starts_with("LOCK.INFO") || replies[0].int() > 0, "{life:?}: {:?}", replies[0]);
}

/// The memory in use once all locks have ended.
fn settled(server: &Server) -> u64 {
    eventually(BOUND, || {
        server.info_u64("lock", "lock_held") == 0
            && server.info_u64("memory", "lazyfree_pending_objects") == 0
    });
    assert_eq!(server.connect().say("DBSIZE").int(), 0);
    server.info_u64("memory", "used_memory")
}
