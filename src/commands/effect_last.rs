//! `LOCK._LAST token`

use redis_lock_core::{effect, Error};

use super::{argument, from_client, Reply};
use crate::docs::{Arg, Doc};
use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::entry::Command;
use crate::state::state;

/// See the module.
pub struct Last;

impl Command for Last {
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

    fn run(ctx: &Ctx, args: Args) -> Result<Reply, Error> {
        let state = state();
        let token = effect::token(argument(args, 1)?.bytes())?;
        if from_client(ctx) {
            state.tokens().check_fence(state.token_clock(state.now()), token)?;
        }
        state.accept_token(token);
        if state.is_listened_to() {
            ctx.replicate_verbatim();
        }
        Ok(Reply::Ok)
    }
}
