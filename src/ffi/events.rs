//! Events of the server: role, loading, flushes, swapped databases, forks, the cycles of its event loop, and
//! keys that arrive.

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

/// A context of the module's own, for use if the server passes none.
static OWN: MainThread<NonNull<raw::RedisModuleCtx>> = MainThread::new();

/// Subscribes to all of these events. Returns `false` if the server refuses.
pub fn subscribe(ctx: &Ctx) -> bool {
    let events = [
        raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
        raw::REDISMODULE_EVENT_LOADING,
        raw::REDISMODULE_EVENT_FLUSHDB,
        raw::REDISMODULE_EVENT_SWAPDB,
        raw::REDISMODULE_EVENT_FORK_CHILD,
        raw::REDISMODULE_EVENT_EVENTLOOP,
        raw::REDISMODULE_EVENT_MODULE_CHANGE,
        raw::REDISMODULE_EVENT_CONFIG,
    ];
    let subscribed = events.into_iter().all(|event| hear_of(ctx, event).done());
    // SAFETY: the context is that of the load; the new one is kept forever.
    let own = unsafe { pointer!(RedisModule_GetDetachedThreadSafeContext, ctx.as_ptr()) };
    own.is_some_and(|own| {
        OWN.get_or_init(|| own);
        subscribed && hear(raw::REDISMODULE_NOTIFY_LOADED).done()
    })
}

/// Subscribes to the events of keys that arrive by RENAME, MOVE and RESTORE. They come with those of every
/// DEL and EXPIRE, and each costs a call. So there is no subscription until the first lock leaves its key
/// other than by a LOCK command, or is restored. That is in time: the server reports the arrival only after
/// the key was left or read.
pub fn hear_of_arrivals() {
    static HEARS: MainThread<Cell<bool>> = MainThread::new();
    if !HEARS.get_or_init(|| Cell::new(false)).replace(true) {
        hear(raw::REDISMODULE_NOTIFY_GENERIC).expected();
    }
}

fn hear_of(ctx: &Ctx, id: u64) -> Status {
    let event = raw::RedisModuleEvent { id, dataver: 1 };
    // SAFETY: the context is valid; the handler has the signature that the server expects.
    unsafe { status!(RedisModule_SubscribeToServerEvent, ctx.as_ptr(), event, Some(on_event)) }
}

fn hear(class: c_int) -> Status {
    // SAFETY: the context lives as long as the server; the handler has the signature that the server expects.
    unsafe { status!(RedisModule_SubscribeToKeyspaceEvents, own().as_ptr(), class, Some(on_key)) }
}

/// Returns a context of the module's own, for use if the server passes none.
pub fn own() -> Ctx {
    // SAFETY: it lives as long as the server.
    OWN.get().map_or(Ctx::none(), |own| unsafe { Ctx::from_raw(own.as_ptr()) })
}

/// Subscribes to the events of clients that are closed. Each new or closed client costs the server a call, so
/// there is no subscription until the first hold is bound to a client, or handed over.
pub fn hear_of_closes() {
    static HEARS: MainThread<Cell<bool>> = MainThread::new();
    if !HEARS.get_or_init(|| Cell::new(false)).replace(true) {
        hear_of(&own(), raw::REDISMODULE_EVENT_CLIENT_CHANGE).expected();
    }
}

unsafe extern "C" fn on_event(
    ctx: *mut raw::RedisModuleCtx,
    event: raw::RedisModuleEvent,
    step: u64,
    data: *mut c_void,
) {
    // SAFETY: the server's context, valid during the callback.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    with_host(|host| match (event.id, step) {
        (raw::REDISMODULE_EVENT_EVENTLOOP, raw::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP) => {
            host.before_sleep(&ctx);
        }
        (raw::REDISMODULE_EVENT_EVENTLOOP, _) => host.after_sleep(),
        (raw::REDISMODULE_EVENT_CLIENT_CHANGE, raw::REDISMODULE_SUBEVENT_CLIENT_CHANGE_DISCONNECTED) => {
            // SAFETY: this event's data is a client info.
            host.on_client_closed(&ctx, unsafe { (*data.cast::<raw::RedisModuleClientInfoV1>()).id });
        }
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, role) => {
            host.on_role(role == raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER);
        }
        (raw::REDISMODULE_EVENT_LOADING, step) => host.on_loading(&ctx, load_step(step)),
        (raw::REDISMODULE_EVENT_FLUSHDB, raw::REDISMODULE_SUBEVENT_FLUSHDB_START) => {
            // SAFETY: this event's data is a flush info.
            let db = unsafe { (*data.cast::<raw::RedisModuleFlushInfoV1>()).dbnum };
            host.on_flush((db >= 0).then_some(db));
        }
        (raw::REDISMODULE_EVENT_SWAPDB, _) => {
            // SAFETY: this event's data is a swap info.
            let swap = unsafe { &*data.cast::<raw::RedisModuleSwapDbInfoV1>() };
            host.on_swap(swap.dbnum_first, swap.dbnum_second);
        }
        (raw::REDISMODULE_EVENT_FORK_CHILD, raw::REDISMODULE_SUBEVENT_FORK_CHILD_BORN) => host.on_fork(&ctx),
        (raw::REDISMODULE_EVENT_MODULE_CHANGE, _) => host.on_modules(),
        (raw::REDISMODULE_EVENT_CONFIG, _) => host.on_config(&ctx),
        _ => {}
    });
}

fn load_step(step: u64) -> LoadStep {
    match step {
        raw::REDISMODULE_SUBEVENT_LOADING_ENDED | raw::REDISMODULE_SUBEVENT_LOADING_FAILED => LoadStep::Ended,
        raw::REDISMODULE_SUBEVENT_LOADING_AOF_START => LoadStep::Aof,
        _ => LoadStep::Rdb,
    }
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
            // Valkey 8 sends this event in the client's own context, and leaves the client in the target
            // database: MOVE must not select a database.
            if let Some(db) = MOVED_FROM.get_or_init(Cell::default).take() {
                ctx.select_db(db);
            }
        }
        _ => {}
    }
    raw::REDISMODULE_OK as c_int
}

/// Leaves other keys alone, as opening a key counts as a use of it.
fn arrive(ctx: &Ctx, key: Str, from: Origin) {
    with_host(|host| {
        if host.expects_arrival() {
            // A copy of the name: during loading the server has the name on its stack, and opening a key
            // keeps its name.
            host.on_added(ctx, OwnedStr::new(key.bytes()).as_str(), from);
        }
    });
}
