//! The size of the measurements.

use std::time::Duration;

/// The counts of a run.
pub struct Size {
    /// Rounds of each contestant, besides one to warm up.
    pub rounds: usize,
    /// How often a round on [`Size::names`] names goes through them.
    pub repeats: usize,
    /// Different names of keys in a round of the comparisons on an empty server.
    pub names: usize,
    /// Locks, and native keys, whose memory is measured.
    pub memory_keys: usize,
    /// Locks held on the full server.
    pub held: usize,
    /// Pairs in a round beside those locks.
    pub beside: usize,
    /// Locks whose expiry is timed.
    pub expiring: usize,
    /// Clients in a short queue and in a long one.
    pub waiters: [usize; 2],
    /// Waiters that are granted a lock at once: a small number and larger ones.
    pub crowds: [usize; 3],
    /// Hand-offs in a round.
    pub handoffs: usize,
    /// How long clients are idle, so that the server shrinks their buffers, and their cost shows.
    pub rest: Duration,
    /// Acquires of each client over several nodes.
    pub quorum_pairs: usize,
    /// How long clients contend in each way of locking.
    pub contention: Duration,
    /// The same over several nodes.
    pub several: Duration,
    /// The same while a node is lost.
    pub several_faults: Duration,
}

impl Size {
    pub const FULL: Size = Size {
        rounds: 21,
        repeats: 40,
        names: 1_000,
        memory_keys: 100_000,
        held: 1_000_000,
        beside: 40_000,
        expiring: 1_000,
        waiters: [300, 3_000],
        crowds: [4_000, 8_000, 16_000],
        handoffs: 6_000,
        rest: Duration::from_secs(4),
        quorum_pairs: 5_000,
        contention: Duration::from_secs(3),
        several: Duration::from_secs(3),
        several_faults: Duration::from_secs(10),
    };

    pub const QUICK: Size = Size {
        rounds: 3,
        repeats: 2,
        names: 1_000,
        memory_keys: 5_000,
        held: 20_000,
        beside: 2_000,
        expiring: 100,
        waiters: [20, 200],
        crowds: [50, 100, 200],
        handoffs: 200,
        rest: Duration::from_millis(200),
        quorum_pairs: 200,
        contention: Duration::from_millis(300),
        several: Duration::from_millis(400),
        several_faults: Duration::from_millis(800),
    };
}
