//! Commands, encoded once and sent many times, with the replies that they must get.

use redis_lock_harness::{Client, Reply};

/// Units (a pair or a single command) per write.
pub const PIPELINE: usize = 100;

/// What a reply must be.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// A fencing token.
    Token,
    /// `1`: released, deleted, extended.
    One,
    /// `OK`
    Ok,
    /// Refused.
    Nil,
}

impl Expected {
    fn fits(self, reply: &Reply) -> bool {
        match self {
            Expected::Token => matches!(reply, Reply::Int(token) if *token > 1),
            Expected::One => *reply == Reply::Int(1),
            Expected::Ok => *reply == Reply::ok(),
            Expected::Nil => reply.is_nil(),
        }
    }
}

/// One command, its words separated by spaces, and its expected reply.
pub struct Command(pub String, pub Expected);

/// A sequence of pipelines.
pub struct Workload {
    pipelines: Vec<(Vec<u8>, Vec<Expected>)>,
    units: usize,
}

impl Workload {
    /// Returns the units that `unit` makes of 0, 1, 2, ….
    pub fn new<const N: usize>(units: usize, unit: impl Fn(usize) -> [Command; N]) -> Workload {
        let indexes: Vec<usize> = (0..units).collect();
        let pipelines = indexes
            .chunks(PIPELINE)
            .map(|chunk| {
                let (mut bytes, mut expected) = (Vec::new(), Vec::new());
                for Command(words, reply) in chunk.iter().flat_map(|index| unit(*index)) {
                    encode(&words, &mut bytes);
                    expected.push(reply);
                }
                (bytes, expected)
            })
            .collect();
        Workload { pipelines, units }
    }

    /// Returns how many units one run has.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Sends everything once.
    ///
    /// # Panics
    /// Panics on a reply that is not the expected one: the table would not describe what is measured.
    pub fn run(&self, client: &mut Client) {
        for (bytes, expected) in &self.pipelines {
            client.send_raw(bytes);
            for expected in expected {
                let reply = client.read();
                assert!(expected.fits(&reply), "expected {expected:?}, the server said {reply:?}");
            }
        }
    }
}

fn encode(words: &str, bytes: &mut Vec<u8>) {
    let words: Vec<&str> = words.split(' ').collect();
    bytes.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
}

/// Returns the owner of lock `index`: 20 bytes, as the contract suggests.
pub fn owner(index: usize) -> String {
    format!("owner-{index:014}")
}

/// Returns acquire and release, with these options.
pub fn lock_pair(index: usize, ttl_ms: u64, options: &str) -> [Command; 2] {
    let (key, owner) = (format!("lock:{index:06}"), owner(index));
    [
        Command(format!("LOCK.ACQUIRE {key} {owner} {ttl_ms}{options}"), Expected::Token),
        Command(format!("LOCK.RELEASE {key} {owner}"), Expected::One),
    ]
}

/// Returns the commands of a native lock that is released without checking its holder.
pub fn native_pair(index: usize, ttl_ms: u64) -> [Command; 2] {
    let (key, owner) = (format!("lock:{index:06}"), owner(index));
    [
        Command(format!("SET {key} {owner} NX PX {ttl_ms}"), Expected::Ok),
        Command(format!("DEL {key}"), Expected::One),
    ]
}

/// Returns the commands of a native lock that is released by a script that compares the owner first.
pub fn script_pair(index: usize, ttl_ms: u64, script: &str) -> [Command; 2] {
    let (key, owner) = (format!("lock:{index:06}"), owner(index));
    [
        Command(format!("SET {key} {owner} NX PX {ttl_ms}"), Expected::Ok),
        Command(format!("EVALSHA {script} 1 {key} {owner}"), Expected::One),
    ]
}
