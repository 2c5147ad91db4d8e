//! The harness itself, with plain servers.

use redis_lock_harness::{eventually, free_port, Reply, Server};
use std::path::Path;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(10);

fn plain() -> redis_lock_harness::Builder {
    Server::builder().without_module()
}

fn process_exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_server_starts_and_answers() {
    let server = plain().start();
    assert!(server.is_alive());
    let mut client = server.connect();
    assert_eq!(client.run(["PING"]), Reply::Simple("PONG".into()));
    assert_eq!(client.run(["GET", "nothing"]), Reply::Nil);
    assert_eq!(client.run(["NOSUCH"]).text().split(' ').next(), Some("ERR"));
    let big = vec![0u8; 3_000_000];
    assert_eq!(client.run([&b"SET"[..], b"big", &big]), Reply::ok());
    assert_eq!(client.run(["GET", "big"]), Reply::Bulk(big));
    let replies = client.pipeline([vec!["INCR", "n"], vec!["INCRBY", "n", "5"]]);
    assert_eq!(replies, [Reply::Int(1), Reply::Int(6)]);
    assert!(client.id() > 0);
    assert_eq!(server.info("server")["process_id"], server.pid().to_string());
    assert!(server.log().contains("eady to accept connections"));
}

#[test]
fn resp3_has_its_own_types() {
    let server = plain().start();
    let mut client = server.connect_resp3();
    assert_eq!(client.run(["HGETALL", "nothing"]), Reply::Map(vec![]));
    assert_eq!(client.run(["GET", "nothing"]), Reply::Nil);
    assert_eq!(client.run(["DEBUG", "PROTOCOL", "true"]), Reply::Bool(true));
    assert_eq!(client.run(["DEBUG", "PROTOCOL", "double"]), Reply::Double("3.141".parse().unwrap()));
    assert_eq!(client.run(["DEBUG", "PROTOCOL", "verbatim"]).text(), "This is a verbatim\nstring");
    let subscribed = client.run(["SUBSCRIBE", "channel"]);
    assert_eq!(
        subscribed,
        Reply::Push(vec![Reply::bulk("subscribe"), Reply::bulk("channel"), Reply::Int(1)])
    );
    assert_eq!(client.read_within(Duration::from_millis(1)), None);
    server.connect().run(["PUBLISH", "channel", "hello"]);
    assert_eq!(client.read().array()[2].text(), "hello");
}

#[test]
fn a_killed_server_comes_back_with_its_aof() {
    let mut server = plain().config("appendonly", "yes").config("appendfsync", "always").start();
    let first = server.pid();
    let mut client = server.connect();
    assert_eq!(client.run(["SET", "key", "value"]), Reply::ok());
    server.kill();
    assert!(!server.is_alive());
    assert!(client.try_run(["PING"]).is_err());
    server.restart();
    assert_ne!(server.pid(), first);
    assert_eq!(server.connect().run(["GET", "key"]), Reply::bulk("value"));
    server.stop();
    assert!(!server.is_alive());
    server.restart();
    assert_eq!(server.connect().run(["GET", "key"]), Reply::bulk("value"));
}

#[test]
fn a_replica_follows() {
    let mut master = plain().tcp().start();
    master.connect().run(["SET", "before", "1"]);
    let replica = master.replica();
    assert_eq!(replica.connect().run(["GET", "before"]), Reply::bulk("1"));
    for n in 0..100 {
        master.connect().run(["SET", "after", &n.to_string()]);
    }
    master.wait_synced(&replica);
    assert_eq!(replica.connect().run(["GET", "after"]), Reply::bulk("99"));
    let port = master.port();
    master.restart();
    assert_eq!(master.port(), port);
    master.wait_synced(&replica);
    assert_eq!(replica.connect().run(["GET", "after"]), Reply::Nil);
}

#[test]
fn clocks_move_while_the_server_runs() {
    const HOUR: i64 = 3_600_000;
    let server = plain().movable_clocks().start();
    let seconds = || server.connect().run(["TIME"]).array()[0].text().parse::<i64>().unwrap();
    let uptime = || server.info_u64("server", "uptime_in_seconds") as i64;
    let start = seconds();
    let near = |found: i64, wanted: i64| (wanted..wanted + 60).contains(&found);
    server.step_wall(HOUR);
    assert!(near(seconds(), start + 3600));
    eventually(BOUND, || near(uptime(), 3600));
    server.step_wall(-2 * HOUR);
    assert!(near(seconds(), start - 3600));
    server.step_monotonic(HOUR);
    assert!(near(seconds(), start - 3600));
    server.step_wall(HOUR);
    assert!(near(seconds(), start));
    assert_eq!(server.connect().run(["PING"]).text(), "PONG");
}

#[test]
fn the_monotonic_clock_moves_on_its_own() {
    let server = plain().movable_clocks().start();
    let mut client = server.connect();
    // The server uses it to measure how long a script has been running.
    let script = "while true do end";
    client.send(["EVAL", script, "0"]);
    let mut other = server.connect();
    assert_eq!(other.read_within(Duration::from_millis(1)), None);
    server.step_monotonic(600_000);
    eventually(BOUND, || other.run(["PING"]).text().starts_with("BUSY"));
    server.kill();
}

#[test]
fn a_frozen_server_is_alive_and_silent() {
    let server = plain().start();
    let mut client = server.connect();
    client.run(["PING"]);
    server.freeze();
    client.send(["PING"]);
    assert_eq!(client.read_within(Duration::from_millis(50)), None);
    assert!(server.is_alive());
    server.thaw();
    assert_eq!(client.read().text(), "PONG");
}

#[test]
fn nothing_is_left_behind() {
    let server = plain().tcp().start();
    let (pid, dir) = (server.pid(), server.dir().to_path_buf());
    assert!(process_exists(pid) && dir.exists());
    drop(server);
    assert!(!process_exists(pid));
    assert!(!dir.exists());

    let frozen = plain().start();
    let pid = frozen.pid();
    frozen.freeze();
    drop(frozen);
    assert!(!process_exists(pid));
}

#[test]
fn a_cluster_node_gets_ports_of_its_own() {
    let one = plain().config("cluster-enabled", "yes").start();
    let two = plain().config("cluster-enabled", "yes").start();
    assert_ne!(one.port(), two.port());
    assert_eq!(one.info("cluster")["cluster_enabled"], "1");
    assert_eq!(two.connect().run(["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), Reply::ok());
    eventually(BOUND, || two.connect().run(["SET", "key", "value"]) == Reply::ok());
}

#[test]
fn a_killed_servers_port_is_nobody_elses() {
    let killed = plain().tcp().start();
    killed.kill();
    let mut given: Vec<u16> = (0..500).map(|_| free_port()).chain([killed.port()]).collect();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 501);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("this is Linux");
    let system: u16 = range.split_whitespace().next().and_then(|low| low.parse().ok()).expect("two numbers");
    assert!(given.iter().all(|&port| port < system), "{given:?} are below {system}");
}

#[test]
fn a_server_that_cannot_start_shows_its_log() {
    let start = || plain().config("maxmemory", "nonsense").start();
    let panic = std::panic::catch_unwind(start).err().expect("no start");
    let message = panic.downcast_ref::<String>().expect("a message");
    assert!(message.contains("maxmemory"), "{message}");
}

#[test]
#[should_panic(expected = "the condition was not met")]
fn a_wait_has_a_bound() {
    eventually(Duration::from_millis(5), || false);
}

#[test]
fn a_wait_returns_what_it_found() {
    let mut asked = 0;
    let found = eventually(BOUND, || {
        asked += 1;
        (asked == 3).then_some(asked)
    });
    assert_eq!(found, 3);
}
