//! The module: what it knows besides the keys. Clock, token counter, index of deadlines, lines, counters.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use redis_lock_core::time::{ms_until, Micros};
use redis_lock_core::{Deadlines, Error, Hold, QueueId, Ticket, Tokens, WaitQueues};

use crate::blocked_client::BlockedClient;
use crate::configuration;
use crate::deferred::{Change, Deferred};
use crate::ffi::clock::monotonic_micros;
use crate::ffi::host::LoadStep;
use crate::ffi::value::{Value, ValueRef};
use crate::ffi::wakeup::WakeUp;
use crate::sessions::Sessions;

/// A count.
#[derive(Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Counts `n` more.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }

    /// Takes back what turned out to be something else.
    pub fn take_back(&self, n: u64) {
        self.0.set(self.0.get().saturating_sub(n));
    }
}

/// Totals since load, of a master's own doing.
#[derive(Default)]
pub struct Totals {
    /// New holds.
    pub acquired: Counter,
    /// Holds granted again to their owner.
    pub reacquired: Counter,
    /// Requests answered nil at once.
    pub refused: Counter,
    /// New holds of those who waited.
    pub handed_over: Counter,
    /// Holds released.
    pub released: Counter,
    /// Holds extended.
    pub extended: Counter,
    /// Holds that ended at their deadline.
    pub expired: Counter,
    /// Holds that core commands removed.
    pub removed: Counter,
    /// Requests refused since they would have waited for themselves.
    pub deadlocks: Counter,
    /// Requests that waited as long as they were willing to.
    pub wait_timeouts: Counter,
    /// Holds that ended with their connection.
    pub sessions_dropped: Counter,
    /// How long those who were granted a lock in line had waited for it, in milliseconds.
    pub wait_ms_sum: Counter,
    /// How long the holds that ended had been held, in milliseconds.
    pub hold_ms_sum: Counter,
}

/// No event tells when the server takes writes again that it has refused, or when the cooldown is over;
/// so often lines are tried again, in microseconds.
const REFUSED_POLL: Micros = 50_000;

/// The module: made once at load, and handed to everything from there.
pub struct Module {
    epoch: Micros,
    wall_at_epoch: u64,
    tokens: Cell<Tokens>,
    cooling_since: Cell<Micros>,
    replica: Cell<bool>,
    loading: Cell<Option<LoadStep>>,
    must_propagate: Cell<bool>,
    last_is_due: Cell<bool>,
    other_modules: Cell<bool>,
    held: Cell<u64>,
    arrival: Cell<bool>,
    departures: RefCell<Vec<(*const Value, u64)>>,
    deadlines: RefCell<Deadlines<ValueRef>>,
    lines: RefCell<WaitQueues<Rc<BlockedClient>>>,
    retry_deferred: Cell<Option<Micros>>,
    sessions: RefCell<Sessions>,
    /// What the end of the turn has to do.
    pub deferred: Deferred,
    /// Totals since load.
    pub totals: Totals,
}

/// The wall clock, in microseconds since 1970.
fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Module {
    /// The module of a server that has just been started, woken by this timer.
    pub fn new(wake_up: WakeUp) -> Self {
        let wall = wall_clock();
        Module {
            epoch: monotonic_micros(),
            wall_at_epoch: wall,
            tokens: Cell::new(Tokens::starting_at(wall)),
            cooling_since: Cell::new(0),
            replica: Cell::new(false),
            loading: Cell::new(None),
            must_propagate: Cell::new(true),
            last_is_due: Cell::new(false),
            other_modules: Cell::new(true),
            held: Cell::new(0),
            arrival: Cell::new(false),
            departures: RefCell::default(),
            deadlines: RefCell::default(),
            lines: RefCell::default(),
            retry_deferred: Cell::new(None),
            sessions: RefCell::default(),
            deferred: Deferred::new(wake_up),
            totals: Totals::default(),
        }
    }

    /// Microseconds since the module was loaded, on a clock that no one can set. Read afresh:
    /// the server's own time stands still during a command or a script.
    #[inline]
    pub fn now(&self) -> Micros {
        monotonic_micros() - self.epoch
    }

    /// The clock that tokens follow: the wall clock at load plus the time since.
    #[inline]
    pub fn token_clock(&self, now: Micros) -> u64 {
        self.wall_at_epoch.saturating_add_signed(now)
    }

    /// The token counter.
    #[inline]
    pub fn tokens(&self) -> Tokens {
        self.tokens.get()
    }

    /// A token was granted here or arrived: later ones are greater.
    #[inline]
    pub fn accept_token(&self, token: u64) {
        let mut tokens = self.tokens.get();
        tokens.accept(token);
        self.tokens.set(tokens);
    }

    /// From now on this server decides: what the former master granted unseen stays below its
    /// tokens, and the cooldown begins.
    pub fn restart_as_master(&self) {
        let mut tokens = self.tokens.get();
        tokens.restart(wall_clock());
        self.tokens.set(tokens);
        self.cooling_since.set(self.now());
    }

    /// What is left of the cooldown, in milliseconds.
    pub fn cooldown_left_ms(&self, now: Micros) -> i64 {
        match configuration::COOLDOWN.get() {
            0 => 0,
            ms => ms_until(redis_lock_core::time::after_ms(self.cooling_since.get(), ms), now),
        }
    }

    /// Whether locks may be granted and extended.
    ///
    /// # Errors
    /// [`Error::Cooldown`] while the cooldown lasts.
    #[inline]
    pub fn check_cooldown(&self, now: Micros) -> Result<(), Error> {
        match self.cooldown_left_ms(now) {
            0 => Ok(()),
            left => Err(Error::Cooldown(left)),
        }
    }

    /// Whether this server replicates another one.
    pub fn is_replica(&self) -> bool {
        self.replica.get()
    }

    /// Sets the role.
    pub fn set_replica(&self, replica: bool) {
        self.replica.set(replica);
    }

    /// Sets whether a data set is being loaded, and from where.
    pub fn set_loading(&self, loading: Option<LoadStep>) {
        self.loading.set(loading);
    }

    /// Where the data set that is being loaded comes from.
    pub fn loading(&self) -> Option<LoadStep> {
        self.loading.get()
    }

    /// Whether others decide about holds, and this server only carries out what they decided.
    #[inline]
    pub fn is_passive(&self) -> bool {
        self.replica.get() || self.loading.get().is_some()
    }

    /// Whether an AOF, a replica, a replication backlog or a save point may be there to hear of
    /// changes. Once true it stays so.
    #[inline]
    pub fn must_propagate(&self) -> bool {
        self.must_propagate.get()
    }

    /// See [`Module::must_propagate`].
    pub fn set_must_propagate(&self, must_propagate: bool) {
        self.must_propagate.set(must_propagate);
    }

    /// Remembers that the last token wants to be replicated by itself; see `server::child_born`.
    pub fn set_last_due(&self, due: bool) {
        self.last_is_due.set(due);
    }

    /// See [`Module::set_last_due`].
    #[inline]
    pub fn is_last_due(&self) -> bool {
        self.last_is_due.get()
    }

    /// Whether another module is there: it may act on keyspace events, whatever clients may.
    #[inline]
    pub fn has_other_modules(&self) -> bool {
        self.other_modules.get()
    }

    /// See [`Module::has_other_modules`].
    pub fn set_other_modules(&self, other_modules: bool) {
        self.other_modules.set(other_modules);
    }

    /// How many holds there are.
    pub fn held(&self) -> u64 {
        self.held.get()
    }

    /// There are `n` holds more.
    #[inline]
    pub fn add_held(&self, n: usize) {
        self.held.set(self.held.get() + n as u64);
    }

    /// There are `n` holds fewer.
    #[inline]
    pub fn sub_held(&self, n: usize) {
        self.held.set(self.held.get().saturating_sub(n as u64));
    }

    /// A value was read, or has left its key: the next key that arrives may hold it.
    pub fn expect_arrival(&self) {
        self.arrival.set(true);
    }

    /// Whether one is expected; from here on it is not.
    pub fn take_arrival(&self) -> bool {
        self.arrival.replace(false)
    }

    /// A value has left its key, and was counted as removed; until the end of the turn it may turn
    /// out to have been renamed or moved.
    pub fn note_departure(&self, value: &Value, held_ms: u64) {
        if !self.is_passive() {
            self.departures.borrow_mut().push((value, held_ms));
        }
    }

    /// It has been renamed or moved.
    pub fn take_back_departure(&self, value: &Value) {
        let mut departures = self.departures.borrow_mut();
        // The latest: the same address may have been another value's before.
        if let Some(at) = departures.iter().rposition(|(departed, _)| std::ptr::eq(*departed, value)) {
            let (_, held_ms) = departures.remove(at);
            self.totals.removed.take_back(value.lock().len() as u64);
            self.totals.hold_ms_sum.take_back(held_ms);
        }
    }

    /// The turn has ended: who has left is gone.
    #[inline]
    pub fn forget_departures(&self) {
        if !self.departures.borrow().is_empty() {
            self.departures.take();
        }
    }

    /// The deadlines; borrowed for one operation on them, never while the server is called.
    pub fn deadlines(&self) -> &RefCell<Deadlines<ValueRef>> {
        &self.deadlines
    }

    /// Who waits; borrowed as the deadlines are. (The circle search looks at keys meanwhile: what that
    /// may change is noted among the deferred.)
    pub fn lines(&self) -> &RefCell<WaitQueues<Rc<BlockedClient>>> {
        &self.lines
    }

    /// Whether anybody waits for any lock.
    #[inline]
    pub fn has_queues(&self) -> bool {
        !self.lines.borrow().is_empty()
    }

    /// The line of a key, judged by what was done to its lock so far.
    pub fn line(&self, db: i32, name: &[u8]) -> Option<QueueId> {
        self.mark_changes();
        self.lines.borrow().find(db, name)
    }

    /// Notes that a lock was changed by others than a LOCK command.
    pub fn note_change(&self, change: Change) {
        if self.has_queues() {
            self.deferred.add(&self.deferred.changes, change);
        }
    }

    /// Has the queues of such locks checked again when they are served next.
    pub fn mark_changes(&self) {
        if self.deferred.changes.is_empty() {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        for change in self.deferred.changes.take() {
            match change {
                Change::Key(db, name) => lines.mark_dirty(db, name.as_slice()),
                Change::Database(db) => lines.mark_all_dirty(db),
            }
        }
    }

    /// A client waits no more.
    pub fn leave_line(&self, ticket: Ticket) {
        self.lines.borrow_mut().leave(ticket);
        self.deferred.wake();
    }

    /// Whether a line wants to be served.
    pub fn wants_serving(&self, line: QueueId) -> bool {
        self.lines.borrow().wants_serving(line)
    }

    /// A line that wants to be served.
    #[inline]
    pub fn next_unserved(&self) -> Option<QueueId> {
        self.lines.borrow().next_unserved()
    }

    /// A line can't be served now: that is tried again soon.
    pub fn defer(&self, line: QueueId) {
        self.lines.borrow_mut().defer(line);
        if self.retry_deferred.get().is_none() {
            self.retry_deferred.set(Some(self.now() + REFUSED_POLL));
        }
    }

    /// Once that moment has come, all lines that were put off want to be served again.
    pub fn retry_deferred(&self, now: Micros) {
        if self.retry_deferred.get().is_some_and(|at| at <= now) {
            self.retry_deferred.set(None);
            self.lines.borrow_mut().retry_deferred();
        }
    }

    /// The next moment at which somebody has waited too long.
    pub fn next_limit(&self) -> Option<Micros> {
        self.lines.borrow().first_limit().map(|(limit, _)| limit)
    }

    /// The next moment at which something is due by itself.
    #[inline]
    pub fn next_moment(&self) -> Option<Micros> {
        let hold = self.deadlines.borrow().first().map(|(deadline, _)| deadline);
        let hold = hold.filter(|_| !self.is_passive());
        if self.has_queues() {
            return [hold, self.next_limit(), self.retry_deferred.get()].into_iter().flatten().min();
        }
        hold
    }

    /// Whether something else is.
    #[inline]
    pub fn has_deferred(&self) -> bool {
        self.is_last_due() || self.deferred.are_there() || self.next_unserved().is_some()
    }

    /// Which holds end with which client.
    pub fn sessions(&self) -> &RefCell<Sessions> {
        &self.sessions
    }

    /// Whether any hold ends with a client.
    #[inline]
    pub fn has_sessions(&self) -> bool {
        !self.sessions.borrow().is_empty()
    }

    /// Brings the place of a value among the deadlines up to date with its lock.
    #[inline]
    pub fn schedule(&self, value: &Value) {
        let mut deadlines = self.deadlines.borrow_mut();
        match (value.lock().earliest(), value.place()) {
            (Some(deadline), redis_lock_core::NOWHERE) => deadlines.insert(deadline, ValueRef::new(value)),
            (Some(deadline), place) => deadlines.reschedule(place, deadline),
            (None, place) => {
                deadlines.remove(place);
            }
        }
    }

    /// Takes a value out of the deadlines.
    #[inline]
    pub fn unschedule(&self, value: &Value) {
        self.deadlines.borrow_mut().remove(value.place());
    }

    /// A hold has ended: how long it was held.
    #[inline]
    pub fn count_end(&self, hold: &Hold, now: Micros) {
        // Never negative.
        self.totals.hold_ms_sum.add(redis_lock_core::time::ms_since(hold.since, now) as u64);
    }
}
