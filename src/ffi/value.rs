//! What a key of our type holds: the lock, and where it lives.

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use redis_lock_core::{Bytes, Lock};
use redis_lock_engine::{Entry, Slot, NOWHERE};

/// The value of a key. Its name and database are kept so that its deadline can find it.
pub struct Value {
    lock: UnsafeCell<Lock>,
    name: UnsafeCell<Bytes>,
    db: Cell<i32>,
    // Atomic, since `free` may read it on another thread; what was done before it was set to
    // `NOWHERE` is done for that thread too.
    place: AtomicU32,
}

impl Value {
    /// An empty lock that is in no key yet.
    #[inline]
    pub fn new() -> Box<Self> {
        Value::of(Lock::default())
    }

    /// This lock, in no key yet.
    #[inline]
    pub fn of(lock: Lock) -> Box<Self> {
        Box::new(Value {
            lock: UnsafeCell::new(lock),
            name: UnsafeCell::new(Bytes::EMPTY),
            db: Cell::new(0),
            place: AtomicU32::new(NOWHERE),
        })
    }

    /// Its lock.
    #[inline]
    pub fn lock(&self) -> &Lock {
        // SAFETY: it is changed only through `lock_mut`, by the one open key that owns the right
        // to (`key.rs`), and no reference from here lives on while that happens.
        unsafe { &*self.lock.get() }
    }

    /// Its lock, to be changed.
    ///
    /// # Safety
    /// On the main thread, while no other reference to the lock lives.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn lock_mut(&self) -> &mut Lock {
        // SAFETY: the caller's word.
        unsafe { &mut *self.lock.get() }
    }

    /// It lives elsewhere now.
    pub fn move_to(&self, db: i32, name: &[u8]) {
        self.db.set(db);
        // SAFETY: main thread only, and `home` hands out copies: no reference lives.
        unsafe { (*self.name.get()).set(name) };
    }

    /// Its place among the deadlines.
    #[inline]
    pub fn place(&self) -> u32 {
        self.place.load(Ordering::Acquire)
    }

    /// Bytes that it occupies.
    pub fn size(&self) -> usize {
        // SAFETY: as in `home`.
        let name = unsafe { (*self.name.get()).heap_size() };
        std::mem::size_of::<Value>() + name + self.lock().heap_size()
    }
}

/// A value among the deadlines. It stays allocated as long as it is there: `free` does not free a
/// value that has a place (`datatype.rs`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ValueRef(NonNull<Value>);

impl ValueRef {
    /// Refers to this value.
    #[inline]
    pub fn new(value: &Value) -> Self {
        ValueRef(NonNull::from(value))
    }

    #[inline]
    fn get(&self) -> &Value {
        // SAFETY: a value with a place is not freed; of one without a place the engine keeps no reference that it
        // looks through: a departure is only compared.
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
        // SAFETY: on the main thread, from an event of the server: no lock that was lent is used from there on.
        with(unsafe { self.get().lock_mut() })
    }
}
