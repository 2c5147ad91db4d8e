//! A client that the server keeps waiting, until the module answers it or the server lets it go.
//!
//! Blocked on a key, so that the server redirects it when the slot moves; not on the lock's, but on one in the same
//! slot that is never written: Redis 7.0 keeps a pointer to the client that it last asked whether it can be served,
//! and uses it after the client is gone. The server's own ways to serve such a client are not wanted anyhow: it asks
//! everyone who waits, and its time limits run on the wall clock. What answers is the callback for a time limit.
//!
//! From 7.2 on the module has it called by CLIENT UNBLOCK … TIMEOUT, at the end of the turn: that writes the
//! reply and unblocks the client in one step. `RM_UnblockClient` does not: on Redis 7.2 and Valkey 7.2 it
//! writes the reply and leaves the client blocked through the next turn, where a CLIENT UNBLOCK of somebody
//! else writes another one; later servers write the reply in the next turn, if the client is there by then.
//! Redis 7.0 unblocks such clients right after the end of the turn; its CLIENT UNBLOCK counts the command
//! that waited as a failed one.

use std::any::Any;
use std::cell::Cell;
use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::OnceLock;

use redis_lock_core::{slot::neighbour, Error};
use redis_module::raw;

use super::api::{call, pointer, status};
use super::arguments::OwnedStr;
use super::context::Ctx;
use super::guard::guard;
use super::host::module;
use super::reply::{reply, Reply};

/// A client that the module keeps waiting.
pub trait Blocked: 'static {
    /// What it works on: what was installed (`host.rs`).
    type Module: Any;

    /// Where the server's handle is kept.
    fn handle(&self) -> &Handle;

    /// What to reply: asked for when the module has it answered, and for CLIENT UNBLOCK … TIMEOUT.
    ///
    /// # Errors
    /// What is wrong.
    fn answer(&self, module: &'static Self::Module) -> Result<Reply, Error>;

    /// The server has let it go: it will not be told anything that it was not told.
    fn on_disconnect(&self, module: &'static Self::Module);
}

/// The server's handle of a blocked client; null before, and once the server has let it go.
pub struct Handle(Cell<*mut raw::RedisModuleBlockedClient>);

impl Handle {
    /// No client yet.
    pub const fn none() -> Self {
        Handle(Cell::new(null_mut()))
    }

    /// Has the client answered: calls [`Blocked::answer`], unless the server has let it go. Only where the
    /// client's own command is over: older servers would write the reply at once, and then another one if
    /// the running transaction unblocked the client once more.
    pub fn answer(&self, ctx: &Ctx, client: u64) {
        let handle = self.0.get();
        if handle.is_null() || (answers_by_command() && ctx.unblock(client)) {
            return;
        }
        // Redis 7.0, or a server whose command CLIENT was renamed.
        // SAFETY: valid until `on_free` has run, which makes it null.
        unsafe { status!(RedisModule_UnblockClient, handle, null_mut()) }.expected();
    }
}

/// Whether the server is 7.2 or newer.
fn answers_by_command() -> bool {
    // SAFETY: takes nothing. A byte each for major, minor and patch.
    unsafe { call!(RedisModule_GetServerVersion,) >= 0x00_07_02_00 }
}

/// Blocks the client of the running command, for which [`Ctx::may_block`] holds; whether the server does.
/// Valkey from 8.1 on refuses clients that are more than that: subscribed ones, say.
pub fn block<B: Blocked>(ctx: &Ctx, key: &[u8], client: &Rc<B>) -> bool {
    let name = OwnedStr::new(&neighbour(key, unwritten()));
    let mut keys = [name.as_str().as_ptr()];
    let kept = Rc::into_raw(Rc::clone(client));
    // SAFETY: context and key are valid; the server keeps the key's name by itself. The reference
    // handed over lives until `on_free`. No time limit: those are kept by the module.
    let handle = unsafe {
        pointer!(
            RedisModule_BlockClientOnKeys,
            ctx.as_ptr(),
            Some(on_ready),
            Some(on_timeout::<B>),
            Some(on_free::<B>),
            0,
            keys.as_mut_ptr(),
            1,
            kept.cast_mut().cast::<c_void>(),
        )
    };
    let Some(handle) = handle else {
        // SAFETY: the server has not kept the reference.
        drop(unsafe { Rc::from_raw(kept) });
        return false;
    };
    client.handle().0.set(handle.as_ptr());
    // SAFETY: the handle was just made.
    unsafe { call!(RedisModule_SetDisconnectCallback, handle.as_ptr(), Some(on_disconnect::<B>)) };
    true
}

/// What no client writes a key with, for nobody knows it.
fn unwritten() -> &'static [u8] {
    static SECRET: OnceLock<String> = OnceLock::new();
    SECRET
        .get_or_init(|| {
            let mut bytes = [0; 16];
            // SAFETY: the buffer is as long as said.
            unsafe { call!(RedisModule_GetRandomBytes, bytes.as_mut_ptr(), bytes.len()) };
            format!("{:032x}", u128::from_ne_bytes(bytes))
        })
        .as_bytes()
}

/// Never called: the key is never written.
unsafe extern "C" fn on_ready(
    _: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    raw::REDISMODULE_ERR as c_int
}

/// The client is to be answered: by the module's wish, or by CLIENT UNBLOCK … TIMEOUT.
unsafe extern "C" fn on_timeout<B: Blocked>(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    // SAFETY: the server's context, valid during the callback.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    if let Some(client) = blocked::<B>(&ctx) {
        guard((), || reply(&ctx, module().ok_or(Error::Internal).and_then(|module| client.answer(module))));
    }
    raw::REDISMODULE_OK as c_int
}

/// The server lets the client go unanswered: it was closed, unblocked with an error, or redirected.
unsafe extern "C" fn on_disconnect<B: Blocked>(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut raw::RedisModuleBlockedClient,
) {
    // SAFETY: as in `on_timeout`.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    if let Some(client) = blocked::<B>(&ctx) {
        guard((), || module().map_or((), |module| client.on_disconnect(module)));
    }
}

fn blocked<B>(ctx: &Ctx) -> Option<&B> {
    // SAFETY: what `block` handed over, alive until `on_free`.
    unsafe {
        let client = pointer!(RedisModule_GetBlockedClientPrivateData, ctx.as_ptr())?;
        Some(client.cast::<B>().as_ref())
    }
}

/// However it ended: the handle is freed next.
unsafe extern "C" fn on_free<B: Blocked>(_: *mut raw::RedisModuleCtx, client: *mut c_void) {
    // SAFETY: the reference that `block` handed over, given back once.
    let client = unsafe { Rc::from_raw(client.cast::<B>()) };
    client.handle().0.set(null_mut());
    guard((), || module().map_or((), |module| client.on_disconnect(module)));
}
