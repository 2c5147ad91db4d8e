//! `LOCK.INFO key`

use redis_lock_core::time::{ms_since, ms_until, Micros};
use redis_lock_core::{Error, Hold};

use super::{argument, Reply};
use crate::docs::{Access, Arg, Doc, Keys};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::entry::Command;
use crate::ffi::key::Key;
use crate::state::state;

/// See the module.
pub struct Info;

impl Command for Info {
    const NAME: &'static str = "lock.info";
    const FLAGS: &'static str = "readonly";

    fn doc() -> Doc {
        Doc {
            summary:
                "Who holds a lock since when, for how long, under which token, and who waits; nil if nobody.",
            complexity: "O(N) with N holders and waiters of the lock",
            since: "0.1.0",
            arity: 2,
            keys: Some((Keys::First, Access::Read)),
            args: vec![Arg::key()],
        }
    }

    fn run(ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let key = Key::read(ctx, argument(args, 1)?)?;
        let now = state().now();
        let holds: Vec<&Hold> = key.lock().map(|lock| lock.live(now).collect()).unwrap_or_default();
        if holds.is_empty() {
            return Ok(Reply::Nil);
        }
        let fence = holds.iter().map(|hold| hold.token).max().unwrap_or(0);
        ctx.reply_map(3);
        number(ctx, "fence", fence as i64);
        ctx.reply_bytes(b"holders");
        ctx.reply_array(holds.len());
        holds.iter().for_each(|hold| holder(ctx, hold, now));
        ctx.reply_bytes(b"waiters");
        ctx.reply_array(0);
        Ok(Reply::Sent)
    }
}

fn holder(ctx: &Ctx, hold: &Hold, now: Micros) {
    ctx.reply_map(7);
    text(ctx, "owner", hold.owner());
    number(ctx, "fence", hold.token as i64);
    number(ctx, "limit", i64::from(hold.limit().to_wire()));
    number(ctx, "ttl-ms", ms_until(hold.deadline, now));
    number(ctx, "held-ms", ms_since(hold.since, now));
    number(ctx, "session", 0);
    text(ctx, "meta", hold.meta());
}

fn number(ctx: &Ctx, name: &str, value: i64) {
    ctx.reply_bytes(name.as_bytes());
    ctx.reply_integer(value);
}

fn text(ctx: &Ctx, name: &str, value: &[u8]) {
    ctx.reply_bytes(name.as_bytes());
    ctx.reply_bytes(value);
}
