//! The place of a lock in a keyspace.

use redis_lock_core::{Bytes, Lock};

use crate::deadlines::Entry;

/// A handle of the place of one key's lock. Two handles are equal if and only if their places are.
pub trait Slot: Entry + Copy + Eq {
    /// Returns its last place among the deadlines; [`NOWHERE`](crate::NOWHERE) at first.
    fn place(&self) -> u32;
    /// Returns database and name of its key.
    fn home(&self) -> (i32, Bytes);
    /// Returns the number of its database.
    fn db(&self) -> i32;
    /// Notes that its database got another number.
    fn set_db(&self, db: i32);
    /// Lends the lock. Called only by engine methods to which no [`OpenLock`](crate::OpenLock) is lent.
    fn with_lock<R>(&self, with: impl FnOnce(&mut Lock) -> R) -> R;
}
