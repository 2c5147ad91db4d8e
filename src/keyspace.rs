//! Locks that come and go by other ways than the LOCK commands: what the engine is told of it.

use redis_lock_core::{Lock, TOKEN_END};
use redis_lock_engine::{Origin, NOWHERE};

use crate::ffi::arguments::Str;
use crate::ffi::context::Ctx;
use crate::ffi::events::hear_of_arrivals;
use crate::ffi::host::LoadStep;
use crate::ffi::key::Key;
use crate::ffi::value::{Value, ValueRef};
use crate::module::Module;

/// A key has arrived that may be a lock.
pub fn on_added(module: &'static Module, ctx: &Ctx, name: Str, from: Origin) {
    let Ok(key) = Key::peek(ctx, name) else { return };
    let Some(value) = key.value() else { return };
    value.move_to(key.db(), name.bytes());
    module.tell(|engine| engine.on_added(ValueRef::new(value), from));
}

/// A key's value is being removed, or is freed after it left by a way that told nobody. What has no deadline there is
/// empty, or the engine knows that it is gone.
pub fn on_removed(module: &'static Module, value: &Value) {
    if value.place() == NOWHERE {
        return;
    }
    let now = module.now();
    let held = module.tell(|engine| engine.on_removed(ValueRef::new(value), now));
    if held {
        hear_of_arrivals();
        module.expects_arrival.set(true);
    }
}

/// A lock was read from a payload, and may arrive at a key next.
///
/// # Errors
/// Returns a token that RESTORE must not bring in, because it would spoil this server's counter. The node that a
/// slot is `taken_over` from may: what is refused there would be lost.
pub fn on_read(
    module: &'static Module,
    lock: &Lock,
    taken_over: &mut dyn FnMut() -> bool,
) -> Result<(), u64> {
    let excessive = module.engine().excessive_token(lock, module.now());
    match excessive {
        Some(token) if token >= TOKEN_END || !taken_over() => return Err(token),
        _ => {}
    }
    if module.loading.get() != Some(LoadStep::Rdb) {
        // RESTORE; in an AOF it can't be told from a snapshot's value.
        hear_of_arrivals();
    }
    module.expects_arrival.set(true);
    Ok(())
}
