//! The function that the server calls to load the module.

use std::ffi::CStr;
use std::os::raw::c_int;

use redis_module::raw;

use super::api::{self, call, status};
use super::context::Ctx;
use super::host::{guard, install, Host};
use super::{command_info, datatype, entry, events, info};

#[global_allocator]
static ALLOCATOR: redis_module::alloc::RedisAlloc = redis_module::alloc::RedisAlloc;

/// A module that can be loaded.
pub trait Load: Host {
    /// The name in MODULE LIST, and the prefix of settings and INFO fields.
    const NAME: &'static CStr;
    /// The version as the server counts: ten thousands, hundreds, ones.
    const VERSION: i32;
    /// All commands.
    const COMMANDS: &'static [entry::Register];

    /// Makes the module. Called once the server's allocator is available.
    ///
    /// # Errors
    /// Returns what the operating system did not provide.
    fn start(ctx: &Ctx) -> Result<&'static Self, &'static str>;
    /// Releases resources, since the module is not loaded after all.
    fn stop(&self);
    /// Registers all settings with the server.
    fn register_settings(ctx: &Ctx);
    /// Warns if the settings, which have their values, can lose a lock. Returns whether all exist.
    fn check_settings(ctx: &Ctx) -> bool;
}

/// Defines the function that the server calls when it loads the module.
macro_rules! entry_point {
    ($module:ty) => {
        /// Called by the server when it loads the module.
        ///
        /// # Safety
        /// Only the server may call this.
        #[no_mangle]
        #[allow(non_snake_case)]
        pub unsafe extern "C" fn RedisModule_OnLoad(
            ctx: *mut redis_module::raw::RedisModuleCtx,
            _argv: *mut *mut redis_module::raw::RedisModuleString,
            argc: std::os::raw::c_int,
        ) -> std::os::raw::c_int {
            // SAFETY: handed on as it came.
            unsafe { $crate::ffi::load::on_load::<$module>(ctx, argc) }
        }
    };
}
pub(crate) use entry_point;

/// # Safety
/// Only the server may call this, when it loads the module, with its context.
pub unsafe fn on_load<M: Load>(ctx: *mut raw::RedisModuleCtx, argc: c_int) -> c_int {
    // SAFETY: the context is the server's, and the name ends in NUL. Nothing was allocated so far: the
    // allocator is the server's, and available from now on.
    let ready = unsafe {
        raw::Export_RedisModule_Init(ctx, M::NAME.as_ptr(), M::VERSION, raw::REDISMODULE_APIVER_1 as c_int)
    };
    if ready != raw::REDISMODULE_OK as c_int {
        return raw::REDISMODULE_ERR as c_int;
    }
    // SAFETY: the context of this call.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    std::panic::set_hook(Box::new(|panic| Ctx::none().warn(&format!("internal error: {panic}"))));
    match guard(Err("panic"), || load::<M>(&ctx, argc)) {
        Ok(()) => raw::REDISMODULE_OK as c_int,
        Err(what) => {
            ctx.warn(&format!("not loaded, failed at: {what}"));
            raw::REDISMODULE_ERR as c_int
        }
    }
}

fn load<M: Load>(ctx: &Ctx, arguments: c_int) -> Result<(), &'static str> {
    if let Some(name) = api::missing() {
        return Err(name);
    }
    set_options(ctx);
    let module = M::start(ctx)?;
    install(module);
    let registered = register_all::<M>(ctx, arguments);
    if registered.is_err() {
        module.stop();
    }
    registered
}

fn register_all<M: Load>(ctx: &Ctx, arguments: c_int) -> Result<(), &'static str> {
    require(datatype::create(ctx), "data type redislock")?;
    command_info::add_category(ctx);
    for register in M::COMMANDS {
        register(ctx)?;
    }
    M::register_settings(ctx);
    // SAFETY: called once, at load, after all settings were registered.
    let loaded = unsafe { status!(RedisModule_LoadConfigs, ctx.as_ptr()) }.done();
    require(loaded && M::check_settings(ctx), "configuration")?;
    require(info::register(ctx), "INFO section")?;
    if arguments > 0 {
        ctx.warn(
            "arguments are not used; set lock.* in redis.conf, by CONFIG SET, or by MODULE LOADEX ... CONFIG",
        );
    }
    // Last: a server may not remove the subscriptions of a module that failed to load.
    require(events::subscribe(ctx), "server events")
}

fn require(done: bool, what: &'static str) -> Result<(), &'static str> {
    if done {
        Ok(())
    } else {
        Err(what)
    }
}

/// Valkey 9 moves slots itself only if all modules declare that they support keys that are still being moved.
/// Such a key receives effects in order, a hold that ends meanwhile ends on both sides, and nobody waits for
/// a key whose slot is elsewhere.
const HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;

fn set_options(ctx: &Ctx) {
    // The module checks every read of a payload, and signals itself which keys it has changed: otherwise
    // closing an open key would fail the transactions that watch it.
    let mut options =
        raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS | raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED;
    // On other servers the bit may come to mean something else.
    if ctx.is_valkey() {
        // SAFETY: the function may be missing, and takes nothing.
        let known = unsafe { raw::RedisModule_GetModuleOptionsAll.map_or(0, |all| all()) };
        options |= HANDLE_ATOMIC_SLOT_MIGRATION & known as u32;
    }
    // SAFETY: the context of the load.
    unsafe { call!(RedisModule_SetModuleOptions, ctx.as_ptr(), options as c_int) };
}
