//! A keyspace in memory, for the engine.

use redis_lock_core::{Bytes, Hold, Lock};
use redis_lock_engine::{Engine, Entry, Gone, NOWHERE, OpenLock, Rest, Slot};
use std::cell::{Cell, RefCell, RefMut};

/// The place of one key's lock. It panics if a lock is used while the engine has another loan of it.
struct Stored {
    name: RefCell<Bytes>,
    db: Cell<i32>,
    lock: RefCell<Lock>,
    place: Cell<u32>,
}

thread_local! {
    /// Places of lost servers, for reuse: handles must be copies, so places are never freed.
    static SPARE: RefCell<Vec<&'static Stored>> = const { RefCell::new(Vec::new()) };
}

/// The place of one key's lock.
#[derive(Clone, Copy)]
pub struct Handle(&'static Stored);

impl Handle {
    /// Returns the place of an empty lock.
    pub fn new(db: i32, name: &[u8]) -> Handle {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let stored = spare.unwrap_or_else(|| {
            Box::leak(Box::new(Stored {
                name: RefCell::new(Bytes::EMPTY),
                db: Cell::new(0),
                lock: RefCell::default(),
                place: Cell::new(NOWHERE),
            }))
        });
        stored.lock.take();
        stored.place.set(NOWHERE);
        let handle = Handle(stored);
        handle.move_to(db, name);
        handle
    }

    /// Notes that its key has this name now.
    pub fn move_to(self, db: i32, name: &[u8]) {
        self.0.db.set(db);
        self.0.name.replace(name.into());
    }

    /// Returns the place for reuse. No copy of this is used any longer.
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
        (self.0.db.get(), self.0.name.borrow().clone())
    }

    fn db(&self) -> i32 {
        self.0.db.get()
    }

    fn set_db(&self, db: i32) {
        self.0.db.set(db);
    }

    fn with_lock<R>(&self, with: impl FnOnce(&mut Lock) -> R) -> R {
        with(&mut self.0.lock.borrow_mut())
    }
}

/// An open lock, in the type that the engine takes.
pub struct Open<'k>(pub OpenLock<'k>);

impl<'k> AsMut<OpenLock<'k>> for Open<'k> {
    fn as_mut(&mut self) -> &mut OpenLock<'k> {
        &mut self.0
    }
}

/// Who decides about locks, and by which command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// This server.
    Decide,
    /// This server, by LOCK.RELEASE, which is propagated verbatim.
    Release,
    /// Another server has decided.
    Follow,
}

/// A change of a key for a replica.
pub enum Told {
    /// A whole hold as it is now, after the ones that ended before it.
    Hold(Hold, Vec<Gone>),
    /// The end of these holds.
    Drop(Vec<Gone>),
    /// The running command, verbatim.
    Verbatim,
}

/// Lends these locks, each named once, to the engine, then updates their deadlines. Also returns the changes
/// for a replica, and of which lock.
pub fn with_open<C: Clone, R>(
    engine: &mut Engine<Handle, C>,
    handles: &[Handle],
    purpose: Purpose,
    with: impl FnOnce(&mut Engine<Handle, C>, &mut [Open]) -> R,
) -> (R, Vec<(Handle, Told)>) {
    let names: Vec<(i32, Bytes)> = handles.iter().map(Handle::home).collect();
    let mut locks: Vec<RefMut<Lock>> = handles.iter().map(|handle| handle.0.lock.borrow_mut()).collect();
    let lent = names.iter().zip(&mut locks);
    let open = lent.map(|((db, name), lock)| {
        Open(engine.open((*db, name.as_slice()), lock, false, purpose == Purpose::Follow))
    });
    let mut open: Vec<Open> = open.collect();
    let result = with(engine, &mut open);
    let told = handles.iter().zip(&mut open).flat_map(|(handle, open)| {
        told(&mut open.0, purpose == Purpose::Release).into_iter().map(|told| (*handle, told))
    });
    let told = told.collect();
    drop(open);
    handles.iter().zip(&locks).for_each(|(handle, lock)| engine.on_stored(*handle, lock));
    (result, told)
}

/// Returns the changes, as `src/lock_txn.rs` propagates them.
fn told(open: &mut OpenLock, is_release: bool) -> Vec<Told> {
    let effects = std::mem::take(&mut open.effects).into_iter();
    let mut told: Vec<Told> = effects.map(|(hold, gone)| Told::Hold(hold, gone.into_vec())).collect();
    let granted = open.granted.and_then(|token| open.lock.holds().find(|hold| hold.token == token));
    told.extend(granted.map(|hold| Told::Hold(hold.clone(), Vec::new())));
    match open.rest(is_release) {
        Rest::Nothing => {}
        Rest::Verbatim => told.push(Told::Verbatim),
        Rest::Drop(gone) => told.push(Told::Drop(gone.to_vec())),
    }
    told
}
