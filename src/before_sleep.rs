//! Just before the event loop sleeps: what is due is done, in the order that the contract gives, and
//! the timer is set for the rest.

use redis_lock_core::time::Micros;
use redis_lock_core::{Error, QueueId};

use crate::blocked_client::{self, Outcome};
use crate::budget::Budget;
use crate::ffi::context::Ctx;
use crate::ffi::value::ValueRef;
use crate::ffi::{datatype, replicate};
use crate::handoff;
use crate::lock_txn::LockTxn;
use crate::module::Module;
use crate::sessions;

/// While the server pauses writes no event tells when it ends; so often it is asked, in
/// microseconds.
const PAUSE_POLL: Micros = 20_000;

/// At the end of every turn of the event loop.
#[inline]
pub fn before_sleep(module: &'static Module, ctx: &Ctx) {
    datatype::bury();
    module.forget_departures();
    let first = module.next_moment();
    if first.is_some() || module.has_deferred() {
        do_what_is_due(module, ctx, first);
    }
    if !module.deferred.resolved.is_empty() {
        blocked_client::answer_all(module, ctx);
    }
    module.deferred.fall_asleep();
}

/// A new turn of the event loop begins.
pub fn after_sleep(module: &'static Module) {
    module.deferred.awake();
    blocked_client::replies_sent(module);
}

fn do_what_is_due(module: &'static Module, ctx: &Ctx, first: Option<Micros>) {
    let now = module.now();
    let due = module.has_deferred() || first.is_some_and(|moment| moment <= now);
    let next = if due { work(module, ctx, now) } else { first };
    if let Some(next) = next {
        module.deferred.wake_up().arm(next, if due { module.now() } else { now });
    }
}

/// Does what is due; when to look again.
fn work(module: &'static Module, ctx: &Ctx, now: Micros) -> Option<Micros> {
    let budget = Budget::begin(now);
    module.mark_changes();
    let all_left = leave_late(module, budget);
    if ctx.writes_are_paused() {
        return [module.next_limit(), Some(now + PAUSE_POLL)].into_iter().flatten().min();
    }
    if module.is_last_due() {
        module.set_last_due(false);
        if module.must_propagate() && module.tokens().used() {
            replicate::last(ctx, module.tokens().last(), module.is_replica());
        }
    }
    if module.is_passive() {
        // What was not delivered is taken back if this server decides again.
        return None;
    }
    let done = all_left
        && revoke_undelivered(module, ctx, budget)
        && sessions::end_closed(module, ctx, budget)
        && reclaim(module, ctx, budget)
        && serve_lines(module, ctx, budget)
        && module.deferred.changes.is_empty();
    if done {
        module.next_moment()
    } else {
        // Clients have their turn, then this goes on at once.
        Some(module.now())
    }
}

/// Clients who have waited too long leave their lines; false where time has run out before that.
fn leave_late(module: &'static Module, budget: Budget) -> bool {
    loop {
        let now = module.now();
        let first = module.lines().borrow().first_limit().filter(|(until, _)| *until <= now);
        let Some((_, line)) = first else { return true };
        if budget.exhausted(now) {
            return false;
        }
        blocked_client::time_out(module, line, now);
    }
}

/// Grants of which nobody was told are taken back, and go to the next.
fn revoke_undelivered(module: &'static Module, ctx: &Ctx, budget: Budget) -> bool {
    while !module.deferred.undelivered.is_empty() {
        let now = module.now();
        if budget.exhausted(now) {
            return false;
        }
        let Some(pending) = module.deferred.undelivered.pop() else { break };
        let mut places = vec![pending.place.clone()];
        places.extend(module.deferred.moves());
        for (db, name) in &places {
            let revoke = |txn: &mut LockTxn| pending.revoke(txn);
            handoff::change_outside_command(module, ctx, (*db, name), now, budget, revoke);
        }
    }
    true
}

/// Holds past their deadline go, and their locks to who waits for them.
fn reclaim(module: &'static Module, ctx: &Ctx, budget: Budget) -> bool {
    loop {
        let now = module.now();
        let due = |(deadline, entry): (Micros, &ValueRef)| (deadline <= now).then_some(*entry);
        let first = module.deadlines().borrow().first().and_then(due);
        let Some(entry) = first else { return true };
        if budget.exhausted(now) {
            return false;
        }
        reclaim_one(module, ctx, entry, budget, now);
    }
}

fn reclaim_one(module: &'static Module, ctx: &Ctx, entry: ValueRef, budget: Budget, now: Micros) {
    let (db, name) = entry.get().home();
    let mut reclaimed = false;
    handoff::change_outside_command(module, ctx, (db, &name), now, budget, |txn| reclaimed = txn.purge());
    if reclaimed {
        return;
    }
    // To open the key may have ended it, by an expiry that somebody gave it: then the value is
    // gone, and its entry with it. If not, it must not be met again for ever.
    let mut deadlines = module.deadlines().borrow_mut();
    if deadlines.first().is_some_and(|(_, first)| *first == entry) {
        deadlines.remove(0);
    }
}

/// Serves the lines whose lock was changed by others than a LOCK command, or whose first has left.
fn serve_lines(module: &'static Module, ctx: &Ctx, budget: Budget) -> bool {
    module.retry_deferred(module.now());
    while let Some(line) = module.next_unserved() {
        let now = module.now();
        if budget.exhausted(now) {
            return false;
        }
        serve_one(module, ctx, line, budget, now);
        if budget.exhausted(module.now()) {
            return false;
        }
        if module.wants_serving(line) {
            module.defer(line);
        }
    }
    true
}

fn serve_one(module: &'static Module, ctx: &Ctx, line: QueueId, budget: Budget, now: Micros) {
    let place = module.lines().borrow().place(line).map(|(db, name)| (db, name.clone()));
    let Some((db, name)) = place else { return };
    let purge = |txn: &mut LockTxn| {
        txn.purge();
    };
    if !handoff::change_outside_command(module, ctx, (db, &name), now, budget, purge) {
        send_away(module, line, budget);
    }
}

/// Another type lies at the key: nobody gets a lock there.
fn send_away(module: &'static Module, line: QueueId, budget: Budget) {
    let next = || module.lines().borrow_mut().leave_first(line);
    while let Some(waiter) = next() {
        waiter.client.resolve(Outcome::Failed(Error::WrongType), None);
        if budget.exhausted(module.now()) {
            return;
        }
    }
}
