//! One simulated server process with the module, as the event loop in `host.rs` sees it.

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

/// A server. Nothing in it happens by itself: the host calls it, with the server's clocks set.
pub trait Node {
    /// Connects a new client, and returns its id.
    fn connect(&mut self) -> u64;

    /// Runs a command of this client. Its reply appears in [`Node::take_output`].
    fn command(&mut self, client: u64, args: &[Vec<u8>]);

    /// Called when the client's connection is closed.
    fn disconnect(&mut self, client: u64);

    /// Called at the end of a cycle of the event loop.
    fn before_sleep(&mut self);

    /// Called at the beginning of the next cycle.
    fn after_sleep(&mut self);

    /// Returns when it must be called again, in microseconds on the monotonic clock.
    fn next_wake(&self) -> Option<i64>;

    /// Returns bytes for clients, in order.
    fn take_output(&mut self) -> Vec<(u64, Vec<u8>)>;

    /// Sets both clocks.
    fn set_clocks(&mut self, monotonic_micros: i64, wall_micros: u64);

    /// Ends the process and restarts it. All clients are gone.
    fn crash_and_restart(&mut self, keep: Persistence);
}

/// Starts a server.
pub type MakeNode = fn(NodeOptions) -> Box<dyn Node>;
