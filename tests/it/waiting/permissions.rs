//! A permission that is taken away while its user waits.

use super::{granted, holders, join, reply, waiter};
use crate::keyspace::say_all;
use crate::support::Say;
use redis_lock_harness::{Reply, Server};

const NOPERM: &str = "NOPERM this user may no longer run 'lock.acquire' on this key";

#[test]
fn who_has_lost_the_permission_by_its_turn_is_told_so() {
    for (rules, lost) in [
        ("nocommands", true),
        ("-lock.acquire", true),
        ("resetkeys", true),
        ("resetkeys ~other", true),
        ("off", false),
        ("resetchannels", false),
        ("-@all +lock.acquire resetkeys %RW~k", false),
    ] {
        let server = Server::start();
        let mut client = server.connect();
        client.take("k", "a", "");
        say_all(&mut client, &["ACL SETUSER u on nopass ~* +@all"]);
        let mut victim = server.connect();
        say_all(&mut victim, &["AUTH u x"]);
        join(&server, &mut victim, &super::ask("k", "b", ""));
        let mut next = waiter(&server, "k", "c", "");
        say_all(&mut client, &[&format!("ACL SETUSER u {rules}"), "LOCK.RELEASE k a"]);
        if lost {
            assert_eq!(victim.read(), Reply::error(NOPERM), "{rules}");
            granted(&mut next);
            assert_eq!(holders(&mut client, "k"), ["c"], "{rules}");
            assert_eq!(server.info_u64("lock", "lock_handed_over"), 1, "{rules}");
        } else {
            assert!(victim.read().int() > 0, "{rules}");
            assert_eq!(holders(&mut client, "k"), ["b"], "{rules}");
        }
        super::assert_counters_add_up(&server);
    }
}

/// The default user too, and whoever waits after the lock has gone by another way.
#[test]
fn the_default_user_may_lose_it_as_well() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["ACL SETUSER admin on nopass ~* &* +@all", "AUTH admin x"]);
    client.take("k", "a", "");
    let mut victims = ["b", "c"].map(|owner| waiter(&server, "k", owner, "SHARED"));
    say_all(&mut client, &["ACL SETUSER default resetkeys ~other", "DEL k"]);
    for victim in &mut victims {
        assert_eq!(reply(victim), Reply::error(NOPERM));
    }
    assert!(holders(&mut client, "k").is_empty());
}
