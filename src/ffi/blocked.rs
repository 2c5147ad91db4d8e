//! A client that the server keeps waiting, until the module answers it or the server lets it go.
//!
//! Blocked on its key, so that the server redirects it when the slot moves. The server's own ways to
//! serve such a client are not used: it asks everyone who waits, and its time limits run on the wall
//! clock. What answers is the callback for a time limit.
//!
//! The module has it called by CLIENT UNBLOCK … TIMEOUT, at the end of the turn: that writes the reply and
//! unblocks the client in one step. `RM_UnblockClient` does not: on Redis 7.2 and Valkey 7.2 it writes the
//! reply and leaves the client blocked through the next turn, where a CLIENT UNBLOCK of somebody else writes
//! another one; later servers write the reply in the next turn, if the client is there by then.

use std::cell::Cell;
use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;
use std::rc::Rc;

use redis_module::raw;

use super::api::call;
use super::arguments::Str;
use super::context::Ctx;
use super::entry::{guard, reply};
use crate::waiting::Waiting;

/// The server's handle of a blocked client; null before, and once the server has let it go.
pub struct Handle(Cell<*mut raw::RedisModuleBlockedClient>);

impl Handle {
    /// No client yet.
    pub const fn none() -> Self {
        Handle(Cell::new(null_mut()))
    }

    /// Has the client answered: calls [`Waiting::answer`], unless the server has let it go. Only where the
    /// client's own command is over: older servers would write the reply at once, and then another one if
    /// the running transaction unblocked the client once more.
    pub fn answer(&self, ctx: &Ctx, client: u64) {
        let handle = self.0.get();
        if !handle.is_null() && !ctx.unblock(client) {
            // A server without the command CLIENT.
            // SAFETY: valid until `on_free` has run, which makes it null.
            unsafe { call!(RedisModule_UnblockClient, handle, null_mut()) };
        }
    }
}

/// Blocks the client of the running command. It must be one that may be blocked
/// ([`Ctx::may_block`]).
pub fn block(ctx: &Ctx, key: Str, waiting: Rc<Waiting>) {
    let mut keys = [key.as_ptr()];
    let kept = Rc::clone(&waiting);
    // SAFETY: context and key are valid; the server keeps the key's name by itself. The reference
    // handed over lives until `on_free`. No time limit: those are kept by the module.
    let handle = unsafe {
        call!(
            RedisModule_BlockClientOnKeys,
            ctx.as_ptr(),
            Some(on_ready),
            Some(on_timeout),
            Some(on_free),
            0,
            keys.as_mut_ptr(),
            1,
            Rc::into_raw(waiting).cast_mut().cast::<c_void>(),
        )
    };
    kept.handle.0.set(handle);
    // SAFETY: the handle was just made.
    unsafe { call!(RedisModule_SetDisconnectCallback, handle, Some(on_disconnect)) };
}

/// The key was written: the server asks everyone who waits for it. Whose turn it is, is known better.
unsafe extern "C" fn on_ready(
    _: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    raw::REDISMODULE_ERR as c_int
}

/// The client is to be answered: by the module's wish, or by CLIENT UNBLOCK … TIMEOUT.
unsafe extern "C" fn on_timeout(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    // SAFETY: the server's context, valid during the callback.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    if let Some(waiting) = waiting_of(&ctx) {
        guard((), || reply(&ctx, waiting.answer()));
    }
    raw::REDISMODULE_OK as c_int
}

/// The server lets the client go unanswered: it was closed, unblocked with an error, or redirected.
unsafe extern "C" fn on_disconnect(ctx: *mut raw::RedisModuleCtx, _: *mut raw::RedisModuleBlockedClient) {
    // SAFETY: as in `on_timeout`.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    if let Some(waiting) = waiting_of(&ctx) {
        guard((), || waiting.dismiss());
    }
}

fn waiting_of(ctx: &Ctx) -> Option<&Waiting> {
    // SAFETY: what `block` handed over, alive until `on_free`.
    unsafe { call!(RedisModule_GetBlockedClientPrivateData, ctx.as_ptr()).cast::<Waiting>().as_ref() }
}

/// However it ended: the handle is freed next.
unsafe extern "C" fn on_free(_: *mut raw::RedisModuleCtx, waiting: *mut c_void) {
    // SAFETY: the reference that `block` handed over, given back once.
    let waiting = unsafe { Rc::from_raw(waiting.cast::<Waiting>()) };
    waiting.handle.0.set(null_mut());
    guard((), || waiting.dismiss());
}
