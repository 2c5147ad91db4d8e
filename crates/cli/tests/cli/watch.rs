//! `redis-lock watch`: what it shows, in a terminal and elsewhere.

use crate::support::*;
use crate::terminal::Terminal;
use redis_lock_harness::{Client, Node, Server, eventually};
use serde_json::Value;
use std::os::fd::IntoRawFd;
use std::process::Stdio;
use unicode_width::UnicodeWidthStr;

/// A node whose server tells these keyspace events.
fn node(events: &str) -> Node {
    Node::behind_proxy(Server::builder().tcp().config("notify-keyspace-events", events).start())
}

fn watch(node: &Node, arguments: &[&str]) -> Program {
    let mut command = program();
    command.args(["watch", "--node", &node.url()]).args(arguments);
    start(command)
}

fn acquire(client: &mut Client, key: &str, owner: &str, ttl: &str) -> i64 {
    client.run(["LOCK.ACQUIRE", key, owner, ttl, "META", "nightly"]).int()
}

/// The changes told so far, as lines of JSON.
fn changes(program: &Program) -> Vec<Value> {
    program.out().lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn a_line_for_each_change() {
    // By either kind of event it is told at once; the interval is longer than the test.
    for events in ["Kd", "Ed", "AKE"] {
        let node = node(events);
        let mut client = node.server().connect();
        acquire(&mut client, "before", "alice", "60000");
        let mut program = watch(&node, &["--interval", "1h"]);
        program.says("before held by nightly (exclusive), token ");
        program.says("keyspace events tell what happens");
        acquire(&mut client, "key", "bob", "60000");
        program.says("key acquired by nightly");
        client.run(["LOCK.EXTEND", "before", "alice", "90000"]);
        program.says("before extended by nightly");
        client.run(["LOCK.RELEASE", "key", "bob"]);
        program.says("key released by nightly");
        acquire(&mut client, "short", "carol", "50");
        program.says("short expired by nightly");
        program.signal(libc::SIGINT);
        assert_eq!(program.outcome().code(), 130);
    }
}

/// An event that comes with the reply of a look that saw it already is not told once more, and no end is without a
/// reason.
#[test]
fn each_hold_is_told_once_however_often_it_looks() {
    let node = node("Kd");
    let mut program = watch(&node, &["--json", "--interval", "5ms", "k*"]);
    program.says("keyspace events tell what happens");
    let mut client = node.server().connect();
    for number in 0..60 {
        let key = format!("k{number}");
        acquire(&mut client, &key, "owner", "60000");
        program.says(&format!("\"lock\":\"{key}\""));
        client.run(["LOCK.RELEASE", &key, "owner"]);
    }
    let told = |what: &str| changes(&program).iter().filter(|change| change["change"] == what).count();
    eventually(BOUND, || told("released") + told("ended") == 60);
    // One that is there before the first look is told as held.
    assert_eq!((told("acquired") + told("held"), told("released"), told("brief")), (60, 60, 0));
}

#[test]
fn without_events_it_looks_again_and_again() {
    let node = node("");
    let mut client = node.server().connect();
    acquire(&mut client, "before", "alice", "60000");
    let mut program = watch(&node, &["--interval", "20ms"]);
    program.says("before held by nightly");
    program.says("no keyspace events");
    acquire(&mut client, "key", "bob", "60000");
    program.says("key acquired by nightly");
    node.server().connect().send(["LOCK.ACQUIRE", "key", "carol", "60000", "BLOCK", "0"]);
    client.run(["DEL", "key"]);
    program.says("key ended by nightly");
}

#[test]
fn json_has_all_there_is() {
    let node = node("Kd");
    let mut client = node.server().connect();
    acquire(&mut client, "key 0", "alice", "60000");
    let mut program = watch(&node, &["--json", "--interval", "20ms", "key*"]);
    program.says("held");
    acquire(&mut client, "other", "alice", "60000");
    let token = acquire(&mut client, "key 1", "bob\n", "60000");
    program.says("acquired");
    let mut waiter = node.server().connect();
    waiter.send(["LOCK.ACQUIRE", "key 1", "carol", "60000", "BLOCK", "0"]);
    program.says("waiting");
    client.run(["LOCK.RELEASE", "key 1", "bob\n"]);
    program.says("released");
    program.says("\"owner\":\"carol\",\"token\"");
    let mut changes = changes(&program);
    assert_eq!(changes.remove(0)["lock"], "key 0");
    let told: Vec<_> = changes.iter().map(|change| change["change"].as_str().expect("a word")).collect();
    assert_eq!(told, ["acquired", "waiting", "released", "acquired"], "{changes:?}");
    assert!(changes.iter().all(|change| change["lock"] == "key 1"), "the pattern: {changes:?}");
    let first = &changes[0];
    assert_eq!((&first["owner"], &first["meta"]), (&Value::from("bob\\x0a"), &Value::from("nightly")));
    assert_eq!((first["token"].as_i64(), first["limit"].as_i64()), (Some(token), Some(1)));
    assert!(first["ttl_ms"].as_u64().is_some_and(|ttl| (1..=60_000).contains(&ttl)), "{first}");
    assert!(first["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{first}");
}

/// Over several servers requests wait for another lock than the one they want.
#[test]
fn who_waits_in_the_line_of_a_lock_is_shown_with_it() {
    let node = node("Kd");
    let mut client = node.server().connect();
    acquire(&mut client, "key", "alice", "60000");
    acquire(&mut client, "key#line", "alice", "60000");
    let mut waiter = node.server().connect();
    waiter.send(["LOCK.ACQUIRE", "key#line", "bob", "60000", "BLOCK", "0"]);
    eventually(BOUND, || node.server().info_u64("lock", "lock_waiting") == 1);
    for pattern in ["*", "key", "k?y"] {
        let mut program = watch(&node, &["--interval", "20ms", pattern]);
        program.says("key held by nightly");
        program.says("key waiting bob");
        let shown = program.out();
        assert!(!shown.contains("#line"), "{shown}");
        program.signal(libc::SIGINT);
        assert_eq!(program.outcome().code(), 130);
    }
    let mut program = watch(&node, &["--interval", "20ms"]);
    program.says("key waiting bob");
    client.run(["LOCK.RELEASE", "key", "alice"]);
    client.run(["LOCK.RELEASE", "key#line", "alice"]);
    program.says("key released by nightly");
    // Its turn: it takes the lock under another owner.
    acquire(&mut client, "key", "bob again", "60000");
    program.says("key acquired by nightly");
    let shown = program.out();
    assert!(!shown.contains("key left") && !shown.contains("#line"), "{shown}");
}

#[test]
fn a_lock_among_many_keys_is_found() {
    let node = node("");
    let mut client = node.server().connect();
    client.run(["DEBUG", "POPULATE", "50000", "other"]);
    acquire(&mut client, "key", "bob", "600000");
    let mut program = watch(&node, &["--interval", "20ms"]);
    program.says("key held by nightly");
}

#[test]
fn it_goes_on_when_the_server_is_there_again() {
    let node = node("Kd");
    let mut program = watch(&node, &["--interval", "20ms"]);
    program.says("keyspace events tell");
    node.kill();
    program.says("trying again");
    node.restart();
    // Whether it is connected again shows in what it tells.
    acquire(&mut node.server().connect(), "key", "bob", "600000");
    program.says("key ");
}

/// Who only reads the lines must not believe that a lock is held which went away with the server.
#[test]
fn what_ended_while_the_server_was_away_is_told() {
    let node = node("Kd");
    acquire(&mut node.server().connect(), "key", "bob", "600000");
    let mut program = watch(&node, &["--json", "--interval", "20ms"]);
    program.says("\"held\"");
    node.kill();
    program.says("trying again");
    // It remembers nothing.
    node.restart();
    program.says("\"ended\"");
    acquire(&mut node.server().connect(), "key", "carol", "600000");
    program.says("carol");
    let changes = changes(&program);
    let told: Vec<_> =
        changes.iter().map(|change| (change["change"].as_str(), change["owner"].as_str())).collect();
    let all = [("held", "bob"), ("ended", "bob"), ("acquired", "carol")];
    assert_eq!(told, all.map(|(change, owner)| (Some(change), Some(owner))), "{changes:?}");
}

#[test]
fn what_can_t_be_watched_is_told() {
    let plain = Node::behind_proxy(Server::builder().without_module().tcp().start());
    let outcome = watch(&plain, &[]).outcome();
    assert_eq!(outcome.code(), 69, "{outcome:?}");
    assert!(outcome.err.contains("the module is not loaded there"), "{outcome:?}");
    let mut command = program();
    command.args(["watch", "--node", &plain.url().replace("redis:", "rediss:")]);
    let outcome = start(command).outcome();
    assert_eq!(outcome.code(), 69, "TLS with a server that has none: {outcome:?}");
    plain.kill();
    let outcome = watch(&plain, &[]).outcome();
    assert_eq!(outcome.code(), 69, "{outcome:?}");
    let mut command = program();
    command.args(["watch", "--node", "nonsense"]);
    let outcome = start(command).outcome();
    assert_eq!(outcome.code(), 64, "{outcome:?}");
    assert!(outcome.err.contains("redis://host:6379"), "{outcome:?}");
}

/// Trying again does not help against that.
#[test]
fn a_user_who_may_not_look_is_told() {
    let node = node("Kd");
    let mut client = node.server().connect();
    for command in ["scan", "lock.info"] {
        let denied = format!("-{command}");
        client.run(["ACL", "SETUSER", "watcher", "reset", "on", ">secret", "~*", "&*", "+@all", &denied]);
        let mut program = program();
        program.args(["watch", "--node", &node.url().replace("://", "://watcher:secret@")]);
        let outcome = start(program).outcome();
        assert_eq!(outcome.code(), 69, "{outcome:?}");
        assert!(outcome.err.contains(command) && outcome.err.contains("ACL SETUSER"), "{outcome:?}");
    }
}

#[test]
fn a_permission_taken_away_is_no_end_of_a_lock() {
    let node = node("");
    let mut client = node.server().connect();
    acquire(&mut client, "key", "bob", "600000");
    client.run(["ACL", "SETUSER", "watcher", "reset", "on", ">secret", "~*", "+@all"]);
    let mut command = program();
    let url = node.url().replace("://", "://watcher:secret@");
    command.args(["watch", "--node", &url, "--interval", "20ms"]);
    let mut program = start(command);
    program.says("key held by nightly");
    client.run(["ACL", "SETUSER", "watcher", "resetkeys", "~other"]);
    program.says("may not watch");
    let outcome = program.outcome();
    assert_eq!(outcome.code(), 69, "{outcome:?}");
    assert!(!outcome.out.contains("ended"), "{outcome:?}");
}

#[test]
fn a_signal_ends_it_when_nobody_reads() {
    let node = node("Kd");
    let mut client = node.server().connect();
    for number in 0..200 {
        acquire(&mut client, &format!("key {number}"), "bob", "600000");
    }
    let mut command = program();
    command.args(["watch", "--json", "--node", &node.url()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it is built");
    let pipe = child.stdout.take().expect("it is piped").into_raw_fd();
    // SAFETY: only the pipe's size is set.
    let size = unsafe { libc::fcntl(pipe, libc::F_SETPIPE_SZ, 4096) };
    let mut unread = 0;
    // SAFETY: there is room for what is asked.
    eventually(BOUND, || unsafe { libc::ioctl(pipe, libc::FIONREAD, &mut unread) } == 0 && unread >= size);
    kill(child.id(), libc::SIGTERM);
    let status = eventually(BOUND, || child.try_wait().expect("it can be waited for"));
    assert_eq!(status.code(), Some(143));
    // SAFETY: it is ours, and not used any more.
    unsafe { libc::close(pipe) };
}

/// As it is where the server refuses to write, as for want of replicas.
#[test]
fn who_waits_for_what_nobody_holds_is_seen_by_its_name() {
    let node = node("");
    let mut client = node.server().connect();
    acquire(&mut client, "key*", "alice", "600000");
    let mut waiter = node.server().connect();
    waiter.send(["LOCK.ACQUIRE", "key*", "bob", "600000", "BLOCK", "0"]);
    eventually(BOUND, || owners(&node, "key*").len() == 2);
    // At once: else it would be granted before.
    client.pipeline([
        &["MULTI"][..],
        &["DEL", "key*"],
        &["CONFIG", "SET", "min-replicas-to-write", "1"],
        &["EXEC"],
    ]);
    eventually(BOUND, || owners(&node, "key*") == ["bob"]);
    let mut program = watch(&node, &["--interval", "20ms", r"key\*"]);
    program.says("key* waiting bob");
}

/// What is the most of a terminal's line: the long names are cut, not the columns after them.
#[test]
fn a_narrow_terminal_shows_all_columns() {
    let node = node("Kd");
    let mut client = node.server().connect();
    let owner = "long owner ".repeat(4);
    let mut tokens = Vec::new();
    for name in ["n".repeat(40), "鍵".repeat(40)] {
        let reply = client.run(["LOCK.ACQUIRE", &name, &owner, "600000", "META", &"長".repeat(40)]);
        tokens.push(reply.int());
    }
    let mut command = program();
    command.args(["watch", "--node", &node.url(), "--interval", "50ms"]);
    let mut terminal = Terminal::of_width(80, command);
    terminal.shows("2 locks");
    for part in ["LEFT", "WAITING", "TOKEN", "nnn…", "鍵…", "長…"] {
        terminal.shows(part);
    }
    terminal.types(b"\x03");
    terminal.shows("\x1b[?1049l");
    let screen = terminal.screen();
    for line in screen.split("\r\n").filter(|line| line.contains('…')) {
        let line = line.split('\x1b').next().expect("there is a first");
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
        assert!(tokens.iter().any(|token| line.ends_with(&format!("  {token}"))), "{line}");
    }
    assert_eq!(terminal.code(), 130);
}

#[test]
fn in_a_terminal_it_is_a_table() {
    let node = node("Kd");
    let mut client = node.server().connect();
    acquire(&mut client, "before", "alice", "600000");
    let mut command = program();
    command.args(["watch", "--node", &node.url(), "--interval", "50ms"]);
    let mut terminal = Terminal::start(command);
    terminal.shows("LOCK");
    terminal.shows("before  nightly  exclusive");
    acquire(&mut client, "key", "bob", "600000");
    terminal.shows("2 locks, 2 holders, 0 waiting");
    let mut waiter = node.server().connect();
    waiter.send(["LOCK.ACQUIRE", "key", "carol", "60000", "BLOCK", "0"]);
    terminal.shows("carol");
    client.run(["LOCK.RELEASE", "before", "alice"]);
    terminal.shows("1 locks, 1 holders, 1 waiting");
    terminal.types(b"\x03");
    terminal.shows("\x1b[?1049l");
    assert_eq!(terminal.code(), 130);
}

#[test]
fn ctrl_z_gives_the_terminal_back_for_a_while() {
    let node = node("Kd");
    let mut command = program();
    command.args(["watch", "--node", &node.url()]);
    let mut terminal = Terminal::start(command);
    terminal.shows("0 locks");
    terminal.types(b"\x1a");
    terminal.shows("\x1b[?1049l");
    let before = terminal.screen().matches("\x1b[?1049h").count();
    terminal.goes_on_after_a_stop();
    eventually(BOUND, || terminal.screen().matches("\x1b[?1049h").count() > before);
    terminal.types(b"\x03");
    assert_eq!(terminal.code(), 130);
}
