//! Where the server enters the module to run a command.

use std::ffi::CString;
use std::os::raw::c_int;

use redis_lock_core::Error;
use redis_module::raw;

use super::api::status;
use super::arguments::Args;
use super::command_info;
use super::context::Ctx;
use super::doc::{Doc, Keys};
use super::host::{guard, module};
use super::reply::{reply, Reply};

/// A command of the module `M`.
pub trait Command<M> {
    /// Its name, its arguments, and all else that the server is told of it.
    const DOC: Doc;

    /// Runs it. What it does not return it has replied itself.
    ///
    /// # Errors
    /// What is wrong; nothing has changed then.
    fn run(module: &'static M, ctx: &Ctx, args: Args) -> Result<Reply, Error>;
}

/// Registers a command; how the table in `server.rs` names them.
pub type Register = fn(&Ctx) -> Result<(), &'static str>;

/// Registers `C` with the server.
///
/// # Errors
/// The name of the command that the server refused.
pub fn register<M: 'static, C: Command<M>>(ctx: &Ctx) -> Result<(), &'static str> {
    let (name, _) = C::DOC.parts();
    let (Ok(lower), Ok(flags)) = (CString::new(name.to_lowercase()), CString::new(C::DOC.flags)) else {
        return Err(name);
    };
    // First key, last key and step, for clients before key specs. Counted keys can't be said so.
    let one = c_int::from(matches!(C::DOC.keys, Keys::One(_)));
    let (enter, ctx_ptr) = (enter::<M, C>, ctx.as_ptr());
    // SAFETY: both strings end in NUL and are copied by the server.
    let created = unsafe {
        status!(
            RedisModule_CreateCommand,
            ctx_ptr,
            lower.as_ptr(),
            Some(enter),
            flags.as_ptr(),
            one,
            one,
            one
        )
    };
    match created.done() && command_info::describe(ctx, &lower, &C::DOC) {
        true => Ok(()),
        false => Err(name),
    }
}

unsafe extern "C" fn enter<M: 'static, C: Command<M>>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: both as the server handed them over, used only until this returns.
    let (ctx, args) = unsafe { (Ctx::from_raw(ctx), Args::from_raw(argv, argc)) };
    // Servers before key specs were followed everywhere (Redis 7.0 in cluster mode) ask the command for its keys.
    if let Keys::Counted(access) = C::DOC.keys {
        if command_info::tell_keys(&ctx, args, access) {
            return raw::REDISMODULE_OK as c_int;
        }
    }
    // A panic comes before the reply: what replies can't panic.
    let run = || module().ok_or(Error::Internal).and_then(|module| C::run(module, &ctx, args));
    let replied = guard(false, || {
        reply(&ctx, run());
        true
    });
    if !replied {
        ctx.warn(&format!("internal error in {}; please report this with the line above", C::DOC.parts().0));
        ctx.reply_error(&Error::Internal.to_string());
    }
    raw::REDISMODULE_OK as c_int
}
