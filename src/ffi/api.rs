//! Calls into the server's API.

/// Calls a function of the API that [`missing`] has found at load.
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

macro_rules! required {
    ($($name:ident),* $(,)?) => {
        /// The first function that this server does not have: the module can't run there.
        pub fn missing() -> Option<&'static str> {
            // SAFETY: the server fills these statics before the module's first line runs, and
            // nobody writes them again.
            unsafe {
                $(if (&raw const redis_module::raw::$name).read().is_none() {
                    return Some(stringify!($name));
                })*
            }
            None
        }
    };
}

required! {
    RedisModule_AvoidReplicaTraffic,
    RedisModule_BlockClientOnKeys,
    RedisModule_Call,
    RedisModule_CallReplyStringPtr,
    RedisModule_CloseKey,
    RedisModule_CreateCommand,
    RedisModule_CreateDataType,
    RedisModule_CreateString,
    RedisModule_DeleteKey,
    RedisModule_DigestAddLongLong,
    RedisModule_DigestAddStringBuffer,
    RedisModule_DigestEndSequence,
    RedisModule_EmitAOF,
    RedisModule_EventLoopAdd,
    RedisModule_Free,
    RedisModule_FreeCallReply,
    RedisModule_FreeServerInfo,
    RedisModule_FreeString,
    RedisModule_GetBlockedClientPrivateData,
    RedisModule_GetClientId,
    RedisModule_GetCommand,
    RedisModule_GetContextFlags,
    RedisModule_GetDbIdFromModuleKey,
    RedisModule_GetDetachedThreadSafeContext,
    RedisModule_GetExpire,
    RedisModule_GetNotifyKeyspaceEvents,
    RedisModule_GetSelectedDb,
    RedisModule_GetServerInfo,
    RedisModule_InfoAddFieldULongLong,
    RedisModule_InfoAddSection,
    RedisModule_IsIOError,
    RedisModule_IsKeysPositionRequest,
    RedisModule_KeyAtPosWithFlags,
    RedisModule_KeyType,
    RedisModule_LoadConfigs,
    RedisModule_LoadStringBuffer,
    RedisModule_LoadUnsigned,
    RedisModule_Log,
    RedisModule_LogIOError,
    RedisModule_ModuleTypeGetType,
    RedisModule_ModuleTypeGetValue,
    RedisModule_ModuleTypeSetValue,
    RedisModule_NotifyKeyspaceEvent,
    RedisModule_OpenKey,
    RedisModule_RegisterBoolConfig,
    RedisModule_RegisterInfoFunc,
    RedisModule_RegisterNumericConfig,
    RedisModule_Replicate,
    RedisModule_ReplicateVerbatim,
    RedisModule_ReplyWithArray,
    RedisModule_ReplyWithError,
    RedisModule_ReplyWithLongLong,
    RedisModule_ReplyWithMap,
    RedisModule_ReplyWithNull,
    RedisModule_ReplyWithSimpleString,
    RedisModule_ReplyWithStringBuffer,
    RedisModule_SaveStringBuffer,
    RedisModule_SaveUnsigned,
    RedisModule_SelectDb,
    RedisModule_ServerInfoGetFieldSigned,
    RedisModule_SetCommandInfo,
    RedisModule_SetDisconnectCallback,
    RedisModule_SetExpire,
    RedisModule_SetModuleOptions,
    RedisModule_SignalModifiedKey,
    RedisModule_StringPtrLen,
    RedisModule_SubscribeToKeyspaceEvents,
    RedisModule_SubscribeToServerEvent,
    RedisModule_UnblockClient,
}
