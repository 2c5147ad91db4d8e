//! Commands of the server that the module runs itself.

use std::ffi::CStr;
use std::os::raw::c_char;
use std::ptr::NonNull;

use redis_module::raw;

use super::api::{call, pointer};
use super::arguments::Str;
use super::context::Ctx;

/// A reply of the server, freed on drop.
struct CallReply(NonNull<raw::RedisModuleCallReply>);

impl CallReply {
    /// Returns its text, if it is a string.
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

/// Runs a command, with arguments in the server's own format. `None` if the server refuses to run it.
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

/// Runs a command, and returns the reason of a refusal as the server's `errno`, or 0 if there was none.
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
    /// Returns whether the server would accept a write of this key of the selected database now: it serves
    /// the slot, there are enough replicas, and the disk is writable. It runs a write command that changes
    /// nothing. The command is the module's own, so nobody can have renamed it.
    pub fn takes_writes(&self, key: Str) -> bool {
        // `S` has the server check it as for a script. `E` has it reply the reason of a refusal; Valkey 9.1
        // aborts without it.
        let reason = refusal!(self, c"LOCK._PROBE", c"sSE", key.as_ptr());
        !matches!(reason, libc::ESPIPE | libc::EPERM | libc::EROFS | libc::ENETDOWN)
    }

    /// Returns whether another node of the cluster serves this key's slot.
    pub fn is_elsewhere(&self, key: Str) -> bool {
        refusal!(self, c"LOCK._PROBE", c"s", key.as_ptr()) == libc::EPERM
    }

    /// Returns whether the server is Valkey 8 or newer.
    pub fn is_valkey(&self) -> bool {
        let info = run!(self, c"INFO", c"c", c"server".as_ptr());
        info.as_ref().and_then(CallReply::text).is_some_and(|info| info.contains("\nvalkey_version:"))
    }

    /// Has the callback of a blocked client answer it, and unblocks it in the same step, by CLIENT UNBLOCK:
    /// [`super::blocked`] says why. Returns `false` if the server does not have that command.
    pub fn unblock(&self, client: u64) -> bool {
        run!(self, c"CLIENT", c"clc", c"UNBLOCK".as_ptr(), client as i64, c"TIMEOUT".as_ptr()).is_some()
    }

    /// Returns whether a client that the server is closing is closed only after its whole reply.
    pub fn closes_after_reply(&self, client: u64) -> bool {
        let reply = run!(self, c"CLIENT", c"ccl", c"LIST".as_ptr(), c"ID".as_ptr(), client as i64);
        let line = reply.as_ref().and_then(CallReply::text).unwrap_or_default();
        line.split(' ').find_map(|field| field.strip_prefix("flags=")).is_none_or(|flags| flags.contains('c'))
    }
}
