//! `LOCK._PROBE key`

use redis_lock_core::Error;

use crate::ffi::arguments::Args;
use crate::ffi::context::Ctx;
use crate::ffi::doc::{Access, Arg, Doc, Keys};
use crate::ffi::entry::Command;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// See the module.
pub struct Probe;

impl Command for Probe {
    type Module = Module;
    const NAME: &'static str = "lock._probe";
    const FLAGS: &'static str = "write admin";

    fn doc() -> Doc {
        Doc {
            summary: "Internal: changes nothing; the module asks by it whether the server takes a write.",
            complexity: "O(1)",
            since: "0.1.0",
            arity: 2,
            keys: Some((Keys::First, Access::Update)),
            args: vec![Arg::key()],
        }
    }

    fn run(_: &'static Module, _: &Ctx, _: Args) -> Result<Reply, Error> {
        Ok(Reply::Ok)
    }
}
