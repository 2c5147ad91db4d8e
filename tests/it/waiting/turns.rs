//! What is due in the middle of a step, and what comes up between two turns of the server's loop.

use super::{at_once, granted, holders, line, waiter, waiting, BOUND};
use crate::support::Say;
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::{Duration, Instant};

/// Time passes unseen while the server sleeps: the LOCK command that wakes it meets an ended hold, and hands
/// the lock on before it does anything itself. (A tick of the server in between may do that as well.)
#[test]
fn a_command_that_meets_an_ended_hold_serves_the_line_first() {
    for (command, reply) in [
        ("LOCK.ACQUIRE k late 600000", Reply::Nil),
        ("LOCK.ACQUIRE k late 600000 SHARED", Reply::Nil),
        ("LOCK.MACQUIRE 2 k l late 600000", Reply::Nil),
        ("LOCK.EXTEND k a 600000", Reply::Int(0)),
        ("LOCK.RELEASE k a", Reply::Int(0)),
    ] {
        let server = Server::builder().movable_clocks().config("hz", "1").start();
        let mut client = server.connect();
        client.take("k", "a", "");
        let mut next = waiter(&server, "k", "b", "");
        server.step_monotonic(700_000);
        let replies = at_once(&mut client, &[command, "LOCK.OWNER k", "LOCK.OWNER l"]);
        assert_eq!(replies, [reply, Reply::bulk("b"), Reply::Nil], "{command}");
        granted(&mut next);
        assert_eq!(holders(&mut client, "k"), ["b"], "{command}");
        assert!(line(&mut client, "k").is_empty());
    }
}

/// Commands that a client had sent behind a BLPOP run, on some servers, after the module's last look at
/// the turn. A hand-off that they make is told at once, not at the server's next tick, a second later.
#[test]
fn a_hand_off_after_the_end_of_a_turn_wakes_the_server() {
    let server = Server::builder().config("hz", "1").start();
    let mut client = server.connect();
    let fastest = (0..6).map(|_| {
        let mut holder = server.connect();
        let owner = format!("holder-{}", holder.id());
        client.take("k", &owner, "");
        let mut next = waiter(&server, "k", "next", "");
        holder.send(["BLPOP", "list", "0"]);
        eventually(BOUND, || server.info_u64("clients", "blocked_clients") == 2);
        holder.send(["LOCK.RELEASE", "k", &owner]);
        // The release is in the server's buffers once this is answered.
        holder_is_read(&mut client);
        let began = Instant::now();
        client.say("RPUSH list x");
        granted(&mut next);
        let took = began.elapsed();
        assert_eq!(client.say("LOCK.RELEASE k next"), Reply::Int(1));
        assert_eq!(waiting(&server), 0);
        took
    });
    let fastest = fastest.min().expect("several rounds");
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

/// Some client's query buffer holds a command that can't run yet.
fn holder_is_read(client: &mut Client) {
    eventually(BOUND, || {
        let list = client.say("CLIENT LIST").text().to_string();
        list.lines().any(|line| line.contains("cmd=blpop") && !line.contains(" qbuf=0 "))
    });
}
