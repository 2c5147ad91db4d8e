//! Calls of the server's API, by one of three macros, depending on how the function can fail.

use std::os::raw::c_int;

use redis_module::raw;

use super::log;

/// Calls a function of the API that can't fail, and that [`missing`] has found at load.
macro_rules! call {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        // The list in `missing` has every name used here; a test compares them.
        match redis_module::raw::$name {
            Some(function) => function($($argument),*),
            None => std::hint::unreachable_unchecked(),
        }
    };
}
pub(crate) use call;

/// Calls a function that returns whether it succeeded.
macro_rules! status {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        $crate::ffi::api::Status::new($crate::ffi::api::call!($name $(, $argument)*), stringify!($name))
    };
}
pub(crate) use status;

/// Calls a function that returns a pointer, or null for `None`.
macro_rules! pointer {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        std::ptr::NonNull::new($crate::ffi::api::call!($name $(, $argument)*) as *mut _)
    };
}
pub(crate) use pointer;

/// Whether the server did what was asked.
#[must_use]
pub struct Status {
    code: c_int,
    function: &'static str,
}

impl Status {
    /// Wraps the code that this function returned.
    #[inline]
    pub fn new(code: c_int, function: &'static str) -> Self {
        Status { code, function }
    }

    /// Returns whether it was done.
    #[inline]
    pub fn done(self) -> bool {
        self.code == raw::REDISMODULE_OK as c_int
    }

    /// Logs a warning if the server refused a call that is not known ever to be refused.
    #[inline]
    pub fn expected(self) {
        if self.code != raw::REDISMODULE_OK as c_int {
            self.warn();
        }
    }

    #[cold]
    fn warn(self) {
        let line = format!("internal error: {} failed; please report this", self.function);
        log::warn(std::ptr::null_mut(), &line);
    }
}

macro_rules! required {
    ($($kind:ident: $($name:ident),* ;)*) => {
        /// Returns the first function that this server lacks: the module can't run there.
        pub fn missing() -> Option<&'static str> {
            // SAFETY: the server fills these statics before the module's first line runs, and nobody writes
            // them again.
            unsafe {
                $($(if (&raw const redis_module::raw::$name).read().is_none() {
                    return Some(stringify!($name));
                })*)*
            }
            None
        }
    };
}

// The functions, by the macro that calls them.
required! {
    call:
        RedisModule_GetServerVersion, RedisModule_StringPtrLen, RedisModule_CreateString,
        RedisModule_AvoidReplicaTraffic, RedisModule_CloseKey, RedisModule_DigestAddLongLong,
        RedisModule_DigestAddStringBuffer, RedisModule_DigestEndSequence, RedisModule_EmitAOF,
        RedisModule_Free, RedisModule_FreeCallReply, RedisModule_FreeModuleUser,
        RedisModule_FreeString, RedisModule_GetClientId, RedisModule_GetContextFlags,
        RedisModule_GetDbIdFromModuleKey, RedisModule_GetExpire, RedisModule_GetNotifyKeyspaceEvents,
        RedisModule_GetRandomBytes, RedisModule_GetSelectedDb, RedisModule_IsIOError,
        RedisModule_IsKeysPositionRequest, RedisModule_KeyAtPosWithFlags, RedisModule_KeyType,
        RedisModule_LoadUnsigned, RedisModule_LogIOError, RedisModule_SaveStringBuffer,
        RedisModule_SaveUnsigned, RedisModule_SetDisconnectCallback,
        RedisModule_SetModuleOptions;
    status:
        RedisModule_ACLCheckCommandPermissions, RedisModule_CreateCommand, RedisModule_DeleteKey,
        RedisModule_EventLoopAdd, RedisModule_EventLoopDel, RedisModule_InfoAddFieldULongLong,
        RedisModule_InfoAddSection, RedisModule_LoadConfigs, RedisModule_ModuleTypeSetValue,
        RedisModule_NotifyKeyspaceEvent, RedisModule_RegisterInfoFunc,
        RedisModule_Replicate, RedisModule_ReplicateVerbatim,
        RedisModule_ReplyWithArray, RedisModule_ReplyWithError, RedisModule_ReplyWithLongLong,
        RedisModule_ReplyWithMap, RedisModule_ReplyWithNull, RedisModule_ReplyWithSimpleString,
        RedisModule_ReplyWithStringBuffer, RedisModule_SelectDb, RedisModule_SetCommandInfo,
        RedisModule_SetExpire, RedisModule_SignalModifiedKey, RedisModule_SubscribeToKeyspaceEvents,
        RedisModule_SubscribeToServerEvent, RedisModule_UnblockClient;
    pointer:
        RedisModule_GetKeyNameFromIO, RedisModule_BlockClientOnKeys, RedisModule_Call,
        RedisModule_CallReplyStringPtr, RedisModule_CreateDataType, RedisModule_GetBlockedClientPrivateData,
        RedisModule_GetCommand, RedisModule_GetCurrentUserName, RedisModule_GetDetachedThreadSafeContext,
        RedisModule_GetModuleUserFromUserName, RedisModule_LoadStringBuffer,
        RedisModule_ModuleTypeGetType, RedisModule_ModuleTypeGetValue, RedisModule_OpenKey;
}
