//! LOCK.EXTEND and LOCK.MEXTEND.

use std::ops::Range;

use redis_lock_core::{request, Error};

use super::{bytes, counted_keys, terms, with_txns, ONE_KEY};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::lock_txn::{commit_all, Propagation, Purpose};
use crate::module::Module;

/// LOCK.EXTEND
pub struct Extend;

impl Command<Module> for Extend {
    const DOC: Doc = Doc {
        syntax: "LOCK.EXTEND key owner ttl-ms [FENCE token]",
        arity: -4,
        flags: "write fast",
        keys: Keys::One(Access::Update),
        summary:
            "Extends an owner's hold of a lock; 0 if it holds nothing (any more). FENCE raises its token.",
        complexity: "O(log N) with N holders of the lock, and O(log M) with M locks held on the server",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        extend(module, ctx, args, ONE_KEY)
    }
}

/// LOCK.MEXTEND
pub struct Mextend;

impl Command<Module> for Mextend {
    const DOC: Doc = Doc {
        syntax: "LOCK.MEXTEND numkeys key... owner ttl-ms [FENCE token]",
        arity: -5,
        flags: "write getkeys-api",
        keys: Keys::Counted(Access::Update),
        summary: "Extends an owner's holds of several locks, all or none; 0 if one is not held (any more).",
        complexity:
            "O(K log N) with K keys and N holders of each, and O(K log M) with M locks held on the server",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        extend(module, ctx, args, counted_keys(args, 2)?)
    }
}

/// Extends this owner's holds of all these locks, or of none.
#[inline]
fn extend(module: &'static Module, ctx: &Ctx, args: Args, keys: Range<usize>) -> Result<Reply, Error> {
    let now = module.now();
    let request = request::Extend::parse(bytes(args, keys.end), terms(now))?;
    module.engine().check(|| ctx.is_replicated(), request.fence, now)?;
    with_txns(module, ctx, (args, keys), Purpose::Grant, |txns| {
        let extended = module.engine().extend(txns, &request, &module.conditions(now));
        commit_all(module, ctx, txns, now, Propagation::Effects);
        Ok(match extended? {
            None => Reply::Integer(0),
            Some(None) => Reply::Integer(1),
            Some(Some(token)) => Reply::token(token),
        })
    })
}
