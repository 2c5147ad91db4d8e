//! `LOCK.RELEASE key owner`

use redis_lock_core::Error;

use super::argument;
use super::lock_ops::{self, Keys};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{self, Access, Arg, Doc};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::lock_txn::Propagation;
use crate::module::Module;

/// See the module.
pub struct Release;

impl Command for Release {
    type Module = Module;
    const NAME: &'static str = "lock.release";
    const FLAGS: &'static str = "write fast";

    fn doc() -> Doc {
        Doc {
            summary: "Releases an owner's hold of a lock; 0 if it holds nothing (any more).",
            complexity: "O(log N) with N holders of the lock, and O(log M) with M locks held on the server",
            since: "0.1.0",
            arity: 3,
            keys: Some((doc::Keys::First, Access::Delete)),
            args: vec![Arg::key(), Arg::text("owner")],
        }
    }

    #[inline]
    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let owner = argument(args, 2)?.bytes();
        lock_ops::release(module, ctx, Keys::One(argument(args, 1)?), owner, Propagation::Release)
    }
}
