//! What the server tells the module: the one place where the callbacks find it.

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

/// A step in the loading of a data set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LoadStep {
    /// It begins: a snapshot, values only.
    Rdb,
    /// It begins: an AOF, commands, perhaps after a snapshot.
    Aof,
    /// It is there, or could not be loaded.
    Ended,
}

/// The module, as far as the server knows it.
pub trait Host: Any {
    /// This server decides from now on, or another one does.
    fn on_role(&'static self, is_master: bool);
    /// A data set is being loaded.
    fn on_loading(&'static self, ctx: &Ctx, step: LoadStep);
    /// A database is being emptied, or all are.
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
    /// It has woken.
    fn after_sleep(&'static self);
    /// A client is being closed.
    fn on_client_closed(&'static self, ctx: &Ctx, client: u64);
    /// Whoever waits here is answered now.
    ///
    /// # Errors
    /// What is wrong.
    fn on_reply(&'static self, ticket: Ticket) -> Result<Reply, Error>;
    /// Whoever waits here was let go by the server.
    fn on_disconnected(&'static self, ticket: Ticket);
    /// Whether the next key that arrives may be a lock; from here on it is not.
    fn expects_arrival(&'static self) -> bool;
    /// A key has arrived that may be a lock.
    fn on_added(&'static self, ctx: &Ctx, name: Str, from: Origin);
    /// A value leaves its key.
    fn on_removed(&'static self, value: &Value);
    /// The fields of INFO.
    fn info(&'static self) -> Vec<(&'static CStr, u64)>;

    /// The module's clock.
    fn now(&'static self) -> Micros;
    /// The last token, if one was ever granted here or arrived.
    fn last_token(&'static self) -> Option<u64>;
    /// A token has arrived.
    fn accept_token(&'static self, token: u64);
    /// A lock was read from a payload and may arrive at a key next. Whether its key is `taken_over` with its slot can be
    /// asked.
    ///
    /// # Errors
    /// A token that it must not bring in.
    fn on_read(&'static self, lock: &Lock, taken_over: &mut dyn FnMut() -> bool) -> Result<(), u64>;
}

static INSTALLED: MainThread<&'static dyn Host> = MainThread::new();

/// From now on this is the module.
pub fn install(module: &'static dyn Host) {
    INSTALLED.get_or_init(|| module);
}

/// The module; none before it is loaded.
#[inline]
pub(super) fn host() -> Option<&'static dyn Host> {
    INSTALLED.get().copied()
}

/// Runs a callback of the server for the module.
#[inline]
pub(super) fn with_host(callback: impl FnOnce(&'static dyn Host)) {
    guard((), || host().map_or((), callback));
}

/// The module as its commands know it.
#[inline]
pub(super) fn module<M: Any>() -> Option<&'static M> {
    let module: &dyn Any = *INSTALLED.get()?;
    module.downcast_ref()
}

/// Runs a callback of the server; a panic in it gives `otherwise`. The one place that keeps a panic from ending the server.
#[inline]
pub(super) fn guard<R>(otherwise: R, callback: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(callback)).unwrap_or(otherwise)
}
