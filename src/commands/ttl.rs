//! `LOCK.TTL key`

use redis_lock_core::time::ms_until;
use redis_lock_core::{Error, Lock};

use super::{argument, Reply};
use crate::docs::{Access, Arg, Doc, Keys};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::entry::Command;
use crate::ffi::key::Key;
use crate::state::state;

/// What PTTL says of a key that is not there.
const NO_SUCH_LOCK: i64 = -2;

/// See the module.
pub struct Ttl;

impl Command for Ttl {
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

    fn run(ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let key = Key::read(ctx, argument(args, 1)?)?;
        let now = state().now();
        let latest = key.lock().and_then(Lock::latest).filter(|&deadline| now < deadline);
        Ok(Reply::Integer(latest.map_or(NO_SUCH_LOCK, |deadline| ms_until(deadline, now))))
    }
}
