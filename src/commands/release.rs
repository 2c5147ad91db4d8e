//! LOCK.RELEASE and LOCK.MRELEASE.

use std::ops::Range;

use redis_lock_core::request::check_owner;
use redis_lock_core::Error;

use super::{argument, counted_keys, with_txns, ONE_KEY};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::lock_txn::{commit_all, Propagation, Purpose};
use crate::module::Module;

/// LOCK.RELEASE
pub struct Release;

impl Command<Module> for Release {
    const DOC: Doc = Doc {
        syntax: "LOCK.RELEASE key owner",
        arity: 3,
        flags: "write fast",
        keys: Keys::One(Access::Delete),
        summary: "Releases an owner's hold of a lock; 0 if it holds nothing (any more).",
        complexity: "O(log N) with N holders of the lock, and O(log M) with M locks held on the server",
    };

    #[inline]
    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        release(module, ctx, args, ONE_KEY, Propagation::Release)
    }
}

/// LOCK.MRELEASE
pub struct Mrelease;

impl Command<Module> for Mrelease {
    const DOC: Doc = Doc {
        syntax: "LOCK.MRELEASE numkeys key... owner",
        arity: -4,
        flags: "write getkeys-api",
        keys: Keys::Counted(Access::Delete),
        summary: "Releases an owner's holds of several locks, and replies how many it had.",
        complexity:
            "O(K log N) with K keys and N holders of each, and O(K log M) with M locks held on the server",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let keys = counted_keys(args, 1)?;
        match args.len() == keys.end + 1 {
            true => release(module, ctx, args, keys, Propagation::Effects),
            false => Err(Error::Syntax),
        }
    }
}

/// Releases this owner's holds of these locks. Replies how many there were.
#[inline]
fn release(
    module: &'static Module,
    ctx: &Ctx,
    args: Args,
    keys: Range<usize>,
    propagation: Propagation,
) -> Result<Reply, Error> {
    let owner = argument(args, keys.end)?.bytes();
    check_owner(owner)?;
    let now = module.now();
    module.engine().check(|| ctx.is_replicated(), None, now)?;
    with_txns(module, ctx, (args, keys), Purpose::Release, |txns| {
        let released = module.engine().release(txns, owner, &module.conditions(now));
        commit_all(module, ctx, txns, now, propagation);
        Ok(Reply::Integer(released))
    })
}
