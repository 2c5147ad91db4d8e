//! LOCK.ACQUIRE and LOCK.MACQUIRE.

use std::ops::Range;

use redis_lock_core::{request, Error};

use super::{argument, bytes, counted_keys, terms, with_txns, ONE_KEY};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::lock_txn::{commit_all, Propagation, Purpose};
use crate::module::Module;
use crate::waiting;

/// LOCK.ACQUIRE
pub struct Acquire;

impl Command<Module> for Acquire {
    const DOC: Doc = Doc {
        syntax: "LOCK.ACQUIRE key owner ttl-ms [SHARED | LIMIT n] [BLOCK milliseconds] [SESSION] [FENCE token] [META text]",
        arity: -4,
        flags: "write deny-oom blocking",
        keys: Keys::One(Access::Update),
        summary: "Grants a lock to an owner for a limited time, and replies its fencing token; nil if others hold it.",
        complexity: "O(log N) with N holders of the lock, and O(log M) with M locks held on the server",
    };

    #[inline]
    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        acquire(module, ctx, args, ONE_KEY, true)
    }
}

/// LOCK.MACQUIRE
pub struct Macquire;

impl Command<Module> for Macquire {
    const DOC: Doc = Doc {
        syntax:
            "LOCK.MACQUIRE numkeys key... owner ttl-ms [SHARED | LIMIT n] [SESSION] [FENCE token] [META text]",
        arity: -5,
        flags: "write deny-oom getkeys-api",
        keys: Keys::Counted(Access::Update),
        summary: "Grants several locks under one fencing token, all or none; nil if others hold one of them.",
        complexity:
            "O(K log N) with K keys and N holders of each, and O(K log M) with M locks held on the server",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        acquire(module, ctx, args, counted_keys(args, 2)?, false)
    }
}

/// Grants all of these locks or none. If others hold the only one, the client may wait for it.
#[inline]
fn acquire(
    module: &'static Module,
    ctx: &Ctx,
    args: Args,
    keys: Range<usize>,
    may_block: bool,
) -> Result<Reply, Error> {
    let now = module.now();
    let request = request::Acquire::parse(bytes(args, keys.end), may_block, terms(now), || ctx.in_script())?;
    // The client's own words for owner and ttl.
    let (owner, ttl) = (argument(args, keys.end)?, argument(args, keys.end + 1)?);
    module.engine().check(|| ctx.is_replicated(), request.fence, now)?;
    with_txns(module, ctx, (args, keys), Purpose::Grant, |txns| {
        let client = if request.session { ctx.client_id() } else { 0 };
        let token = module.engine().acquire(txns, &request, client, &module.conditions(now));
        // A refusal also reports the holds that it found expired.
        commit_all(module, ctx, txns, now, Propagation::Grant(owner, ttl));
        match (token?, txns.first()) {
            (Some(token), _) => Ok(Reply::token(token)),
            (None, Some(txn)) if request.block_ms.is_some() && ctx.may_block() => {
                waiting::join(module, ctx, now, txn.place(), &request)
            }
            _ => {
                module.engine().on_refused();
                Ok(Reply::Nil)
            }
        }
    })
}
