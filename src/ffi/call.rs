//! Commands of the server that the module runs by itself.

use std::ffi::CStr;
use std::os::raw::c_char;
use std::ptr::NonNull;

use redis_module::raw;

use super::api::{call, pointer};
use super::arguments::Str;
use super::context::Ctx;

/// What the server replied; freed with it.
struct CallReply(NonNull<raw::RedisModuleCallReply>);

impl CallReply {
    /// Its text, if it is a string.
    fn text(&self) -> Option<&str> {
        let mut len = 0;
        // SAFETY: the reply lives as long as `self`, and so does its text.
        let bytes = unsafe {
            let start: NonNull<c_char> = pointer!(RedisModule_CallReplyStringPtr, self.0.as_ptr(), &mut len)?;
            std::slice::from_raw_parts(start.as_ptr().cast::<u8>(), len)
        };
        std::str::from_utf8(bytes).ok()
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        // SAFETY: given by the server, freed once.
        unsafe { call!(RedisModule_FreeCallReply, self.0.as_ptr()) }
    }
}

/// Runs a command with its arguments in the server's own format; `None` where the server does not run it.
macro_rules! run {
    ($ctx:expr, $command:literal, $format:literal $(, $argument:expr)* $(,)?) => {{
        // SAFETY: each caller passes what its format says: `c` a text that ends in NUL, `l` a 64-bit number,
        // `s` a string of the server.
        let reply = unsafe {
            let (command, format): (&CStr, &CStr) = ($command, $format);
            pointer!(RedisModule_Call, $ctx.as_ptr(), command.as_ptr(), format.as_ptr() $(, $argument)*)
        };
        reply.map(CallReply)
    }};
}

/// Runs a command, and gives the reason why the server did not, as it tells it: `errno`, 0 for none.
macro_rules! refusal {
    ($($argument:expr),* $(,)?) => {{
        // SAFETY: this thread's own variable.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        unsafe { *errno = 0 };
        drop(run!($($argument),*));
        // SAFETY: as above.
        unsafe { *errno }
    }};
}

impl Ctx {
    /// Whether the server would take a write of this key of the selected database now: its slot is
    /// here, there are enough replicas, and the disk can be written. Asked by a write command that changes
    /// nothing, which is the module's own, so that nobody can have renamed it.
    pub fn takes_writes(&self, key: Str) -> bool {
        // `S` has the server check it as for a script, `E` has it reply its reasons (without, Valkey 9.1
        // ends itself).
        let reason = refusal!(self, c"LOCK._PROBE", c"sSE", key.as_ptr());
        !matches!(reason, libc::ESPIPE | libc::EPERM | libc::EROFS | libc::ENETDOWN)
    }

    /// Whether another node of the cluster serves this key's slot.
    pub fn is_elsewhere(&self, key: Str) -> bool {
        refusal!(self, c"LOCK._PROBE", c"s", key.as_ptr()) == libc::EPERM
    }

    /// Whether the server is Valkey, from 8 on.
    pub fn is_valkey(&self) -> bool {
        let info = run!(self, c"INFO", c"c", c"server".as_ptr());
        info.as_ref().and_then(CallReply::text).is_some_and(|info| info.contains("\nvalkey_version:"))
    }

    /// Has a client that waits in line answered by its callback, and unblocked in the same step. As CLIENT
    /// UNBLOCK does it: [`super::blocked`] says why. False where the server does not have that command.
    pub fn unblock(&self, client: u64) -> bool {
        run!(self, c"CLIENT", c"clc", c"UNBLOCK".as_ptr(), client as i64, c"TIMEOUT".as_ptr()).is_some()
    }

    /// Whether a client that the server is closing is closed only after its whole reply.
    pub fn closes_after_reply(&self, client: u64) -> bool {
        let reply = run!(self, c"CLIENT", c"ccl", c"LIST".as_ptr(), c"ID".as_ptr(), client as i64);
        let line = reply.as_ref().and_then(CallReply::text).unwrap_or_default();
        line.split(' ').find_map(|field| field.strip_prefix("flags=")).is_none_or(|flags| flags.contains('c'))
    }
}
