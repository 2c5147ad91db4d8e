//! Waiting in line: BLOCK, hand-off, SESSION and circles.

use crate::keyspace::counts;
use crate::support::Say;
use redis_lock_harness::{eventually, Client, Reply, Server};

mod circles;
mod copies;
mod core_commands;
mod crowds;
mod delivery;
mod kinds;
mod leaving;
mod order;
mod owners;
mod pauses;
mod permissions;
mod sessions;
mod shown;
mod slots;
mod terms;
mod turns;
mod undelivered;

pub use crate::view::BOUND;

/// An ACQUIRE that waits as long as it takes, for a hold of ten minutes. `terms` are more options, or empty.
pub fn ask(key: &str, owner: &str, terms: &str) -> String {
    format!("LOCK.ACQUIRE {key} {owner} 600000 BLOCK 0 {terms}")
}

/// A new client whose request for `key` waits in line.
#[track_caller]
pub fn waiter(server: &Server, key: &str, owner: &str, terms: &str) -> Client {
    waiter_saying(server, &ask(key, owner, terms))
}

/// A new client that has sent this request, which waits in line.
#[track_caller]
pub fn waiter_saying(server: &Server, line: &str) -> Client {
    let mut client = server.connect();
    join(server, &mut client, line);
    client
}

/// Sends a request that has to wait, and waits until it stands in line.
#[track_caller]
pub fn join(server: &Server, client: &mut Client, line: &str) {
    let before = waiting(server);
    client.send(line.split_whitespace());
    eventually(BOUND, || waiting(server) == before + 1);
}

/// A new client whose request for `key` waits in line, and its number.
#[track_caller]
pub fn numbered(server: &Server, key: &str, owner: &str, terms: &str) -> (Client, i64) {
    let mut client = server.connect();
    let id = client.id();
    join(server, &mut client, &ask(key, owner, terms));
    (client, id)
}

/// Runs the commands in one step of the server; their replies.
#[track_caller]
pub fn at_once(client: &mut Client, commands: &[&str]) -> Vec<Reply> {
    let lines = ["MULTI"].iter().chain(commands).chain(&["EXEC"]);
    let replies = client.pipeline(lines.map(|line| line.split(' ')));
    replies.last().expect("EXEC answers").array().to_vec()
}

/// How many requests wait on a server.
#[track_caller]
pub fn waiting(server: &Server) -> u64 {
    server.info_u64("lock", "lock_waiting")
}

/// The reply to the request that the client sent last, which must be the only one.
#[track_caller]
pub fn reply(client: &mut Client) -> Reply {
    let reply = client.read();
    assert_eq!(client.say("PING"), Reply::Simple("PONG".into()), "after {reply:?}");
    reply
}

/// The token that a client which waited was granted.
#[track_caller]
pub fn granted(client: &mut Client) -> i64 {
    match reply(client) {
        Reply::Int(token) if token > 0 => token,
        other => panic!("not granted: {other:?}"),
    }
}

/// Who holds a lock, the oldest hold first.
#[track_caller]
pub fn holders(client: &mut Client, key: &str) -> Vec<String> {
    owners(client, key, "holders")
}

/// Who waits for it, first in line first.
#[track_caller]
pub fn line(client: &mut Client, key: &str) -> Vec<String> {
    owners(client, key, "waiters")
}

fn owners(client: &mut Client, key: &str, field: &str) -> Vec<String> {
    let info = client.run(["LOCK.INFO", key]);
    if info.is_nil() {
        return Vec::new();
    }
    info.get(field).array().iter().map(|entry| entry.get("owner").text().into()).collect()
}

/// Every hold that was granted has ended in one way, or is there.
#[track_caller]
pub fn assert_counters_add_up(server: &Server) {
    let now = counts(server);
    let ends = ["lock_released", "lock_expired", "lock_sessions_dropped", "lock_removed", "lock_held"];
    let sum: i64 = ends.iter().map(|name| now[*name]).sum();
    assert_eq!(now["lock_acquired"], sum, "{now:?}");
}
