//! The section `lock` of INFO.

use std::os::raw::c_int;

use redis_module::raw;

use super::api::status;
use super::context::Ctx;
use super::host::with_host;

/// Registers the module's section of INFO.
pub fn register(ctx: &Ctx) -> bool {
    // SAFETY: the callback has the signature that the server expects.
    unsafe { status!(RedisModule_RegisterInfoFunc, ctx.as_ptr(), Some(on_info)) }.done()
}

unsafe extern "C" fn on_info(info: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    // SAFETY: an empty name gives the section the module's own name. INFO may not have asked for it.
    if unsafe { status!(RedisModule_InfoAddSection, info, c"".as_ptr()) }.done() {
        with_host(|host| {
            for (name, value) in host.info() {
                // SAFETY: the context is the server's, of the running INFO; the name ends in NUL.
                unsafe { status!(RedisModule_InfoAddFieldULongLong, info, name.as_ptr(), value) }.expected();
            }
        });
    }
}
