//! What the end of a turn of the event loop has to do: noted where it comes up, often in the middle of
//! the server's own work, where nothing may be written; done by `before_sleep.rs`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use redis_lock_core::Bytes;

use crate::blocked_client::{BlockedClient, PendingGrant};
use crate::ffi::wakeup::WakeUp;

/// What was done to locks by others than LOCK commands.
pub enum Change {
    /// To the lock of one key.
    Key(i32, Bytes),
    /// To those of a database, or of all.
    Database(Option<i32>),
}

/// A list that is filled at any time and emptied at the end of a turn.
pub struct List<T>(RefCell<Vec<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        List(RefCell::default())
    }
}

impl<T> List<T> {
    /// Whether there is nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All of it.
    pub fn take(&self) -> Vec<T> {
        self.0.take()
    }

    /// What of it the condition holds for.
    pub fn take_if(&self, mut condition: impl FnMut(&T) -> bool) -> Vec<T> {
        let (taken, left) = self.take().into_iter().partition(|item| condition(item));
        self.0.replace(left);
        taken
    }

    /// What was noted last.
    pub fn pop(&self) -> Option<T> {
        self.0.borrow_mut().pop()
    }
}

/// All that there is to do.
pub struct Deferred {
    /// What wakes the server for them, and for the next deadline.
    wake_up: WakeUp,
    /// Clients whose wait has ended, to be answered.
    pub resolved: List<Rc<BlockedClient>>,
    /// Grants whose reply was written in this turn, and to which client.
    pub told: List<(u64, Rc<PendingGrant>)>,
    /// Grants of which nobody was told, to be taken back.
    pub undelivered: List<Rc<PendingGrant>>,
    /// Clients that were closed while holds were bound to them.
    pub closed: List<u64>,
    /// Keys whose queues are to be served again.
    pub changes: List<Change>,
    /// How many grants are open: nobody knows yet whether their clients were told.
    open: Cell<usize>,
    /// Where locks went that were renamed or moved meanwhile: database and key.
    moved: RefCell<Vec<(i32, Bytes)>>,
    asleep: Cell<bool>,
}

impl Deferred {
    /// Nothing to do, and what wakes the server.
    pub fn new(wake_up: WakeUp) -> Self {
        Deferred {
            wake_up,
            resolved: List::default(),
            told: List::default(),
            undelivered: List::default(),
            closed: List::default(),
            changes: List::default(),
            open: Cell::new(0),
            moved: RefCell::default(),
            asleep: Cell::new(false),
        }
    }

    /// What wakes the server.
    pub fn wake_up(&self) -> &WakeUp {
        &self.wake_up
    }

    /// Notes one thing more in a list of these, and makes sure that it is done soon.
    pub fn add<T>(&self, list: &List<T>, item: T) {
        list.0.borrow_mut().push(item);
        self.wake();
    }

    /// Whether anything but answering is to be done.
    #[inline]
    pub fn are_there(&self) -> bool {
        !(self.undelivered.is_empty() && self.closed.is_empty() && self.changes.is_empty())
    }

    /// A grant was made whose client is yet to be told.
    pub fn handed_over(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// Its client was told, or never will be.
    pub fn decided(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// Whether any is open.
    pub fn any_open(&self) -> bool {
        self.open.get() > 0
    }

    /// A lock was renamed or moved, and is here now.
    pub fn note_move(&self, db: i32, name: &[u8]) {
        if self.any_open() {
            self.moved.borrow_mut().push((db, name.into()));
        }
    }

    /// Where locks went since the first of the grants that are still open.
    pub fn moves(&self) -> Vec<(i32, Bytes)> {
        self.moved.borrow().clone()
    }

    /// The end of the turn is over. Older servers run commands after it, before they sleep: what
    /// comes up then must wake them.
    pub fn fall_asleep(&self) {
        if !self.any_open() && self.undelivered.is_empty() {
            self.moved.borrow_mut().clear();
        }
        self.asleep.set(true);
    }

    /// A new turn begins.
    pub fn awake(&self) {
        self.asleep.set(false);
    }

    /// Wakes the event loop, should it sleep.
    pub fn wake(&self) {
        if self.asleep.get() {
            self.wake_up.ring_now();
        }
    }
}
