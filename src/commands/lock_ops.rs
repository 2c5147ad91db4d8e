//! ACQUIRE, EXTEND and RELEASE over one key or several: the commands differ in their arguments.

use std::ops::Range;

use redis_lock_core::request::{check_owner, Acquire, Extend};
use redis_lock_core::time::Micros;
use redis_lock_core::Error;

use crate::ffi::arguments::{Args, Str};
use crate::ffi::context::Ctx;
use crate::ffi::reply::Reply;
use crate::lock_txn::{commit_all, LockTxn, Propagation, Purpose};
use crate::module::Module;
use crate::waiting;

/// The keys that a command names.
pub enum Keys<'c> {
    /// The one key of ACQUIRE, EXTEND and RELEASE.
    One(Str<'c>),
    /// The arguments of this range, for the M-commands.
    Many(Args<'c>, Range<usize>),
}

/// Opens the keys and hands them on; one needs no list.
#[inline]
fn with_txns<'c, R>(
    module: &'static Module,
    ctx: &'c Ctx,
    keys: Keys<'c>,
    purpose: Purpose,
    then: impl FnOnce(&mut [LockTxn<'c>]) -> Result<R, Error>,
) -> Result<R, Error> {
    match keys {
        Keys::One(name) => then(&mut [LockTxn::open(module, ctx, name, purpose)?]),
        Keys::Many(args, range) => {
            let names = args.from(range.start).take(range.len());
            then(&mut LockTxn::open_all(module, ctx, names, purpose)?)
        }
    }
}

/// Grants all of these locks or none. `words` are the client's own for owner and ttl. If one lock is asked for
/// that others hold, the client may wait for it.
#[inline]
pub fn acquire<'c>(
    module: &'static Module,
    ctx: &'c Ctx,
    now: Micros,
    keys: Keys<'c>,
    request: &Acquire,
    (owner, ttl): (Str<'c>, Str<'c>),
) -> Result<Reply, Error> {
    module.engine().check(|| ctx.is_replicated(), request.fence, now)?;
    with_txns(module, ctx, keys, Purpose::Grant, |txns| {
        let client = if request.session { ctx.client_id() } else { 0 };
        let token = module.engine().acquire(txns, request, client, &module.conditions(now));
        // Also a refusal tells of what it found expired.
        commit_all(module, ctx, txns, now, Propagation::Grant(owner, ttl));
        match (token?, txns.first()) {
            (Some(token), _) => Ok(Reply::token(token)),
            (None, Some(txn)) if request.block_ms.is_some() && ctx.may_block() => {
                waiting::join(module, ctx, now, txn.place(), request)
            }
            _ => {
                module.engine().on_refused();
                Ok(Reply::Nil)
            }
        }
    })
}

/// Extends this owner's holds of all these locks or none.
#[inline]
pub fn extend<'c>(
    module: &'static Module,
    ctx: &'c Ctx,
    now: Micros,
    keys: Keys<'c>,
    request: &Extend,
) -> Result<Reply, Error> {
    module.engine().check(|| ctx.is_replicated(), request.fence, now)?;
    with_txns(module, ctx, keys, Purpose::Grant, |txns| {
        let extended = module.engine().extend(txns, request, &module.conditions(now));
        commit_all(module, ctx, txns, now, Propagation::Effects);
        Ok(match extended? {
            None => Reply::Integer(0),
            Some(None) => Reply::Integer(1),
            Some(Some(token)) => Reply::token(token),
        })
    })
}

/// Releases this owner's holds of these locks. Replies how many it had.
#[inline]
pub fn release<'c>(
    module: &'static Module,
    ctx: &'c Ctx,
    keys: Keys<'c>,
    owner: &[u8],
    propagation: Propagation,
) -> Result<Reply, Error> {
    check_owner(owner)?;
    let now = module.now();
    module.engine().check(|| ctx.is_replicated(), None, now)?;
    with_txns(module, ctx, keys, Purpose::Release, |txns| {
        let released = module.engine().release(txns, owner, &module.conditions(now));
        commit_all(module, ctx, txns, now, propagation);
        Ok(Reply::Integer(released))
    })
}
