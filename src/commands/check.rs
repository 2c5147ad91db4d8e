//! `LOCK.CHECK key token`

use redis_lock_core::request::parse_token;
use redis_lock_core::Error;

use super::argument;
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Arg, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::key::Key;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct Check;

impl Command for Check {
    type Module = Module;
    const NAME: &'static str = "lock.check";
    const FLAGS: &'static str = "readonly fast";

    fn doc() -> Doc {
        Doc {
            summary:
                "1 if a live hold of a lock has exactly this fencing token, else an error: stops a script.",
            complexity: "O(log N) with N holders of the lock",
            since: "0.1.0",
            arity: 3,
            keys: Some((Keys::First, Access::Read)),
            args: vec![Arg::key(), Arg::integer("token")],
        }
    }

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let token = parse_token(argument(args, 2)?.bytes())?;
        let key = Key::read(ctx, argument(args, 1)?)?;
        match key.lock() {
            Some(lock) if lock.has_live_token(token, module.now()) => Ok(Reply::Integer(1)),
            _ => Err(Error::Fenced(token)),
        }
    }
}
