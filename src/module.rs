//! The module: its engine, its clock, and its knowledge of the server.

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

/// The module, made once at load and passed on from there.
pub struct Module {
    engine: RefCell<ServerEngine>,
    zero: Micros,
    /// The timer that wakes the server.
    pub wake_up: WakeUp,
    /// Whether the event loop sleeps. Older servers still run commands after this is set; new work then must
    /// wake them.
    pub asleep: Cell<bool>,
    /// The source of the data set that is being loaded.
    pub loading: Cell<Option<LoadStep>>,
    /// Whether an AOF, a replica, a replication backlog or a save point may exist that needs the changes.
    /// Once true it stays true.
    pub must_propagate: Cell<bool>,
    /// Whether the last token must be replicated by itself; see `on_fork` in `server.rs`.
    pub is_last_due: Cell<bool>,
    /// Whether there are other modules: they may act on keyspace events even if no client can.
    pub has_other_modules: Cell<bool>,
    /// Whether a lock was read or has left its key: the next key that arrives may hold it.
    pub expects_arrival: Cell<bool>,
}

/// Returns the wall clock, in microseconds since 1970.
pub fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Module {
    /// Returns the module of a server that was just started, woken by this timer.
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

    /// Borrows the engine for one call. The borrow must end before a call of the server, which may call back.
    #[inline]
    pub fn engine(&self) -> RefMut<'_, ServerEngine> {
        self.engine.borrow_mut()
    }

    /// Informs the engine of an event outside commands, and wakes the event loop for the work that follows.
    pub fn tell<R>(&self, event: impl FnOnce(&mut ServerEngine) -> R) -> R {
        let result = event(&mut self.engine());
        self.wake();
        result
    }

    /// Wakes the event loop if it sleeps and there is work.
    #[inline]
    pub fn wake(&self) {
        if self.asleep.get() {
            let engine = self.engine();
            if engine.has_work() || engine.has_resolved() {
                self.wake_up.ring_now();
            }
        }
    }

    /// Returns the conditions that the engine gets with every request.
    #[inline]
    pub fn conditions(&self, now: Micros) -> Conditions<'static, Rc<BlockedClient>> {
        Conditions {
            now,
            cooldown_ms: cooldown_ms(),
            propagate: self.must_propagate.get(),
            may_acquire: &|client| client.may_acquire(),
        }
    }

    /// Returns microseconds since the module was loaded, on a clock that nobody can set. It is read each
    /// time, as the server's own time stands still during a command or a script.
    #[inline]
    pub fn now(&self) -> Micros {
        monotonic_micros() - self.zero
    }
}
