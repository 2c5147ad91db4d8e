//! What can be wrong with a command, in the words that the client reads.

/// An error reply. `Display` gives the whole line: the code first, then what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An unknown, doubled or contradicting option, or keys that are not there.
    #[error("ERR syntax error")]
    Syntax,
    /// SESSION makes no sense for the client that runs scripts.
    #[error("ERR SESSION is not allowed in scripts")]
    SessionInScript,
    /// Not a number, or one that 64 bits can't hold.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// A ttl outside its range; the field is the largest one allowed, in milliseconds.
    #[error("ERR ttl must be between 1 and {0} milliseconds")]
    Ttl(i64),
    /// LIMIT n outside its range.
    #[error("ERR limit must be between 1 and {}", crate::Limit::MAX)]
    Limit,
    /// BLOCK with a negative number.
    #[error("ERR timeout is negative")]
    BlockNegative,
    /// BLOCK beyond the end of the clock.
    #[error("ERR timeout is out of range")]
    BlockTooLong,
    /// An empty or too long owner.
    #[error("ERR owner must be 1 to {} bytes", crate::MAX_OWNER)]
    Owner,
    /// A too long META text.
    #[error("ERR meta must be at most {} bytes", crate::MAX_META)]
    Meta,
    /// A token of zero or below.
    #[error("ERR token must be positive")]
    TokenNotPositive,
    /// A token that would spoil the counter for everyone after it.
    #[error("ERR token is too far ahead")]
    TokenTooFarAhead,
    /// The key belongs to another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// Locks are not given out yet after a start; the field is what is left, in milliseconds.
    #[error("COOLDOWN locks are granted and extended again in {0} ms")]
    Cooldown(i64),
    /// A hold's limit never changes.
    #[error("ERR owner already holds this lock with another limit")]
    OtherLimit,
    /// Waiting would mean to wait for oneself; the field is over how many locks.
    #[error("DEADLOCK waiting would close a circle of {0} locks")]
    Deadlock(usize),
    /// As many wait as the server allows.
    #[error("MAXWAITERS too many clients wait for locks")]
    MaxWaiters,
    /// The holder of this token has been overtaken.
    #[error("FENCED token {0} is not held")]
    Fenced(u64),
    /// The user was allowed to ask, and is not any more.
    #[error("NOPERM this user may no longer run 'lock.acquire' on this key")]
    NoPermission,
    /// Only a master decides about locks.
    #[error("READONLY You can't write against a read only replica.")]
    ReadOnly,
    /// A field of an effect is outside its range.
    #[error("ERR value is out of range")]
    OutOfRange,
    /// A defect of the module; the log says more.
    #[error("ERR internal error in the lock module, see the server's log")]
    Internal,
}
