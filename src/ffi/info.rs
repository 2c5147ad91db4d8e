//! The section `lock` of INFO.

use std::os::raw::c_int;

use redis_module::raw;

use super::api::status;
use super::context::Ctx;
use super::host::with_host;

/// Lets INFO ask the module.
pub fn register(ctx: &Ctx) -> bool {
    // SAFETY: the callback has the signature that the server expects.
    unsafe { status!(RedisModule_RegisterInfoFunc, ctx.as_ptr(), Some(on_info)) }.done()
}

unsafe extern "C" fn on_info(info: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    // SAFETY: an empty name makes the section bear the module's own; it may not be asked for.
    if unsafe { status!(RedisModule_InfoAddSection, info, c"".as_ptr()) }.done() {
        with_host(|host| {
            for (name, value) in host.info() {
                // SAFETY: the server's context of the running INFO; the name ends in NUL.
                unsafe { status!(RedisModule_InfoAddFieldULongLong, info, name.as_ptr(), value) }.expected();
            }
        });
    }
}
