//! Just before the event loop sleeps: what is due is reclaimed, and the timer is set for the rest.

use redis_lock_core::time::Micros;

use crate::ffi::arguments::{OwnedStr, Str};
use crate::ffi::context::Ctx;
use crate::ffi::value::ValueRef;
use crate::ffi::{datatype, replicate};
use crate::state::state;
use crate::subject::{settle_all, Subject, Told};

/// So long at a time, in microseconds: clients wait meanwhile.
const TURN: Micros = 1_000;

/// So many holds of one lock at a time: what a crowd leaves behind does not make clients wait.
const HOLDS: usize = 128;

/// While the server pauses writes no event tells when it ends; so often it is asked, in
/// microseconds.
const PAUSE_POLL: Micros = 20_000;

/// At the end of every turn of the event loop.
#[inline]
pub fn before_sleep(ctx: &Ctx) {
    datatype::bury();
    let state = state();
    state.forget_departures();
    if state.is_passive() && !state.is_last_due() {
        return;
    }
    let first = state.deadlines().borrow().first().map(|(deadline, _)| deadline);
    if first.is_none() && !state.is_last_due() {
        return;
    }
    let now = state.now();
    let due = state.is_last_due() || first.is_some_and(|deadline| deadline <= now);
    let next = if due { work(ctx, now) } else { first };
    if let (Some(next), Some(wake_up)) = (next, state.wake_up()) {
        wake_up.arm(next, if due { state.now() } else { now });
    }
}

/// Does what is due; when to look again.
fn work(ctx: &Ctx, now: Micros) -> Option<Micros> {
    if ctx.writes_are_paused() {
        return Some(now + PAUSE_POLL);
    }
    let state = state();
    if state.is_last_due() {
        state.set_last_due(false);
        if state.is_listened_to() && state.tokens().used() {
            replicate::last(ctx, state.tokens().last(), state.is_replica());
        }
    }
    if !state.is_passive() {
        reclaim(ctx, now);
    }
    let first = state.deadlines().borrow().first().map(|(deadline, _)| deadline);
    first.filter(|_| !state.is_passive())
}

fn reclaim(ctx: &Ctx, began: Micros) {
    let state = state();
    loop {
        let now = state.now();
        if now - began > TURN {
            // The rest is still due: the timer rings at once, after clients had their turn.
            return;
        }
        let first = state
            .deadlines()
            .borrow()
            .first()
            .filter(|(deadline, _)| *deadline <= now)
            .map(|(_, entry)| *entry);
        let Some(entry) = first else { return };
        reclaim_one(ctx, entry, now);
    }
}

fn reclaim_one(ctx: &Ctx, entry: ValueRef, now: Micros) {
    let (db, name) = entry.get().home();
    let name = OwnedStr::new(name.as_slice());
    if ctx.select_db(db) && reclaim_holds(ctx, name.as_str(), now) {
        return;
    }
    // To open the key may have ended it, by an expiry that somebody gave it: then the value is
    // gone, and its entry with it. If not, it must not be met again for ever.
    let mut deadlines = state().deadlines().borrow_mut();
    if deadlines.first().is_some_and(|(_, first)| *first == entry) {
        deadlines.remove(0);
    }
}

fn reclaim_holds(ctx: &Ctx, name: Str, now: Micros) -> bool {
    let Ok(mut subject) = Subject::open(ctx, name, now) else { return false };
    let reclaimed = subject.purge_some(HOLDS);
    settle_all(&mut [subject], &Told::Effect(&[]));
    reclaimed
}
