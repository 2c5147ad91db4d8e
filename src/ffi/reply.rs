//! The reply of a command.

use redis_lock_core::Error;

use super::context::Ctx;

/// The reply of a command.
pub enum Reply {
    /// An integer.
    Integer(i64),
    /// Nil.
    Nil,
    /// `+OK`.
    Ok,
    /// No further reply, as it was already sent.
    Sent,
}

impl Reply {
    /// Returns a reply with a token. Tokens stay below 2^53.
    pub fn token(token: u64) -> Reply {
        Reply::Integer(i64::try_from(token).unwrap_or(i64::MAX))
    }
}

/// Replies the result of a command.
#[inline]
pub(super) fn reply(ctx: &Ctx, result: Result<Reply, Error>) {
    match result {
        Ok(Reply::Integer(number)) => ctx.reply_integer(number),
        Ok(Reply::Nil) => ctx.reply_nil(),
        Ok(Reply::Ok) => ctx.reply_ok(),
        Ok(Reply::Sent) => {}
        Err(error) => ctx.reply_error(&error.to_string()),
    }
}
