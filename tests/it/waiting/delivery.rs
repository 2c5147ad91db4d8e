//! Between a grant and its reply: whatever comes there, the client gets exactly one reply, and no hold stays
//! of which nobody was told.
//!
//! Servers differ in what they run between the two. Redis 7.0 answers at the end of the turn of its event
//! loop, later ones keep a client that a module has answered blocked through the next turn.

use super::{at_once, granted, holders, join, numbered, waiter, BOUND};
use crate::support::Say;
use redis_lock_harness::{eventually, Client, Reply, Server};

/// `a` holds `k`; `b` waits for it, then `c`.
struct Scene {
    server: Server,
    client: Client,
    other: Client,
    victim: Client,
    id: i64,
    next: Client,
}

fn scene(server: Server) -> Scene {
    let mut client = server.connect();
    client.take("k", "a", "");
    let (victim, id) = numbered(&server, "k", "b", "");
    let next = waiter(&server, "k", "c", "");
    let other = server.connect();
    Scene { server, client, other, victim, id, next }
}

impl Scene {
    /// Releases the lock, and has these commands wait at the server's door until that turn is over: they are
    /// the first that the next turn reads.
    fn release_then(&mut self, commands: &[&str]) {
        self.client.send_all(["LOCK.RELEASE k a", "DEBUG SLEEP 0.2"].map(|line| line.split(' ')));
        eventually(BOUND, || self.server.is_in_debug_sleep());
        let count = self.other.send_all(commands.iter().map(|line| line.split(' ')));
        assert_eq!([self.client.read(), self.client.read()], [Reply::Int(1), Reply::ok()]);
        (0..count).for_each(|_| drop(self.other.read()));
    }

    /// The victim was told one thing: that it has the lock, which is true then, or something else, and then
    /// the next in line has it.
    #[track_caller]
    fn assert_one_story(&mut self, what: &str) {
        let told = self.victim.try_read();
        let after = self.victim.try_run(["PING"]);
        if let Ok(after) = after {
            assert_eq!(after, Reply::Simple("PONG".into()), "{what}: a second reply after {told:?}");
        }
        match told {
            Ok(Reply::Int(token)) if token > 0 => {
                assert_eq!(holders(&mut self.client, "k"), ["b"], "{what}: told {token}");
                self.client.say("LOCK.RELEASE k b");
            }
            told => {
                eventually(BOUND, || holders(&mut self.client, "k") == ["c"]);
                assert!(!matches!(told, Ok(Reply::Int(_))), "{what}: {told:?}");
            }
        }
        granted(&mut self.next);
        super::assert_counters_add_up(&self.server);
    }
}

/// How somebody else ends a wait; `#` is the client's number.
const ENDS: [&str; 3] = ["CLIENT UNBLOCK # ERROR", "CLIENT UNBLOCK # TIMEOUT", "CLIENT KILL ID #"];

#[test]
fn unblocked_or_killed_in_the_turn_after_the_grant() {
    for end in ENDS {
        let mut scene = scene(Server::start());
        let end = end.replace('#', &scene.id.to_string());
        scene.release_then(&[&end]);
        scene.assert_one_story(&end);
    }
}

#[test]
fn a_change_of_role_in_the_turn_after_the_grant() {
    let mut scene = scene(Server::start());
    scene.release_then(&["REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"]);
    let told = scene.victim.try_read();
    let more = scene.victim.try_run(["PING"]);
    match told {
        Ok(Reply::Int(_)) => {
            assert_eq!(more.ok(), Some(Reply::Simple("PONG".into())), "the token and nothing else");
            assert_eq!(holders(&mut scene.client, "k"), ["b"]);
        }
        Ok(told) => {
            assert!(told.text().starts_with("UNBLOCKED "), "{told:?}");
            assert!(more.is_err(), "the server closes such connections");
            eventually(BOUND, || scene.client.say("EXISTS k") == Reply::Int(0));
        }
        Err(error) => panic!("told nothing: {error}"),
    }
    super::assert_counters_add_up(&scene.server);
}

/// How the server ends a client's connection in the step of the release, but only at the end of that turn.
fn closed_by(prepare: impl FnOnce(&Server, &mut Client), ends: &[&str]) {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut victim = server.connect();
    prepare(&server, &mut victim);
    join(&server, &mut victim, &super::ask("k", "b", ""));
    let mut next = waiter(&server, "k", "c", "");
    let commands: Vec<&str> = std::iter::once("LOCK.RELEASE k a").chain(ends.iter().copied()).collect();
    at_once(&mut client, &commands);
    granted(&mut next);
    assert_eq!(holders(&mut client, "k"), ["c"], "{ends:?}");
    while let Ok(message) = victim.try_read() {
        assert!(!matches!(message, Reply::Int(_)), "{ends:?}: told {message:?} of a lock that is another's");
    }
    super::assert_counters_add_up(&server);
}

#[test]
fn a_client_whose_user_is_deleted_in_the_step_of_the_release() {
    let log_in = |server: &Server, victim: &mut Client| {
        assert_eq!(server.connect().say("ACL SETUSER u on nopass ~* +@all"), Reply::ok());
        assert_eq!(victim.say("AUTH u x"), Reply::ok());
    };
    closed_by(log_in, &["ACL DELUSER u"]);
}

#[test]
fn a_client_whose_output_is_too_long_in_the_step_of_the_release() {
    let name = "x".repeat(40_000);
    let track = |server: &Server, victim: &mut Client| {
        let limit = server.connect().run(["CONFIG", "SET", "client-output-buffer-limit", "normal 20000 0 0"]);
        assert_eq!(limit, Reply::ok());
        assert!(!victim.say("HELLO 3").is_error());
        assert_eq!(victim.say("CLIENT TRACKING ON"), Reply::ok());
        assert!(victim.run(["GET", &name]).is_nil());
    };
    closed_by(track, &[&format!("SET {name} 1")]);
}

/// By chance, many times: the release and the end of the wait are on their way at the same moment.
#[test]
fn races_of_a_grant_with_an_unblock_or_a_kill() {
    let Scene { server, mut client, mut other, mut victim, mut id, mut next } = scene(Server::start());
    for round in 0..3_000 {
        let end = ENDS[round % ENDS.len()].replace('#', &id.to_string());
        let mut senders = [(&mut client, "LOCK.RELEASE k a"), (&mut other, end.as_str())];
        senders.rotate_left(round % 2);
        for (sender, line) in &mut senders {
            sender.send(line.split(' '));
            (0..round % 50).for_each(|_| std::hint::spin_loop());
        }
        client.read();
        other.read();
        let told = victim.try_read();
        match &told {
            Ok(Reply::Int(_)) => assert_eq!(client.say("LOCK.RELEASE k b"), Reply::Int(1), "round {round}"),
            Ok(told) => assert!(told.is_nil() || told.text().starts_with("UNBLOCKED "), "{told:?}"),
            // Not told in time: taken back, or its last words were lost with the connection.
            Err(_) => drop(client.say("LOCK.RELEASE k b")),
        }
        if end.contains("KILL") {
            assert!(victim.try_read().is_err(), "round {round}: {end}: more after {told:?}");
            victim = server.connect();
            id = victim.id();
        } else {
            assert_eq!(victim.say("PING"), Reply::Simple("PONG".into()), "round {round}: {end}: {told:?}");
        }
        granted(&mut next);
        assert_eq!(client.say("LOCK.RELEASE k c"), Reply::Int(1), "round {round}: {end}: {told:?}");
        client.take("k", "a", "");
        join(&server, &mut victim, &super::ask("k", "b", ""));
        join(&server, &mut next, &super::ask("k", "c", ""));
    }
    super::assert_counters_add_up(&server);
}
