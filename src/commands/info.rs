//! `LOCK.INFO key`

use redis_lock_core::time::{ms_since, ms_until, Micros};
use redis_lock_core::{Error, Hold};
use redis_lock_engine::QueueId;

use super::argument;
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Arg, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::key::Key;
use crate::ffi::reply::Reply;
use crate::module::{Module, ServerEngine};

/// See the module.
pub struct Info;

impl Command for Info {
    type Module = Module;
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

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let name = argument(args, 1)?;
        let key = Key::read(ctx, name)?;
        let now = module.now();
        let holds: Vec<&Hold> = key.lock().map(|lock| lock.live(now).collect()).unwrap_or_default();
        let engine = module.engine();
        let queue = engine.queues().find(ctx.db(), name.bytes());
        if holds.is_empty() && queue.is_none() {
            return Ok(Reply::Nil);
        }
        let fence = holds.iter().map(|hold| hold.token).max().unwrap_or(0);
        ctx.reply_map(3);
        number(ctx, "fence", fence as i64);
        ctx.reply_bytes(b"holders");
        ctx.reply_array(holds.len());
        holds.iter().for_each(|hold| holder(ctx, hold, now));
        ctx.reply_bytes(b"waiters");
        waiters(&engine, ctx, queue, now);
        Ok(Reply::Sent)
    }
}

fn waiters(engine: &ServerEngine, ctx: &Ctx, queue: Option<QueueId>, now: Micros) {
    let waiters: Vec<_> = queue.into_iter().flat_map(|queue| engine.queues().waiters(queue)).collect();
    ctx.reply_array(waiters.len());
    for waiter in waiters {
        ctx.reply_map(4);
        text(ctx, "owner", waiter.owner.as_slice());
        number(ctx, "limit", i64::from(waiter.limit.to_wire()));
        number(ctx, "waiting-ms", ms_since(waiter.since, now));
        number(ctx, "client", waiter.client_id as i64);
    }
}

fn holder(ctx: &Ctx, hold: &Hold, now: Micros) {
    ctx.reply_map(7);
    text(ctx, "owner", hold.owner());
    number(ctx, "fence", hold.token as i64);
    number(ctx, "limit", i64::from(hold.limit().to_wire()));
    number(ctx, "ttl-ms", ms_until(hold.deadline, now));
    number(ctx, "held-ms", ms_since(hold.since, now));
    number(ctx, "session", hold.sessions().last().map_or(0, |&client| client as i64));
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
