//! A value that tasks can await changes of.

use std::pin::pin;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

/// Like `tokio::sync::watch`, but tasks are woken in the order in which they began to wait, not in a random
/// one.
pub(crate) struct Watched<T> {
    value: RwLock<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    pub fn new(value: T) -> Watched<T> {
        Watched { value: RwLock::new(value), changed: Notify::new() }
    }

    /// Returns the current value. The guard must not be kept across an await.
    pub fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value, and wakes all tasks that wait. Returns the result of `change`.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.value.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
        result
    }

    /// Returns what `look` finds in the value, as soon as it finds something.
    pub async fn wait_for<R>(&self, mut look: impl FnMut(&T) -> Option<R>) -> R {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(found) = look(&self.borrow()) {
                return found;
            }
            changed.await;
        }
    }
}
