//! `LOCK.MEXTEND numkeys key [key …] owner ttl-ms [FENCE token]`

use redis_lock_core::{request, Error};

use super::lock_ops::{self, Keys};
use super::options::counted_keys;
use super::{bytes, keys_end, terms};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{self, Access, Arg, Doc};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct Mextend;

impl Command for Mextend {
    type Module = Module;
    const NAME: &'static str = "lock.mextend";
    const FLAGS: &'static str = "write getkeys-api";
    const COUNTED_KEYS: Option<Access> = Some(Access::Update);

    fn doc() -> Doc {
        let mut args = counted_keys();
        args.push(Arg::text("owner"));
        args.push(Arg::integer("ttl-ms"));
        args.push(Arg::integer("token").after("FENCE").optional());
        Doc {
            summary:
                "Extends an owner's holds of several locks, all or none; 0 if one is not held (any more).",
            complexity:
                "O(K log N) with K keys and N holders of each, and O(K log M) with M locks held on the server",
            since: "0.1.0",
            arity: -5,
            keys: Some((doc::Keys::Counted, Access::Update)),
            args,
        }
    }

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let now = module.now();
        let end = keys_end(args, 2)?;
        let request = request::Extend::parse(bytes(args, end), terms(now))?;
        lock_ops::extend(module, ctx, now, Keys::Many(args, 2..end), &request)
    }
}
