//! Snapshots that the server takes by itself, after so many changes (`save`).

use crate::support::Say;
use redis_lock_harness::{eventually, Server};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(20);

fn changes(server: &Server) -> u64 {
    server.info_u64("persistence", "rdb_changes_since_last_save")
}

/// How many snapshots were begun: nothing else forks here.
fn snapshots(server: &Server) -> u64 {
    server.info_u64("stats", "total_forks")
}

#[test]
fn locks_count_as_changes_from_the_first_one_on() {
    let server = Server::builder().config("save", "3600 1000").start();
    let mut client = server.connect();
    assert!(client.say("LOCK.ACQUIRE a me 600000").int() > 0);
    assert_eq!(changes(&server), 1);
    assert_eq!(client.say("LOCK.EXTEND a me 700000").int(), 1);
    assert!(client.say("LOCK.ACQUIRE b me 1").int() > 0);
    eventually(BOUND, || changes(&server) == 4);
    assert_eq!(client.say("LOCK.RELEASE a me").int(), 1);
    assert_eq!(changes(&server), 5);
}

#[test]
fn save_points_set_later_count_too() {
    let mut server = Server::start();
    let mut client = server.connect();
    assert!(client.say("LOCK.ACQUIRE before me 600000").int() > 0);
    assert_eq!(client.run(["CONFIG", "SET", "save", "1 1"]), redis_lock_harness::Reply::ok());
    assert!(client.say("LOCK.ACQUIRE after me 600000").int() > 0);
    eventually(BOUND, || server.dir().join("dump.rdb").exists() && changes(&server) == 0);
    server.kill();
    server.restart();
    let mut client = server.connect();
    assert_eq!(client.say("LOCK.OWNER before").text(), "me");
    assert_eq!(client.say("LOCK.OWNER after").text(), "me");
}

#[test]
fn a_server_that_is_left_alone_stops_saving() {
    let server = Server::builder().config("save", "1 1").start();
    let mut client = server.connect();
    assert!(client.say("LOCK.ACQUIRE a me 600000").int() > 0);
    // The last change may fall into the first snapshot's time; then a second one follows.
    eventually(BOUND, || snapshots(&server) >= 1 && changes(&server) == 0);
    let settled = snapshots(&server);
    // More than two turns of what decides about saving, which the server counts in INFO's uptime.
    let started = server.info_u64("server", "uptime_in_seconds");
    eventually(BOUND, || server.info_u64("server", "uptime_in_seconds") >= started + 3);
    assert_eq!((snapshots(&server), changes(&server)), (settled, 0));
}
