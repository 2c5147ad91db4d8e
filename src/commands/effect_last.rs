//! `LOCK._LAST token`

use redis_lock_core::{effect, Error};

use super::{argument, from_client};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Arg, Doc};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct Last;

impl Command for Last {
    type Module = Module;
    const NAME: &'static str = "lock._last";
    const FLAGS: &'static str = "write admin";

    fn doc() -> Doc {
        Doc {
            summary: "Internal: the last token granted, for replicas and AOF.",
            complexity: "O(1)",
            since: "0.1.0",
            arity: 2,
            keys: None,
            args: vec![Arg::integer("token")],
        }
    }

    fn run(module: &'static Module, ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let token = effect::token(argument(args, 1)?.bytes())?;
        if from_client(ctx) {
            module.engine().check_token(token, module.now())?;
        }
        module.engine().accept_token(token);
        if module.must_propagate.get() {
            ctx.replicate_verbatim();
        }
        Ok(Reply::Ok)
    }
}
