//! The value of a key of our type: the lock, and its place.

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use redis_lock_core::{Bytes, Lock};
use redis_lock_engine::{Entry, Slot, NOWHERE};

/// The value of a key. It keeps the key's name and database, so that the deadline can find the key.
pub struct Value {
    lock: UnsafeCell<Lock>,
    name: UnsafeCell<Bytes>,
    db: Cell<i32>,
    // Atomic, since `free` may read it on another thread. That thread also sees all that was done before it
    // was set to `NOWHERE`.
    place: AtomicU32,
}

impl Value {
    /// Returns an empty lock that is not in a key.
    #[inline]
    pub fn new() -> Box<Self> {
        Value::of(Lock::default())
    }

    /// Returns this lock, not in a key.
    #[inline]
    pub fn of(lock: Lock) -> Box<Self> {
        Box::new(Value {
            lock: UnsafeCell::new(lock),
            name: UnsafeCell::new(Bytes::EMPTY),
            db: Cell::new(0),
            place: AtomicU32::new(NOWHERE),
        })
    }

    /// Returns its lock.
    #[inline]
    pub fn lock(&self) -> &Lock {
        // SAFETY: it is changed only through `lock_mut`, by the one open key that may do so (`key.rs`), and
        // no reference from here lives while that happens.
        unsafe { &*self.lock.get() }
    }

    /// Returns its lock, for changes.
    ///
    /// # Safety
    /// Call it on the main thread, while no other reference to the lock lives.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn lock_mut(&self) -> &mut Lock {
        // SAFETY: the caller guarantees it.
        unsafe { &mut *self.lock.get() }
    }

    /// Notes that it is at another key now.
    pub fn move_to(&self, db: i32, name: &[u8]) {
        self.db.set(db);
        // SAFETY: main thread only, and `home` returns copies, so no reference lives.
        unsafe { (*self.name.get()).set(name) };
    }

    /// Returns its place among the deadlines.
    #[inline]
    pub fn place(&self) -> u32 {
        self.place.load(Ordering::Acquire)
    }

    /// Returns how many bytes it occupies.
    pub fn size(&self) -> usize {
        // SAFETY: as in `home`.
        let name = unsafe { (*self.name.get()).heap_size() };
        std::mem::size_of::<Value>() + name + self.lock().heap_size()
    }
}

/// A value among the deadlines. It stays allocated while it is there: `free` does not free a value that has a
/// place (`datatype.rs`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ValueRef(NonNull<Value>);

impl ValueRef {
    /// Returns a reference to this value.
    #[inline]
    pub fn new(value: &Value) -> Self {
        ValueRef(NonNull::from(value))
    }

    #[inline]
    fn get(&self) -> &Value {
        // SAFETY: a value with a place is not freed. Through references to other values the engine does not
        // look; one that left its key is only compared.
        unsafe { self.0.as_ref() }
    }
}

impl Entry for ValueRef {
    #[inline]
    fn set_place(&self, place: u32) {
        self.get().place.store(place, Ordering::Release);
    }
}

impl Slot for ValueRef {
    #[inline]
    fn place(&self) -> u32 {
        self.get().place()
    }

    fn home(&self) -> (i32, Bytes) {
        let value = self.get();
        // SAFETY: written only by `move_to`, on the same thread; a copy is returned.
        (value.db.get(), unsafe { (*value.name.get()).clone() })
    }

    fn db(&self) -> i32 {
        self.get().db.get()
    }

    fn set_db(&self, db: i32) {
        self.get().db.set(db);
    }

    fn with_lock<R>(&self, with: impl FnOnce(&mut Lock) -> R) -> R {
        // SAFETY: on the main thread, in an event of the server: no lock that was lent is used after it.
        with(unsafe { self.get().lock_mut() })
    }
}
