//! Serving a line: whose turn it is, is given the lock in the step in which it became free.

use std::rc::Rc;

use redis_lock_core::decision::{key_status, KeyStatus};
use redis_lock_core::time::Micros;
use redis_lock_core::{Bytes, Error, QueueId, Waiter};

use crate::blocked_client::{count_wait, time_out, BlockedClient, Outcome, PendingGrant};
use crate::budget::Budget;
use crate::ffi::arguments::OwnedStr;
use crate::ffi::context::Ctx;
use crate::lock_txn::{commit_all, LockTxn, Propagation};
use crate::module::Module;

/// A request in line, and the client behind it.
pub type InLine = Waiter<Rc<BlockedClient>>;

/// Brings an open key up to the moment, before anything is decided about it: who has waited too long
/// leaves, holds past their deadline go, and the line is served.
#[inline]
pub fn expire_and_serve(txn: &mut LockTxn) {
    if txn.line().is_some() {
        return expire_and_serve_queue(txn);
    }
    txn.purge();
}

#[cold]
fn expire_and_serve_queue(txn: &mut LockTxn) {
    leave_late(txn);
    let purged = txn.purge();
    if purged || txn.line().is_some_and(|line| txn.module().wants_serving(line)) {
        grant_waiters(txn, Budget::begin(txn.now()));
    }
}

/// Those who have waited too long leave.
pub fn leave_late(txn: &LockTxn) {
    if let Some(line) = txn.line() {
        while time_out(txn.module(), line, txn.now()) {}
    }
}

/// Gives the lock to all whose turn it is: from the front up to the first that does not fit, or until the
/// budget is exhausted. Then it goes on at the end of the turn, or with the next command on the key.
#[cold]
pub fn grant_waiters(txn: &mut LockTxn, budget: Budget) {
    let Some(line) = txn.line() else { return };
    let module = txn.module();
    if module.check_cooldown(txn.now()).is_err() {
        return module.defer(line);
    }
    while let Some(waiters) = admit(txn, line) {
        let waiters = send_away_forbidden(txn, waiters);
        hand_over(txn, waiters);
        if budget.exhausted(module.now()) {
            return module.lines().borrow_mut().keep_unserved(line);
        }
    }
}

/// Who has lost the permission while waiting is told so, and gets nothing; the others are left.
fn send_away_forbidden(txn: &LockTxn, waiters: Vec<InLine>) -> Vec<InLine> {
    let (_, name) = txn.place();
    let (allowed, forbidden) = waiters.into_iter().partition(|waiter| waiter.client.may_acquire(name));
    let forbidden: Vec<InLine> = forbidden;
    forbidden
        .into_iter()
        .for_each(|waiter| waiter.client.resolve(Outcome::Failed(Error::NoPermission), None));
    allowed
}

fn admit(txn: &LockTxn, line: QueueId) -> Option<Vec<InLine>> {
    txn.module().lines().borrow_mut().admit(line, txn.lock(), txn.now())
}

/// Grants the lock to one owner, to whom all of these requests belong, in line order: the first makes
/// the hold (or it was there already), the others renew it. Only then is any of them answered.
fn hand_over(txn: &mut LockTxn, waiters: Vec<InLine>) {
    let now = txn.now();
    let Some(owner) = waiters.first().map(|waiter| waiter.owner.clone()) else { return };
    txn.purge_owner(owner.as_slice());
    let held_before = txn.hold(owner.as_slice()).is_some();
    let results: Vec<Result<(), Error>> = waiters.iter().map(|waiter| grant_one(txn, waiter)).collect();
    let token = txn.hold(owner.as_slice()).map_or(0, |hold| hold.token);
    let granted = results.iter().filter(|result| result.is_ok()).count();
    let pending = (!held_before && granted > 0).then(|| {
        txn.module().totals.handed_over.add(1);
        txn.mark_undelivered(owner.as_slice());
        let (db, name) = txn.place();
        PendingGrant::new(txn.module(), (db, name.bytes().into()), owner, token, granted)
    });
    for (waiter, result) in waiters.into_iter().zip(results) {
        match result {
            Ok(()) => {
                count_wait(txn.module(), waiter.since, now);
                waiter.client.resolve(Outcome::Granted(token), pending.clone());
            }
            Err(error) => waiter.client.resolve(Outcome::Failed(error), None),
        }
    }
}

fn grant_one(txn: &mut LockTxn, waiter: &InLine) -> Result<(), Error> {
    let (module, now) = (txn.module(), txn.now());
    let token = match key_status(txn.lock(), false, waiter.owner.as_slice(), waiter.limit, now) {
        KeyStatus::Own(token) => token.max(waiter.fence.unwrap_or(0)),
        KeyStatus::OtherLimit => return Err(Error::OtherLimit),
        // Held: cannot be, of one whose turn it is, but where no token is left.
        KeyStatus::Free | KeyStatus::Held => module.tokens().next(module.token_clock(now), waiter.fence)?,
    };
    module.accept_token(token);
    txn.grant(&waiter.grant(now, token), None);
    Ok(())
}

/// Opens a key outside a LOCK command and changes it; then its line is served, if the server would
/// take a write of this key now, within the budget. False where another type lies there.
pub fn change_outside_command(
    module: &'static Module,
    ctx: &Ctx,
    (db, name): (i32, &Bytes),
    now: Micros,
    budget: Budget,
    change: impl FnOnce(&mut LockTxn),
) -> bool {
    let name = OwnedStr::new(name.as_slice());
    if !ctx.select_db(db) {
        return true;
    }
    // Before the key is opened: the server looks it up for that.
    let waited_for = module.has_queues() && module.line(db, name.as_str().bytes()).is_some();
    let may_serve = waited_for && ctx.takes_writes(name.as_str());
    let Ok(mut txn) = LockTxn::open(module, ctx, name.as_str(), now) else { return false };
    leave_late(&txn);
    change(&mut txn);
    match txn.line() {
        Some(_) if may_serve => grant_waiters(&mut txn, budget),
        Some(line) => module.defer(line),
        None => {}
    }
    commit_all(&mut [txn], Propagation::Effect);
    true
}
