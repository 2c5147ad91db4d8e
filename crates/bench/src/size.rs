//! How much is measured.

/// The counts of a run.
pub struct Size {
    /// Rounds of each contestant, one more to warm up not counted.
    pub rounds: usize,
    /// How often a round on [`Size::names`] names goes through them.
    pub repeats: usize,
    /// Different names of keys in a round of the comparisons on an empty server.
    pub names: usize,
    /// Locks, and native keys, whose memory is measured.
    pub memory_keys: usize,
    /// The locks held on the full server.
    pub held: usize,
    /// Pairs in a round beside them.
    pub beside: usize,
    /// Locks whose end is timed.
    pub expiring: usize,
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
    };

    pub const QUICK: Size = Size {
        rounds: 3,
        repeats: 2,
        names: 1_000,
        memory_keys: 5_000,
        held: 20_000,
        beside: 2_000,
        expiring: 100,
    };
}
