//! What a command replies.

use redis_lock_core::Error;

use super::context::Ctx;

/// What a command replies.
pub enum Reply {
    /// An integer.
    Integer(i64),
    /// Nil.
    Nil,
    /// `+OK`.
    Ok,
    /// Nothing more: it was sent already.
    Sent,
}

impl Reply {
    /// A token; they stay below 2^53.
    pub fn token(token: u64) -> Reply {
        Reply::Integer(i64::try_from(token).unwrap_or(i64::MAX))
    }
}

/// Replies what a command came to.
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
