//! Locks that come and go by other ways than the LOCK commands: DEL, RENAME, MOVE, SWAPDB, FLUSH,
//! RESTORE, a loaded data set. The index of deadlines and the counters follow.

use redis_lock_core::time::ms_since;
use redis_lock_core::{Lock, TOKEN_END};

use crate::deferred::Change;
use crate::ffi::arguments::Str;
use crate::ffi::context::Ctx;
use crate::ffi::events::hear_of_arrivals;
use crate::ffi::host::{LoadStep, Origin};
use crate::ffi::key::Key;
use crate::ffi::value::Value;
use crate::module::Module;
use crate::sessions;

/// A key has arrived: if it is a lock, its deadline counts from here on.
pub fn on_added(module: &'static Module, ctx: &Ctx, name: Str, from: Origin) {
    let Ok(key) = Key::peek(ctx, name) else {
        return;
    };
    let Some(value) = key.value() else { return };
    let holds = value.lock().len();
    value.move_to(key.db(), name.bytes());
    module.schedule(value);
    module.add_held(holds);
    sessions::remember_all(module, value);
    module.note_change(Change::Key(key.db(), name.bytes().into()));
    match from {
        Origin::Outside => {
            for hold in value.lock().holds() {
                module.accept_token(hold.token);
            }
        }
        // It was counted as removed when it left the other key.
        Origin::OtherKey => {
            module.take_back_departure(value);
            module.deferred.note_move(key.db(), name.bytes());
        }
    }
}

/// A key's value is being taken out, or is freed after it left by a way that told nobody. A LOCK
/// command that removes a key has emptied the lock before, so what is left in it here was removed
/// by a core command.
pub fn on_removed(module: &'static Module, value: &Value) {
    module.unschedule(value);
    if value.lock().is_empty() {
        return;
    }
    // It may turn up under another name.
    hear_of_arrivals();
    module.expect_arrival();
    sessions::forget_all(module, value);
    let held_ms = count_removed(module, value.lock());
    module.note_departure(value, held_ms);
    let (db, name) = value.home();
    module.note_change(Change::Key(db, name));
}

/// A database, or all, are being emptied.
pub fn on_flushed(module: &'static Module, db: Option<i32>) {
    let goes = |value: &Value| db.is_none_or(|db| value.db() == db);
    module.deadlines().borrow_mut().retain(|entry| {
        let value = entry.get();
        if goes(value) {
            sessions::forget_all(module, value);
            count_removed(module, value.lock());
        }
        !goes(value)
    });
    module.note_change(Change::Database(db));
}

/// Two databases have changed numbers.
pub fn on_swapped(module: &'static Module, first: i32, second: i32) {
    for entry in module.deadlines().borrow().iter() {
        let value = entry.get();
        if value.db() == first {
            value.renumber(second);
        } else if value.db() == second {
            value.renumber(first);
        }
        if module.deferred.any_open() && value.lock().holds().any(|hold| hold.undelivered) {
            let (db, name) = value.home();
            module.deferred.note_move(db, name.as_slice());
        }
    }
    [first, second].into_iter().for_each(|db| module.note_change(Change::Database(Some(db))));
}

/// A lock was read from a payload, and may arrive at a key next.
///
/// # Errors
/// A token that RESTORE must not bring in, since it would spoil this server's counter. A data set or a master may:
/// there the counter came with it; and so may the node that a slot is `taken_over` from: what is refused there
/// would be lost.
pub fn read(module: &'static Module, lock: &Lock, taken_over: &mut dyn FnMut() -> bool) -> Result<(), u64> {
    match excessive_token(module, lock) {
        Some(token) if token >= TOKEN_END || !taken_over() => return Err(token),
        _ => {}
    }
    if module.loading() != Some(LoadStep::Rdb) {
        // RESTORE; in an AOF it can't be told from a snapshot's value.
        hear_of_arrivals();
    }
    module.expect_arrival();
    Ok(())
}

/// The highest token of a lock, if that is too far ahead for a client to bring in.
fn excessive_token(module: &'static Module, lock: &Lock) -> Option<u64> {
    if module.is_passive() {
        return None;
    }
    let highest = lock.holds().map(|hold| hold.token).max()?;
    let clock = module.token_clock(module.now());
    (highest >= TOKEN_END || module.tokens().check_fence(clock, highest).is_err()).then_some(highest)
}

/// Counts holds that are gone or go elsewhere; how long they had been held, in milliseconds.
fn count_removed(module: &Module, lock: &Lock) -> u64 {
    let now = module.now();
    module.sub_held(lock.len());
    if module.is_passive() {
        return 0;
    }
    // Wrapping, as the counter: a forged time held may be anything.
    let held_ms = lock.holds().fold(0u64, |sum, hold| sum.wrapping_add(ms_since(hold.since, now) as u64));
    module.totals.removed.add(lock.len() as u64);
    module.totals.hold_ms_sum.add(held_ms);
    held_ms
}
