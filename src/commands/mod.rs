//! The commands: each file parses its arguments and says what it wants; `lock_ops` is
//! what several of them share.

pub mod acquire;
pub mod check;
pub mod effect_drop;
pub mod effect_hold;
pub mod effect_last;
pub mod extend;
pub mod info;
mod lock_ops;
pub mod macquire;
pub mod mextend;
pub mod mrelease;
mod options;
pub mod owner;
pub mod probe;
pub mod release;
pub mod ttl;

use redis_lock_core::request::{parse_numkeys, Terms};
use redis_lock_core::time::Micros;
use redis_lock_core::Error;
use redis_lock_engine::OpenLock;

use crate::configuration;
use crate::ffi::arguments::{Args, Str};
use crate::ffi::context::Ctx;
use crate::ffi::reply::Reply;
use crate::lock_txn::{commit_all, LockTxn, Propagation, Purpose};
use crate::module::{Module, ServerEngine};

/// The argument at `index`; the arity has made sure that it is there.
#[inline]
fn argument<'a>(args: Args<'a>, index: usize) -> Result<Str<'a>, Error> {
    args.get(index).ok_or(Error::Syntax)
}

/// The bytes of the arguments from `start` on.
#[inline]
fn bytes<'a>(args: Args<'a>, start: usize) -> impl Iterator<Item = &'a [u8]> {
    args.from(start).map(Str::bytes)
}

/// What the server allows now.
#[inline]
fn terms(now: Micros) -> Terms {
    Terms { max_ttl_ms: configuration::MAX_TTL.get(), now }
}

/// Where the keys of `numkeys key [key …]` end and what follows begins; that must be at least
/// `needed` arguments.
fn keys_end(args: Args, needed: usize) -> Result<usize, Error> {
    let available = args.len().saturating_sub(2 + needed);
    Ok(2 + parse_numkeys(argument(args, 1)?.bytes(), available)?)
}

/// Whether an ordinary client sent this command, and not a master or the AOF.
fn from_client(ctx: &Ctx) -> bool {
    !ctx.is_replicated()
}

/// Carries out an effect on the lock of this key. If an operator sent it to a master, the queue of the key is
/// served again.
fn follow(
    module: &'static Module,
    ctx: &Ctx,
    name: Str,
    now: Micros,
    effect: impl FnOnce(&mut ServerEngine, &mut OpenLock),
) -> Result<Reply, Error> {
    let mut txn = LockTxn::open(module, ctx, name, Purpose::Follow)?;
    effect(&mut module.engine(), txn.as_mut());
    let (db, name) = txn.place();
    commit_all(module, ctx, &mut [txn], now, Propagation::Effects);
    module.tell(|engine| engine.on_followed(db, name.bytes()));
    Ok(Reply::Ok)
}
