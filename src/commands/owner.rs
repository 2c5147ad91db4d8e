//! `LOCK.OWNER key`

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
pub struct Owner;

impl Command for Owner {
    type Module = Module;
    const NAME: &'static str = "lock.owner";
    const FLAGS: &'static str = "readonly fast";

    fn doc() -> Doc {
        Doc {
            summary: "Who holds a lock: of several holders the one that has held longest; nil if nobody.",
            complexity: "O(1); O(N) with N holds past their deadline that are not reclaimed yet",
            since: "0.1.0",
            arity: 2,
            keys: Some((Keys::First, Access::Read)),
            args: vec![Arg::key()],
        }
    }

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let key = Key::read(ctx, argument(args, 1)?)?;
        match key.lock().and_then(|lock| lock.live(module.now()).next()) {
            None => Ok(Reply::Nil),
            Some(hold) => {
                ctx.reply_bytes(hold.owner());
                Ok(Reply::Sent)
            }
        }
    }
}
