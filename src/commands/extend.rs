//! `LOCK.EXTEND key owner ttl-ms [FENCE token]`

use redis_lock_core::{request, Error};

use super::lock_ops::{self, Keys};
use super::{argument, bytes, terms};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{self, Access, Arg, Doc};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct Extend;

impl Command for Extend {
    type Module = Module;
    const NAME: &'static str = "lock.extend";
    const FLAGS: &'static str = "write fast";

    fn doc() -> Doc {
        Doc {
            summary:
                "Extends an owner's hold of a lock; 0 if it holds nothing (any more). FENCE raises its token.",
            complexity: "O(log N) with N holders of the lock, and O(log M) with M locks held on the server",
            since: "0.1.0",
            arity: -4,
            keys: Some((doc::Keys::First, Access::Update)),
            args: vec![
                Arg::key(),
                Arg::text("owner"),
                Arg::integer("ttl-ms"),
                Arg::integer("token").after("FENCE").optional(),
            ],
        }
    }

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let now = module.now();
        let request = request::Extend::parse(bytes(args, 2), terms(now))?;
        lock_ops::extend(module, ctx, now, Keys::One(argument(args, 1)?), &request)
    }
}
