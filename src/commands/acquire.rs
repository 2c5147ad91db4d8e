//! `LOCK.ACQUIRE key owner ttl-ms [SHARED | LIMIT n] [BLOCK ms] [SESSION] [FENCE token] [META text]`

use redis_lock_core::{request, Error};

use super::lock_ops::{self, Keys};
use super::options::acquire_options;
use super::{argument, bytes, terms};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{self, Access, Arg, Doc};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct Acquire;

impl Command for Acquire {
    type Module = Module;
    const NAME: &'static str = "lock.acquire";
    const FLAGS: &'static str = "write deny-oom blocking";

    fn doc() -> Doc {
        let mut args = vec![Arg::key()];
        args.extend(acquire_options([Arg::integer("milliseconds").after("BLOCK").optional()]));
        Doc {
            summary: "Grants a lock to an owner for a limited time, and replies its fencing token; nil if others hold it.",
            complexity: "O(log N) with N holders of the lock, and O(log M) with M locks held on the server",
            since: "0.1.0",
            arity: -4,
            keys: Some((doc::Keys::First, Access::Update)),
            args,
        }
    }

    #[inline]
    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let now = module.now();
        let request = request::Acquire::parse(bytes(args, 2), terms(now), || ctx.in_script())?;
        let words = (argument(args, 2)?, argument(args, 3)?);
        lock_ops::acquire(module, ctx, now, Keys::One(argument(args, 1)?), &request, words)
    }
}
