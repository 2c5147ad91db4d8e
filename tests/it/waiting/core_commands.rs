//! What core commands do to a lock that is waited for: the line belongs to database and name.

use super::{assert_counters_add_up, at_once, granted, holders, line, waiter, waiting, BOUND};
use crate::keyspace::say_all;
use crate::support::Say;
use redis_lock_harness::{eventually, Client, Reply, Server};

/// The lock `k` of `a` is waited for by `b` and `c`; `z` holds `other`.
fn scene(server: &Server) -> (Client, [Client; 2]) {
    let mut client = server.connect();
    client.take("k", "a", "");
    client.take("other", "z", "");
    let waiters = ["b", "c"].map(|owner| waiter(server, "k", owner, ""));
    (client, waiters)
}

#[test]
fn a_lock_that_goes_away_is_handed_on() {
    for command in [
        "DEL k",
        "UNLINK k",
        "FLUSHDB",
        "FLUSHDB ASYNC",
        "FLUSHALL SYNC",
        "FLUSHALL ASYNC",
        "RENAME k new",
        "RENAME k other",
        "RENAMENX k new",
        "MOVE k 1",
        "SWAPDB 0 1",
        "EXPIRE k -1",
        "PEXPIRE k 1",
        "LOCK._DROP k RELEASED a",
        "LOCK._DROP k EXPIRED a",
        "EVAL return{redis.call('DEL','k')} 0",
    ] {
        let server = Server::start();
        let (mut client, [mut first, mut second]) = scene(&server);
        let reply = client.say(command);
        assert!(!reply.is_error(), "{command}: {reply:?}");
        granted(&mut first);
        assert_eq!(holders(&mut client, "k"), ["b"], "{command}");
        assert_eq!(line(&mut client, "k"), ["c"], "{command}");
        assert_eq!(server.info_u64("lock", "lock_handed_over"), 1, "{command}");
        assert_eq!(client.say("DEL k"), Reply::Int(1));
        granted(&mut second);
        // The server counts nothing that effects do: that was decided elsewhere.
        if !command.starts_with("LOCK._") {
            assert_counters_add_up(&server);
        }
    }
}

/// All in line are let in who fit, as after a release.
#[test]
fn readers_are_let_in_together_after_a_core_command() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut readers = ["1", "2"].map(|owner| waiter(&server, "k", owner, "SHARED"));
    let _writer = waiter(&server, "k", "writer", "");
    at_once(&mut client, &["DEL k", "SET x y", "LOCK.ACQUIRE k barging 600000 SHARED"]);
    for reader in &mut readers {
        granted(reader);
    }
    assert_eq!(line(&mut client, "k"), ["writer"]);
    assert_eq!(holders(&mut client, "k"), ["1", "2"], "until the line was served nobody else got it");
}

/// No new request is taken then, but what waits is served, by commands and by core commands.
#[test]
fn a_server_without_memory_hands_on() {
    let server = Server::start();
    let (mut client, [mut first, mut second]) = scene(&server);
    say_all(&mut client, &["CONFIG SET maxmemory 1"]);
    let refused = client.say("LOCK.ACQUIRE k d 1000 BLOCK 0");
    assert!(refused.text().starts_with("OOM "), "{refused:?}");
    assert_eq!(client.say("LOCK.RELEASE k a"), Reply::Int(1));
    granted(&mut first);
    assert_eq!(client.say("DEL k"), Reply::Int(1));
    granted(&mut second);
}

/// Puts the dumped `other` where `k` is.
fn restore(client: &mut Client) {
    let dump = client.say("DUMP other");
    let restore = [&b"RESTORE"[..], b"k", b"0", dump.bytes(), b"REPLACE"];
    assert_eq!(client.run(restore), Reply::ok());
}

type Replace = (&'static str, fn(&mut Client));

/// Ways to put the lock `other` of `z` where `k` is.
const REPLACE: [Replace; 4] = [
    ("RENAME", |client| say_all(client, &["RENAME other k"])),
    ("RESTORE", restore),
    ("MOVE", |client| {
        say_all(client, &["MOVE other 1", "SELECT 1", "RENAME other k"]);
        let replies = at_once(client, &["SELECT 0", "DEL k", "SELECT 1", "MOVE k 0", "SELECT 0"]);
        assert_eq!(replies[3], Reply::Int(1));
    }),
    ("SWAPDB", |client| {
        say_all(client, &["MOVE other 1", "SELECT 1", "RENAME other k", "SELECT 0", "SWAPDB 0 1"]);
    }),
];

#[test]
fn a_lock_that_takes_the_place_of_another_is_waited_for() {
    for (how, replace) in REPLACE {
        let server = Server::start();
        let (mut client, [mut first, mut second]) = scene(&server);
        replace(&mut client);
        assert_eq!(holders(&mut client, "k"), ["z"], "{how}");
        assert_eq!(line(&mut client, "k"), ["b", "c"], "{how}");
        assert_eq!(client.say("LOCK.RELEASE k z"), Reply::Int(1), "{how}");
        granted(&mut first);
        client.say("LOCK.RELEASE k b");
        granted(&mut second);
        // What is restored was granted elsewhere.
        if how != "RESTORE" {
            assert_counters_add_up(&server);
        }
    }
}

/// One who waits for a lock that comes has what it waits for: it is told the token of that hold.
#[test]
fn a_lock_that_comes_answers_its_own_holder() {
    for (how, replace) in REPLACE {
        let server = Server::start();
        let (mut client, [_first, _second]) = scene(&server);
        let mut holder = waiter(&server, "k", "z", "");
        let token = client.say("LOCK.INFO other").get("fence").int();
        replace(&mut client);
        assert_eq!(granted(&mut holder), token, "{how}");
        assert_eq!(line(&mut client, "k"), ["b", "c"], "{how}");
        assert_eq!(server.info_u64("lock", "lock_handed_over"), 0, "{how}");
    }
}

#[test]
fn an_operators_hold_answers_its_holder() {
    let server = Server::start();
    let (mut client, [_first, mut second]) = scene(&server);
    let token = client.take("probe", "p", "") + 10;
    say_all(&mut client, &[&format!("LOCK._HOLD k c 600000 {token}")]);
    assert_eq!(granted(&mut second), token);
    assert_eq!(
        (holders(&mut client, "k"), line(&mut client, "k")),
        (vec!["a".into(), "c".into()], vec!["b".into()])
    );
}

#[test]
fn what_leaves_the_lock_where_it_is_serves_nobody() {
    for command in ["COPY k copy", "EXPIRE k 1000", "PERSIST k", "TOUCH k", "DEBUG RELOAD", "BGREWRITEAOF"] {
        let server = Server::start();
        let (mut client, [mut first, _second]) = scene(&server);
        let refused = client.say(command);
        assert_eq!(refused.is_error(), command.starts_with("COPY"), "{command}: {refused:?}");
        assert_eq!(holders(&mut client, "k"), ["a"], "{command}");
        assert_eq!(line(&mut client, "k"), ["b", "c"], "{command}");
        assert_eq!(client.say("LOCK.RELEASE k a"), Reply::Int(1), "{command}");
        granted(&mut first);
        assert_eq!(client.say("PTTL k"), Reply::Int(-1), "no native expiry is left for the next: {command}");
    }
}

/// A hold that was restored with no time left is gone for everybody on arrival.
#[test]
fn a_lock_without_time_left_is_handed_on_when_it_comes() {
    let server = Server::start();
    let (mut client, [mut first, _second]) = scene(&server);
    let dump = at_once(&mut client, &["LOCK.ACQUIRE brief s 1", "DEBUG SLEEP 0.005", "DUMP brief"]);
    let restore = [&b"RESTORE"[..], b"k", b"0", dump[2].bytes(), b"REPLACE"];
    assert_eq!(client.run(restore), Reply::ok());
    granted(&mut first);
    assert_eq!(holders(&mut client, "k"), ["b"]);
}

#[test]
fn a_line_belongs_to_a_database_and_a_name() {
    let server = Server::start();
    let (mut client, mut other) = (server.connect(), server.connect());
    say_all(&mut other, &["SELECT 1"]);
    client.take("k", "a", "");
    other.take("k", "a", "");
    let mut here = waiter(&server, "k", "b", "");
    let mut there = server.connect();
    say_all(&mut there, &["SELECT 1"]);
    super::join(&server, &mut there, &super::ask("k", "c", ""));
    assert_eq!((line(&mut client, "k"), line(&mut other, "k")), (vec!["b".into()], vec!["c".into()]));
    say_all(&mut other, &["DEL k"]);
    granted(&mut there);
    assert_eq!(line(&mut client, "k"), ["b"]);
    // The lock goes under another name, the line stays.
    say_all(&mut client, &["RENAME k new"]);
    granted(&mut here);
    assert_eq!(holders(&mut client, "new"), ["a"]);
    assert_eq!(line(&mut client, "new"), [""; 0]);
    eventually(BOUND, || waiting(&server) == 0);
}

/// Who waits in a database waits there on, whatever its number stood for before.
#[test]
fn swapped_databases_keep_their_lines() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    say_all(&mut client, &["SELECT 1"]);
    client.take("k", "z", "");
    let mut waiter = waiter(&server, "k", "b", "");
    say_all(&mut client, &["SWAPDB 0 1", "SELECT 0"]);
    assert_eq!((holders(&mut client, "k"), line(&mut client, "k")), (vec!["z".into()], vec!["b".into()]));
    say_all(&mut client, &["SELECT 1"]);
    assert_eq!((holders(&mut client, "k"), line(&mut client, "k")), (vec!["a".into()], vec![]));
    say_all(&mut client, &["LOCK.RELEASE k a", "SELECT 0"]);
    assert_eq!(line(&mut client, "k"), ["b"]);
    say_all(&mut client, &["LOCK.RELEASE k z"]);
    granted(&mut waiter);
}
