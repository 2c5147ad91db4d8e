//! Just before the event loop sleeps: what is due is done, in the order that the contract gives, and
//! the timer is set for the rest.

use redis_lock_core::time::Micros;
use redis_lock_core::{Error, LineId};

use crate::ffi::context::Ctx;
use crate::ffi::value::ValueRef;
use crate::ffi::{datatype, replicate};
use crate::service;
use crate::sessions;
use crate::state::state;
use crate::subject::Subject;
use crate::waiting::{self, Outcome};

/// So long at a time, in microseconds: clients wait meanwhile.
const TURN: Micros = 1_000;

/// While the server pauses writes no event tells when it ends; so often it is asked, in
/// microseconds.
const PAUSE_POLL: Micros = 20_000;

/// Whether what began then has had its time.
pub fn is_over(began: Micros, now: Micros) -> bool {
    now - began > TURN
}

/// At the end of every turn of the event loop.
#[inline]
pub fn before_sleep(ctx: &Ctx) {
    datatype::bury();
    let state = state();
    state.forget_departures();
    let first = state.next_moment();
    if first.is_some() || state.has_chores() {
        do_what_is_due(ctx, first);
    }
    if !state.chores.concluded.is_empty() {
        waiting::answer_all(ctx);
    }
    state.chores.fall_asleep();
}

/// A new turn of the event loop begins.
pub fn after_sleep() {
    state().chores.awake();
    waiting::replies_sent();
}

fn do_what_is_due(ctx: &Ctx, first: Option<Micros>) {
    let state = state();
    let now = state.now();
    let due = state.has_chores() || first.is_some_and(|moment| moment <= now);
    let next = if due { work(ctx, now) } else { first };
    if let (Some(next), Some(wake_up)) = (next, state.wake_up()) {
        wake_up.arm(next, if due { state.now() } else { now });
    }
}

/// Does what is due; when to look again.
fn work(ctx: &Ctx, now: Micros) -> Option<Micros> {
    let state = state();
    state.judge_changes();
    let all_left = leave_late(now);
    if ctx.writes_are_paused() {
        return [state.next_limit(), Some(now + PAUSE_POLL)].into_iter().flatten().min();
    }
    if state.is_last_due() {
        state.set_last_due(false);
        if state.is_listened_to() && state.tokens().used() {
            replicate::last(ctx, state.tokens().last(), state.is_replica());
        }
    }
    if state.is_passive() {
        // What was not delivered is taken back if this server decides again.
        return None;
    }
    let done = all_left
        && take_back_undelivered(ctx, now)
        && sessions::end_closed(ctx, now)
        && reclaim(ctx, now)
        && serve_lines(ctx, now)
        && state.chores.changes.is_empty();
    if done {
        state.next_moment()
    } else {
        // Clients have their turn, then this goes on at once.
        Some(state.now())
    }
}

/// Clients who have waited too long leave their lines; false where time has run out before that.
fn leave_late(began: Micros) -> bool {
    let state = state();
    loop {
        let now = state.now();
        let first = state.lines().borrow().first_limit().filter(|(until, _)| *until <= now);
        let Some((_, line)) = first else { return true };
        if is_over(began, now) {
            return false;
        }
        waiting::time_out(line, now);
    }
}

/// Grants of which nobody was told are taken back, and go to the next.
fn take_back_undelivered(ctx: &Ctx, began: Micros) -> bool {
    let state = state();
    while !state.chores.undelivered.is_empty() {
        let now = state.now();
        if is_over(began, now) {
            return false;
        }
        let Some(handover) = state.chores.undelivered.pop() else { break };
        let mut places = vec![handover.place.clone()];
        places.extend(state.chores.moves());
        for (db, name) in &places {
            let take_back = |subject: &mut Subject| handover.take_back(subject);
            service::change_outside_command(ctx, (*db, name), now, began, take_back);
        }
    }
    true
}

/// Holds past their deadline go, and their locks to who waits for them.
fn reclaim(ctx: &Ctx, began: Micros) -> bool {
    let state = state();
    loop {
        let now = state.now();
        let due = |(deadline, entry): (Micros, &ValueRef)| (deadline <= now).then_some(*entry);
        let first = state.deadlines().borrow().first().and_then(due);
        let Some(entry) = first else { return true };
        if is_over(began, now) {
            return false;
        }
        reclaim_one(ctx, entry, began, now);
    }
}

fn reclaim_one(ctx: &Ctx, entry: ValueRef, began: Micros, now: Micros) {
    let (db, name) = entry.get().home();
    let mut reclaimed = false;
    service::change_outside_command(ctx, (db, &name), now, began, |subject| reclaimed = subject.purge());
    if reclaimed {
        return;
    }
    // To open the key may have ended it, by an expiry that somebody gave it: then the value is
    // gone, and its entry with it. If not, it must not be met again for ever.
    let mut deadlines = state().deadlines().borrow_mut();
    if deadlines.first().is_some_and(|(_, first)| *first == entry) {
        deadlines.remove(0);
    }
}

/// Serves the lines whose lock was changed by others than a LOCK command, or whose first has left.
fn serve_lines(ctx: &Ctx, began: Micros) -> bool {
    let state = state();
    state.ask_again(began);
    while let Some(line) = state.next_unserved() {
        let now = state.now();
        if is_over(began, now) {
            return false;
        }
        serve_one(ctx, line, began, now);
        if is_over(began, state.now()) {
            return false;
        }
        if state.wants_service(line) {
            state.put_off(line);
        }
    }
    true
}

fn serve_one(ctx: &Ctx, line: LineId, began: Micros, now: Micros) {
    let place = state().lines().borrow().place(line).map(|(db, name)| (db, name.clone()));
    let Some((db, name)) = place else { return };
    let purge = |subject: &mut Subject| {
        subject.purge();
    };
    if !service::change_outside_command(ctx, (db, &name), now, began, purge) {
        send_away(line, began);
    }
}

/// Another type lies at the key: nobody gets a lock there.
fn send_away(line: LineId, began: Micros) {
    let state = state();
    let next = || state.lines().borrow_mut().leave_first(line);
    while let Some(waiter) = next() {
        waiter.client.conclude(Outcome::Failed(Error::WrongType), None);
        if is_over(began, state.now()) {
            return;
        }
    }
}
