//! How long a turn of the event loop may be kept busy.

use redis_lock_core::time::Micros;

/// Time budget per turn, in microseconds; clients are blocked meanwhile.
const TURN: Micros = 1_000;

/// What is left of the time for one turn, or for one command.
#[derive(Clone, Copy)]
pub struct Budget(Micros);

impl Budget {
    /// The whole of it, from now on.
    pub fn begin(now: Micros) -> Self {
        Budget(now + TURN)
    }

    /// Whether nothing is left.
    pub fn exhausted(self, now: Micros) -> bool {
        now > self.0
    }
}
