//! Work done just before the event loop sleeps: expiry, handoff, replies, and arming the timer for the rest.

use redis_lock_core::time::Micros;
use redis_lock_engine::{Visit, Visited};

use crate::ffi::arguments::OwnedStr;
use crate::ffi::context::Ctx;
use crate::ffi::value::ValueRef;
use crate::ffi::{datatype, replicate};
use crate::lock_txn::{commit_all, LockTxn, Propagation, Purpose};
use crate::module::Module;
use crate::waiting;

/// Polling interval while the server pauses writes, in microseconds; no event tells when the pause ends.
const PAUSE_POLL: Micros = 20_000;

/// Time budget per cycle, in microseconds; clients are blocked meanwhile.
const BUDGET: Micros = 1_000;

/// Runs at the end of every cycle of the event loop.
#[inline]
pub fn before_sleep(module: &'static Module, ctx: &Ctx) {
    datatype::bury();
    let mut engine = module.engine();
    engine.end_cycle();
    let (first, has_work) = (engine.next_moment(), engine.has_work() || module.is_last_due.get());
    drop(engine);
    if first.is_some() || has_work {
        let now = module.now();
        let due = has_work || first.is_some_and(|moment| moment <= now);
        if let Some(next) = if due { work(module, ctx, now) } else { first } {
            module.wake_up.arm(next, if due { module.now() } else { now });
        }
    }
    if module.engine().has_resolved() {
        waiting::answer_all(module, ctx);
    }
    module.asleep.set(true);
}

/// Runs when a new cycle of the event loop begins.
pub fn after_sleep(module: &'static Module) {
    module.asleep.set(false);
    module.engine().on_replies_sent();
}

/// Does the pending work. Returns when to look again.
fn work(module: &'static Module, ctx: &Ctx, begin: Micros) -> Option<Micros> {
    let end = begin + BUDGET;
    loop {
        let now = module.now();
        if !module.engine().time_out_next(now) {
            break;
        }
        if now > end {
            return Some(now);
        }
    }
    if ctx.writes_are_paused() {
        let next_time_out = module.engine().next_time_out();
        return next_time_out.into_iter().chain([begin + PAUSE_POLL]).min();
    }
    replicate_last(module, ctx);
    loop {
        let now = module.now();
        if now > end {
            // Clients have their turn, and the work continues at once afterwards.
            return Some(now);
        }
        let Some(visit) = module.engine().next_visit(now) else { break };
        let visited = make_visit(module, ctx, &visit, now);
        module.engine().end_visit(visit, visited, now);
    }
    let engine = module.engine();
    match engine.is_passive() {
        true => engine.next_time_out(),
        false if engine.has_work() => Some(module.now()),
        false => engine.next_moment(),
    }
}

fn replicate_last(module: &'static Module, ctx: &Ctx) {
    if module.is_last_due.take() {
        let engine = module.engine();
        let (tokens, is_replica) = (engine.tokens(), engine.is_replica());
        drop(engine);
        if module.must_propagate.get() && tokens.used() {
            replicate::last(ctx, tokens.last(), is_replica);
        }
    }
}

fn make_visit(module: &'static Module, ctx: &Ctx, visit: &Visit<ValueRef>, now: Micros) -> Visited {
    let name = OwnedStr::new(visit.name.as_slice());
    if !ctx.select_db(visit.db) {
        return Visited::NoDatabase;
    }
    // Before the key is opened, as the server looks it up for that.
    let is_waited_for = module.engine().queues().find(visit.db, visit.name.as_slice()).is_some();
    let takes_writes = is_waited_for && ctx.takes_writes(name.as_str());
    let Ok(mut txn) = LockTxn::open(module, ctx, name.as_str(), Purpose::Grant) else {
        return Visited::WrongType;
    };
    let at = module.conditions(now);
    let visited = module.engine().visit(txn.as_mut(), visit, takes_writes, &at);
    commit_all(module, ctx, &mut [txn], now, Propagation::Effects);
    visited
}
