//! The module's configuration: `lock.*` in redis.conf, CONFIG GET/SET and MODULE LOADEX.

use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_longlong, c_void};
use std::sync::atomic::{AtomicI64, Ordering};

use redis_module::raw;

use super::api::status;
use super::context::Ctx;

/// A number that can be configured.
pub struct Number {
    name: &'static CStr,
    value: AtomicI64,
    least: i64,
    most: i64,
}

impl Number {
    /// One with this default and these bounds, which the server enforces.
    pub const fn new(name: &'static CStr, default: i64, least: i64, most: i64) -> Self {
        Number { name, value: AtomicI64::new(default), least, most }
    }

    /// What it is set to.
    #[inline]
    pub fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Makes it known to the server.
    pub fn register(&'static self, ctx: &Ctx) -> bool {
        let this: *const Number = self;
        // SAFETY: the name ends in NUL, `self` lives for ever and is handed back to the two
        // callbacks alone.
        let registered = unsafe {
            status!(
                RedisModule_RegisterNumericConfig,
                ctx.as_ptr(),
                self.name.as_ptr(),
                self.get(),
                raw::REDISMODULE_CONFIG_DEFAULT,
                self.least,
                self.most,
                Some(get_number),
                Some(set_number),
                None,
                this.cast_mut().cast::<c_void>(),
            )
        };
        registered.done()
    }
}

unsafe extern "C" fn get_number(_name: *const c_char, this: *mut c_void) -> c_longlong {
    // SAFETY: what `register` passed.
    unsafe { (*this.cast::<Number>()).get() }
}

unsafe extern "C" fn set_number(
    _name: *const c_char,
    value: c_longlong,
    this: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: what `register` passed.
    unsafe { (*this.cast::<Number>()).value.store(value, Ordering::Relaxed) };
    raw::REDISMODULE_OK as c_int
}

/// Something that is on or off.
pub struct Switch(Number);

impl Switch {
    /// One with this default.
    pub const fn new(name: &'static CStr, default: bool) -> Self {
        Switch(Number::new(name, default as i64, 0, 1))
    }

    /// Whether it is on.
    pub fn get(&self) -> bool {
        self.0.get() != 0
    }

    /// Makes it known to the server.
    pub fn register(&'static self, ctx: &Ctx) -> bool {
        let this: *const Number = &raw const self.0;
        // SAFETY: as in `Number::register`.
        let registered = unsafe {
            status!(
                RedisModule_RegisterBoolConfig,
                ctx.as_ptr(),
                self.0.name.as_ptr(),
                self.0.get() as c_int,
                raw::REDISMODULE_CONFIG_DEFAULT,
                Some(get_switch),
                Some(set_switch),
                None,
                this.cast_mut().cast::<c_void>(),
            )
        };
        registered.done()
    }
}

unsafe extern "C" fn get_switch(_name: *const c_char, this: *mut c_void) -> c_int {
    // SAFETY: what `register` passed.
    unsafe { (*this.cast::<Number>()).get() as c_int }
}

unsafe extern "C" fn set_switch(
    name: *const c_char,
    value: c_int,
    this: *mut c_void,
    error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: handed on as it came.
    unsafe { set_number(name, c_longlong::from(value), this, error) }
}

/// Gives every registered setting what redis.conf or MODULE LOADEX says; false where that is wrong.
pub fn load(ctx: &Ctx) -> bool {
    // SAFETY: called once, at load, after all settings were registered.
    unsafe { status!(RedisModule_LoadConfigs, ctx.as_ptr()) }.done()
}
