//! One owner's requests among each other: asking again, while it holds and while it waits.

use super::{ask, granted, holders, line, reply, waiter, waiter_saying, waiting};
use crate::events::Ears;
use crate::keyspace::{assert_counted, counts};
use crate::support::{fresh, holds, settled, Say};
use redis_lock_harness::{Reply, Server};

const OTHER_LIMIT: &str = "ERR owner already holds this lock with another limit";

#[test]
fn a_holder_is_answered_at_once_whoever_waits() {
    let server = Server::start();
    let mut client = server.connect();
    let token = client.take("k", "a", "");
    let _waiter = waiter(&server, "k", "b", "");
    for request in [ask("k", "a", ""), "LOCK.ACQUIRE k a 600000".into(), "LOCK.MACQUIRE 1 k a 600000".into()]
    {
        assert_eq!(client.say(&request), Reply::Int(token), "{request}");
    }
    for request in [ask("k", "a", "SHARED"), "LOCK.ACQUIRE k a 600000 LIMIT 2".into()] {
        assert_eq!(client.say(&request), Reply::error(OTHER_LIMIT), "{request}");
    }
    assert_eq!(client.say("LOCK.EXTEND k a 700000"), Reply::Int(1));
    assert_eq!(client.say("LOCK.EXTEND k b 700000"), Reply::Int(0), "who waits holds nothing");
    assert!(client.say("LOCK.MACQUIRE 2 free k a 600000").int() > token, "a new token for both");
    assert_eq!(line(&mut client, "k"), ["b"]);
}

/// Another lock comes to the key: its holders that wait there have what they wait for.
#[test]
fn a_holder_is_answered_wherever_its_request_stands() {
    let server = Server::start();
    let mut client = server.connect();
    let token = client.take("coming", "holder", "");
    client.take("k", "a", "");
    let first = waiter(&server, "k", "first", "");
    let mut holder = waiter(&server, "k", "holder", "");
    let mut wrong = waiter(&server, "k", "holder", "SHARED");
    client.say("RENAME coming k");
    assert_eq!(granted(&mut holder), token);
    assert_eq!(reply(&mut wrong), Reply::error(OTHER_LIMIT));
    assert_eq!(line(&mut client, "k"), ["first"]);
    assert_eq!(holders(&mut client, "k"), ["holder"]);
    assert_eq!(server.info_u64("lock", "lock_handed_over"), 0);
    assert_eq!(server.info_u64("lock", "lock_reacquired"), 1);
    drop(first);
}

#[test]
fn a_grant_answers_all_requests_of_its_owner() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    client.take("k", "a", "");
    let mut first = waiter_saying(&server, "LOCK.ACQUIRE k b 1000000 BLOCK 0 META first");
    let mut between = waiter(&server, "k", "c", "");
    let mut second = waiter_saying(&server, "LOCK.ACQUIRE k b 2000000 BLOCK 600000 META second");
    let mut third = waiter_saying(&server, "LOCK.ACQUIRE k b 1 BLOCK 0");
    ears.heard();
    let before = counts(&server);
    client.say("LOCK.RELEASE k a");
    let token = granted(&mut first);
    assert_eq!(granted(&mut second), token);
    assert_eq!(granted(&mut third), token);
    assert_eq!(ears.heard(), ["0 k lock.release", "0 k lock.acquire", "0 k lock.extend"]);
    assert!(fresh(client.say("LOCK.TTL k").int(), 2_000_000), "the latest deadline of them");
    assert_eq!(holds(&mut client, "k")[0].meta, b"second");
    assert_eq!(line(&mut client, "k"), ["c"]);
    let changes =
        [("lock_acquired", 1), ("lock_handed_over", 1), ("lock_reacquired", 2), ("lock_released", 1)];
    let waits = counts(&server)["lock_wait_ms_sum"] - before["lock_wait_ms_sum"];
    let mut changes = changes.to_vec();
    changes.push(("lock_waiting", -3));
    if waits > 0 {
        changes.push(("lock_wait_ms_sum", waits));
    }
    assert_counted(&server, &before, &changes, "a hand-off");
    client.say("LOCK.RELEASE k b");
    granted(&mut between);
}

#[test]
fn all_are_told_the_token_that_the_last_of_them_raised() {
    let server = settled();
    let mut client = server.connect();
    let token = client.take("k", "a", "");
    let raised = token + 30_000_000;
    let mut first = waiter(&server, "k", "b", "FENCE 1");
    let mut second = waiter(&server, "k", "b", &format!("FENCE {raised}"));
    let mut third = waiter(&server, "k", "b", "FENCE 7");
    client.say("LOCK.RELEASE k a");
    for waiter in [&mut first, &mut second, &mut third] {
        assert_eq!(granted(waiter), raised);
    }
    assert_eq!(holds(&mut client, "k")[0].fence, raised);
    assert_eq!(server.info_u64("lock", "lock_last_fence") as i64, raised);
    // A floor counts for a new hold, too.
    let floor = raised + 20_000_000;
    let mut next = waiter(&server, "k", "c", &format!("FENCE {floor}"));
    client.say("LOCK.RELEASE k b");
    assert_eq!(granted(&mut next), floor);
}

/// The limit of the first of them is that of the hold.
#[test]
fn one_with_another_limit_gets_that_error() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut first = waiter(&server, "k", "b", "SHARED");
    let mut wrong = waiter(&server, "k", "b", "META wrong FENCE 9");
    let mut also = waiter(&server, "k", "b", "SHARED");
    client.say("LOCK.RELEASE k a");
    let token = granted(&mut first);
    assert_eq!(reply(&mut wrong), Reply::error(OTHER_LIMIT));
    assert_eq!(granted(&mut also), token);
    let held = holds(&mut client, "k");
    assert_eq!((held.len(), held[0].limit, held[0].meta.len()), (1, 0, 0));
    assert_eq!(waiting(&server), 0);
}
