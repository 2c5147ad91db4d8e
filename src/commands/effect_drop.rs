//! `LOCK._DROP key (EXPIRED owner | RELEASED owner)…`

use redis_lock_core::effect::parse_gone;
use redis_lock_core::Error;

use super::{argument, bytes, follow};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Arg, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct DropHolds;

impl Command for DropHolds {
    type Module = Module;
    const NAME: &'static str = "lock._drop";
    const FLAGS: &'static str = "write admin";

    fn doc() -> Doc {
        Doc {
            summary: "Internal: holds that went, for replicas and AOF.",
            complexity: "O(D log N) with D holds that went and N holders of the lock",
            since: "0.1.0",
            arity: -4,
            keys: Some((Keys::First, Access::Delete)),
            args: vec![
                Arg::key(),
                Arg::text("expired-owner").after("EXPIRED").optional().multiple(),
                Arg::text("released-owner").after("RELEASED").optional().multiple(),
            ],
        }
    }

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let gone = parse_gone(bytes(args, 2))?;
        let now = module.now();
        follow(module, ctx, argument(args, 1)?, now, |engine, open| engine.follow_drop(open, &gone, now))
    }
}
