//! The one place that keeps a panic from ending the server.

use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs a callback of the server; a panic in it gives `otherwise`.
pub fn guard<R>(otherwise: R, callback: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(callback)).unwrap_or(otherwise)
}
