//! Propagates effects to replicas and the AOF (`redis_lock_core::effect` defines their meaning).

use std::os::raw::c_char;

use redis_lock_core::time::{ms_since, ms_until, Micros};
use redis_lock_core::Hold;
use redis_lock_engine::Gone;
use redis_module::raw;

use super::api::status;
use super::arguments::{OwnedStr, Str};
use super::context::Ctx;

/// Propagates an exclusive hold without META that was just granted, with the client's own strings and the
/// token.
#[inline]
pub fn plain_hold(ctx: &Ctx, key: Str, owner: Str, ttl: Str, token: u64) {
    // As text: a number would be converted to text for each receiver.
    let mut text = [0; 20];
    let token = decimal(token, &mut text);
    // SAFETY: three strings, then pointer and length of the token, as the format says.
    unsafe {
        status!(
            RedisModule_Replicate,
            ctx.as_ptr(),
            c"LOCK._HOLD".as_ptr(),
            c"sssb".as_ptr(),
            key.as_ptr(),
            owner.as_ptr(),
            ttl.as_ptr(),
            token.as_ptr().cast::<c_char>(),
            token.len(),
        )
    }
    .expected();
}

/// Returns the number in decimal digits, at the end of `text`.
fn decimal(mut number: u64, text: &mut [u8; 20]) -> &[u8] {
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || start == 0 {
            return &text[start..];
        }
    }
}

/// Propagates a hold as it is now, after the ones that ended before it.
pub fn hold(ctx: &Ctx, key: Str, hold: &Hold, gone: &[Gone], now: Micros) {
    let gone = Words::new(gone);
    let (owner, meta) = (hold.owner(), hold.meta());
    // SAFETY: as the format says: a string, owner as pointer and length, two numbers, three words with a
    // number or META as pointer and length, and a list of strings with its length.
    unsafe {
        status!(
            RedisModule_Replicate,
            ctx.as_ptr(),
            c"LOCK._HOLD".as_ptr(),
            c"sbllclclcbv".as_ptr(),
            key.as_ptr(),
            owner.as_ptr().cast::<c_char>(),
            owner.len(),
            ms_until(hold.deadline, now),
            hold.token as i64,
            c"LIMIT".as_ptr(),
            i64::from(hold.limit().to_wire()),
            c"HELD".as_ptr(),
            ms_since(hold.since, now),
            c"META".as_ptr(),
            meta.as_ptr().cast::<c_char>(),
            meta.len(),
            gone.as_ptr(),
            gone.len(),
        )
    }
    .expected();
}

/// Propagates the end of holds.
pub fn drops(ctx: &Ctx, key: Str, gone: &[Gone]) {
    let gone = Words::new(gone);
    // SAFETY: a string, and a list of strings with its length.
    unsafe {
        status!(
            RedisModule_Replicate,
            ctx.as_ptr(),
            c"LOCK._DROP".as_ptr(),
            c"sv".as_ptr(),
            key.as_ptr(),
            gone.as_ptr(),
            gone.len(),
        )
    }
    .expected();
}

/// Propagates the last token by itself. A replica writes it to its own AOF only: its replicas get what the
/// master sends.
pub fn last(ctx: &Ctx, token: u64, aof_only: bool) {
    let format = if aof_only { c"Rl" } else { c"l" };
    // SAFETY: a number, as the format says.
    unsafe {
        status!(RedisModule_Replicate, ctx.as_ptr(), c"LOCK._LAST".as_ptr(), format.as_ptr(), token as i64)
    }
    .expected();
}

/// `EXPIRED owner RELEASED owner …` as the server's strings.
struct Words {
    _kept: Vec<OwnedStr>,
    pointers: Vec<*mut raw::RedisModuleString>,
}

impl Words {
    fn new(gone: &[Gone]) -> Self {
        let words = gone.iter().flat_map(|(cause, owner)| [cause.word().as_bytes(), owner.as_slice()]);
        let kept: Vec<OwnedStr> = words.map(OwnedStr::new).collect();
        let pointers = kept.iter().map(|word| word.as_str().as_ptr()).collect();
        Words { _kept: kept, pointers }
    }

    fn as_ptr(&self) -> *const *mut raw::RedisModuleString {
        self.pointers.as_ptr()
    }

    fn len(&self) -> usize {
        self.pointers.len()
    }
}
