//! A client that waits for the lock of a key.

use std::cell::Cell;

use redis_lock_engine::Ticket;

use crate::ffi::arguments::OwnedStr;
use crate::ffi::blocked::Handle;
use crate::ffi::permission::User;

/// See the module.
pub struct BlockedClient {
    /// Its number.
    pub id: u64,
    /// The server's handle of it.
    pub handle: Handle,
    /// The key that it waits for.
    pub key: OwnedStr,
    /// Whose it is, if the server says so.
    pub user: Option<User>,
    /// Its place in the queue, until the server has let it go.
    pub ticket: Cell<Option<Ticket>>,
}

impl BlockedClient {
    /// Returns whether its user may still acquire what it waits for.
    pub fn may_acquire(&self) -> bool {
        self.user.as_ref().is_none_or(|user| user.may_acquire(self.key.as_str()))
    }
}
