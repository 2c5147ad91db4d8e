//! What a server of the simulation is started with, and what it keeps.

use crate::mutants::Mutant;

/// The data of a server that survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// All that was granted: `appendfsync always`.
    Always,
    /// Nothing.
    Lost,
    /// The state at some earlier moment.
    Snapshot,
    /// The data of its replica, which replaces it.
    Promoted,
}

/// The configuration of a server.
#[derive(Clone, Copy, Debug)]
pub struct NodeOptions {
    /// `lock.cooldown`.
    pub cooldown_ms: u64,
    /// Whether it has a replica, and how many effects that may be behind.
    pub replica_lag: Option<usize>,
    /// The seed of its random choices: the moment of a snapshot.
    pub seed: u64,
    /// The deliberate defect.
    pub mutant: Option<Mutant>,
}
