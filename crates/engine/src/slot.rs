//! Where a keyspace keeps a lock.

use redis_lock_core::{Bytes, Lock};

use crate::deadlines::Entry;

/// A handle of the place where the lock of one key is stored. Handles are the same if and only if the place is.
pub trait Slot: Entry + Copy + Eq {
    /// Where it stands among the deadlines, as told last; [`NOWHERE`](crate::NOWHERE) at first.
    fn place(&self) -> u32;
    /// Database and name of its key.
    fn home(&self) -> (i32, Bytes);
    /// The number of its database.
    fn db(&self) -> i32;
    /// Its database got another number.
    fn set_db(&self, db: i32);
    /// Lends the lock. The engine calls this only from methods that no [`OpenLock`](crate::OpenLock) is lent to.
    fn with_lock<R>(&self, with: impl FnOnce(&mut Lock) -> R) -> R;
}
