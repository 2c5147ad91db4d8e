//! What a command or event handler can ask of the server.

use std::ffi::CStr;
use std::os::raw::{c_int, c_long};

use redis_module::{raw, Context};

use super::api::{call, status};
use super::arguments::Str;
use super::log::{self, printable};

/// The server's context of a call.
pub struct Ctx(*mut raw::RedisModuleCtx);

/// Keyspace events of modules: `d`.
pub const MODULE_EVENT: c_int = raw::REDISMODULE_NOTIFY_MODULE as c_int;
/// Keyspace events of any key: `g`.
pub const GENERIC_EVENT: c_int = raw::REDISMODULE_NOTIFY_GENERIC as c_int;

impl Ctx {
    /// # Safety
    /// `ctx` must be a context that the server passed to the running callback, or one that it keeps forever,
    /// and `self` must not outlive it.
    pub unsafe fn from_raw(ctx: *mut raw::RedisModuleCtx) -> Self {
        Ctx(ctx)
    }

    /// Returns no context, which is good only for logging.
    pub fn none() -> Self {
        Ctx(std::ptr::null_mut())
    }

    /// Returns the pointer, for calls of the API.
    pub fn as_ptr(&self) -> *mut raw::RedisModuleCtx {
        self.0
    }

    fn flag(&self, flag: u32) -> bool {
        // SAFETY: the context is valid (see `from_raw`).
        let flags = unsafe { call!(RedisModule_GetContextFlags, self.0) };
        flags as u32 & flag != 0
    }

    /// Returns whether a script or function runs this command.
    pub fn in_script(&self) -> bool {
        self.flag(raw::REDISMODULE_CTX_FLAGS_LUA)
    }

    /// Returns whether a master or the AOF sent this command.
    pub fn is_replicated(&self) -> bool {
        self.flag(raw::REDISMODULE_CTX_FLAGS_REPLICATED | raw::REDISMODULE_CTX_FLAGS_LOADING)
    }

    /// Returns whether the client of this command may be blocked: not in a transaction or a script, or when
    /// another module calls.
    pub fn may_block(&self) -> bool {
        !self.is_replicated()
            && !self.flag(
                raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING
                    | raw::REDISMODULE_CTX_FLAGS_MULTI
                    | raw::REDISMODULE_CTX_FLAGS_LUA,
            )
    }

    /// Returns the id of the client of this command.
    pub fn client_id(&self) -> u64 {
        // SAFETY: the context of a command.
        unsafe { call!(RedisModule_GetClientId, self.0) }
    }

    /// Returns whether this server is a replica.
    pub fn is_replica(&self) -> bool {
        self.flag(raw::REDISMODULE_CTX_FLAGS_SLAVE)
    }

    /// Returns whether the server saves snapshots by itself after a number of changes.
    pub fn has_save_points(&self) -> bool {
        self.flag(raw::REDISMODULE_CTX_FLAGS_RDB)
    }

    /// Returns the number of the selected database. Inside MULTI, Valkey 9 returns that of the transaction.
    pub fn db(&self) -> i32 {
        // SAFETY: the context is valid.
        unsafe { call!(RedisModule_GetSelectedDb, self.0) }
    }

    /// Selects a database. Returns `false` if there is none with this number.
    pub fn select_db(&self, db: i32) -> bool {
        // SAFETY: the context is valid.
        unsafe { status!(RedisModule_SelectDb, self.0, db) }.done()
    }

    /// Writes a warning to the server's log.
    pub fn warn(&self, line: &str) {
        log::warn(self.0, line);
    }

    /// Returns whether a field of INFO is 0.
    pub fn is_zero(&self, section: &str, field: &str) -> bool {
        let value = Context::new(self.0).server_info(section).field(field);
        value.is_some_and(|value| value.as_slice() == b"0")
    }

    /// Notifies subscribers of an event of a key of the selected database.
    #[inline]
    pub fn notify(&self, class: c_int, event: &CStr, key: Str) {
        // SAFETY: all pointers are valid for the call.
        unsafe { status!(RedisModule_NotifyKeyspaceEvent, self.0, class, event.as_ptr(), key.as_ptr()) }
            .expected();
    }

    /// Fails transactions that watch this key, and invalidates it for clients that cache it.
    #[inline]
    pub fn signal_modified(&self, key: Str) {
        // SAFETY: all pointers are valid for the call.
        unsafe { status!(RedisModule_SignalModifiedKey, self.0, key.as_ptr()) }.expected();
    }

    /// Replicates the running command as the client sent it.
    pub fn replicate_verbatim(&self) {
        // SAFETY: called from a command only.
        unsafe { status!(RedisModule_ReplicateVerbatim, self.0) }.expected();
    }

    /// Returns whether the server pauses writes. The module must not write by itself then.
    pub fn writes_are_paused(&self) -> bool {
        // SAFETY: takes nothing.
        unsafe { call!(RedisModule_AvoidReplicaTraffic,) != 0 }
    }

    /// Replies an integer.
    #[inline]
    pub fn reply_integer(&self, number: i64) {
        // SAFETY: called once a reply is due.
        unsafe { status!(RedisModule_ReplyWithLongLong, self.0, number) }.expected();
    }

    /// Replies nil.
    pub fn reply_nil(&self) {
        // SAFETY: called once a reply is due.
        unsafe { status!(RedisModule_ReplyWithNull, self.0) }.expected();
    }

    /// Replies `+OK`.
    pub fn reply_ok(&self) {
        // SAFETY: called once a reply is due.
        unsafe { status!(RedisModule_ReplyWithSimpleString, self.0, c"OK".as_ptr()) }.expected();
    }

    /// Replies a string.
    pub fn reply_bytes(&self, bytes: &[u8]) {
        // SAFETY: pointer and length are those of a slice.
        unsafe { status!(RedisModule_ReplyWithStringBuffer, self.0, bytes.as_ptr().cast(), bytes.len()) }
            .expected();
    }

    /// Replies an error: its code, then the message.
    pub fn reply_error(&self, line: &str) {
        let line = printable(line);
        // SAFETY: the line ends in NUL.
        unsafe { status!(RedisModule_ReplyWithError, self.0, line.as_ptr()) }.expected();
    }

    /// Begins an array of `len` replies.
    pub fn reply_array(&self, len: usize) {
        // SAFETY: the caller sends that many. No array has 2^63 elements.
        unsafe { status!(RedisModule_ReplyWithArray, self.0, len as c_long) }.expected();
    }

    /// Begins a map of `len` pairs of replies, which is a flat array under RESP2.
    pub fn reply_map(&self, len: usize) {
        // SAFETY: the caller sends that many pairs.
        unsafe { status!(RedisModule_ReplyWithMap, self.0, len as c_long) }.expected();
    }
}

/// Returns whether clients can subscribe to keyspace events of any class.
#[inline]
pub fn publishes_events() -> bool {
    // SAFETY: takes nothing.
    unsafe { call!(RedisModule_GetNotifyKeyspaceEvents,) != 0 }
}
