//! Lines for the server's log.

use std::ffi::{CStr, CString};

use redis_module::raw;

/// The log level of messages that somebody should act on.
pub const WARNING: &CStr = c"warning";

/// Writes a warning to the server's log, for this context or none.
pub fn warn(ctx: *mut raw::RedisModuleCtx, line: &str) {
    let line = printable(line);
    // SAFETY: the server fills this static before the module's first line runs; the line is passed as an
    // argument, never as the format.
    unsafe {
        if let Some(log) = (&raw const raw::RedisModule_Log).read() {
            log(ctx, WARNING.as_ptr(), c"%s".as_ptr(), line.as_ptr());
        }
    }
}

/// Returns the line as a C string, cut at the first NUL.
pub fn printable(line: &str) -> CString {
    let end = line.find('\0').unwrap_or(line.len());
    CString::new(&line[..end]).unwrap_or_default()
}
