//! Payloads and files that are damaged, from a newer module, or from a server with another clock.

use crate::view::{digest, everything, held, last_fence, BOUND};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis_lock_harness::{eventually, server_binary, Client, Reply, Server};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

const PIPELINED: usize = 200;
/// What DUMP puts behind the value: two bytes version, eight bytes checksum.
const VERSION_AND_CHECKSUM: usize = 10;
/// The first byte says that the value is a module's; the next says that a 64-bit number follows: the type,
/// whose lowest ten bits are the version of the encoding.
const LOWEST_BYTE_OF_TYPE: usize = 9;

/// The checksum of DUMP payloads: CRC-64 with Jones' polynomial, reflected.
fn crc64(bytes: &[u8]) -> u64 {
    const REFLECTED: u64 = 0x95ac_9329_ac4b_c9b5;
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| (crc >> 1) ^ (REFLECTED & (crc & 1).wrapping_neg()))
    })
}

/// The payload with a checksum that fits.
fn sealed(mut payload: Vec<u8>) -> Vec<u8> {
    let crc = crc64(&payload[..payload.len() - 8]);
    let end = payload.len() - 8;
    payload[end..].copy_from_slice(&crc.to_le_bytes());
    payload
}

fn restore(key: &str, payload: &[u8]) -> [Vec<u8>; 5] {
    [b"RESTORE".to_vec(), key.into(), b"0".to_vec(), payload.to_vec(), b"REPLACE".to_vec()]
}

/// DUMPs of locks with 1, 2 and 50 holders, compressed and not.
fn dumps(server: &Server) -> Vec<Vec<u8>> {
    let mut client = server.connect();
    let mut payloads = Vec::new();
    for (key, holders) in [("one", 1), ("two", 2), ("fifty", 50)] {
        for n in 0..holders {
            let (owner, limit) = (format!("owner {n}"), (50 + n).to_string());
            let command = ["LOCK.ACQUIRE", key, &owner, "600000", "LIMIT", &limit, "META", "why and who"];
            assert!(client.run(command).int() > 0);
        }
        for compressed in ["no", "yes"] {
            client.run(["CONFIG", "SET", "rdbcompression", compressed]);
            payloads.push(client.run(["DUMP", key]).bytes().to_vec());
        }
    }
    payloads
}

/// Changes some bytes, cuts some out or puts some in; not the first, for another type is not this module's.
fn damaged(payload: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut value = payload[..payload.len() - VERSION_AND_CHECKSUM].to_vec();
    let footer = &payload[payload.len() - VERSION_AND_CHECKSUM..];
    for _ in 0..random.random_range(1..4) {
        // Most often near the start, where the lengths and the first holder's numbers are.
        let end = if random.random_bool(0.7) { value.len().min(80) } else { value.len() };
        let at = random.random_range(1..end.max(2));
        match random.random_range(0..10) {
            0..4 => value[at] ^= 1 << random.random_range(0..8),
            4..7 => value[at] = [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)],
            7 => value.truncate(at.max(2)),
            8 => drop(value.remove(at)),
            _ => value.insert(at, random.random()),
        }
        if value.len() < 3 {
            break;
        }
    }
    value.extend(footer);
    sealed(value)
}

/// Restores all of them; how many were taken.
fn restore_all(client: &mut Client, payloads: &[Vec<u8>]) -> usize {
    let mut taken = 0;
    for batch in payloads.chunks(PIPELINED) {
        let commands: Vec<_> =
            batch.iter().enumerate().map(|(n, payload)| restore(&n.to_string(), payload)).collect();
        for (reply, payload) in client.pipeline(&commands).iter().zip(batch) {
            assert!(reply.is_error() || *reply == Reply::ok(), "{reply:?} to {payload:?}");
            taken += usize::from(!reply.is_error());
        }
        let infos = (0..batch.len()).map(|n| ["LOCK.INFO".to_string(), n.to_string()]);
        let infos: Vec<_> = infos.collect();
        for (info, payload) in client.pipeline(&infos).iter().zip(batch) {
            assert_sensible(info, payload);
        }
        assert_eq!(client.run(["FLUSHALL"]), Reply::ok());
    }
    taken
}

/// Whatever was taken is a lock as this server could have made it.
fn assert_sensible(info: &Reply, payload: &[u8]) {
    if info.is_nil() {
        return;
    }
    let holders = info.get("holders").array();
    let mut owners = BTreeSet::new();
    for holder in holders {
        let number = |field| holder.get(field).int();
        let sensible = (1..=512).contains(&holder.get("owner").bytes().len())
            && holder.get("meta").bytes().len() <= 512
            && (1..1 << 53).contains(&number("fence"))
            && (0..=10_000).contains(&number("limit"))
            && number("ttl-ms") >= 0
            && number("held-ms") >= 0
            && number("session") == 0
            && owners.insert(holder.get("owner").bytes());
        assert!(sensible, "{holder:?} from {payload:?}");
    }
    let highest = holders.iter().map(|holder| holder.get("fence").int()).max();
    assert_eq!(Some(info.get("fence").int()), highest, "{payload:?}");
}

#[test]
fn the_checksum_is_the_servers() {
    assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    let server = Server::start();
    let mut client = server.connect();
    for payload in dumps(&server) {
        assert_eq!(sealed(payload.clone()), payload);
        assert_eq!(client.run(restore("copy", &payload)), Reply::ok());
    }
}

#[test]
fn damaged_payloads_end_no_server() {
    let server = Server::start();
    let originals = dumps(&server);
    let mut client = server.connect();
    let mut random = StdRng::seed_from_u64(7);
    for original in &originals {
        let payloads: Vec<_> = (0..1500).map(|_| damaged(original, &mut random)).collect();
        let taken = restore_all(&mut client, &payloads);
        // Some damage only changes an owner; most must be noticed.
        assert!(taken > 0 && taken < payloads.len(), "{taken} of {}", payloads.len());
    }
    assert!(server.is_alive());
    assert_eq!(held(&server), 0);
    assert!(client.run(["LOCK.ACQUIRE", "key", "owner", "1000"]).int() > 0);
}

#[test]
fn each_bit_and_each_cut_of_a_small_payload() {
    let server = Server::start();
    let originals = dumps(&server);
    let mut client = server.connect();
    // Neither compressed: one and two holders.
    for original in [&originals[0], &originals[2]] {
        let value = original.len() - VERSION_AND_CHECKSUM;
        let flipped = (8..value * 8).map(|bit| {
            let mut payload = original.clone();
            payload[bit / 8] ^= 1 << (bit % 8);
            sealed(payload)
        });
        // Where less is missing, version and checksum may stand in for it.
        let cut_short = 2..value - VERSION_AND_CHECKSUM;
        let cut = cut_short.map(|end| sealed([&original[..end], &original[value..]].concat()));
        let (flipped, cut): (Vec<_>, Vec<_>) = (flipped.collect(), cut.collect());
        assert!(restore_all(&mut client, &flipped) > 0);
        assert_eq!(restore_all(&mut client, &cut), 0, "a payload that was cut short was taken");
    }
    assert!(server.is_alive());
    assert_eq!(held(&server), 0);
}

#[test]
fn a_refused_payload_leaves_all_as_it_was() {
    let server = Server::start();
    let mut payload = dumps(&server)[2].clone();
    let before = (everything(&server), digest(&server), held(&server), last_fence(&server));
    // The second owner becomes the first one's double.
    let at = payload.windows(7).position(|bytes| bytes == b"owner 1").expect("it is not compressed");
    payload[at + 6] = b'0';
    let reply = server.connect().run(restore("one", &sealed(payload)));
    assert!(reply.is_error(), "{reply:?}");
    assert_eq!((everything(&server), digest(&server), held(&server), last_fence(&server)), before);
    assert!(server.log().contains("damaged lock payload"), "the log says why");
}

#[test]
fn a_newer_encoding_is_refused_and_the_log_says_so() {
    let server = Server::start();
    let mut payload = dumps(&server)[0].clone();
    assert_eq!(payload[LOWEST_BYTE_OF_TYPE], 1 | payload[LOWEST_BYTE_OF_TYPE] & !3, "this is version 1");
    payload[LOWEST_BYTE_OF_TYPE] = payload[LOWEST_BYTE_OF_TYPE] & !3 | 2;
    let reply = server.connect().run(restore("newer", &sealed(payload)));
    assert!(reply.is_error(), "{reply:?}");
    assert!(server.log().contains("encoding version 2"), "{}", server.log());
    assert_eq!(server.connect().run(["EXISTS", "newer"]), Reply::Int(0));
}

#[test]
fn a_token_too_far_ahead_is_not_restored_but_loaded_and_replicated() {
    let ahead = Server::builder().tcp().movable_clocks().start();
    ahead.step_monotonic(3_600_000);
    let mut client = ahead.connect();
    let token = client.run(["LOCK.ACQUIRE", "key", "owner", "600000"]).int();
    let payload = client.run(["DUMP", "key"]).bytes().to_vec();
    let server = Server::builder().tcp().start();
    let last = last_fence(&server);
    let refused = server.connect().run(restore("key", &payload));
    assert!(refused.is_error(), "{refused:?}");
    assert!(server.log().contains(&token.to_string()), "the log names the token: {}", server.log());
    let port = server.port().to_string();
    let moved = client.run(["MIGRATE", "127.0.0.1", &port, "key", "0", "10000"]);
    assert!(moved.is_error(), "{moved:?}");
    assert_eq!(client.run(["LOCK.OWNER", "key"]), Reply::bulk("owner"));
    assert_eq!((held(&server), last_fence(&server)), (0, last));
    // A data set and a master bring their counter with them.
    let replica = ahead.replica();
    assert_eq!((held(&replica), last_fence(&replica)), (1, token));
    assert_eq!(client.run(restore("twin", &payload)), Reply::ok());
    ahead.wait_synced(&replica);
    assert_eq!(held(&replica), 2);
    assert_eq!(client.run(["DEBUG", "RELOAD"]), Reply::ok());
    assert_eq!(everything(&ahead), everything(&replica));
}

/// How a server's start ended.
enum Start {
    Loaded,
    /// It ended by itself; what it logged.
    Refused(String),
}

/// Starts a server in `dir` that is not running, waits until it has loaded its data or ended, and ends it.
fn start_in(dir: &Path) -> Start {
    let log = dir.join("start.log");
    let output = File::create(&log).expect("a log");
    let mut server = Command::new(server_binary())
        .arg(dir.join("redis.conf"))
        .current_dir(dir)
        .stderr(output.try_clone().expect("a second handle"))
        .stdout(output)
        .spawn()
        .expect("the server starts");
    let logged = || String::from_utf8_lossy(&std::fs::read(&log).expect("the log")).into_owned();
    let ended = eventually(BOUND, || match server.try_wait().expect("it is our child") {
        Some(status) => Some(Some(status)),
        None => logged().contains("eady to accept connections").then_some(None),
    });
    let Some(status) = ended else {
        server.kill().expect("it runs");
        server.wait().expect("it ends");
        return Start::Loaded;
    };
    let log = logged();
    assert!(status.signal().is_none() && !log.contains("BUG REPORT"), "{status}: {log}");
    Start::Refused(log)
}

#[test]
fn a_damaged_rdb_is_refused_with_a_message() {
    let server = Server::builder().config("rdbchecksum", "no").config("rdbcompression", "no").start();
    dumps(&server);
    assert_eq!(server.connect().run(["SAVE"]), Reply::ok());
    server.kill();
    let file = server.dir().join("dump.rdb");
    let whole = std::fs::read(&file).expect("the snapshot");
    let lock = whole.windows(9).position(|bytes| bytes == b"redislock").map_or(0, |at| at + 9);
    let first = whole.windows(5).position(|bytes| bytes == b"fifty").expect("a lock").max(lock);
    let mut random = StdRng::seed_from_u64(11);
    let (mut loaded, mut refused) = (0, 0);
    for round in 0..60 {
        let mut bytes = whole.clone();
        let at = random.random_range(first + 10..(first + 200).min(whole.len()));
        match round % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            _ => bytes[at..at + 4].copy_from_slice(&random.random::<u32>().to_le_bytes()),
        }
        std::fs::write(&file, &bytes).expect("the damaged snapshot");
        match start_in(server.dir()) {
            Start::Loaded => loaded += 1,
            Start::Refused(log) => {
                refused += 1;
                let said = ["RDB", "payload", "encoding"].iter().any(|word| log.contains(word));
                assert!(said, "round {round}: {log}");
            }
        }
    }
    assert!(refused >= 20 && loaded > 0, "{refused} refused, {loaded} loaded");
    std::fs::write(&file, &whole).expect("the snapshot as it was");
    assert!(matches!(start_in(server.dir()), Start::Loaded));
}
