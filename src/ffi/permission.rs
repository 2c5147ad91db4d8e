//! Permissions of the user of a waiting client, which may have changed.

use redis_module::raw;

use super::api::{call, pointer, status};
use super::arguments::{OwnedStr, Str};
use super::context::Ctx;
use super::main_thread::MainThread;

/// The name of a user.
pub struct User(OwnedStr);

impl User {
    /// Returns the user of the running command.
    pub fn current(ctx: &Ctx) -> Option<Self> {
        // SAFETY: the context is valid; the string is the module's to free, as `OwnedStr` does.
        unsafe {
            let name = pointer!(RedisModule_GetCurrentUserName, ctx.as_ptr())?;
            Some(User(OwnedStr::from_raw(name.as_ptr())))
        }
    }

    /// Returns whether the user exists and may run LOCK.ACQUIRE on this key.
    pub fn may_acquire(&self, key: Str) -> bool {
        static WORDS: MainThread<[OwnedStr; 2]> = MainThread::new();
        let [command, word] = WORDS.get_or_init(|| [OwnedStr::new(b"LOCK.ACQUIRE"), OwnedStr::new(b"1")]);
        let word = word.as_str().as_ptr();
        let mut words = [command.as_str().as_ptr(), key.as_ptr(), word, word];
        // SAFETY: all strings live through the calls; the user is freed once.
        unsafe {
            let Some(user) = pointer!(RedisModule_GetModuleUserFromUserName, self.0.as_str().as_ptr()) else {
                return false;
            };
            let user: *mut raw::RedisModuleUser = user.as_ptr();
            let may = status!(RedisModule_ACLCheckCommandPermissions, user, words.as_mut_ptr(), 4).done();
            call!(RedisModule_FreeModuleUser, user);
            may
        }
    }
}
