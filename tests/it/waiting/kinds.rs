//! Clients that the server refuses to block: they are answered as where blocking is not allowed.

use super::{waiter, waiting};
use crate::support::Say;
use redis_lock_harness::{Client, Reply, Server};

/// Reads push messages up to the reply.
fn reply(client: &mut Client) -> Reply {
    loop {
        match client.read() {
            Reply::Push(_) => {}
            reply => return reply,
        }
    }
}

/// From Valkey 8.1 on a subscribed client can't be blocked by a module; on the others it can be.
#[test]
fn a_subscribed_client_asks_for_a_lock_that_is_held() {
    for subscribe in ["SUBSCRIBE news", "PSUBSCRIBE n*", "SSUBSCRIBE news"] {
        let server = Server::start();
        let mut client = server.connect();
        client.take("k", "a", "");
        let mut reader = server.connect_resp3();
        reader.send(subscribe.split(' '));
        reader.send(["PING"]);
        assert_eq!(reply(&mut reader), Reply::Simple("PONG".into()), "{subscribe}");
        reader.send("LOCK.ACQUIRE k b 600000 BLOCK 0".split(' '));
        reader.send(["PING"]);
        match reader.read_within(std::time::Duration::from_millis(500)) {
            Some(refused) => {
                assert_eq!(refused, Reply::Nil, "{subscribe}");
                assert_eq!(reply(&mut reader), Reply::Simple("PONG".into()), "{subscribe}");
                assert_eq!(waiting(&server), 0, "no place in line: {subscribe}");
                assert_eq!(server.info_u64("lock", "lock_refused"), 1, "{subscribe}");
                let mut next = waiter(&server, "k", "c", "");
                client.say("LOCK.RELEASE k a");
                super::granted(&mut next);
            }
            None => {
                assert_eq!(waiting(&server), 1, "{subscribe}");
                client.say("LOCK.RELEASE k a");
                assert!(reply(&mut reader).int() > 0, "{subscribe}");
                assert_eq!(reply(&mut reader), Reply::Simple("PONG".into()), "{subscribe}");
            }
        }
        super::assert_counters_add_up(&server);
    }
}
