//! Locks that come and go by other ways than the LOCK commands: DEL, RENAME, MOVE, SWAPDB, FLUSH,
//! RESTORE, a loaded data set. The index of deadlines and the counters follow.

use redis_lock_core::time::ms_since;
use redis_lock_core::{Lock, TOKEN_END};

use crate::chores::Change;
use crate::ffi::arguments::Str;
use crate::ffi::context::Ctx;
use crate::ffi::events::hear_of_arrivals;
use crate::ffi::key::Key;
use crate::ffi::value::Value;
use crate::sessions;
use crate::state::state;

/// Where a lock comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// RESTORE, or a data set: its tokens are new here.
    Outside,
    /// RENAME or MOVE: it just left another key.
    OtherKey,
}

/// A key has arrived: if it is a lock, its deadline counts from here on.
pub fn arrive(ctx: &Ctx, name: Str, from: Origin) {
    let Ok(key) = Key::peek(ctx, name) else {
        return;
    };
    let Some(value) = key.value() else { return };
    let (state, holds) = (state(), value.lock().len());
    value.move_to(key.db(), name.bytes());
    state.schedule(value);
    state.add_held(holds);
    sessions::remember_all(value);
    state.note_change(Change::Key(key.db(), name.bytes().into()));
    match from {
        Origin::Outside => {
            for hold in value.lock().holds() {
                state.accept_token(hold.token);
            }
        }
        // It was counted as removed when it left the other key.
        Origin::OtherKey => {
            state.take_back_departure(value);
            state.chores.note_move(key.db(), name.bytes());
        }
    }
}

/// A key's value is being taken out, or is freed after it left by a way that told nobody. A LOCK
/// command that removes a key has emptied the lock before, so what is left in it here was removed
/// by a core command.
pub fn leave(value: &Value) {
    state().unschedule(value);
    if value.lock().is_empty() {
        return;
    }
    // It may turn up under another name.
    hear_of_arrivals();
    state().expect_arrival();
    sessions::forget_all(value);
    let held_ms = count_removed(value.lock());
    state().note_departure(value, held_ms);
    let (db, name) = value.home();
    state().note_change(Change::Key(db, name));
}

/// A database, or all, are being emptied.
pub fn flush(db: Option<i32>) {
    let goes = |value: &Value| db.is_none_or(|db| value.db() == db);
    state().deadlines().borrow_mut().retain(|entry| {
        let value = entry.get();
        if goes(value) {
            sessions::forget_all(value);
            count_removed(value.lock());
        }
        !goes(value)
    });
    state().note_change(Change::Database(db));
}

/// Two databases have changed numbers.
pub fn swap(first: i32, second: i32) {
    for entry in state().deadlines().borrow().iter() {
        let value = entry.get();
        if value.db() == first {
            value.renumber(second);
        } else if value.db() == second {
            value.renumber(first);
        }
        if state().chores.any_open() && value.lock().holds().any(|hold| hold.untold) {
            let (db, name) = value.home();
            state().chores.note_move(db, name.as_slice());
        }
    }
    [first, second].into_iter().for_each(|db| state().note_change(Change::Database(Some(db))));
}

/// The token of a lock that RESTORE must not bring in, since it would spoil this server's
/// counter. A data set or a master may: there the counter came with it; and so may the node that a slot is
/// `taken_over` from: what is refused there would be lost.
pub fn excessive_token(lock: &Lock, taken_over: impl FnOnce() -> bool) -> Option<u64> {
    let state = state();
    if state.is_passive() {
        return None;
    }
    let clock = state.token_clock(state.now());
    let excessive = |token: &u64| *token >= TOKEN_END || state.tokens().check_fence(clock, *token).is_err();
    let token = lock.holds().map(|hold| hold.token).find(excessive)?;
    let end = lock.holds().map(|hold| hold.token).find(|token| *token >= TOKEN_END);
    end.or_else(|| (!taken_over()).then_some(token))
}

/// Counts holds that are gone or go elsewhere; how long they had been held, in milliseconds.
fn count_removed(lock: &Lock) -> u64 {
    let (state, now) = (state(), state().now());
    state.sub_held(lock.len());
    if state.is_passive() {
        return 0;
    }
    // Wrapping, as the counter: a forged time held may be anything.
    let held_ms = lock.holds().fold(0u64, |sum, hold| sum.wrapping_add(ms_since(hold.since, now) as u64));
    state.totals.removed.add(lock.len() as u64);
    state.totals.hold_ms_sum.add(held_ms);
    held_ms
}
