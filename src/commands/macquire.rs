//! `LOCK.MACQUIRE numkeys key [key …] owner ttl-ms [SHARED | LIMIT n] [SESSION] [FENCE token] [META text]`

use redis_lock_core::{request, Error};

use super::lock_ops::{self, Keys};
use super::options::{acquire_options, counted_keys};
use super::{argument, bytes, keys_end, terms};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{self, Access, Doc};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct Macquire;

impl Command for Macquire {
    type Module = Module;
    const NAME: &'static str = "lock.macquire";
    const FLAGS: &'static str = "write deny-oom getkeys-api";
    const COUNTED_KEYS: Option<Access> = Some(Access::Update);

    fn doc() -> Doc {
        let mut args = counted_keys();
        args.extend(acquire_options([]));
        Doc {
            summary:
                "Grants several locks under one fencing token, all or none; nil if others hold one of them.",
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
        let request = request::Acquire::parse_many(bytes(args, end), terms(now), || ctx.in_script())?;
        let words = (argument(args, end)?, argument(args, end + 1)?);
        lock_ops::acquire(module, ctx, now, Keys::Many(args, 2..end), &request, words)
    }
}
