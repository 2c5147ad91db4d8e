//! Where the server enters the module: one place that keeps a panic from ending it.

use std::ffi::CString;
use std::os::raw::c_int;
use std::panic::{catch_unwind, AssertUnwindSafe};

use redis_lock_core::Error;
use redis_module::raw;

use super::api::status;
use super::arguments::Args;
use super::command_info;
use super::context::Ctx;
use super::doc::{Access, Doc};
use super::host::module;
use super::reply::{reply, Reply};

/// A command of the module.
pub trait Command {
    /// What it works on: what was installed (`host.rs`).
    type Module: 'static;
    /// Its name.
    const NAME: &'static str;
    /// Its flags, in the server's words.
    const FLAGS: &'static str;

    /// What it does with its keys, where the first argument counts them. Servers before key specs
    /// were followed everywhere (Redis 7.0 in cluster mode) then ask the command for them.
    const COUNTED_KEYS: Option<Access> = None;

    /// Its documentation; also says where its keys are and how many arguments it takes.
    fn doc() -> Doc;

    /// Runs it. What it does not return it has replied itself.
    ///
    /// # Errors
    /// What is wrong; nothing has changed then.
    fn run(module: &'static Self::Module, ctx: &Ctx, args: Args) -> Result<Reply, Error>;
}

/// Registers a command; how the table in `lib.rs` names them.
pub type Register = fn(&Ctx) -> Result<(), &'static str>;

/// Registers `C` with the server.
///
/// # Errors
/// The name of the command that the server refused.
pub fn register<C: Command>(ctx: &Ctx) -> Result<(), &'static str> {
    let (Ok(name), Ok(flags)) = (CString::new(C::NAME), CString::new(C::FLAGS)) else {
        return Err(C::NAME);
    };
    let doc = C::doc();
    let (first, last, step) = doc.legacy_keys();
    // SAFETY: both strings end in NUL and are copied by the server.
    let created = unsafe {
        status!(
            RedisModule_CreateCommand,
            ctx.as_ptr(),
            name.as_ptr(),
            Some(enter::<C>),
            flags.as_ptr(),
            first,
            last,
            step
        )
    };
    if !created.done() || !command_info::describe(ctx, &name, C::FLAGS, &doc) {
        return Err(C::NAME);
    }
    Ok(())
}

unsafe extern "C" fn enter<C: Command>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: both as the server handed them over, used only until this returns.
    let (ctx, args) = unsafe { (Ctx::from_raw(ctx), Args::from_raw(argv, argc)) };
    if C::COUNTED_KEYS.is_some_and(|access| command_info::tell_keys(&ctx, args, access)) {
        return raw::REDISMODULE_OK as c_int;
    }
    // A panic comes before the reply: what replies can't panic.
    let run = || module().ok_or(Error::Internal).and_then(|module| C::run(module, &ctx, args));
    let entered = catch_unwind(AssertUnwindSafe(|| reply(&ctx, run())));
    if entered.is_err() {
        ctx.warn(&format!("internal error in {}; please report this with the line above", C::NAME));
        ctx.reply_error(&Error::Internal.to_string());
    }
    raw::REDISMODULE_OK as c_int
}
