//! The entry points through which the server runs commands of the module.

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
    /// Its name, its arguments, and all else that the server must know of it.
    const DOC: Doc;

    /// Runs it. A reply that it does not return has already been sent.
    ///
    /// # Errors
    /// Returns what is wrong. Nothing has changed then.
    fn run(module: &'static M, ctx: &Ctx, args: Args) -> Result<Reply, Error>;
}

/// Registers a command, as an element of the table in `server.rs`.
pub type Register = fn(&Ctx) -> Result<(), &'static str>;

/// Registers `C` with the server.
///
/// # Errors
/// Returns the name of the command if the server refuses it.
pub fn register<M: 'static, C: Command<M>>(ctx: &Ctx) -> Result<(), &'static str> {
    let (name, _) = C::DOC.parts();
    let (Ok(lower), Ok(flags)) = (CString::new(name.to_lowercase()), CString::new(C::DOC.flags)) else {
        return Err(name);
    };
    // First key, last key and step, for clients without key specs. They can't express counted keys.
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
    // SAFETY: both are what the server passed, and are used only until this returns.
    let (ctx, args) = unsafe { (Ctx::from_raw(ctx), Args::from_raw(argv, argc)) };
    // Servers that do not always follow key specs (Redis 7.0 in cluster mode) ask the command for its keys.
    if let Keys::Counted(access) = C::DOC.keys {
        if command_info::tell_keys(&ctx, args, access) {
            return raw::REDISMODULE_OK as c_int;
        }
    }
    // A panic can only come before the reply, as replying does not panic.
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
