//! Locks that leave the server and come back: DUMP and RESTORE, MIGRATE, DEBUG RELOAD.

use super::{assert_counted, counts, crowd, say_all, CROWD};
use crate::events::Ears;
use crate::support::{holds, Say};
use redis_lock_harness::{Client, Reply, Server};

const GONE: i64 = CROWD as i64;

fn restore(client: &mut Client, key: &str, payload: &Reply, options: &[&str]) -> Reply {
    let mut command: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), b"0", payload.bytes()];
    command.extend(options.iter().map(|word| word.as_bytes()));
    client.run(command)
}

#[test]
fn restore_brings_back_all_holds() {
    let server = Server::start();
    let mut client = server.connect();
    let held = crowd(&mut client, "lock");
    let payload = client.say("DUMP lock");
    say_all(&mut client, &["DEL lock"]);
    let before = counts(&server);
    assert_eq!(restore(&mut client, "lock", &payload, &[]), Reply::ok());
    assert_eq!(restore(&mut client, "other", &payload, &[]), Reply::ok());
    assert_eq!(holds(&mut client, "lock"), held);
    assert_eq!(holds(&mut client, "other"), held);
    let left = client.say("LOCK.TTL lock").int();
    assert!(0 < left && left <= 3_600_000, "{left}");
    assert_counted(&server, &before, &[("lock_held", 2 * GONE)], "RESTORE");
    assert_eq!(client.say("LOCK.RELEASE lock a"), Reply::Int(1));
    assert_eq!(counts(&server)["lock_held"], 2 * GONE - 1);
}

#[test]
fn restore_replaces_a_lock_by_a_lock() {
    let server = Server::start();
    let mut client = server.connect();
    let held = crowd(&mut client, "lock");
    let payload = client.say("DUMP lock");
    say_all(&mut client, &["LOCK.ACQUIRE other x 1000000"]);
    let before = counts(&server);
    assert_eq!(restore(&mut client, "other", &payload, &["REPLACE"]), Reply::ok());
    assert_eq!(holds(&mut client, "other"), held);
    let expected = [("lock_held", GONE - 1), ("lock_removed", 1)];
    assert_counted(&server, &before, &expected, "RESTORE REPLACE");
    assert_eq!(restore(&mut client, "lock", &payload, &["REPLACE"]), Reply::ok());
    assert_eq!(holds(&mut client, "lock"), held);
    let expected = [("lock_held", GONE - 1), ("lock_removed", 1 + GONE)];
    assert_counted(&server, &before, &expected, "RESTORE REPLACE over itself");
}

#[test]
fn a_restored_lock_expires_at_its_own_deadline() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let mut replies = client.pipeline(["LOCK.ACQUIRE lock a 100".split(' '), "DUMP lock".split(' ')]);
    let payload = replies.remove(1);
    say_all(&mut client, &["DEL lock"]);
    ears.heard();
    let before = counts(&server);
    restore(&mut client, "lock", &payload, &[]);
    assert_eq!(ears.until("0 lock del"), ["0 lock restore", "0 lock lock.expired", "0 lock del"]);
    assert_counted(&server, &before, &[("lock_expired", 1)], "the deadline after RESTORE");
}

#[test]
fn debug_reload_keeps_locks_and_their_tokens() {
    let server = Server::start();
    let mut client = server.connect();
    let held = crowd(&mut client, "lock");
    say_all(&mut client, &["SELECT 7"]);
    let far = crowd(&mut client, "far");
    let (before, digest) = (counts(&server), client.say("DEBUG DIGEST"));
    assert_eq!(client.say("DEBUG RELOAD"), Reply::ok());
    assert_eq!(client.say("DEBUG DIGEST"), digest);
    assert_eq!(counts(&server)["lock_held"], before["lock_held"]);
    assert_eq!(holds(&mut client, "far"), far);
    say_all(&mut client, &["SELECT 0"]);
    assert_eq!(holds(&mut client, "lock"), held);
    let highest = far.iter().map(|hold| hold.fence).max();
    assert!(Some(client.say("LOCK.ACQUIRE new a 1000").int()) > highest);
    for owner in ["a", "b", "c"] {
        let release = format!("LOCK.RELEASE lock {owner}");
        assert_eq!(client.say(&release), Reply::Int(1));
    }
    assert_eq!(client.say("EXISTS lock"), Reply::Int(0));
}

#[test]
fn deadlines_come_after_a_reload() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let replies = client.pipeline(["LOCK.ACQUIRE lock a 300".split(' '), "DEBUG RELOAD".split(' ')]);
    assert_eq!(replies[1], Reply::ok());
    let heard = ears.until("0 lock del");
    assert!(heard.ends_with(&["0 lock lock.expired".into(), "0 lock del".into()]), "{heard:?}");
    assert_eq!(counts(&server)["lock_held"], 0);
}

#[test]
fn migrate_takes_a_lock_to_another_server() {
    let (from, to) = (Server::start(), Server::builder().tcp().start());
    let (mut here, mut there) = (from.connect(), to.connect());
    let held = crowd(&mut here, "lock");
    let (before, arriving) = (counts(&from), counts(&to));
    let migrate = |client: &mut Client, key: &str, options: &str| {
        client.say(&format!("MIGRATE 127.0.0.1 {} {key} 0 10000{options}", to.port()))
    };
    assert_eq!(migrate(&mut here, "lock", " COPY"), Reply::ok());
    assert_eq!(holds(&mut here, "lock"), held);
    assert_counted(&from, &before, &[], "MIGRATE COPY");
    let busy = migrate(&mut here, "lock", "");
    assert!(busy.text().contains("BUSYKEY"), "{busy:?}");
    assert_eq!(holds(&mut here, "lock"), held);
    assert_eq!(migrate(&mut here, "lock", " REPLACE"), Reply::ok());
    assert_eq!(here.say("EXISTS lock"), Reply::Int(0));
    assert_counted(&from, &before, &[("lock_held", -GONE), ("lock_removed", GONE)], "MIGRATE");
    assert_eq!(holds(&mut there, "lock"), held);
    let expected = [("lock_held", GONE), ("lock_removed", GONE)];
    assert_counted(&to, &arriving, &expected, "COPY, then REPLACE");
    let highest = held.iter().map(|hold| hold.fence).max();
    assert!(Some(there.say("LOCK.ACQUIRE new a 1000").int()) > highest);
    assert_eq!(there.say("LOCK.RELEASE lock a"), Reply::Int(1));
}
