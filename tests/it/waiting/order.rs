//! First come, first served.

use super::{ask, granted, holders, line, waiter};
use crate::support::Say;
use redis_lock_harness::{Reply, Server};

#[test]
fn a_lock_is_handed_on_in_the_order_of_the_requests() {
    let server = Server::start();
    let mut client = server.connect();
    let mut last = client.take("k", "0", "");
    let owners = ["1", "2", "3", "4", "5"];
    let waiters = owners.map(|owner| waiter(&server, "k", owner, ""));
    for (at, mut waiter) in waiters.into_iter().enumerate() {
        assert_eq!(line(&mut client, "k"), owners[at..]);
        assert_eq!(client.run(["LOCK.RELEASE", "k", &at.to_string()]), Reply::Int(1));
        let token = granted(&mut waiter);
        assert!(token > last);
        last = token;
        assert_eq!(holders(&mut client, "k"), [owners[at]]);
    }
    assert_eq!(line(&mut client, "k"), [""; 0]);
    assert_eq!(client.say("LOCK.RELEASE k 5"), Reply::Int(1));
    assert_eq!(client.say("EXISTS k"), Reply::Int(0));
}

/// What the rule alone would admit stands behind one whom it does not.
#[test]
fn nobody_overtakes_one_who_waits() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "reader", "SHARED");
    let mut writer = waiter(&server, "k", "writer", "");
    for request in [
        "LOCK.ACQUIRE k late 600000 SHARED",
        "LOCK.ACQUIRE k late 600000 LIMIT 10",
        "LOCK.ACQUIRE k late 600000 SHARED BLOCK 1",
        "LOCK.MACQUIRE 1 k late 600000 SHARED",
        "LOCK.MACQUIRE 2 free k late 600000 SHARED",
    ] {
        assert_eq!(client.say(request), Reply::Nil, "{request}");
    }
    let mut late = waiter(&server, "k", "late", "SHARED");
    assert_eq!(line(&mut client, "k"), ["writer", "late"]);
    assert_eq!(client.say("LOCK.INFO free"), Reply::Nil);
    client.say("LOCK.RELEASE k reader");
    granted(&mut writer);
    assert_eq!(holders(&mut client, "k"), ["writer"]);
    client.say("LOCK.RELEASE k writer");
    granted(&mut late);
}

/// Released and asked for in one go: the lock is gone before the second command runs.
#[test]
fn who_releases_does_not_win_again() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut other = waiter(&server, "k", "b", "");
    let requests = ["LOCK.RELEASE k a", "LOCK.ACQUIRE k c 600000", "LOCK.MACQUIRE 1 k c 600000"];
    let replies = client.pipeline(requests.map(|line| line.split(' ')));
    assert_eq!(replies, [Reply::Int(1), Reply::Nil, Reply::Nil]);
    granted(&mut other);
}

#[test]
fn readers_in_a_row_are_let_in_together() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "writer", "");
    let mut readers = ["1", "2", "3"].map(|owner| waiter(&server, "k", owner, "SHARED"));
    let mut next = waiter(&server, "k", "next", "");
    let mut behind = waiter(&server, "k", "behind", "SHARED");
    client.say("LOCK.RELEASE k writer");
    let tokens = readers.each_mut().map(granted);
    assert!(tokens.is_sorted_by(|one, other| one < other), "{tokens:?}");
    assert_eq!(holders(&mut client, "k"), ["1", "2", "3"]);
    assert_eq!(line(&mut client, "k"), ["next", "behind"]);
    for owner in ["2", "1"] {
        client.run(["LOCK.RELEASE", "k", owner]);
        assert_eq!(line(&mut client, "k"), ["next", "behind"]);
    }
    client.say("LOCK.RELEASE k 3");
    granted(&mut next);
    client.say("LOCK.RELEASE k next");
    granted(&mut behind);
}

/// The smallest limit among the holders and the request counts, and the first that does not fit ends it.
#[test]
fn a_line_is_served_up_to_the_first_that_does_not_fit() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("k", "held", "");
    let terms = ["SHARED", "LIMIT 3", "LIMIT 4", "LIMIT 5", "LIMIT 10"];
    let mut waiters = terms.map(|terms| waiter(&server, "k", &owner(terms), terms));
    client.say("LOCK.RELEASE k held");
    for waiter in &mut waiters[..3] {
        granted(waiter);
    }
    assert_eq!(holders(&mut client, "k"), ["SHARED", "LIMIT 3", "LIMIT 4"].map(owner));
    // The next tolerates five, but one of the holders only three.
    client.run(["LOCK.RELEASE", "k", &owner("LIMIT 3")]);
    granted(&mut waiters[3]);
    granted(&mut waiters[4]);
    assert_eq!(holders(&mut client, "k"), ["SHARED", "LIMIT 4", "LIMIT 5", "LIMIT 10"].map(owner));
}

fn owner(terms: &str) -> String {
    terms.replace(' ', "-")
}

#[test]
fn a_pool_lets_in_as_many_as_leave() {
    let server = Server::start();
    let mut client = server.connect();
    for owner in ["1", "2", "3"] {
        client.take("k", owner, "LIMIT 3");
    }
    let mut waiters = ["4", "5", "6"].map(|owner| waiter(&server, "k", owner, "LIMIT 3"));
    client.say("LOCK.RELEASE k 2");
    granted(&mut waiters[0]);
    assert_eq!(holders(&mut client, "k"), ["1", "3", "4"]);
    assert_eq!(line(&mut client, "k"), ["5", "6"]);
    assert_eq!(client.say("LOCK.MRELEASE 1 k 1"), Reply::Int(1));
    assert_eq!(client.say("LOCK.RELEASE k 3"), Reply::Int(1));
    granted(&mut waiters[1]);
    granted(&mut waiters[2]);
    assert_eq!(holders(&mut client, "k"), ["4", "5", "6"]);
}

/// Each key has its own line, whatever happens at others.
#[test]
fn one_command_serves_the_lines_of_all_its_keys() {
    let server = Server::start();
    let mut client = server.connect();
    assert!(client.say("LOCK.MACQUIRE 3 x y z a 600000").int() > 0);
    let mut waiters = ["x", "y", "z"].map(|key| waiter(&server, key, &format!("at-{key}"), ""));
    assert_eq!(client.say("LOCK.MRELEASE 2 x y a"), Reply::Int(2));
    granted(&mut waiters[0]);
    granted(&mut waiters[1]);
    assert_eq!(line(&mut client, "z"), ["at-z"]);
    assert_eq!(client.say("LOCK.RELEASE z a"), Reply::Int(1));
    granted(&mut waiters[2]);
}

#[test]
fn a_free_lock_is_granted_at_once_with_block() {
    let server = Server::start();
    let mut client = server.connect();
    assert!(client.say(&ask("k", "a", "")).int() > 0);
    assert!(client.say(&ask("s", "a", "SHARED")).int() > 0);
    assert!(client.say(&ask("s", "b", "LIMIT 2")).int() > 0);
    assert_eq!(server.info_u64("lock", "lock_handed_over"), 0);
}

/// A hold that ends by its deadline is handed on without anybody's command.
#[test]
fn an_expiry_serves_the_line() {
    let server = Server::start();
    let mut client = server.connect();
    client.say("LOCK.ACQUIRE k a 400");
    let mut waiters = ["b", "c"].map(|owner| waiter(&server, "k", owner, "SHARED"));
    let tokens = waiters.each_mut().map(granted);
    assert!(tokens[0] < tokens[1], "{tokens:?}");
    assert_eq!(holders(&mut client, "k"), ["b", "c"]);
    assert_eq!(server.info_u64("lock", "lock_expired"), 1);
}
