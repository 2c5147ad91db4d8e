//! A client that the server blocks until the module answers it or the server drops it.
//!
//! The client is blocked on a key, so that the server redirects it if the slot moves. The key is never
//! written, and in the slot of the lock's key: Redis 7.0 keeps a pointer to the client that it last asked
//! whether it can be served, and uses it after the client is gone. The server's own ways do not suit: it asks
//! every waiter, and its time limits run on the wall clock. The callback for a time limit answers.
//!
//! From 7.2 on the module has it called by CLIENT UNBLOCK … TIMEOUT, at the end of the cycle: that writes the
//! reply and unblocks the client in one step. `RM_UnblockClient` does not. On Redis 7.2 and Valkey 7.2 it
//! writes the reply and leaves the client blocked through the next cycle, in which another CLIENT UNBLOCK
//! writes another reply. Later servers write the reply in the next cycle, if the client still exists. Redis
//! 7.0 unblocks such clients right after the end of the cycle; its CLIENT UNBLOCK counts the blocked command
//! as failed.

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
    /// The client's id.
    pub id: u64,
    key: OwnedStr,
    /// Its user, if the server reports one.
    user: Option<User>,
    /// The server's handle of it; null before it is blocked, and once the server has dropped it.
    handle: Cell<*mut raw::RedisModuleBlockedClient>,
    /// Its place in the queue, until the server has dropped it.
    ticket: Cell<Option<Ticket>>,
}

impl BlockedClient {
    /// Returns the client of the running command, which must wait for this key.
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

    /// Blocks the client, for which [`Ctx::may_block`] holds, with this place in the queue. Returns whether
    /// the server does so. Valkey from 8.1 on refuses special clients, such as subscribed ones.
    pub fn block(self: &Rc<Self>, ctx: &Ctx, ticket: Ticket) -> bool {
        let name = OwnedStr::new(&neighbour(self.key.as_str().bytes(), unwritten()));
        let mut keys = [name.as_str().as_ptr()];
        self.ticket.set(Some(ticket));
        let kept = Rc::into_raw(Rc::clone(self));
        // SAFETY: context and key are valid; the server copies the key's name. The reference passed here
        // lives until `on_free`. There is no time limit, since the module keeps those.
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

    /// Has the client answered by [`Host::on_reply`](super::host::Host::on_reply), unless the server has
    /// dropped it. Call it only after the client's own command: older servers would write the reply at once,
    /// and another one if the running transaction unblocked the client again.
    pub fn answer(&self, ctx: &Ctx) {
        let handle = self.handle.get();
        if handle.is_null() || (answers_by_command() && ctx.unblock(self.id)) {
            return;
        }
        // Redis 7.0, or a server that has renamed the command CLIENT.
        // SAFETY: valid until `on_free` has run, which makes it null.
        unsafe { status!(RedisModule_UnblockClient, handle, null_mut()) }.expected();
    }

    /// Notes that the server has dropped the client, which gets no further reply.
    fn let_go(&self) {
        if let Some(ticket) = self.ticket.take() {
            with_host(|host| host.on_disconnected(ticket));
        }
    }
}

/// Returns whether the server is 7.2 or newer.
fn answers_by_command() -> bool {
    // SAFETY: takes nothing. A byte each for major, minor and patch.
    unsafe { call!(RedisModule_GetServerVersion,) >= 0x00_07_02_00 }
}

/// Returns a secret name, which no client can write a key with.
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

/// Answers the client, on the module's request or by CLIENT UNBLOCK … TIMEOUT.
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

/// The server drops the client unanswered: it was closed, unblocked with an error, or redirected.
unsafe extern "C" fn on_disconnect(ctx: *mut raw::RedisModuleCtx, _: *mut raw::RedisModuleBlockedClient) {
    // SAFETY: as in `on_timeout`.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    if let Some(client) = blocked(&ctx) {
        client.let_go();
    }
}

fn blocked(ctx: &Ctx) -> Option<&BlockedClient> {
    // SAFETY: `block` passed this reference, which lives until `on_free`.
    unsafe {
        let client = pointer!(RedisModule_GetBlockedClientPrivateData, ctx.as_ptr())?;
        Some(client.cast::<BlockedClient>().as_ref())
    }
}

/// Called however the blocking ended. The handle is freed next.
unsafe extern "C" fn on_free(_: *mut raw::RedisModuleCtx, client: *mut c_void) {
    // SAFETY: the reference that `block` handed over, given back once.
    let client = unsafe { Rc::from_raw(client.cast::<BlockedClient>()) };
    client.handle.set(null_mut());
    client.let_go();
}
