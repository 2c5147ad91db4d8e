//! The data type `redislock`: saving, loading, digesting and freeing its values.

use std::cell::Cell;
use std::ffi::CString;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use redis_lock_core::payload;
use redis_lock_core::time::{ms_since, ms_until};
use redis_lock_engine::NOWHERE;
use redis_module::raw;

use super::api::{call, pointer};
use super::arguments::Str;
use super::context::Ctx;
use super::events;
use super::host::{guard, host, with_host};
use super::log::{printable, WARNING};
use super::main_thread::MainThread;
use super::value::Value;

/// Nine characters, as the server requires; TYPE replies this name.
const NAME: &std::ffi::CStr = c"redislock";

static TYPE: MainThread<Cell<Option<NonNull<raw::RedisModuleType>>>> = MainThread::new();

/// Values that the server gave up while they still had deadlines.
static GRAVEYARD: Mutex<Vec<Grave>> = Mutex::new(Vec::new());
static GRAVES: AtomicBool = AtomicBool::new(false);

struct Grave(*mut Value);

// SAFETY: a value that the server gave up has one owner: first the list, then the one who empties it.
unsafe impl Send for Grave {}

/// Returns the server's handle of the type.
#[inline]
pub fn redis_type() -> *mut raw::RedisModuleType {
    TYPE.get_or_init(Cell::default).get().map_or(std::ptr::null_mut(), NonNull::as_ptr)
}

/// Returns whether a type that a key was asked for is ours.
#[inline]
pub fn is_lock(other: Option<NonNull<raw::RedisModuleType>>) -> bool {
    other.is_some() && other == TYPE.get_or_init(Cell::default).get()
}

/// Creates the type. Returns `false` if the server refuses.
pub fn create(ctx: &Ctx) -> bool {
    let mut methods = raw::RedisModuleTypeMethods {
        version: u64::from(raw::REDISMODULE_TYPE_METHOD_VERSION),
        rdb_load: Some(rdb_load),
        rdb_save: Some(rdb_save),
        aof_rewrite: Some(aof_rewrite),
        mem_usage: Some(mem_usage),
        digest: Some(digest),
        free: Some(free),
        aux_load: Some(aux_load),
        aux_save: Some(aux_save),
        aux_save_triggers: raw::REDISMODULE_AUX_BEFORE_RDB as c_int,
        free_effort: Some(free_effort),
        unlink: Some(unlink),
        // Without it the server refuses COPY, since one owner's hold can't be in two places.
        copy: None,
        defrag: None,
        mem_usage2: None,
        free_effort2: None,
        unlink2: None,
        copy2: None,
        // Servers from 7.2 on call this one instead of `aux_save`.
        aux_save2: Some(aux_save2),
    };
    // SAFETY: the server copies the methods. Older servers read only the fields that they know.
    let created = unsafe {
        pointer!(
            RedisModule_CreateDataType,
            ctx.as_ptr(),
            NAME.as_ptr(),
            payload::VERSION as c_int,
            &mut methods
        )
    };
    TYPE.get_or_init(Cell::default).set(created);
    created.is_some()
}

/// Frees the values that `free` had to leave. Runs on the main thread, between two commands.
#[inline]
pub fn bury() {
    if !GRAVES.load(Ordering::Relaxed) {
        return;
    }
    let Ok(mut graves) = GRAVEYARD.lock() else {
        return;
    };
    GRAVES.store(false, Ordering::Relaxed);
    for Grave(value) in graves.drain(..) {
        // SAFETY: the server gave this value up, and nobody else has freed it.
        let value = unsafe { Box::from_raw(value) };
        with_host(|host| host.on_removed(&value));
    }
}

/// The server's loader of one value.
struct Loader(*mut raw::RedisModuleIO);

impl Loader {
    fn failed(&self) -> bool {
        // SAFETY: the pointer is the server's, valid during the callback, as in all functions here.
        unsafe { call!(RedisModule_IsIOError, self.0) != 0 }
    }

    fn unsigned(&self) -> Option<u64> {
        // SAFETY: see `failed`.
        let value = unsafe { call!(RedisModule_LoadUnsigned, self.0) };
        (!self.failed()).then_some(value)
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let mut len = 0;
        // SAFETY: the buffer is ours, and must be freed once it is copied.
        unsafe {
            let buffer: NonNull<c_char> = pointer!(RedisModule_LoadStringBuffer, self.0, &mut len)?;
            let bytes = std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), len).to_vec();
            call!(RedisModule_Free, buffer.as_ptr().cast());
            (!self.failed()).then_some(bytes)
        }
    }

    /// Returns whether the key arrives with its slot, from another node: no client could write it here.
    fn is_taken_over(&self) -> bool {
        // SAFETY: see `failed`; the name lives through the callback.
        unsafe {
            let name = pointer!(RedisModule_GetKeyNameFromIO, self.0);
            name.is_some_and(|name| events::own().is_elsewhere(Str::from_raw(name.as_ptr())))
        }
    }

    fn log(&self, line: &str) {
        let line: CString = printable(line);
        // SAFETY: the line is an argument, never the format.
        unsafe { call!(RedisModule_LogIOError, self.0, WARNING.as_ptr(), c"%s".as_ptr(), line.as_ptr()) };
    }

    /// Returns whether the version is known. Fields of a newer version may mean something else.
    fn knows(&self, version: c_int) -> bool {
        let known = version == payload::VERSION as c_int;
        if !known {
            self.log(&format!(
                "encoding version {version} is not known to this module (it knows {}); load a newer one",
                payload::VERSION
            ));
        }
        known
    }

    fn value(&self, version: c_int) -> Option<Box<Value>> {
        if !self.knows(version) {
            return None;
        }
        let (bytes, host) = (self.bytes()?, host()?);
        let lock = match payload::decode(&bytes, host.now()) {
            Ok(lock) => lock,
            Err(damaged) => {
                self.log(&damaged.to_string());
                return None;
            }
        };
        if let Err(token) = host.on_read(&lock, &mut || self.is_taken_over()) {
            self.log(&format!(
                "RESTORE refused: token {token} is more than a minute ahead of this server's clock \
                 and counter; set the clocks of both servers right, or restore after the difference has passed"
            ));
            return None;
        }
        Some(Value::of(lock))
    }
}

unsafe extern "C" fn rdb_load(io: *mut raw::RedisModuleIO, version: c_int) -> *mut c_void {
    let value = guard(None, || Loader(io).value(version));
    value.map_or(std::ptr::null_mut(), |value| Box::into_raw(value).cast())
}

unsafe extern "C" fn rdb_save(io: *mut raw::RedisModuleIO, value: *mut c_void) {
    with_host(|host| {
        // SAFETY: a value of our type is a `Value`; the buffer lives through the call.
        unsafe {
            let bytes = payload::encode((*value.cast::<Value>()).lock(), host.now());
            call!(RedisModule_SaveStringBuffer, io, bytes.as_ptr().cast(), bytes.len());
        }
    });
}

/// Saves the last token, so that no later one is lower, even if its hold is long gone; 0 if none was ever
/// granted.
unsafe extern "C" fn aux_save(io: *mut raw::RedisModuleIO, _when: c_int) {
    let last = host().and_then(|host| host.last_token()).unwrap_or(0);
    // SAFETY: the server's, valid during the callback.
    unsafe { call!(RedisModule_SaveUnsigned, io, last) };
}

/// Saves the same, but nothing if no token was ever granted: a server without the module can load such a
/// file.
unsafe extern "C" fn aux_save2(io: *mut raw::RedisModuleIO, when: c_int) {
    if host().and_then(|host| host.last_token()).is_some() {
        // SAFETY: the arguments are passed on unchanged.
        unsafe { aux_save(io, when) };
    }
}

unsafe extern "C" fn aux_load(io: *mut raw::RedisModuleIO, version: c_int, _when: c_int) -> c_int {
    let loaded = guard(None, || {
        let loader = Loader(io);
        let last = loader.knows(version).then(|| loader.unsigned()).flatten()?;
        if last >= redis_lock_core::TOKEN_END {
            loader.log("damaged payload: the last token is out of range");
            return None;
        }
        if last > 0 {
            host()?.accept_token(last);
        }
        Some(())
    });
    match loaded {
        Some(()) => raw::REDISMODULE_OK as c_int,
        None => raw::REDISMODULE_ERR as c_int,
    }
}

unsafe extern "C" fn aof_rewrite(
    io: *mut raw::RedisModuleIO,
    key: *mut raw::RedisModuleString,
    value: *mut c_void,
) {
    with_host(|host| {
        let now = host.now();
        // SAFETY: a value of our type is a `Value`.
        for hold in unsafe { (*value.cast::<Value>()).lock() }.holds() {
            let (owner, meta) = (hold.owner(), hold.meta());
            // SAFETY: the arguments are what the format says: a string, owner as pointer and
            // length, two numbers, three words with a number or META as pointer and length.
            unsafe {
                call!(
                    RedisModule_EmitAOF,
                    io,
                    c"LOCK._HOLD".as_ptr(),
                    c"sbllclclcb".as_ptr(),
                    key,
                    owner.as_ptr(),
                    owner.len(),
                    ms_until(hold.deadline, now),
                    hold.token as i64,
                    c"LIMIT".as_ptr(),
                    i64::from(hold.limit().to_wire()),
                    c"HELD".as_ptr(),
                    ms_since(hold.since, now),
                    c"META".as_ptr(),
                    meta.as_ptr(),
                    meta.len(),
                );
            }
        }
    });
}

unsafe extern "C" fn mem_usage(value: *const c_void) -> usize {
    // SAFETY: a value of our type is a `Value`.
    guard(0, || unsafe { (*value.cast::<Value>()).size() })
}

/// Digests everything but time and sessions, which differ between servers that agree.
unsafe extern "C" fn digest(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    guard((), || {
        // SAFETY: a value of our type is a `Value`; pointers and lengths are those of slices.
        unsafe {
            for hold in (*value.cast::<Value>()).lock().holds() {
                for bytes in [hold.owner(), hold.meta()] {
                    call!(
                        RedisModule_DigestAddStringBuffer,
                        digest,
                        bytes.as_ptr().cast::<c_char>(),
                        bytes.len()
                    );
                }
                for number in [hold.token as i64, i64::from(hold.limit().to_wire())] {
                    call!(RedisModule_DigestAddLongLong, digest, number);
                }
            }
            call!(RedisModule_DigestEndSequence, digest);
        }
    });
}

/// May run on the server's background thread (UNLINK, FLUSHALL ASYNC), after the value has left the keyspace.
/// If the value left unnoticed and still has a deadline, the main thread frees it later.
unsafe extern "C" fn free(value: *mut c_void) {
    guard((), || {
        let value = value.cast::<Value>();
        // SAFETY: made by `Box::into_raw`, given up by the server. `place` is atomic.
        unsafe {
            if (*value).place() == NOWHERE {
                drop(Box::from_raw(value));
            } else if let Ok(mut graves) = GRAVEYARD.lock() {
                graves.push(Grave(value));
                GRAVES.store(true, Ordering::Relaxed);
            }
        }
    });
}

unsafe extern "C" fn free_effort(_key: *mut raw::RedisModuleString, value: *const c_void) -> usize {
    // SAFETY: a value of our type is a `Value`.
    // At least 1: the server takes 0 for more than it can do at once, and every release leaves an empty lock.
    guard(1, || unsafe { (*value.cast::<Value>()).lock().len().max(1) })
}

/// A command removes the key's value: runs on the main thread, before `free`.
unsafe extern "C" fn unlink(_key: *mut raw::RedisModuleString, value: *const c_void) {
    // SAFETY: a value of our type is a `Value`, alive during the callback.
    with_host(|host| host.on_removed(unsafe { &*value.cast::<Value>() }));
}
