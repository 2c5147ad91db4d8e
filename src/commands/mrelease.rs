//! `LOCK.MRELEASE numkeys key [key …] owner`

use redis_lock_core::Error;

use super::lock_ops::{self, Keys};
use super::options::counted_keys;
use super::{argument, keys_end};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{self, Access, Arg, Doc};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::lock_txn::Propagation;
use crate::module::Module;

/// See the module.
pub struct Mrelease;

impl Command for Mrelease {
    type Module = Module;
    const NAME: &'static str = "lock.mrelease";
    const FLAGS: &'static str = "write getkeys-api";
    const COUNTED_KEYS: Option<Access> = Some(Access::Delete);

    fn doc() -> Doc {
        let mut args = counted_keys();
        args.push(Arg::text("owner"));
        Doc {
            summary: "Releases an owner's holds of several locks, and replies how many it had.",
            complexity:
                "O(K log N) with K keys and N holders of each, and O(K log M) with M locks held on the server",
            since: "0.1.0",
            arity: -4,
            keys: Some((doc::Keys::Counted, Access::Delete)),
            args,
        }
    }

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let end = keys_end(args, 1)?;
        if args.len() != end + 1 {
            return Err(Error::Syntax);
        }
        let owner = argument(args, end)?.bytes();
        lock_ops::release(module, ctx, Keys::Many(args, 2..end), owner, Propagation::Effects)
    }
}
