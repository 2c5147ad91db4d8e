//! First come, first served.

use super::{granted, holders, line, waiter};
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
