//! The settings `lock.*`, and the warnings about settings that lose locks.

use redis_module::{Context, RedisValue};

use crate::ffi::config::{Number, Switch};
use crate::ffi::context::Ctx;

/// A hundred years in milliseconds: far below where deadlines would overflow.
const LONGEST_MS: i64 = 100 * 365 * 86_400_000;

/// Longest ttl, in milliseconds.
pub static MAX_TTL: Number = Number::new(c"max-ttl", 86_400_000, 1, LONGEST_MS);
/// For how long after a start or promotion no lock is granted, in milliseconds.
pub static COOLDOWN: Number = Number::new(c"cooldown", 0, 0, LONGEST_MS);
/// How many clients may wait for locks.
pub static MAX_WAITERS: Number = Number::new(c"max-waiters", 100_000, 0, i32::MAX as i64);
/// Whether a request that would wait in a circle is refused.
pub static DEADLOCK_DETECTION: Switch = Switch::new(c"deadlock-detection", true);

/// Makes all settings known to the server.
pub fn register(ctx: &Ctx) -> bool {
    MAX_TTL.register(ctx)
        && COOLDOWN.register(ctx)
        && MAX_WAITERS.register(ctx)
        && DEADLOCK_DETECTION.register(ctx)
}

/// Warns at load where the settings can lose a lock.
pub fn warn(ctx: &Ctx) {
    let (cooldown, max_ttl) = (COOLDOWN.get(), MAX_TTL.get());
    let policy = setting(ctx, "maxmemory-policy");
    if policy.starts_with("allkeys-") {
        ctx.warn(&format!(
            "maxmemory-policy {policy} can evict a lock while it is held; use noeviction, or a volatile- \
                 policy, which passes locks by"
        ));
    }
    let durable = setting(ctx, "appendonly") == "yes" && setting(ctx, "appendfsync") == "always";
    if !durable && cooldown < max_ttl {
        ctx.warn(&format!(
                "without 'appendonly yes' and 'appendfsync always' a restart can forget locks that are held; \
                 set these, or lock.cooldown to at least the longest ttl in use (lock.max-ttl allows {max_ttl} ms)"
            ),
        );
    }
    if cooldown > 0 && cooldown < max_ttl {
        ctx.warn(&format!(
                "lock.cooldown ({cooldown} ms) is below lock.max-ttl ({max_ttl} ms): a lock with a longer ttl may \
                 be granted again after a restart while its holder still counts on it; raise the one or lower the other"
            ),
        );
    }
}

/// A setting of the server; empty where it does not have it.
pub fn setting(ctx: &Ctx, name: &str) -> String {
    let text = |value: RedisValue| match value {
        RedisValue::SimpleString(text) | RedisValue::BulkString(text) => Some(text),
        RedisValue::BulkRedisString(text) => text.try_as_str().ok().map(str::to_owned),
        RedisValue::StringBuffer(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    };
    match Context::new(ctx.as_ptr()).call("CONFIG", &["GET", name]) {
        Ok(RedisValue::Array(pair)) => pair.into_iter().nth(1).and_then(text).unwrap_or_default(),
        _ => String::new(),
    }
}
