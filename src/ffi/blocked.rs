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

use std::cell::Cell;
use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::OnceLock;

use redis_lock_core::slot::neighbour;
use redis_lock_engine::Ticket;
use redis_module::raw;

use super::api::{call, pointer, status};
use super::arguments::{OwnedStr, Str};
use super::context::Ctx;
use super::host::with_host;
use super::permission::User;
use super::reply::{reply, Reply};

/// A client that waits for the lock of a key.
pub struct BlockedClient {
    /// Its number.
    pub id: u64,
    key: OwnedStr,
    /// Whose it is, if the server says so.
    user: Option<User>,
    /// The server's handle of it; null before, and once the server has let it go.
    handle: Cell<*mut raw::RedisModuleBlockedClient>,
    /// Its place in the queue, until the server has let it go.
    ticket: Cell<Option<Ticket>>,
}

impl BlockedClient {
    /// The client of the running command, which is to wait for this key.
    pub fn current(ctx: &Ctx, key: Str) -> Rc<Self> {
        Rc::new(BlockedClient {
            id: ctx.client_id(),
            key: OwnedStr::new(key.bytes()),
            user: User::current(ctx),
            handle: Cell::new(null_mut()),
            ticket: Cell::new(None),
        })
    }

    /// Returns whether its user may still acquire what it waits for.
    pub fn may_acquire(&self) -> bool {
        self.user.as_ref().is_none_or(|user| user.may_acquire(self.key.as_str()))
    }

    /// Blocks the client, for which [`Ctx::may_block`] holds: it has this place in the queue. Returns whether the server
    /// does. Valkey from 8.1 on refuses clients that are more than that: subscribed ones, say.
    pub fn block(self: &Rc<Self>, ctx: &Ctx, ticket: Ticket) -> bool {
        let name = OwnedStr::new(&neighbour(self.key.as_str().bytes(), unwritten()));
        let mut keys = [name.as_str().as_ptr()];
        self.ticket.set(Some(ticket));
        let kept = Rc::into_raw(Rc::clone(self));
        // SAFETY: context and key are valid; the server keeps the key's name by itself. The reference
        // handed over lives until `on_free`. No time limit: those are kept by the module.
        let handle = unsafe {
            pointer!(
                RedisModule_BlockClientOnKeys,
                ctx.as_ptr(),
                Some(on_ready),
                Some(on_timeout),
                Some(on_free),
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
        self.handle.set(handle.as_ptr());
        // SAFETY: the handle was just made.
        unsafe { call!(RedisModule_SetDisconnectCallback, handle.as_ptr(), Some(on_disconnect)) };
        true
    }

    /// Has the client answered: calls [`Host::on_reply`](super::host::Host::on_reply), unless the server has let it go. Only
    /// where the client's own command is over: older servers would write the reply at once, and then another one if
    /// the running transaction unblocked the client once more.
    pub fn answer(&self, ctx: &Ctx) {
        let handle = self.handle.get();
        if handle.is_null() || (answers_by_command() && ctx.unblock(self.id)) {
            return;
        }
        // Redis 7.0, or a server whose command CLIENT was renamed.
        // SAFETY: valid until `on_free` has run, which makes it null.
        unsafe { status!(RedisModule_UnblockClient, handle, null_mut()) }.expected();
    }

    /// The server has let it go: it will not be told anything that it was not told.
    fn let_go(&self) {
        if let Some(ticket) = self.ticket.take() {
            with_host(|host| host.on_disconnected(ticket));
        }
    }
}

/// Whether the server is 7.2 or newer.
fn answers_by_command() -> bool {
    // SAFETY: takes nothing. A byte each for major, minor and patch.
    unsafe { call!(RedisModule_GetServerVersion,) >= 0x00_07_02_00 }
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
unsafe extern "C" fn on_timeout(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    // SAFETY: the server's context, valid during the callback.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    let ticket = blocked(&ctx).and_then(|client| client.ticket.get());
    with_host(|host| reply(&ctx, ticket.map_or(Ok(Reply::Nil), |ticket| host.on_reply(ticket))));
    raw::REDISMODULE_OK as c_int
}

/// The server lets the client go unanswered: it was closed, unblocked with an error, or redirected.
unsafe extern "C" fn on_disconnect(ctx: *mut raw::RedisModuleCtx, _: *mut raw::RedisModuleBlockedClient) {
    // SAFETY: as in `on_timeout`.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    if let Some(client) = blocked(&ctx) {
        client.let_go();
    }
}

fn blocked(ctx: &Ctx) -> Option<&BlockedClient> {
    // SAFETY: what `block` handed over, alive until `on_free`.
    unsafe {
        let client = pointer!(RedisModule_GetBlockedClientPrivateData, ctx.as_ptr())?;
        Some(client.cast::<BlockedClient>().as_ref())
    }
}

/// However it ended: the handle is freed next.
unsafe extern "C" fn on_free(_: *mut raw::RedisModuleCtx, client: *mut c_void) {
    // SAFETY: the reference that `block` handed over, given back once.
    let client = unsafe { Rc::from_raw(client.cast::<BlockedClient>()) };
    client.handle.set(null_mut());
    client.let_go();
}
