//! One simulated server process with the module, as the event loop in `host.rs` sees it.

use crate::mutants::Mutant;

/// What is left of a server's data after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// All that was granted: `appendfsync always`.
    Always,
    /// Nothing.
    Lost,
    /// What there was at some earlier moment.
    Snapshot,
    /// What its replica has, which takes its place.
    Promoted,
}

/// How a server is configured.
#[derive(Clone, Copy, Debug)]
pub struct NodeOptions {
    /// `lock.cooldown`.
    pub cooldown_ms: u64,
    /// Whether a replica follows it, and how many effects that may be behind.
    pub replica_lag: Option<usize>,
    /// For what it draws by chance: the moment of a snapshot.
    pub seed: u64,
    /// What is deliberately wrong.
    pub mutant: Option<Mutant>,
}

/// A server. Nothing in it happens by itself: the host calls it, with the server's clocks set.
pub trait Node {
    /// A new client, and its id.
    fn connect(&mut self) -> u64;

    /// Runs a command of this client. Its reply appears in [`Node::take_output`].
    fn command(&mut self, client: u64, args: &[Vec<u8>]);

    /// The client's connection is closed.
    fn disconnect(&mut self, client: u64);

    /// The end of an iteration of the event loop.
    fn before_sleep(&mut self);

    /// The next one begins.
    fn after_sleep(&mut self);

    /// The moment on the monotonic clock, in microseconds, at which it wants to be called again.
    fn next_wake(&self) -> Option<i64>;

    /// Bytes for clients, in order.
    fn take_output(&mut self) -> Vec<(u64, Vec<u8>)>;

    /// The moment, on both clocks.
    fn set_clocks(&mut self, monotonic_micros: i64, wall_micros: u64);

    /// The process ends and is started again; all clients are gone.
    fn crash_and_restart(&mut self, keep: Persistence);
}

/// Starts a server.
pub type MakeNode = fn(NodeOptions) -> Box<dyn Node>;
