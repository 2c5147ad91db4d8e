//! The commands, one file for each kind: parsing a request, calling the engine, and the reply. This file has
//! what several of them share.

pub mod acquire;
pub mod extend;
pub mod internal;
pub mod read;
pub mod release;

use std::ops::Range;

use redis_lock_core::request::{parse_numkeys, Terms};
use redis_lock_core::time::Micros;
use redis_lock_core::Error;

use crate::configuration;
use crate::ffi::arguments::{Args, Str};
use crate::ffi::context::Ctx;
use crate::lock_txn::{LockTxn, Purpose};
use crate::module::Module;

/// The position of the key in a command with one key.
const ONE_KEY: Range<usize> = 1..2;

/// Returns the range of the keys in `numkeys key [key …]`, which at least `needed` arguments follow.
fn counted_keys(args: Args, needed: usize) -> Result<Range<usize>, Error> {
    let available = args.len().saturating_sub(2 + needed);
    Ok(2..2 + parse_numkeys(argument(args, 1)?.bytes(), available)?)
}

/// Returns the argument at `index`, which the arity guarantees.
#[inline]
fn argument<'a>(args: Args<'a>, index: usize) -> Result<Str<'a>, Error> {
    args.get(index).ok_or(Error::Syntax)
}

/// Returns the bytes of the arguments from `start` on.
#[inline]
fn bytes<'a>(args: Args<'a>, start: usize) -> impl Iterator<Item = &'a [u8]> {
    args.from(start).map(Str::bytes)
}

/// Returns the server's current limits.
#[inline]
fn terms(now: Micros) -> Terms {
    Terms { max_ttl_ms: configuration::max_ttl_ms(), now }
}

/// Opens the keys of a command and passes them on. A single key needs no list.
#[inline]
fn with_txns<'c, R>(
    module: &'static Module,
    ctx: &'c Ctx,
    (args, keys): (Args<'c>, Range<usize>),
    purpose: Purpose,
    then: impl FnOnce(&mut [LockTxn<'c>]) -> Result<R, Error>,
) -> Result<R, Error> {
    if keys.len() == 1 {
        return then(&mut [LockTxn::open(module, ctx, argument(args, keys.start)?, purpose)?]);
    }
    let names = args.from(keys.start).take(keys.len());
    then(&mut LockTxn::open_all(module, ctx, names, purpose)?)
}
