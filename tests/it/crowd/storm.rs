//! Many connections at once, each as it pleases: what must be true meanwhile and in the end.

use super::scale;
use crate::support::{seed, Say};
use rand::{rngs::StdRng, Rng, SeedableRng};
use redis_lock_harness::{allow_connections, eventually, Client, Reply, Server};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

const THREADS: usize = 48;
const TURNS: usize = 40;
const KEYS: usize = 5;
const LINE: usize = 3_000;
/// Of holders that never give back what they have, in milliseconds.
const SHORT_TTL: i64 = 20;
/// Of those that do.
const LONG_TTL: i64 = 600_000;
const BOUND: Duration = Duration::from_secs(60);

/// What the threads share: who really holds each lock, as far as they know.
#[derive(Default)]
struct Shared {
    /// -1: somebody alone; n: n who share.
    holders: [AtomicI64; KEYS],
    owners: AtomicU64,
    granted: AtomicU64,
    over: AtomicBool,
}

#[test]
fn after_a_storm_nobody_waits_and_nothing_is_held() {
    allow_connections();
    let server = Server::builder().config("maxclients", "10000").start();
    let shared = Shared::default();
    std::thread::scope(|scope| {
        let chaos = scope.spawn(|| trouble(&server, &shared));
        let threads: Vec<_> = (0..THREADS * scale())
            .map(|index| {
                let (server, shared) = (&server, &shared);
                scope.spawn(move || live(server, shared, seed() + index as u64))
            })
            .collect();
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        shared.over.store(true, Ordering::SeqCst);
        chaos.join().expect("the trouble ends");
        assert!(ended.iter().all(Result::is_ok), "seed {}", seed());
    });
    eventually(BOUND, || {
        server.info_u64("lock", "lock_held") == 0 && server.info_u64("lock", "lock_waiting") == 0
    });
    let count = |name: &str| server.info_u64("lock", name);
    let ended = ["lock_released", "lock_expired", "lock_sessions_dropped", "lock_removed"].map(count);
    assert_eq!(count("lock_acquired"), ended.iter().sum::<u64>(), "{ended:?}, seed {}", seed());
    assert!(ended[..3].iter().all(|count| *count > 0), "{ended:?}");
    assert!(count("lock_handed_over") > 0 && count("lock_wait_timeouts") > 0);
    assert!(shared.granted.load(Ordering::SeqCst) > 0);
    for key in 0..KEYS {
        assert!(server.connect().say(&format!("LOCK.INFO key-{key}")).is_nil());
    }
}

/// Kills and unblocks whom it meets.
fn trouble(server: &Server, shared: &Shared) {
    let mut random = StdRng::seed_from_u64(seed());
    let mut client = server.connect();
    let own = client.id();
    while !shared.over.load(Ordering::SeqCst) {
        // Ids are given one by one: one of the latest is likely to be there.
        let latest = server.connect().id();
        let id = latest - random.random_range(0..(THREADS * scale()) as i64 * 2);
        if id > own {
            let how = ["KILL ID", "UNBLOCK", "UNBLOCK"][random.random_range(0..3)];
            let end = if how == "UNBLOCK" && random.random_bool(0.5) { " ERROR" } else { "" };
            client.say(&format!("CLIENT {how} {id}{end}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One client's life: asks for locks, holds them, gives them back or does not.
fn live(server: &Server, shared: &Shared, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut client = server.connect();
    for _ in 0..TURNS {
        if ask_once(&mut client, server, shared, &mut random).is_none() {
            client = server.connect();
        }
    }
}

/// `None` where the connection is no more.
fn ask_once(client: &mut Client, server: &Server, shared: &Shared, random: &mut StdRng) -> Option<()> {
    let key = random.random_range(0..KEYS);
    let owner = format!("owner-{}", shared.owners.fetch_add(1, Ordering::SeqCst));
    let alone = random.random_bool(0.6);
    let kind = if alone { "" } else { " SHARED" };
    let block = [5, 50, 100_000][random.random_range(0..3)];
    match random.random_range(0..4) {
        // Never gives it back.
        0 => {
            let line = format!("LOCK.ACQUIRE key-{key} {owner} {SHORT_TTL}{kind} BLOCK {block}");
            client.try_run(line.split(' ')).ok().map(drop)
        }
        // Goes away with it.
        1 => {
            let line = format!("LOCK.ACQUIRE key-{key} {owner} {LONG_TTL}{kind} SESSION BLOCK {block}");
            let _ = client.try_run(line.split(' '));
            None
        }
        _ => {
            let line = format!("LOCK.ACQUIRE key-{key} {owner} {LONG_TTL}{kind} BLOCK {block}");
            let reply = client.try_run(line.split(' '));
            if let Ok(Reply::Int(_)) = reply {
                hold(&shared.holders[key], alone, random);
                shared.granted.fetch_add(1, Ordering::SeqCst);
            }
            let release = format!("LOCK.RELEASE key-{key} {owner}");
            if reply.is_ok() && client.try_run(release.split(' ')).is_ok() {
                return Some(());
            }
            // The connection was cut, perhaps right after the grant. So may be the one that makes up for it.
            while server.connect().try_run(release.split(' ')).is_err() {}
            None
        }
    }
}

/// While the lock is held, nobody else is where it says that nobody is.
fn hold(holders: &AtomicI64, alone: bool, random: &mut StdRng) {
    let change = if alone { -1 } else { 1 };
    let before = holders.fetch_add(change, Ordering::SeqCst);
    assert!(if alone { before == 0 } else { before >= 0 }, "{before} were there, alone: {alone}");
    if random.random_bool(0.3) {
        std::thread::sleep(Duration::from_micros(random.random_range(0..2_000)));
    }
    holders.fetch_sub(change, Ordering::SeqCst);
}

#[test]
fn a_long_line_drains_in_order() {
    allow_connections();
    let server = Server::builder().config("maxclients", "10000").start();
    let mut control = server.connect();
    control.take("k", "holder", "");
    let mut clients: Vec<Client> = (0..LINE).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(["LOCK.ACQUIRE", "k", &format!("owner-{index}"), "600000", "BLOCK", "0"]);
        // Only so is it certain who came first.
        eventually(BOUND, || {
            control.run(["INFO", "lock"]).text().contains(&format!("lock_waiting:{}\r", index + 1))
        });
    }
    assert_eq!(control.say("LOCK.RELEASE k holder"), Reply::Int(1));
    let mut last = 0;
    for (index, client) in clients.iter_mut().enumerate() {
        let token = client.read().int();
        assert!(token > last, "{index} got {token} after {last}");
        last = token;
        assert_eq!(control.say(&format!("LOCK.RELEASE k owner-{index}")), Reply::Int(1));
    }
    assert_eq!(server.info_u64("lock", "lock_handed_over"), LINE as u64);
    assert!(control.say("LOCK.INFO k").is_nil());
}
