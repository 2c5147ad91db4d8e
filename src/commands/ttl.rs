//! `LOCK.TTL key`

use redis_lock_core::time::ms_until;
use redis_lock_core::{Error, Lock};

use super::argument;
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Arg, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::key::Key;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// What PTTL says of a key that is not there.
const NO_SUCH_LOCK: i64 = -2;

/// See the module.
pub struct Ttl;

impl Command for Ttl {
    type Module = Module;
    const NAME: &'static str = "lock.ttl";
    const FLAGS: &'static str = "readonly fast";

    fn doc() -> Doc {
        Doc {
            summary: "The milliseconds that are left of a lock: of its longest hold; -2 if nobody holds it.",
            complexity: "O(1)",
            since: "0.1.0",
            arity: 2,
            keys: Some((Keys::First, Access::Read)),
            args: vec![Arg::key()],
        }
    }

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let key = Key::read(ctx, argument(args, 1)?)?;
        let now = module.now();
        let latest = key.lock().and_then(Lock::latest).filter(|&deadline| now < deadline);
        Ok(Reply::Integer(latest.map_or(NO_SUCH_LOCK, |deadline| ms_until(deadline, now))))
    }
}
