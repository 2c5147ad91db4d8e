//! ACQUIRE, EXTEND and RELEASE over one key or several: the commands differ in their arguments.

use std::ops::Range;

use redis_lock_core::decision::{decide_acquire, decide_extend, key_status, Grant};
use redis_lock_core::request::{check_owner, Acquire, Extend};
use redis_lock_core::time::Micros;
use redis_lock_core::Error;

use super::decide_here;
use crate::blocked_client;
use crate::budget::Budget;
use crate::ffi::arguments::{Args, Str};
use crate::ffi::context::Ctx;
use crate::ffi::reply::Reply;
use crate::handoff;
use crate::lock_txn::{commit_all, End, LockTxn, Propagation};
use crate::module::Module;

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
    now: Micros,
    then: impl FnOnce(&mut [LockTxn<'c>]) -> Result<R, Error>,
) -> Result<R, Error> {
    match keys {
        Keys::One(name) => then(&mut [LockTxn::open(module, ctx, name, now)?]),
        Keys::Many(args, range) => {
            let names = args.from(range.start).take(range.len());
            then(&mut LockTxn::open_all(module, ctx, names, now)?)
        }
    }
}

/// Grants all of these locks or none. `words` are the client's own for owner and ttl. Where one lock is
/// asked for that others hold, the client may wait for it.
#[inline]
pub fn acquire<'c>(
    module: &'static Module,
    ctx: &'c Ctx,
    now: Micros,
    keys: Keys<'c>,
    request: &Acquire,
    words: (Str<'c>, Str<'c>),
) -> Result<Reply, Error> {
    check_before_keys(module, ctx, now, request.fence)?;
    with_txns(module, ctx, keys, now, |txns| {
        prepare(module, txns, request.owner, now)?;
        let statuses = txns
            .iter()
            .map(|txn| key_status(txn.lock(), is_waited_for(txn), request.owner, request.limit, now));
        let clock = module.token_clock(now);
        let token =
            decide_acquire(statuses).and_then(|decided| decided.token(module.tokens(), clock, request.fence));
        let Ok(Some(token)) = token else {
            let place = txns.first().map(LockTxn::place);
            // Also a refusal tells of what it found expired.
            commit_all(txns, Propagation::Effect);
            token?;
            return match (request.block_ms, place) {
                (Some(ms), Some(place)) if ctx.may_block() => {
                    blocked_client::join(module, ctx, now, place, request, ms)
                }
                _ => {
                    module.totals.refused.add(1);
                    Ok(Reply::Nil)
                }
            };
        };
        let Acquire { owner, limit, ttl_ms, meta, .. } = *request;
        let session = request.session.then(|| ctx.client_id());
        let grant = Grant { owner, limit, now, ttl_ms, token, meta, session };
        txns.iter_mut().for_each(|txn| txn.grant(&grant, Some(words)));
        module.accept_token(token);
        commit_all(txns, Propagation::Effect);
        Ok(Reply::token(token))
    })
}

/// Whether somebody still waits for it.
#[inline]
fn is_waited_for(txn: &LockTxn) -> bool {
    txn.line().is_some_and(|line| txn.module().lines().borrow().place(line).is_some())
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
    check_before_keys(module, ctx, now, request.fence)?;
    with_txns(module, ctx, keys, now, |txns| {
        prepare(module, txns, request.owner, now)?;
        let tokens = txns.iter().map(|txn| txn.hold(request.owner).map(|hold| hold.token));
        let extended = decide_extend(tokens, request.fence);
        if let Some(token) = extended {
            txns.iter_mut().for_each(|txn| txn.extend(request.owner, request.ttl_ms, token));
            if let Some(token) = token {
                module.accept_token(token);
            }
        }
        commit_all(txns, Propagation::Effect);
        Ok(match extended {
            None => Reply::Integer(0),
            Some(None) => Reply::Integer(1),
            Some(Some(token)) => Reply::token(token),
        })
    })
}

/// Releases this owner's holds of these locks; how many it had.
#[inline]
pub fn release<'c>(
    module: &'static Module,
    ctx: &'c Ctx,
    keys: Keys<'c>,
    owner: &[u8],
    propagation: Propagation,
) -> Result<Reply, Error> {
    check_owner(owner)?;
    decide_here(module, ctx)?;
    with_txns(module, ctx, keys, module.now(), |txns| {
        let mut released = 0;
        for txn in txns.iter_mut() {
            bring_up(txn, owner);
            released += i64::from(txn.remove(owner, End::Released));
            if let Some(line) = txn.line() {
                blocked_client::send_away_owner(module, line, owner);
                handoff::grant_waiters(txn, Budget::begin(txn.now()));
            }
        }
        commit_all(txns, propagation);
        Ok(Reply::Integer(released))
    })
}

/// What is left to check before a key is looked at.
#[inline]
fn check_before_keys(module: &Module, ctx: &Ctx, now: Micros, fence: Option<u64>) -> Result<(), Error> {
    decide_here(module, ctx)?;
    match fence {
        Some(fence) => module.tokens().check_fence(module.token_clock(now), fence),
        None => Ok(()),
    }
}

/// Checks what comes after the keys' types, and brings them up to the moment.
#[inline]
fn prepare(module: &Module, txns: &mut [LockTxn], owner: &[u8], now: Micros) -> Result<(), Error> {
    module.check_cooldown(now)?;
    txns.iter_mut().for_each(|txn| bring_up(txn, owner));
    Ok(())
}

/// Brings a key up to the moment, for a command of this owner.
#[inline]
fn bring_up(txn: &mut LockTxn, owner: &[u8]) {
    handoff::expire_and_serve(txn);
    txn.purge_owner(owner);
}
