//! The interface through which the server's callbacks reach the module.

use std::any::Any;
use std::ffi::CStr;
use std::panic::{catch_unwind, AssertUnwindSafe};

use redis_lock_core::time::Micros;
use redis_lock_core::{Error, Lock};
use redis_lock_engine::{Origin, Ticket};

use super::arguments::Str;
use super::context::Ctx;
use super::main_thread::MainThread;
use super::reply::Reply;
use super::value::Value;

/// A step of loading a data set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LoadStep {
    /// Loading begins from a snapshot, which has only values.
    Rdb,
    /// Loading begins from an AOF, which has commands, possibly after a snapshot.
    Aof,
    /// The data set is loaded, or could not be loaded.
    Ended,
}

/// The module, as the callbacks of the server use it.
pub trait Host: Any {
    /// This server decides from now on, or no longer does.
    fn on_role(&'static self, is_master: bool);
    /// A data set is being loaded.
    fn on_loading(&'static self, ctx: &Ctx, step: LoadStep);
    /// A database is being emptied, or all are (`None`).
    fn on_flush(&'static self, db: Option<i32>);
    /// Two databases have changed numbers.
    fn on_swap(&'static self, first: i32, second: i32);
    /// A child was forked, for a snapshot.
    fn on_fork(&'static self, ctx: &Ctx);
    /// The configuration has changed.
    fn on_config(&'static self, ctx: &Ctx);
    /// Another module was loaded or unloaded.
    fn on_modules(&'static self);
    /// The event loop is about to sleep.
    fn before_sleep(&'static self, ctx: &Ctx);
    /// The event loop has woken.
    fn after_sleep(&'static self);
    /// A client is being closed.
    fn on_client_closed(&'static self, ctx: &Ctx, client: u64);
    /// Returns the reply for the waiter with this ticket, who is answered now.
    ///
    /// # Errors
    /// Returns what is wrong.
    fn on_reply(&'static self, ticket: Ticket) -> Result<Reply, Error>;
    /// The server has dropped the waiter with this ticket.
    fn on_disconnected(&'static self, ticket: Ticket);
    /// Returns whether the next key that arrives may be a lock, and resets that.
    fn expects_arrival(&'static self) -> bool;
    /// A key has arrived that may be a lock.
    fn on_added(&'static self, ctx: &Ctx, name: Str, from: Origin);
    /// A value leaves its key.
    fn on_removed(&'static self, value: &Value);
    /// Returns the fields of INFO.
    fn info(&'static self) -> Vec<(&'static CStr, u64)>;

    /// Returns the time on the module's clock.
    fn now(&'static self) -> Micros;
    /// Returns the last token, if one was ever granted here or arrived.
    fn last_token(&'static self) -> Option<u64>;
    /// A token has arrived.
    fn accept_token(&'static self, token: u64);
    /// A lock was read from a payload, and may arrive at a key next. `taken_over` returns whether its key
    /// arrives with its slot.
    ///
    /// # Errors
    /// Returns a token of the lock that is too high to be accepted.
    fn on_read(&'static self, lock: &Lock, taken_over: &mut dyn FnMut() -> bool) -> Result<(), u64>;
}

static INSTALLED: MainThread<&'static dyn Host> = MainThread::new();

/// Makes this the module.
pub fn install(module: &'static dyn Host) {
    INSTALLED.get_or_init(|| module);
}

/// Returns the module; `None` before it is loaded.
#[inline]
pub(super) fn host() -> Option<&'static dyn Host> {
    INSTALLED.get().copied()
}

/// Runs a callback of the server for the module.
#[inline]
pub(super) fn with_host(callback: impl FnOnce(&'static dyn Host)) {
    guard((), || host().map_or((), callback));
}

/// Returns the module in the type that its commands use.
#[inline]
pub(super) fn module<M: Any>() -> Option<&'static M> {
    let module: &dyn Any = *INSTALLED.get()?;
    module.downcast_ref()
}

/// Runs a callback of the server, or returns `otherwise` on a panic, which must not end the server.
#[inline]
pub(super) fn guard<R>(otherwise: R, callback: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(callback)).unwrap_or(otherwise)
}
