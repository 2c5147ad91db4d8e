//! A keyspace in memory, for the engine.

use redis_lock_core::{Bytes, Lock};
use redis_lock_engine::{Engine, Entry, NOWHERE, OpenLock, Slot};
use std::cell::{Cell, RefCell, RefMut};

/// Where the lock of one key is stored. A lock that is used while the engine holds another loan of it panics here.
struct Stored {
    name: RefCell<Bytes>,
    lock: RefCell<Lock>,
    place: Cell<u32>,
}

thread_local! {
    /// Places of servers that are gone, to be used again: handles must be copies, so that places are never freed.
    static SPARE: RefCell<Vec<&'static Stored>> = const { RefCell::new(Vec::new()) };
}

/// The place of one key's lock, in database 0.
#[derive(Clone, Copy)]
pub struct Handle(&'static Stored);

impl Handle {
    /// The place of an empty lock.
    pub fn new(name: &[u8]) -> Handle {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let stored = spare.unwrap_or_else(|| {
            Box::leak(Box::new(Stored {
                name: RefCell::new(Bytes::EMPTY),
                lock: RefCell::default(),
                place: Cell::new(NOWHERE),
            }))
        });
        stored.name.replace(name.into());
        stored.lock.take();
        stored.place.set(NOWHERE);
        Handle(stored)
    }

    /// No copy of this is used any longer.
    pub fn give_back(self) {
        // At the end of a thread its list may be gone.
        let _ = SPARE.try_with(|spare| spare.borrow_mut().push(self.0));
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Handle {}

impl Entry for Handle {
    fn set_place(&self, place: u32) {
        self.0.place.set(place);
    }
}

impl Slot for Handle {
    fn place(&self) -> u32 {
        self.0.place.get()
    }

    fn home(&self) -> (i32, Bytes) {
        (0, self.0.name.borrow().clone())
    }

    fn db(&self) -> i32 {
        0
    }

    fn set_db(&self, _: i32) {}

    fn with_lock<R>(&self, with: impl FnOnce(&mut Lock) -> R) -> R {
        with(&mut self.0.lock.borrow_mut())
    }
}

/// An open lock, as the engine takes them.
pub struct Open<'k>(pub OpenLock<'k>);

impl<'k> AsMut<OpenLock<'k>> for Open<'k> {
    fn as_mut(&mut self) -> &mut OpenLock<'k> {
        &mut self.0
    }
}

/// Lends these locks to the engine, then has their deadlines kept. Each may be named once.
pub fn with_open<C: Clone, R>(
    engine: &mut Engine<Handle, C>,
    handles: &[Handle],
    with: impl FnOnce(&mut Engine<Handle, C>, &mut [Open]) -> R,
) -> R {
    let names: Vec<Bytes> = handles.iter().map(|handle| handle.home().1).collect();
    let mut locks: Vec<RefMut<Lock>> = handles.iter().map(|handle| handle.0.lock.borrow_mut()).collect();
    let lent = names.iter().zip(&mut locks);
    let mut open: Vec<Open> =
        lent.map(|(name, lock)| Open(engine.open((0, name.as_slice()), lock, false, false))).collect();
    let result = with(engine, &mut open);
    drop(open);
    handles.iter().zip(&locks).for_each(|(handle, lock)| engine.on_stored(*handle, lock));
    result
}
