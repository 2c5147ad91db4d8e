//! Replicas that synchronise: from a snapshot or from where they were, on disk and diskless, after broken
//! links and restarts of either side.

use crate::traffic::Traffic;
use crate::view::{assert_agree, digest, everything, held, last_fence, settle, BOUND};
use redis_lock_harness::{eventually, Builder, Server};

/// A master with some hundred locks, which keeps its replication stream over a break.
fn loaded_master(setup: Builder) -> Server {
    let master = setup.tcp().config("repl-backlog-size", "8mb").start();
    Traffic::new(1, last_fence(&master)).run(&master, 1000);
    take_many(&master, 300);
    master
}

fn take_many(server: &Server, number: usize) {
    let acquire = |n| ["LOCK.ACQUIRE".into(), format!("many:{n}"), "owner".into(), "9000000".into()];
    let replies = server.connect().pipeline((0..number).map(acquire));
    assert!(replies.iter().all(|reply| reply.int() > 0));
}

fn syncs(master: &Server) -> (u64, u64) {
    (master.info_u64("stats", "sync_full"), master.info_u64("stats", "sync_partial_ok"))
}

fn rewrites_aof(server: &Server) -> bool {
    let state = server.info("persistence");
    ["aof_rewrite_in_progress", "aof_rewrite_scheduled"].iter().any(|field| state[*field] != "0")
}

fn count_in_log(server: &Server, text: &str) -> usize {
    server.log().matches(text).count()
}

#[test]
fn a_first_synchronisation_brings_all_locks() {
    let diskless_master = ["yes", "no"];
    let load = ["disabled", "on-empty-db", "swapdb"];
    for diskless in diskless_master {
        let master = loaded_master(Server::builder().config("repl-diskless-sync", diskless));
        for load in load {
            let context = format!("repl-diskless-sync {diskless}, repl-diskless-load {load}");
            let replica = Server::builder().config("repl-diskless-load", load).replica_of(&master).start();
            assert_agree(&master, &replica, &context);
            // The module can tell of a broken stream, so the server reads from it directly.
            let streamed = diskless == "yes" && load == "on-empty-db";
            assert!(!streamed || count_in_log(&replica, "to parser") == 1, "{context}");
            Traffic::new(2, last_fence(&master)).run(&master, 300);
            assert_agree(&master, &replica, &context);
        }
    }
}

#[test]
fn a_synchronisation_replaces_what_was_there() {
    for load in ["disabled", "swapdb"] {
        let master = loaded_master(Server::builder().config("repl-diskless-sync", "yes"));
        let replica = Server::builder().config("repl-diskless-load", load).replica_of(&master).start();
        let mut client = replica.connect();
        client.run(["REPLICAOF", "NO", "ONE"]);
        Traffic::new(3, last_fence(&replica)).run(&replica, 500);
        client.run(["LOCK.ACQUIRE", "own", "owner", "200"]);
        Traffic::new(4, last_fence(&master)).run(&master, 500);
        // Its tokens may be ahead of the master's, and stay so.
        let last = last_fence(&replica);
        client.run(["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
        settle(&master);
        master.wait_synced(&replica);
        assert_eq!(everything(&replica), everything(&master), "repl-diskless-load {load}");
        assert_eq!((digest(&replica), held(&replica)), (digest(&master), held(&master)), "{load}");
        assert!(last_fence(&replica) >= last.max(last_fence(&master)), "{load}");
        assert_eq!(syncs(&master).0, 2);
    }
}

#[test]
fn a_synchronisation_that_breaks_off_is_begun_again() {
    for load in ["disabled", "on-empty-db", "swapdb"] {
        let mut master = loaded_master(Server::builder().config("save", "3600 1"));
        let replica = Server::builder().config("repl-diskless-load", load).tcp().start();
        // Some three seconds for the whole of it.
        master.connect().run(["CONFIG", "SET", "rdb-key-save-delay", "10000"]);
        let mut client = replica.connect();
        client.run(["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
        eventually(BOUND, || replica.info("replication")["master_sync_in_progress"] == "1");
        master.kill();
        eventually(BOUND, || replica.info("replication")["master_sync_in_progress"] == "0");
        assert!(replica.is_alive());
        master.restart();
        take_many(&master, 100);
        assert_agree(&master, &replica, &format!("repl-diskless-load {load}"));
    }
}

#[test]
fn a_broken_link_goes_on_where_it_was() {
    let master = loaded_master(Server::builder());
    let replica = master.replica();
    let before = syncs(&master);
    let mut client = master.connect();
    // In one go: the replica can't be back before all of it has happened.
    let replies = client.pipeline([
        &["CLIENT", "KILL", "TYPE", "replica"][..],
        &["LOCK.ACQUIRE", "meanwhile", "owner", "600000", "META", "why"],
        &["LOCK.MACQUIRE", "2", "left", "right", "owner", "600000"],
        &["LOCK.RELEASE", "many:1", "owner"],
        &["LOCK.ACQUIRE", "short", "owner", "1"],
    ]);
    assert_eq!(replies[0].int(), 1);
    assert!(replies.iter().all(|reply| reply.int() > 0), "{replies:?}");
    assert_agree(&master, &replica, "after the break");
    assert_eq!(syncs(&master), (before.0, before.1 + 1));
}

#[test]
fn a_restarted_replica_agrees_again() {
    let master = loaded_master(Server::builder());
    for (save, appendonly) in [("", "no"), ("3600 1", "no"), ("", "yes")] {
        let context = format!("save {save:?}, appendonly {appendonly}");
        let setup = Server::builder().config("save", save).config("appendonly", appendonly);
        let mut replica = setup.replica_of(&master).start();
        assert_agree(&master, &replica, &context);
        let before = syncs(&master);
        // A server that writes its first AOF can't be stopped.
        eventually(BOUND, || !rewrites_aof(&replica));
        replica.stop();
        Traffic::new(6, last_fence(&master)).run(&master, 300);
        replica.restart();
        assert_agree(&master, &replica, &context);
        // A snapshot, also the one received from the master, says how far the replica was.
        let after = syncs(&master);
        assert_eq!(after.0 + after.1, before.0 + before.1 + 1, "{context}");
    }
}

#[test]
fn the_aof_of_a_replica_is_enough() {
    for preamble in ["yes", "no"] {
        let master = loaded_master(Server::builder());
        let mut replica = Server::builder()
            .config("appendonly", "yes")
            .config("appendfsync", "always")
            .config("aof-use-rdb-preamble", preamble)
            .replica_of(&master)
            .start();
        Traffic::new(7, last_fence(&master)).run(&master, 500);
        assert_agree(&master, &replica, preamble);
        // After the synchronisation it writes its file anew.
        eventually(BOUND, || !rewrites_aof(&replica));
        let (before, last) = ((everything(&replica), digest(&replica)), last_fence(&master));
        replica.kill();
        master.kill();
        replica.restart();
        assert_eq!((everything(&replica), digest(&replica)), before, "preamble {preamble}");
        let mut client = replica.connect();
        client.run(["REPLICAOF", "NO", "ONE"]);
        assert!(client.run(["LOCK.ACQUIRE", "new", "owner", "1000"]).int() > last);
        let highest = before.0.values().flat_map(|key| &key.holds).map(|hold| hold.fence).max();
        assert!(last >= highest.expect("there are locks"));
    }
}

/// A master that stops in order says in its RDB how far its stream was, and its replicas go on from there: so
/// also what happens before the first of them is back must be in the stream.
#[test]
fn a_restarted_master_tells_all_that_happened_before_its_replica_was_back() {
    let mut master =
        loaded_master(Server::builder().config("save", "3600 1").config("shutdown-timeout", "0"));
    let replica = master.replica();
    assert_agree(&master, &replica, "before");
    replica.freeze();
    master.restart();
    let mut client = master.connect();
    for command in [
        &["LOCK.ACQUIRE", "meanwhile", "owner", "600000"][..],
        &["LOCK.EXTEND", "many:2", "owner", "80000000", "FENCE", "1"],
        &["LOCK.RELEASE", "many:1", "owner"],
        &["LOCK.ACQUIRE", "short", "owner", "1"],
    ] {
        assert!(client.run(command).int() > 0, "{command:?}");
    }
    settle(&master);
    replica.thaw();
    assert_agree(&master, &replica, "after");
    assert_eq!(syncs(&master), (0, 1), "the replica was to go on where it was");
}
