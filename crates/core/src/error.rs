//! The errors of commands, with the texts that clients read.

/// An error reply. `Display` shows the whole line: the code, then the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option that is unknown, repeated or contradictory, or missing keys.
    #[error("ERR syntax error")]
    Syntax,
    /// SESSION makes no sense for the client that runs scripts.
    #[error("ERR SESSION is not allowed in scripts")]
    SessionInScript,
    /// Not a number, or a number that does not fit 64 bits.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// A ttl outside its range; the field is the greatest one allowed, in milliseconds.
    #[error("ERR ttl must be between 1 and {0} milliseconds")]
    Ttl(i64),
    /// LIMIT n outside its range.
    #[error("ERR limit must be between 1 and {}", crate::Limit::MAX)]
    Limit,
    /// BLOCK with a negative number.
    #[error("ERR timeout is negative")]
    BlockNegative,
    /// BLOCK exceeds the range of the clock.
    #[error("ERR timeout is out of range")]
    BlockTooLong,
    /// An owner that is empty or too long.
    #[error("ERR owner must be 1 to {} bytes", crate::MAX_OWNER)]
    Owner,
    /// A META text that is too long.
    #[error("ERR meta must be at most {} bytes", crate::MAX_META)]
    Meta,
    /// A token of zero or below.
    #[error("ERR token must be positive")]
    TokenNotPositive,
    /// A token that would spoil the counter for all later grants.
    #[error("ERR token is too far ahead")]
    TokenTooFarAhead,
    /// The key has another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// Locks are still not granted after a start; the field is the rest of the cooldown, in milliseconds.
    #[error("COOLDOWN locks are granted and extended again in {0} ms")]
    Cooldown(i64),
    /// A hold's limit never changes.
    #[error("ERR owner already holds this lock with another limit")]
    OtherLimit,
    /// Waiting would close a cycle; the field is the number of locks in it.
    #[error("DEADLOCK waiting would close a circle of {0} locks")]
    Deadlock(usize),
    /// The maximum number of clients is waiting.
    #[error("MAXWAITERS too many clients wait for locks")]
    MaxWaiters,
    /// The holder of this token was overtaken.
    #[error("FENCED token {0} is not held")]
    Fenced(u64),
    /// The user was allowed to ask, and no longer is.
    #[error("NOPERM this user may no longer run 'lock.acquire' on this key")]
    NoPermission,
    /// Only a master decides about locks.
    #[error("READONLY You can't write against a read only replica.")]
    ReadOnly,
    /// A field of an effect is outside its range.
    #[error("ERR value is out of range")]
    OutOfRange,
    /// A defect of the module; the log has details.
    #[error("ERR internal error in the lock module, see the server's log")]
    Internal,
}
