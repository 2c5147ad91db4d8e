//! Read-only commands: LOCK.OWNER, LOCK.TTL, LOCK.CHECK and LOCK.INFO.

use redis_lock_core::request::parse_token;
use redis_lock_core::time::{ms_since, ms_until, Micros};
use redis_lock_core::{Error, Hold, Lock};
use redis_lock_engine::Waiter;

use super::argument;
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::key::Key;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// PTTL's reply for a missing key.
const NO_SUCH_LOCK: i64 = -2;

/// LOCK.OWNER
pub struct Owner;

impl Command<Module> for Owner {
    const DOC: Doc = Doc {
        syntax: "LOCK.OWNER key",
        arity: 2,
        flags: "readonly fast",
        keys: Keys::One(Access::Read),
        summary: "Who holds a lock: of several holders the one that has held longest; nil if nobody.",
        complexity: "O(1); O(N) with N holds past their deadline that are not reclaimed yet",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let key = Key::read(ctx, argument(args, 1)?)?;
        match key.lock().and_then(|lock| lock.live(module.now()).next()) {
            None => Ok(Reply::Nil),
            Some(hold) => {
                ctx.reply_bytes(hold.owner());
                Ok(Reply::Sent)
            }
        }
    }
}

/// LOCK.TTL
pub struct Ttl;

impl Command<Module> for Ttl {
    const DOC: Doc = Doc {
        syntax: "LOCK.TTL key",
        arity: 2,
        flags: "readonly fast",
        keys: Keys::One(Access::Read),
        summary: "The milliseconds that are left of a lock: of its longest hold; -2 if nobody holds it.",
        complexity: "O(1)",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let key = Key::read(ctx, argument(args, 1)?)?;
        let now = module.now();
        let latest = key.lock().and_then(Lock::latest).filter(|&deadline| now < deadline);
        Ok(Reply::Integer(latest.map_or(NO_SUCH_LOCK, |deadline| ms_until(deadline, now))))
    }
}

/// LOCK.CHECK
pub struct Check;

impl Command<Module> for Check {
    const DOC: Doc = Doc {
        syntax: "LOCK.CHECK key token",
        arity: 3,
        flags: "readonly fast",
        keys: Keys::One(Access::Read),
        summary: "1 if a live hold of a lock has exactly this fencing token, else an error: stops a script.",
        complexity: "O(log N) with N holders of the lock",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let token = parse_token(argument(args, 2)?.bytes())?;
        let key = Key::read(ctx, argument(args, 1)?)?;
        match key.lock() {
            Some(lock) if lock.has_live_token(token, module.now()) => Ok(Reply::Integer(1)),
            _ => Err(Error::Fenced(token)),
        }
    }
}

/// LOCK.INFO
pub struct Info;

impl Command<Module> for Info {
    const DOC: Doc = Doc {
        syntax: "LOCK.INFO key",
        arity: 2,
        flags: "readonly",
        keys: Keys::One(Access::Read),
        summary:
            "Who holds a lock since when, for how long, under which token, and who waits; nil if nobody.",
        complexity: "O(N) with N holders and waiters of the lock",
    };

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
        let waiters: Vec<_> = queue.into_iter().flat_map(|queue| engine.queues().waiters(queue)).collect();
        ctx.reply_map(3);
        number(ctx, "fence", holds.iter().map(|hold| hold.token).max().unwrap_or(0) as i64);
        ctx.reply_bytes(b"holders");
        ctx.reply_array(holds.len());
        holds.iter().for_each(|hold| holder(ctx, hold, now));
        ctx.reply_bytes(b"waiters");
        ctx.reply_array(waiters.len());
        waiters.iter().for_each(|waiter| self::waiter(ctx, waiter, now));
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
    number(ctx, "session", hold.sessions().last().map_or(0, |&client| client as i64));
    text(ctx, "meta", hold.meta());
}

fn waiter<C>(ctx: &Ctx, waiter: &Waiter<C>, now: Micros) {
    ctx.reply_map(4);
    text(ctx, "owner", waiter.owner.as_slice());
    number(ctx, "limit", i64::from(waiter.limit.to_wire()));
    number(ctx, "waiting-ms", ms_since(waiter.since, now));
    number(ctx, "client", waiter.client_id as i64);
}

fn number(ctx: &Ctx, name: &str, value: i64) {
    ctx.reply_bytes(name.as_bytes());
    ctx.reply_integer(value);
}

fn text(ctx: &Ctx, name: &str, value: &[u8]) {
    ctx.reply_bytes(name.as_bytes());
    ctx.reply_bytes(value);
}
