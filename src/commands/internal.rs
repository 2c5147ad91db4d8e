//! Commands that no user sends: effects for replicas and the AOF (`redis_lock_core::effect` defines their
//! meaning), and the probe that the module sends to its own server.

use redis_lock_core::effect::{self, parse_gone, HoldEffect};
use redis_lock_core::time::Micros;
use redis_lock_core::Error;
use redis_lock_engine::OpenLock;

use super::{argument, bytes};
use crate::ffi::arguments::{Args, Str};
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::lock_txn::{commit_all, LockTxn, Propagation, Purpose};
use crate::module::{Module, ServerEngine};

/// LOCK._HOLD
pub struct HoldChanged;

impl Command<Module> for HoldChanged {
    const DOC: Doc = Doc {
        syntax: "LOCK._HOLD key owner ttl-ms token [LIMIT n] [HELD milliseconds] [META text] \
                 [EXPIRED expired-owner]... [RELEASED released-owner]...",
        arity: -5,
        flags: "write admin",
        keys: Keys::One(Access::Update),
        summary: "Internal: what became of a hold, for replicas and AOF.",
        complexity: "O(log N) with N holders of the lock, and O(log M) with M locks held on the server",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let now = module.now();
        let effect = HoldEffect::parse(bytes(args, 2))?;
        let name = argument(args, 1)?;
        let bound = module.engine().check_token(effect.token, now);
        if bound.is_err() && from_client(ctx) && !ctx.is_elsewhere(name) {
            bound?;
        }
        follow(module, ctx, name, now, |engine, open| engine.follow_hold(open, &effect, now))
    }
}

/// LOCK._DROP
pub struct HoldsGone;

impl Command<Module> for HoldsGone {
    const DOC: Doc = Doc {
        syntax: "LOCK._DROP key [EXPIRED expired-owner]... [RELEASED released-owner]...",
        arity: -4,
        flags: "write admin",
        keys: Keys::One(Access::Delete),
        summary: "Internal: holds that went, for replicas and AOF.",
        complexity: "O(D log N) with D holds that went and N holders of the lock",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let gone = parse_gone(bytes(args, 2))?;
        let now = module.now();
        follow(module, ctx, argument(args, 1)?, now, |engine, open| engine.follow_drop(open, &gone, now))
    }
}

/// LOCK._LAST
pub struct LastToken;

impl Command<Module> for LastToken {
    const DOC: Doc = Doc {
        syntax: "LOCK._LAST token",
        arity: 2,
        flags: "write admin",
        keys: Keys::None,
        summary: "Internal: the last token granted, for replicas and AOF.",
        complexity: "O(1)",
    };

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let token = effect::token(argument(args, 1)?.bytes())?;
        if from_client(ctx) {
            module.engine().check_token(token, module.now())?;
        }
        module.engine().accept_token(token);
        if module.must_propagate.get() {
            ctx.replicate_verbatim();
        }
        Ok(Reply::Ok)
    }
}

/// LOCK._PROBE
pub struct Probe;

impl Command<Module> for Probe {
    const DOC: Doc = Doc {
        syntax: "LOCK._PROBE key",
        arity: 2,
        flags: "write admin",
        keys: Keys::One(Access::Update),
        summary: "Internal: changes nothing; the module asks by it whether the server takes a write.",
        complexity: "O(1)",
    };

    fn run(_: &'static Module, _: &Ctx, _: Args) -> Result<Reply, Error> {
        Ok(Reply::Ok)
    }
}

/// Returns whether an ordinary client sent this command, and not a master or the AOF.
fn from_client(ctx: &Ctx) -> bool {
    !ctx.is_replicated()
}

/// Carries out an effect on the lock of this key. If an operator sent it to a master, the key's queue is
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
