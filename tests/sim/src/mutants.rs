//! Deliberate defects: each must be found, or the simulator proves nothing.

use clap::ValueEnum;

/// One defect. Those of servers are put in front of the real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Mutant {
    /// A node says that it holds at the token that was asked for, even if the hold is not live.
    ConfirmsUnconditionally,
    /// Nodes are not raised to the token: the client uses the highest that it was granted.
    PlainMaximum,
    /// A release releases the lock of any holder.
    ReleaseFreesAnyone,
    /// Deadlines are on the wall clock.
    WallClockDeadlines,
    /// An extension of an expired hold acquires the lock again.
    ExtendRevives,
    /// A node that has lost its holds grants at once.
    NoCooldown,
    /// The client does not allow for clocks that run at different rates.
    NoDriftAllowance,
    /// The client's clock stands still while its process does.
    ClockStopsWhilePaused,
    /// Two attempts have one owner.
    OwnersRepeat,
    /// A client that does not wait need not respect the line.
    LineNotKept,
    /// A grant is not revoked if the client is unblocked before its reply.
    UnblockIsNoNews,
    /// A client that was unblocked also gets its reply.
    RepliesTwice,
    /// A grant stays with a client whose connection is closed.
    GrantsToTheDead,
    /// A hold does not end with its connection.
    SessionOutlivesConnection,
    /// Waiters for a lock that is renamed are forgotten.
    RenameForgetsQueues,
    /// A reader acquires before a writer that waits.
    ReadersOvertake,
    /// A promoted replica continues with the tokens that it knows.
    PromotedWithLowCounter,
}

impl Mutant {
    /// Returns whether the defect is in one server, so that `crowd` can find it.
    pub fn is_of_one_server(self) -> bool {
        self >= Mutant::UnblockIsNoNews
    }
}
