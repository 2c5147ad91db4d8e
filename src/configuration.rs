//! The settings `lock.*`, and warnings about settings that can lose locks.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use redis_module::configuration::{
    register_bool_configuration, register_i64_configuration, ConfigurationFlags,
};
use redis_module::{Context, RedisValue};

use crate::ffi::context::Ctx;

/// A hundred years in milliseconds: far below the values at which deadlines overflow.
const LONGEST_MS: i64 = 100 * 365 * 86_400_000;

static MAX_TTL: AtomicI64 = AtomicI64::new(86_400_000);
static COOLDOWN: AtomicI64 = AtomicI64::new(0);
static MAX_WAITERS: AtomicI64 = AtomicI64::new(100_000);
static DEADLOCK_DETECTION: AtomicBool = AtomicBool::new(true);

/// The numeric settings with their bounds. Beside them there is `deadlock-detection`.
static NUMBERS: [(&str, &AtomicI64, i64, i64); 3] = [
    ("max-ttl", &MAX_TTL, 1, LONGEST_MS),
    ("cooldown", &COOLDOWN, 0, LONGEST_MS),
    ("max-waiters", &MAX_WAITERS, 0, i32::MAX as i64),
];

/// Returns the longest ttl, in milliseconds.
#[inline]
pub fn max_ttl_ms() -> i64 {
    MAX_TTL.load(Relaxed)
}

/// Returns for how long after a start or promotion no lock is granted, in milliseconds.
#[inline]
pub fn cooldown_ms() -> i64 {
    COOLDOWN.load(Relaxed)
}

/// Returns how many clients may wait for locks.
pub fn max_waiters() -> i64 {
    MAX_WAITERS.load(Relaxed)
}

/// Returns whether a request that would wait in a cycle is refused.
pub fn deadlock_detection() -> bool {
    DEADLOCK_DETECTION.load(Relaxed)
}

/// Registers all settings with the server, which enforces their bounds.
pub fn register(ctx: &Ctx) {
    let (ctx, flags) = (Context::new(ctx.as_ptr()), || ConfigurationFlags::DEFAULT);
    for (name, value, least, most) in NUMBERS {
        register_i64_configuration(&ctx, name, value, value.load(Relaxed), least, most, flags(), None);
    }
    let (name, value) = ("deadlock-detection", &DEADLOCK_DETECTION);
    register_bool_configuration(&ctx, name, value, value.load(Relaxed), flags(), None);
}

/// Returns whether the server knows all settings, which the crate does not report. Returns `true` if CONFIG
/// can't be called because it has another name.
pub fn is_registered(ctx: &Ctx) -> bool {
    match Context::new(ctx.as_ptr()).call("CONFIG", &["GET", "lock.*"]) {
        Ok(RedisValue::Array(names_and_values)) => names_and_values.len() == 2 * (NUMBERS.len() + 1),
        _ => true,
    }
}

/// Warns at load if the settings can lose a lock.
pub fn warn(ctx: &Ctx) {
    let (cooldown, max_ttl) = (cooldown_ms(), max_ttl_ms());
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

/// Returns a setting of the server, or an empty text if it does not exist.
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
