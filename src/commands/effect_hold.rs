//! `LOCK._HOLD key owner ttl-ms token [LIMIT n] [HELD ms] [META text] [EXPIRED owner | RELEASED owner]…`

use redis_lock_core::effect::HoldEffect;
use redis_lock_core::Error;

use super::{argument, bytes, follow, from_client};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Arg, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct Hold;

impl Command for Hold {
    type Module = Module;
    const NAME: &'static str = "lock._hold";
    const FLAGS: &'static str = "write admin";

    fn doc() -> Doc {
        Doc {
            summary: "Internal: what became of a hold, for replicas and AOF.",
            complexity: "O(log N) with N holders of the lock, and O(log M) with M locks held on the server",
            since: "0.1.0",
            arity: -5,
            keys: Some((Keys::First, Access::Update)),
            args: vec![
                Arg::key(),
                Arg::text("owner"),
                Arg::integer("ttl-ms"),
                Arg::integer("token"),
                Arg::integer("n").after("LIMIT").optional(),
                Arg::integer("milliseconds").after("HELD").optional(),
                Arg::text("text").after("META").optional(),
                Arg::text("expired-owner").after("EXPIRED").optional().multiple(),
                Arg::text("released-owner").after("RELEASED").optional().multiple(),
            ],
        }
    }

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
