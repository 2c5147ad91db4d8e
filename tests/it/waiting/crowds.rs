//! Many at once: the work is done in slices, so that other clients have their turn in between, and costs as
//! much for each as for a few.

use super::{granted, holders, waiting, BOUND};
use crate::keyspace::counts;
use crate::support::Say;
use redis_lock_harness::{allow_connections, eventually, Client, Reply, Server};

const MANY: usize = 2_000;

fn crowded() -> Server {
    allow_connections();
    Server::builder().config("maxclients", "10000").start()
}

/// So many clients wait for `k`.
fn wait_in_line(server: &Server, terms: &str) -> Vec<Client> {
    let before = waiting(server);
    let mut clients: Vec<Client> = (0..MANY).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(super::ask("k", &format!("waiter-{index}"), terms).split_whitespace());
    }
    eventually(BOUND, || waiting(server) == before + MANY as u64);
    clients
}

/// In one step only a slice of them is served; all are in the end, in order.
#[test]
fn a_crowd_is_let_in_slice_by_slice() {
    for free in ["DEL k", "LOCK.RELEASE k a", "FLUSHALL", "RENAME k elsewhere"] {
        let server = crowded();
        let mut client = server.connect();
        client.take("k", "a", "");
        let mut clients = wait_in_line(&server, "SHARED");
        // The server is asked in the same packet, before the end of its turn.
        let replies =
            client.pipeline([free, "LOCK.ACQUIRE k late 600000 SHARED"].map(|line| line.split(' ')));
        let tokens: Vec<i64> = clients.iter_mut().map(granted).collect();
        assert!(tokens.is_sorted(), "{free}: in the order of the line");
        let last = tokens.last().copied().unwrap_or(0);
        let overtook = matches!(replies[1], Reply::Int(token) if token < last);
        assert!(!overtook, "{free}: nobody overtakes those who are still to be let in: {:?}", replies[1]);
        assert_eq!(server.info_u64("lock", "lock_handed_over"), MANY as u64, "{free}");
        assert_eq!(waiting(&server), 0, "{free}");
        super::assert_counters_add_up(&server);
    }
}

/// What a crowd leaves behind does not stand in the way, long before all of it is taken out.
#[test]
fn a_command_that_meets_a_crowd_past_its_deadline_does_not_wait_for_it() {
    let server = Server::builder().movable_clocks().config("hz", "1").start();
    let mut client = server.connect();
    let crowd = 20_000;
    let acquire = |owner: usize| format!("LOCK.ACQUIRE k {owner} 600000 SHARED");
    let lines: Vec<String> = (0..crowd).map(acquire).collect();
    client.pipeline(lines.iter().map(|line| line.split(' ')));
    client.say("LOCK.ACQUIRE k lasting 3600000 SHARED");
    server.step_monotonic(700_000);
    let commands = [
        "LOCK.ACQUIRE k x 600000",
        "LOCK.ACQUIRE k x 600000 LIMIT 2",
        "LOCK.RELEASE k 7",
        "LOCK.EXTEND k 8 600000",
        "LOCK.ACQUIRE k 9 600000 LIMIT 2",
        "LOCK.ACQUIRE k x 600000 LIMIT 2",
        "INFO lock",
    ];
    let replies = super::at_once(&mut client, &commands);
    assert_eq!(replies[0], Reply::Nil, "one holder lasts");
    assert!(replies[1].int() > 0, "and tolerates another");
    assert_eq!(replies[2..5], [Reply::Int(0), Reply::Int(0), Reply::Nil]);
    assert_eq!(replies[5], replies[1]);
    let held = replies[6].text().lines().find_map(|line| line.strip_prefix("lock_held:")).map(str::to_owned);
    let held: usize = held.and_then(|held| held.trim().parse().ok()).expect("INFO says how many are held");
    assert!(held > crowd / 2, "most of the crowd is still to be taken out: {held}");
    eventually(BOUND, || counts(&server)["lock_held"] == 2);
    assert_eq!(counts(&server)["lock_expired"], crowd as i64);
    assert_eq!(holders(&mut client, "k"), ["lasting", "x"]);
    super::assert_counters_add_up(&server);
}

/// One who holds is answered at once, wherever it stands: also when the lock changes between two slices.
#[test]
fn holders_in_a_crowd_are_answered_first() {
    let server = crowded();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut clients = wait_in_line(&server, "");
    let owner = format!("waiter-{}", MANY - 1);
    let token = client.take("other", &owner, "");
    client.say("RENAME other k");
    assert_eq!(granted(&mut clients[MANY - 1]), token);
    assert_eq!(waiting(&server), MANY as u64 - 1);
    client.say(&format!("LOCK.RELEASE k {owner}"));
    granted(&mut clients[0]);
    assert_eq!(holders(&mut client, "k"), ["waiter-0"]);
}

/// Another type lies at the key: all are told, and nobody is forgotten.
#[test]
fn a_crowd_that_waits_for_a_key_of_another_type() {
    let server = crowded();
    let mut client = server.connect();
    client.take("k", "a", "");
    let mut clients = wait_in_line(&server, "");
    assert_eq!(client.say("SET k text"), Reply::ok());
    for client in &mut clients {
        assert!(client.read().text().starts_with("WRONGTYPE "));
    }
    assert_eq!(waiting(&server), 0);
}
