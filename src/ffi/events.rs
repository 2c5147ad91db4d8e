//! What the server tells the module: role, loading, flushes, swapped databases, forks, the end of
//! each turn of its event loop, and keys that arrive.

use std::cell::Cell;
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::NonNull;

use redis_lock_engine::Origin;
use redis_module::raw;

use super::api::{pointer, status, Status};
use super::arguments::{OwnedStr, Str};
use super::context::Ctx;
use super::host::{with_host, LoadStep};
use super::main_thread::MainThread;

/// The database that a key is being moved from.
static MOVED_FROM: MainThread<Cell<Option<i32>>> = MainThread::new();

/// A context of the module's own, for where the server hands none.
static OWN: MainThread<NonNull<raw::RedisModuleCtx>> = MainThread::new();

/// Subscribes to all of them; false where the server refuses.
pub fn subscribe(ctx: &Ctx) -> bool {
    let events: [(u64, u64, Handler); 8] = [
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, 1, on_role),
        (raw::REDISMODULE_EVENT_LOADING, 1, on_loading),
        (raw::REDISMODULE_EVENT_FLUSHDB, 1, on_flush),
        (raw::REDISMODULE_EVENT_SWAPDB, 1, on_swap),
        (raw::REDISMODULE_EVENT_FORK_CHILD, 1, on_fork),
        (raw::REDISMODULE_EVENT_EVENTLOOP, 1, on_event_loop),
        (raw::REDISMODULE_EVENT_MODULE_CHANGE, 1, on_module),
        (raw::REDISMODULE_EVENT_CONFIG, 1, on_config),
    ];
    // SAFETY: the handlers have the signatures that the server expects.
    let subscribed = events.into_iter().all(|(id, dataver, handler)| unsafe {
        let event = raw::RedisModuleEvent { id, dataver };
        status!(RedisModule_SubscribeToServerEvent, ctx.as_ptr(), event, Some(handler)).done()
    });
    // SAFETY: the context of the load; what it makes is kept for ever.
    let own = unsafe { pointer!(RedisModule_GetDetachedThreadSafeContext, ctx.as_ptr()) };
    own.is_some_and(|own| {
        OWN.get_or_init(|| own);
        subscribed && hear(raw::REDISMODULE_NOTIFY_LOADED).done()
    })
}

/// From now on hears of keys that arrive by RENAME, MOVE and RESTORE. They come with the events
/// of every DEL and EXPIRE of the server, and each costs it a call: so nobody listens until the
/// first lock leaves its key by another way than a LOCK command, or is restored. The server tells
/// where it arrives only after it has told that it left or was read, so this is in time.
pub fn hear_of_arrivals() {
    static HEARS: MainThread<Cell<bool>> = MainThread::new();
    if !HEARS.get_or_init(|| Cell::new(false)).replace(true) {
        hear(raw::REDISMODULE_NOTIFY_GENERIC).expected();
    }
}

fn hear(class: c_int) -> Status {
    // SAFETY: the context lives as long as the server; the handler has the signature that the
    // server expects.
    unsafe { status!(RedisModule_SubscribeToKeyspaceEvents, own().as_ptr(), class, Some(on_key)) }
}

/// A context of the module's own, for where the server hands none.
pub fn own() -> Ctx {
    // SAFETY: it lives as long as the server.
    OWN.get().map_or(Ctx::none(), |own| unsafe { Ctx::from_raw(own.as_ptr()) })
}

type Handler = unsafe extern "C" fn(*mut raw::RedisModuleCtx, raw::RedisModuleEvent, u64, *mut c_void);

unsafe extern "C" fn on_role(
    _: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    role: u64,
    _: *mut c_void,
) {
    with_host(|host| host.on_role(role == raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER));
}

unsafe extern "C" fn on_loading(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    step: u64,
    _: *mut c_void,
) {
    // SAFETY: the server's context, valid during the callback; so in all handlers here.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    let step = match step {
        raw::REDISMODULE_SUBEVENT_LOADING_ENDED | raw::REDISMODULE_SUBEVENT_LOADING_FAILED => LoadStep::Ended,
        raw::REDISMODULE_SUBEVENT_LOADING_AOF_START => LoadStep::Aof,
        _ => LoadStep::Rdb,
    };
    with_host(|host| host.on_loading(&ctx, step));
}

unsafe extern "C" fn on_flush(
    _: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    step: u64,
    data: *mut c_void,
) {
    if step != raw::REDISMODULE_SUBEVENT_FLUSHDB_START {
        return;
    }
    // SAFETY: this event's data is a flush info.
    let db = unsafe { (*data.cast::<raw::RedisModuleFlushInfoV1>()).dbnum };
    with_host(|host| host.on_flush((db >= 0).then_some(db)));
}

unsafe extern "C" fn on_swap(
    _: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    _: u64,
    data: *mut c_void,
) {
    // SAFETY: this event's data is a swap info.
    let swap = unsafe { &*data.cast::<raw::RedisModuleSwapDbInfoV1>() };
    with_host(|host| host.on_swap(swap.dbnum_first, swap.dbnum_second));
}

unsafe extern "C" fn on_fork(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    step: u64,
    _: *mut c_void,
) {
    if step == raw::REDISMODULE_SUBEVENT_FORK_CHILD_BORN {
        // SAFETY: see `on_loading`.
        let ctx = unsafe { Ctx::from_raw(ctx) };
        with_host(|host| host.on_fork(&ctx));
    }
}

unsafe extern "C" fn on_config(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    _: u64,
    _: *mut c_void,
) {
    // SAFETY: see `on_loading`.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    with_host(|host| host.on_config(&ctx));
}

unsafe extern "C" fn on_event_loop(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    step: u64,
    _: *mut c_void,
) {
    if step == raw::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP {
        // SAFETY: see `on_loading`.
        let ctx = unsafe { Ctx::from_raw(ctx) };
        with_host(|host| host.before_sleep(&ctx));
    } else {
        with_host(|host| host.after_sleep());
    }
}

/// From now on hears of clients that are closed. Each that comes and goes costs the server a call, so
/// nobody listens until the first hold is bound to one, or handed over.
pub fn hear_of_closes() {
    static HEARS: MainThread<Cell<bool>> = MainThread::new();
    if !HEARS.get_or_init(|| Cell::new(false)).replace(true) {
        let event = raw::RedisModuleEvent { id: raw::REDISMODULE_EVENT_CLIENT_CHANGE, dataver: 1 };
        // SAFETY: as in `hear`.
        unsafe { status!(RedisModule_SubscribeToServerEvent, own().as_ptr(), event, Some(on_client)) }
            .expected();
    }
}

unsafe extern "C" fn on_client(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    step: u64,
    data: *mut c_void,
) {
    if step != raw::REDISMODULE_SUBEVENT_CLIENT_CHANGE_DISCONNECTED {
        return;
    }
    // SAFETY: see `on_loading`; this event's data is a client info.
    let (ctx, client) = unsafe { (Ctx::from_raw(ctx), (*data.cast::<raw::RedisModuleClientInfoV1>()).id) };
    with_host(|host| host.on_client_closed(&ctx, client));
}

/// Another module was loaded or unloaded.
unsafe extern "C" fn on_module(
    _: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    _: u64,
    _: *mut c_void,
) {
    with_host(|host| host.on_modules());
}

unsafe extern "C" fn on_key(
    ctx: *mut raw::RedisModuleCtx,
    _: c_int,
    event: *const c_char,
    key: *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the event's name ends in NUL; context and key are valid during the callback.
    let (ctx, event, key) = unsafe { (Ctx::from_raw(ctx), CStr::from_ptr(event), Str::from_raw(key)) };
    match event.to_bytes() {
        b"loaded" | b"restore" => arrive(&ctx, key, Origin::Outside),
        b"rename_to" => arrive(&ctx, key, Origin::OtherKey),
        b"move_from" => MOVED_FROM.get_or_init(Cell::default).set(Some(ctx.db())),
        b"move_to" => {
            arrive(&ctx, key, Origin::OtherKey);
            // Valkey 8 tells of it in the client's own name, and leaves the client where the key
            // went: MOVE must not select a database.
            if let Some(db) = MOVED_FROM.get_or_init(Cell::default).take() {
                ctx.select_db(db);
            }
        }
        _ => {}
    }
    raw::REDISMODULE_OK as c_int
}

/// Other keys are left alone: to look at one counts as a use of it.
fn arrive(ctx: &Ctx, key: Str, from: Origin) {
    with_host(|host| {
        if host.expects_arrival() {
            // A copy of the name: while it loads, the server keeps it on its stack, and to open a
            // key is to keep its name.
            host.on_added(ctx, OwnedStr::new(key.bytes()).as_str(), from);
        }
    });
}
