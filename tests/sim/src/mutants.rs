//! Deliberate breaks: each must be found, or the simulator proves nothing.

/// One thing that is wrong. Those of servers are put in front of the real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// A node says that it holds at the token it was asked for, whether the hold is live or not.
    ConfirmsUnconditionally,
    /// Nodes are not raised to the token: the client takes the highest that it was granted.
    PlainMaximum,
    /// A release frees whoever holds the lock.
    ReleaseFreesAnyone,
    /// Deadlines are on the wall clock.
    WallClockDeadlines,
    /// An extension of a hold that is over takes the lock again.
    ExtendRevives,
    /// A node that has lost its holds grants at once.
    NoCooldown,
    /// The client does not allow for clocks that run at different rates.
    NoDriftAllowance,
    /// The client's clock stands still while its process does.
    ClockStopsWhilePaused,
    /// Two attempts have one owner.
    OwnersRepeat,
    /// Who does not wait is not asked to respect the line.
    LineNotKept,
    /// What is granted to a client is not revoked if that is unblocked before its reply.
    UnblockIsNoNews,
    /// A client that was unblocked gets its reply, too.
    RepliesTwice,
    /// What is granted to a client stays with it though its connection is closed.
    GrantsToTheDead,
    /// A hold does not end with its connection.
    SessionOutlivesConnection,
    /// Who waits for a lock that is renamed is forgotten.
    RenameForgetsQueues,
    /// A reader gets in before a writer that waits.
    ReadersOvertake,
    /// A replica that is promoted goes on with the tokens it knows.
    PromotedWithLowCounter,
}

impl Mutant {
    pub const ALL: [Mutant; 17] = [
        Mutant::ConfirmsUnconditionally,
        Mutant::PlainMaximum,
        Mutant::ReleaseFreesAnyone,
        Mutant::WallClockDeadlines,
        Mutant::ExtendRevives,
        Mutant::NoCooldown,
        Mutant::NoDriftAllowance,
        Mutant::ClockStopsWhilePaused,
        Mutant::OwnersRepeat,
        Mutant::LineNotKept,
        Mutant::UnblockIsNoNews,
        Mutant::RepliesTwice,
        Mutant::GrantsToTheDead,
        Mutant::SessionOutlivesConnection,
        Mutant::RenameForgetsQueues,
        Mutant::ReadersOvertake,
        Mutant::PromotedWithLowCounter,
    ];

    /// Whether it is wrong in what one server does: `crowd` looks for it.
    pub fn is_of_one_server(self) -> bool {
        self >= Mutant::UnblockIsNoNews
    }

    /// The mutant of this name.
    pub fn named(name: &str) -> Option<Mutant> {
        Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name)
    }
}
