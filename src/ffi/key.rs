//! An open key.
//!
//! Callers must ensure that a command opens a key once, as `LockTxn::open_all` does. Two open keys of one
//! name would both lend the lock for changes.

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
/// Neither the time of the last use nor the hit counter changes (the latter from 7.2 on).
const UNNOTICED: c_int = (raw::REDISMODULE_OPEN_KEY_NOTOUCH | raw::REDISMODULE_OPEN_KEY_NOSTATS) as c_int;
const NO_EXPIRE: i64 = -1;

/// An open key that is empty or holds a lock.
pub struct Key<'c> {
    handle: *mut raw::RedisModuleKey,
    value: Option<&'c Value>,
    /// Whether the value is not stored, so that the key is empty.
    fresh: bool,
    name: Str<'c>,
}

impl<'c> Key<'c> {
    /// Opens a key of the selected database for changes.
    ///
    /// # Errors
    /// Returns [`Error::WrongType`] if the key has another type.
    #[inline]
    pub fn open(ctx: &'c Ctx, name: Str<'c>) -> Result<Self, Error> {
        Self::open_with(ctx, name, READ | WRITE)
    }

    /// Opens a key for reading.
    ///
    /// # Errors
    /// Returns the errors of [`Key::open`].
    #[inline]
    pub fn read(ctx: &'c Ctx, name: Str<'c>) -> Result<Self, Error> {
        Self::open_with(ctx, name, READ)
    }

    /// Opens a key for reading, without counting as a use of it.
    ///
    /// # Errors
    /// Returns the errors of [`Key::open`].
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
            let mut key = Key { handle, value: None, fresh: false, name };
            if opened.is_none() {
                return Ok(key);
            }
            if datatype::is_lock(pointer!(RedisModule_ModuleTypeGetType, handle)) {
                // A value of our type is a `Value` (`create`, `datatype.rs`). It lives while the key has it,
                // and only this handle removes it.
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

    /// Returns its name.
    pub fn name(&self) -> Str<'c> {
        self.name
    }

    /// Returns the number of its database. It is asked of the key: inside MULTI, a context of Valkey returns
    /// that of the transaction, even if the key is in another database.
    #[inline]
    pub fn db(&self) -> i32 {
        // SAFETY: the key is open.
        unsafe { call!(RedisModule_GetDbIdFromModuleKey, self.handle) }
    }

    /// Returns its value.
    #[inline]
    pub fn value(&self) -> Option<&Value> {
        self.value
    }

    /// Returns its lock, for reading.
    #[inline]
    pub fn lock(&self) -> Option<&Lock> {
        self.value.map(Value::lock)
    }

    /// Lends its lock for changes. That of an empty key is empty, and is stored by [`Key::store`]. Until the
    /// loan has ended, nothing else may be asked of the lock. `db` and `name` are this key's own.
    #[inline]
    pub fn lend(&mut self, (db, name): (i32, &[u8])) -> &'c mut Lock {
        let value = match self.value {
            Some(value) => value,
            None => {
                let value = Box::leak(Value::new());
                value.move_to(db, name);
                self.fresh = true;
                self.value.insert(value)
            }
        };
        // SAFETY: the value lives while the key has it; no key is opened twice by one command
        // (`LockTxn::open_all`), and what the server calls in between changes no lock that is open.
        unsafe { value.lock_mut() }
    }

    /// Stores a lock that was lent by an empty key and is no longer empty.
    #[inline]
    pub fn store(&mut self) {
        let Some(value) = self.value.filter(|value| self.fresh && !value.lock().is_empty()) else { return };
        self.fresh = false;
        let value: *const Value = value;
        // SAFETY: the key is open for writing, and the server owns the value from now on. It passes the value
        // only to `free`.
        unsafe {
            status!(
                RedisModule_ModuleTypeSetValue,
                self.handle,
                datatype::redis_type(),
                value.cast_mut().cast()
            )
            .expected();
        }
    }

    /// Removes the key. Returns whether it existed.
    #[inline]
    pub fn delete(&mut self) -> bool {
        if self.fresh {
            return false;
        }
        self.value = None;
        // SAFETY: the key is open for writing.
        unsafe { status!(RedisModule_DeleteKey, self.handle) }.expected();
        true
    }

    /// Returns whether the key has an expiry, which somebody has set.
    #[inline]
    pub fn expires(&self) -> bool {
        // SAFETY: the key is open.
        self.value.is_some() && unsafe { call!(RedisModule_GetExpire, self.handle) } != NO_EXPIRE
    }

    /// Removes the expiry that somebody has set.
    pub fn persist(&mut self) {
        // SAFETY: the key is open for writing and, since it expires, not empty.
        unsafe { status!(RedisModule_SetExpire, self.handle, NO_EXPIRE) }.expected();
    }
}

impl Key<'_> {
    /// Closes the key early: other code may remove it from now on.
    #[inline]
    pub fn close(&mut self) {
        if let Some(value) = self.value.take().filter(|_| self.fresh) {
            // SAFETY: leaked by `lend`, and neither stored nor lent any longer.
            drop(unsafe { Box::from_raw(std::ptr::from_ref(value).cast_mut()) });
        }
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
