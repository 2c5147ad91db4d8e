//! State that is used only by the server's main thread.

use std::cell::OnceCell;

/// A static cell for the main thread.
pub struct MainThread<T>(OnceCell<T>);

// SAFETY: the server runs all of a module's callbacks on its main thread, except a type's `free`, which reads
// no such cell (`datatype.rs`). A process forked for a snapshot has its own copy.
unsafe impl<T> Sync for MainThread<T> {}

impl<T> MainThread<T> {
    /// Returns an empty cell.
    pub const fn new() -> Self {
        MainThread(OnceCell::new())
    }

    /// Returns the contents, if there are any.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// Returns the contents, which are made at the first use.
    #[inline]
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}
