//! The server's events, passed on to the engine: start, loading, role changes, forks, and locks that come and
//! go other than by LOCK commands.

use std::ffi::CStr;

use redis_lock_core::time::Micros;
use redis_lock_core::{Error, Lock, TOKEN_END};
use redis_lock_engine::{Origin, Outcome, Ticket, NOWHERE};

use crate::commands::{acquire, extend, internal, read, release};
use crate::configuration;
use crate::ffi::arguments::Str;
use crate::ffi::context::Ctx;
use crate::ffi::entry::{register, Register};
use crate::ffi::events::hear_of_arrivals;
use crate::ffi::host::{Host, LoadStep};
use crate::ffi::key::Key;
use crate::ffi::load::Load;
use crate::ffi::reply::Reply;
use crate::ffi::value::{Value, ValueRef};
use crate::ffi::wakeup::WakeUp;
use crate::module::{wall_clock, Module};
use crate::{before_sleep, info as info_section, waiting};

impl Load for Module {
    const NAME: &'static CStr = c"lock";
    /// 0.1.0
    const VERSION: i32 = 100;
    const COMMANDS: &'static [Register] = &[
        register::<Module, acquire::Acquire>,
        register::<Module, acquire::Macquire>,
        register::<Module, extend::Extend>,
        register::<Module, extend::Mextend>,
        register::<Module, release::Release>,
        register::<Module, release::Mrelease>,
        register::<Module, read::Owner>,
        register::<Module, read::Ttl>,
        register::<Module, read::Check>,
        register::<Module, read::Info>,
        register::<Module, internal::HoldChanged>,
        register::<Module, internal::HoldsGone>,
        register::<Module, internal::LastToken>,
        register::<Module, internal::Probe>,
    ];

    /// Sets up the role, propagation and the timer.
    fn start(ctx: &Ctx) -> Result<&'static Self, &'static str> {
        let wake_up = WakeUp::new().ok_or("timerfd")?;
        let module: &'static Module = Box::leak(Box::new(Module::new(wake_up, ctx.is_replica())));
        module.must_propagate.set(may_be_listened_to(ctx));
        module.has_other_modules.set(has_other_modules(ctx));
        match module.wake_up.join_event_loop() {
            true => Ok(module),
            false => Err("timerfd"),
        }
    }

    fn stop(&self) {
        self.wake_up.leave_event_loop();
    }

    fn register_settings(ctx: &Ctx) {
        configuration::register(ctx);
    }

    fn check_settings(ctx: &Ctx) -> bool {
        configuration::warn(ctx);
        configuration::is_registered(ctx)
    }
}

impl Host for Module {
    fn on_role(&'static self, is_master: bool) {
        self.must_propagate.set(true);
        let now = Module::now(self);
        self.tell(|engine| engine.on_role(is_master, wall_clock(), now));
    }

    /// The commands of a data set are carried out, not decided. A restarted master may let replicas continue
    /// from where they were, so changes must be replicated from the first one on.
    fn on_loading(&'static self, ctx: &Ctx, step: LoadStep) {
        let is_loading = step != LoadStep::Ended;
        self.loading.set(is_loading.then_some(step));
        self.tell(|engine| engine.on_loading(is_loading));
        if !is_loading {
            self.on_config(ctx);
        }
    }

    fn on_flush(&'static self, db: Option<i32>) {
        let now = Module::now(self);
        self.tell(|engine| engine.on_flushed(db, now));
    }

    fn on_swap(&'static self, first: i32, second: i32) {
        self.tell(|engine| engine.on_swapped(first, second));
    }

    /// A child writes a snapshot, for a file or for a replica, so changes must be propagated from now on. An
    /// AOF rewritten without preamble has no room for the last token. The token is therefore replicated once
    /// by itself, into the file that follows the rewritten one. Only then, since it counts as a change: a
    /// server that found one after each of its snapshots would save forever.
    fn on_fork(&'static self, ctx: &Ctx) {
        self.must_propagate.set(true);
        if !ctx.is_zero("persistence", "aof_rewrite_in_progress") {
            self.is_last_due.set(true);
        }
    }

    /// Save points may have been set.
    fn on_config(&'static self, ctx: &Ctx) {
        self.must_propagate.set(self.must_propagate.get() || may_be_listened_to(ctx));
    }

    fn on_modules(&'static self) {
        self.has_other_modules.set(true);
    }

    fn before_sleep(&'static self, ctx: &Ctx) {
        before_sleep::before_sleep(self, ctx);
    }

    fn after_sleep(&'static self) {
        before_sleep::after_sleep(self);
    }

    fn on_client_closed(&'static self, ctx: &Ctx, client: u64) {
        waiting::on_closed(self, ctx, client);
    }

    fn on_reply(&'static self, ticket: Ticket) -> Result<Reply, Error> {
        match self.tell(|engine| engine.on_reply(ticket)) {
            Outcome::Granted(token) => Ok(Reply::token(token)),
            Outcome::Nil => Ok(Reply::Nil),
            Outcome::Failed(error) => Err(error),
        }
    }

    fn on_disconnected(&'static self, ticket: Ticket) {
        self.tell(|engine| engine.on_disconnected(ticket));
    }

    fn expects_arrival(&'static self) -> bool {
        self.expects_arrival.take()
    }

    fn on_added(&'static self, ctx: &Ctx, name: Str, from: Origin) {
        let Ok(key) = Key::peek(ctx, name) else { return };
        let Some(value) = key.value() else { return };
        value.move_to(key.db(), name.bytes());
        self.tell(|engine| engine.on_added(ValueRef::new(value), from));
    }

    /// Also runs when a value is freed that left its key unnoticed. A value without a deadline there is
    /// empty, or the engine knows that it is gone.
    fn on_removed(&'static self, value: &Value) {
        if value.place() == NOWHERE {
            return;
        }
        let now = Module::now(self);
        if self.tell(|engine| engine.on_removed(ValueRef::new(value), now)) {
            hear_of_arrivals();
            self.expects_arrival.set(true);
        }
    }

    fn info(&'static self) -> Vec<(&'static CStr, u64)> {
        info_section::fields(self)
    }

    fn now(&'static self) -> Micros {
        Module::now(self)
    }

    fn last_token(&'static self) -> Option<u64> {
        let tokens = self.engine().tokens();
        tokens.used().then(|| tokens.last())
    }

    fn accept_token(&'static self, token: u64) {
        self.engine().accept_token(token);
    }

    fn on_read(&'static self, lock: &Lock, taken_over: &mut dyn FnMut() -> bool) -> Result<(), u64> {
        let excessive = self.engine().excessive_token(lock, Module::now(self));
        match excessive {
            // A lock that arrives with its slot would be lost if it were refused.
            Some(token) if token >= TOKEN_END || !taken_over() => return Err(token),
            _ => {}
        }
        if self.loading.get() != Some(LoadStep::Rdb) {
            // RESTORE, which in an AOF can't be distinguished from a snapshot's value.
            hear_of_arrivals();
        }
        self.expects_arrival.set(true);
        Ok(())
    }
}

/// Building an effect costs time even if nobody receives it. Nobody does while the AOF is off, there are no
/// save points (the server counts changes by the effects), there is no replication backlog, and no child was
/// ever forked. A later AOF or replica begins with a fork, whose event comes in time (a replica's own event
/// comes too late).
fn may_be_listened_to(ctx: &Ctx) -> bool {
    ctx.has_save_points()
        || ctx.is_replica()
        || !ctx.is_zero("persistence", "aof_enabled")
        || !ctx.is_zero("stats", "total_forks")
        || !ctx.is_zero("replication", "repl_backlog_active")
        || !ctx.is_zero("replication", "connected_slaves")
}

/// The list does not contain this module itself while it is being loaded.
fn has_other_modules(ctx: &Ctx) -> bool {
    match redis_module::Context::new(ctx.as_ptr()).call("MODULE", &["LIST"]) {
        Ok(redis_module::RedisValue::Array(modules)) => !modules.is_empty(),
        _ => true,
    }
}
