//! The module: its engine, its clock, and what it knows of the server.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use redis_lock_core::time::Micros;
use redis_lock_engine::{Conditions, Engine};

use crate::configuration::cooldown_ms;
use crate::ffi::blocked::BlockedClient;
use crate::ffi::clock::monotonic_micros;
use crate::ffi::host::LoadStep;
use crate::ffi::value::ValueRef;
use crate::ffi::wakeup::WakeUp;

/// The engine of this server.
pub type ServerEngine = Engine<ValueRef, Rc<BlockedClient>>;

/// The module: made once at load, and handed to everything from there.
pub struct Module {
    engine: RefCell<ServerEngine>,
    zero: Micros,
    /// What wakes the server.
    pub wake_up: WakeUp,
    /// Whether the event loop sleeps. Older servers run commands before they really do: what comes up then must wake
    /// them.
    pub asleep: Cell<bool>,
    /// Where the data set comes from that is being loaded.
    pub loading: Cell<Option<LoadStep>>,
    /// Whether an AOF, a replica, a replication backlog or a save point may be there to hear of changes. Once
    /// true it stays so.
    pub must_propagate: Cell<bool>,
    /// Whether the last token is to be replicated by itself; see `server.rs`, `on_fork`.
    pub is_last_due: Cell<bool>,
    /// Whether another module is there: it may act on keyspace events, whatever clients may.
    pub has_other_modules: Cell<bool>,
    /// Whether a lock was read, or has left its key: the next key that arrives may hold it.
    pub expects_arrival: Cell<bool>,
}

/// The wall clock, in microseconds since 1970.
pub fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Module {
    /// The module of a server that has just been started, woken by this timer.
    pub fn new(wake_up: WakeUp, is_replica: bool) -> Self {
        Module {
            engine: RefCell::new(Engine::new(wall_clock(), is_replica)),
            zero: monotonic_micros(),
            wake_up,
            asleep: Cell::new(false),
            loading: Cell::new(None),
            must_propagate: Cell::new(true),
            is_last_due: Cell::new(false),
            has_other_modules: Cell::new(true),
            expects_arrival: Cell::new(false),
        }
    }

    /// The engine, for one call of it: it must be given back before the server is called, which may call back.
    #[inline]
    pub fn engine(&self) -> RefMut<'_, ServerEngine> {
        self.engine.borrow_mut()
    }

    /// Tells the engine of something that happens outside commands, and sees to it that what follows is done soon.
    pub fn tell<R>(&self, event: impl FnOnce(&mut ServerEngine) -> R) -> R {
        let result = event(&mut self.engine());
        self.wake();
        result
    }

    /// Wakes the event loop if it sleeps and there is something to do.
    #[inline]
    pub fn wake(&self) {
        if self.asleep.get() {
            let engine = self.engine();
            if engine.has_work() || engine.has_resolved() {
                self.wake_up.ring_now();
            }
        }
    }

    /// What the engine is told with every request.
    #[inline]
    pub fn conditions(&self, now: Micros) -> Conditions<'static, Rc<BlockedClient>> {
        Conditions {
            now,
            cooldown_ms: cooldown_ms(),
            propagate: self.must_propagate.get(),
            may_acquire: &|client| client.may_acquire(),
        }
    }

    /// Microseconds since the module was loaded, on a clock that nobody can set. Read afresh: the server's own time
    /// stands still during a command or a script.
    #[inline]
    pub fn now(&self) -> Micros {
        monotonic_micros() - self.zero
    }
}
