//! SESSION: holds that end with their connection.

use super::{at_once, granted, holders, line, numbered, waiter, BOUND};
use crate::events::Ears;
use crate::keyspace::{assert_counted, counts, say_all};
use crate::support::{holds, Say};
use crate::view::assert_agree;
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// A client that took `key` with SESSION, and its number.
fn session(server: &Server, key: &str, owner: &str, terms: &str) -> (Client, i64) {
    let mut client = server.connect();
    client.take(key, owner, &format!("SESSION {terms}"));
    let id = client.id();
    (client, id)
}

/// The client that the one hold of a lock shows as its session.
#[track_caller]
fn shown(client: &mut Client, key: &str) -> i64 {
    let held = holds(client, key);
    assert_eq!(held.len(), 1, "{held:?}");
    held[0].session
}

#[track_caller]
fn free(client: &mut Client, key: &str) {
    eventually(BOUND, || client.run(["EXISTS", key]) == Reply::Int(0));
}

/// The server has closed this connection, and done what follows from that.
#[track_caller]
fn close(server: &Server, client: Client, id: i64) {
    drop(client);
    gone(server, id);
}

#[track_caller]
fn gone(server: &Server, id: i64) {
    let mut client = server.connect();
    let listed = |list: &Reply| list.text().contains(&format!("id={id} "));
    eventually(BOUND, || !listed(&client.say("CLIENT LIST")));
    // The end of that turn is over when another command runs.
    client.say("PING");
}

#[test]
fn a_hold_ends_when_its_connection_is_closed() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let (holder, id) = session(&server, "k", "a", "");
    assert_eq!(shown(&mut client, "k"), id);
    let before = counts(&server);
    drop(holder);
    assert_eq!(ears.until("0 k del"), ["0 k lock.acquire", "0 k lock.release", "0 k del"]);
    assert_counted(&server, &before, &[("lock_held", -1), ("lock_sessions_dropped", 1)], "a close");
    let (mut holder, id) = session(&server, "k", "a", "");
    client.say(&format!("CLIENT KILL ID {id}"));
    assert_eq!(client.say("EXISTS k"), Reply::Int(0), "a kill ends it in the same turn");
    assert!(holder.try_read().is_err());
    super::assert_counters_add_up(&server);
}

/// Which connection asks decides, not which commands it runs: RESET, HELLO and SELECT are no close.
#[test]
fn a_reset_is_not_a_close() {
    let server = Server::start();
    let mut client = server.connect();
    let (mut holder, id) = session(&server, "k", "a", "");
    for line in ["RESET", "HELLO 3", "SELECT 1", "CLIENT NO-EVICT on"] {
        assert!(!holder.say(line).is_error(), "{line}");
    }
    assert_eq!(shown(&mut client, "k"), id);
    drop(holder);
    free(&mut client, "k");
}

#[test]
fn a_process_that_is_killed_loses_its_lock() {
    let server = Server::builder().tcp().start();
    let mut client = server.connect();
    let talk = "exec 3<>/dev/tcp/127.0.0.1/$1 && printf 'LOCK.ACQUIRE k a 600000 SESSION\\r\\n' >&3 \
                && read -r token <&3 && echo \"$token\" && read -r never <&3";
    let mut process = Command::new("bash")
        .args(["-c", talk, "talk", &server.port().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash runs");
    let mut token = String::new();
    BufReader::new(process.stdout.take().expect("its output")).read_line(&mut token).expect("a line");
    assert!(token.starts_with(':'), "{token}");
    assert_eq!(holders(&mut client, "k"), ["a"]);
    process.kill().expect("it can be killed");
    process.wait().expect("it has ended");
    free(&mut client, "k");
    assert_eq!(server.info_u64("lock", "lock_sessions_dropped"), 1);
}

#[test]
fn sessions_go_with_their_lock() {
    for (move_it, db, key) in [
        ("RENAME k l", 0, "l"),
        ("MOVE k 1", 1, "k"),
        ("SWAPDB 0 1", 1, "k"),
        ("EVAL return{redis.call('RENAME','k','m'),redis.call('RENAME','m','l')} 0", 0, "l"),
    ] {
        let server = Server::start();
        let mut client = server.connect();
        let (holder, id) = session(&server, "k", "a", "SHARED");
        client.take("k", "b", "SHARED");
        say_all(&mut client, &[move_it, &format!("SELECT {db}")]);
        let sessions: Vec<i64> = holds(&mut client, key).iter().map(|hold| hold.session).collect();
        assert_eq!(sessions, [id, 0], "{move_it}");
        close(&server, holder, id);
        assert_eq!(holders(&mut client, key), ["b"], "{move_it}");
        super::assert_counters_add_up(&server);
    }
}

/// The close and what happens to the lock fall into one turn of the event loop, in both orders.
#[test]
fn a_lock_that_moves_while_its_connection_is_closed_is_released() {
    for (move_it, db, key) in [("RENAME k l", 0, "l"), ("MOVE k 1", 1, "k"), ("SWAPDB 0 1", 1, "k")] {
        for kill_first in [true, false] {
            let server = Server::start();
            let mut client = server.connect();
            let (_holder, id) = session(&server, "k", "a", "");
            let kill = format!("CLIENT KILL ID {id}");
            let commands = if kill_first { [kill.as_str(), move_it] } else { [move_it, kill.as_str()] };
            at_once(&mut client, &commands);
            say_all(&mut client, &[&format!("SELECT {db}")]);
            free(&mut client, key);
            assert_eq!(server.info_u64("lock", "lock_sessions_dropped"), 1, "{commands:?}");
            super::assert_counters_add_up(&server);
        }
    }
}

/// Also where all of it happens in one turn: the new hold may lie where the old one lay.
#[test]
fn a_late_close_never_touches_a_newer_hold() {
    let server = Server::start();
    let mut client = server.connect();
    for end in ["LOCK.RELEASE k a", "DEL k", "FLUSHALL", "FLUSHALL ASYNC", "SET k v", "RENAME k gone"] {
        for in_one_turn in [true, false] {
            let (holder, id) = session(&server, "k", "a", "");
            let kill = format!("CLIENT KILL ID {id}");
            let mut commands = vec![end];
            if end == "SET k v" {
                commands.push("DEL k");
            }
            if in_one_turn {
                commands.insert(0, &kill);
            }
            commands.push("LOCK.ACQUIRE k a 600000");
            at_once(&mut client, &commands);
            close(&server, holder, id);
            assert_eq!(holders(&mut client, "k"), ["a"], "{commands:?}");
            assert_eq!(shown(&mut client, "k"), 0, "{commands:?}");
            say_all(&mut client, &["LOCK.RELEASE k a"]);
            free(&mut client, "gone");
        }
    }
    super::assert_counters_add_up(&server);
}

#[test]
fn what_was_loaded_or_restored_has_no_session() {
    for how in ["restart", "DEBUG RELOAD", "RESTORE"] {
        let mut server = Server::builder().config("appendonly", "yes").start();
        let mut client = server.connect();
        let (holder, id) = session(&server, "k", "a", "META m");
        assert_eq!(shown(&mut client, "k"), id);
        match how {
            "restart" => {
                server.restart();
                client = server.connect();
            }
            "DEBUG RELOAD" => say_all(&mut client, &[how]),
            _ => {
                let dump = client.say("DUMP k");
                say_all(&mut client, &["DEL k"]);
                client.run([&b"RESTORE"[..], b"k", b"0", dump.bytes()]);
            }
        }
        assert_eq!(shown(&mut client, "k"), 0, "{how}");
        if how == "restart" {
            drop(holder);
        } else {
            close(&server, holder, id);
        }
        assert_eq!(holders(&mut client, "k"), ["a"], "{how}");
        // Client numbers begin anew after a restart: the next one is a stranger.
        for _ in 0..20 {
            let mut stranger = server.connect();
            stranger.say("PING");
        }
        assert_eq!(holders(&mut client, "k"), ["a"], "{how}");
    }
}

/// As many as there are end with the one connection, also where that takes several turns.
#[test]
fn a_connection_with_many_locks() {
    let server = Server::start();
    let mut holder = server.connect();
    let take =
        |n| ["LOCK.ACQUIRE".into(), format!("many:{n}"), "a".into(), "600000".into(), "SESSION".into()];
    holder.pipeline((0..5000).map(take));
    let mut last = waiter(&server, "many:17", "b", "");
    drop(holder);
    granted(&mut last);
    eventually(BOUND, || server.info_u64("lock", "lock_held") == 1);
    assert_eq!(server.info_u64("lock", "lock_sessions_dropped"), 5000);
}

#[test]
fn the_line_is_served_when_a_session_ends() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let (holder, _) = session(&server, "k", "a", "");
    let (mut first, first_id) = numbered(&server, "k", "b", "SESSION META mine");
    let (mut second, second_id) = numbered(&server, "k", "b", "SESSION");
    let mut third = waiter(&server, "k", "c", "");
    ears.heard();
    drop(holder);
    let token = granted(&mut first);
    assert_eq!(granted(&mut second), token);
    assert_eq!(ears.heard(), ["0 k lock.release", "0 k lock.acquire"]);
    assert_eq!(shown(&mut client, "k"), second_id, "one who waited is bound to its connection as any other");
    close(&server, second, second_id);
    assert_eq!(shown(&mut client, "k"), first_id);
    assert_eq!(line(&mut client, "k"), ["c"]);
    drop(first);
    granted(&mut third);
    assert_eq!(shown(&mut client, "k"), 0);
    super::assert_counters_add_up(&server);
}

/// In a script it has none: `errors/rows.rs`.
#[test]
fn in_a_transaction_the_connection_is_its_own() {
    let server = Server::start();
    let (mut client, mut holder) = (server.connect(), server.connect());
    at_once(&mut holder, &["LOCK.ACQUIRE k a 600000 SESSION"]);
    assert_eq!(shown(&mut client, "k"), holder.id());
    drop(holder);
    free(&mut client, "k");
}

#[test]
fn a_replica_follows_and_has_no_sessions() {
    let server = Server::builder().tcp().start();
    let replica = server.replica();
    let (mut there, mut ears) = (replica.connect(), Ears::on(&replica));
    let (holder, id) = session(&server, "k", "a", "SHARED");
    let (_other, _) = session(&server, "k", "b", "SHARED");
    assert_agree(&server, &replica, "with sessions");
    assert!(holds(&mut there, "k").iter().all(|hold| hold.session == 0));
    close(&server, holder, id);
    assert_agree(&server, &replica, "after a close");
    assert_eq!(ears.heard(), ["0 k lock.acquire", "0 k lock.acquire", "0 k lock.release"]);
    // After the failover only the ttl counts, for whoever had a connection there and here.
    say_all(&mut there, &["REPLICAOF NO ONE"]);
    drop(server);
    for _ in 0..5 {
        replica.connect().say("PING");
    }
    assert_eq!(holders(&mut there, "k"), ["b"]);
}

#[test]
fn a_server_that_is_demoted_forgets_its_sessions() {
    let server = Server::start();
    let mut client = server.connect();
    let (holder, id) = session(&server, "k", "a", "");
    let (other, other_id) = session(&server, "l", "a", "");
    say_all(&mut client, &["REPLICAOF 127.0.0.1 1"]);
    assert_eq!(shown(&mut client, "k"), 0);
    close(&server, holder, id);
    say_all(&mut client, &["REPLICAOF NO ONE"]);
    close(&server, other, other_id);
    assert_eq!((holders(&mut client, "k"), holders(&mut client, "l")), (vec!["a".into()], vec!["a".into()]));
}
