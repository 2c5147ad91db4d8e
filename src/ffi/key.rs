//! A key, opened.
//!
//! One thing callers owe: a command opens a key once (`LockTxn::open_all` sees to it). Two open
//! keys of one name would both lend out the lock to be changed.

use std::os::raw::c_int;
use std::ptr::{null_mut, NonNull};

use redis_lock_core::{Error, Lock};
use redis_module::raw;

use super::api::{call, pointer, status};
use super::arguments::Str;
use super::context::Ctx;
use super::datatype;
use super::value::Value;

const READ: c_int = raw::REDISMODULE_READ as c_int;
const WRITE: c_int = raw::REDISMODULE_WRITE as c_int;
/// Neither the time of its last use nor the hit counter moves (the latter from 7.2 on).
const UNNOTICED: c_int = (raw::REDISMODULE_OPEN_KEY_NOTOUCH | raw::REDISMODULE_OPEN_KEY_NOSTATS) as c_int;
const NO_EXPIRE: i64 = -1;

/// An open key that is empty or holds a lock.
pub struct Key<'c> {
    handle: *mut raw::RedisModuleKey,
    value: Option<&'c Value>,
    name: Str<'c>,
}

impl<'c> Key<'c> {
    /// Opens a key of the selected database to change it.
    ///
    /// # Errors
    /// [`Error::WrongType`] where it holds something else.
    #[inline]
    pub fn open(ctx: &'c Ctx, name: Str<'c>) -> Result<Self, Error> {
        Self::open_with(ctx, name, READ | WRITE)
    }

    /// Opens a key to look at it.
    ///
    /// # Errors
    /// As [`Key::open`].
    #[inline]
    pub fn read(ctx: &'c Ctx, name: Str<'c>) -> Result<Self, Error> {
        Self::open_with(ctx, name, READ)
    }

    /// Opens a key to look at it without that counting as a use of it.
    ///
    /// # Errors
    /// As [`Key::open`].
    pub fn peek(ctx: &'c Ctx, name: Str<'c>) -> Result<Self, Error> {
        Self::open_with(ctx, name, READ | UNNOTICED)
    }

    #[inline]
    fn open_with(ctx: &'c Ctx, name: Str<'c>, mode: c_int) -> Result<Self, Error> {
        // SAFETY: context and name are valid; the handle is closed when `self` is dropped, and
        // a handle that is null (nothing to read there) is not used.
        unsafe {
            let opened = pointer!(RedisModule_OpenKey, ctx.as_ptr(), name.as_ptr(), mode);
            let handle = opened.map_or(null_mut(), NonNull::as_ptr);
            let mut key = Key { handle, value: None, name };
            if opened.is_none() {
                return Ok(key);
            }
            if datatype::is_lock(pointer!(RedisModule_ModuleTypeGetType, handle)) {
                // A value of our type is a `Value` (`create`, `datatype.rs`). It lives while the
                // key has it, and only this handle takes it away.
                let value = pointer!(RedisModule_ModuleTypeGetValue, handle);
                key.value = value.map(|value| value.cast::<Value>().as_ref());
                return Ok(key);
            }
            match call!(RedisModule_KeyType, handle) {
                empty if empty == raw::REDISMODULE_KEYTYPE_EMPTY as c_int => Ok(key),
                _ => Err(Error::WrongType),
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> Str<'c> {
        self.name
    }

    /// The number of its database. Asked of the key: inside MULTI a context of Valkey tells that of
    /// the transaction, also where the key lies elsewhere.
    #[inline]
    pub fn db(&self) -> i32 {
        // SAFETY: the key is open.
        unsafe { call!(RedisModule_GetDbIdFromModuleKey, self.handle) }
    }

    /// What it holds.
    #[inline]
    pub fn value(&self) -> Option<&Value> {
        self.value
    }

    /// Its lock, to look at.
    #[inline]
    pub fn lock(&self) -> Option<&Lock> {
        self.value.map(Value::lock)
    }

    /// Its lock, to change.
    #[inline]
    pub fn lock_mut(&mut self) -> Option<&mut Lock> {
        // SAFETY: this key is borrowed exclusively, no key is opened twice by one command
        // (`LockTxn::open_all`), and what the server calls in between changes no lock that is open.
        self.value.map(|value| unsafe { value.lock_mut() })
    }

    /// Its lock, to change; an empty key gets one, which the caller fills.
    #[inline]
    pub fn lock_or_create(&mut self) -> &mut Lock {
        let value = match self.value {
            Some(value) => value,
            None => self.create(),
        };
        // SAFETY: as in `lock_mut`.
        unsafe { value.lock_mut() }
    }

    #[inline]
    fn create(&mut self) -> &'c Value {
        let value = Box::into_raw(Value::new(Lock::default()));
        // SAFETY: the key is open for writing and the server owns the value from here on; it
        // gives it back to `free` and to nothing else.
        let value = unsafe {
            status!(RedisModule_ModuleTypeSetValue, self.handle, datatype::redis_type(), value.cast())
                .expected();
            &*value
        };
        value.move_to(self.db(), self.name.bytes());
        self.value = Some(value);
        value
    }

    /// Removes the key.
    #[inline]
    pub fn delete(&mut self) {
        self.value = None;
        // SAFETY: the key is open for writing.
        unsafe { status!(RedisModule_DeleteKey, self.handle) }.expected();
    }

    /// Removes the expiry that somebody gave the key; true where there was one.
    #[inline]
    pub fn persist(&mut self) -> bool {
        if self.value.is_none() {
            return false;
        }
        // SAFETY: the key is open for writing and not empty.
        unsafe {
            if call!(RedisModule_GetExpire, self.handle) == NO_EXPIRE {
                return false;
            }
            status!(RedisModule_SetExpire, self.handle, NO_EXPIRE).expected();
        }
        true
    }
}

impl Key<'_> {
    /// Closes it before its time: what others do from here on may remove it.
    #[inline]
    pub fn close(&mut self) {
        self.value = None;
        let handle = std::mem::replace(&mut self.handle, null_mut());
        if !handle.is_null() {
            // SAFETY: opened once, closed once.
            unsafe { call!(RedisModule_CloseKey, handle) };
        }
    }
}

impl Drop for Key<'_> {
    #[inline]
    fn drop(&mut self) {
        self.close();
    }
}
