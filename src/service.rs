//! Serving a line: whose turn it is, is given the lock in the step in which it became free.

use std::rc::Rc;

use redis_lock_core::plan::{standing, Standing};
use redis_lock_core::time::Micros;
use redis_lock_core::{Bytes, Error, LineId, Waiter};

use crate::budget::Budget;
use crate::ffi::arguments::OwnedStr;
use crate::ffi::context::Ctx;
use crate::module::Module;
use crate::subject::{settle_all, Subject, Told};
use crate::waiting::{count_wait, time_out, Handover, Outcome, Waiting};

/// A request in line, and the client behind it.
pub type InLine = Waiter<Rc<Waiting>>;

/// Brings an open key up to the moment, before anything is decided about it: who has waited too long
/// leaves, holds past their deadline go, and the line is served.
#[inline]
pub fn tidy(subject: &mut Subject) {
    if subject.line().is_some() {
        return tidy_line(subject);
    }
    subject.purge();
}

#[cold]
fn tidy_line(subject: &mut Subject) {
    leave_late(subject);
    let purged = subject.purge();
    if purged || subject.line().is_some_and(|line| subject.module().wants_service(line)) {
        serve(subject, Budget::begin(subject.now()));
    }
}

/// Those who have waited too long leave.
pub fn leave_late(subject: &Subject) {
    if let Some(line) = subject.line() {
        while time_out(subject.module(), line, subject.now()) {}
    }
}

/// Gives the lock to all whose turn it is: from the front up to the first that does not fit, or until the
/// budget is exhausted. Then it goes on at the end of the turn, or with the next command on the key.
#[cold]
pub fn serve(subject: &mut Subject, budget: Budget) {
    let Some(line) = subject.line() else { return };
    let module = subject.module();
    if module.check_cooldown(subject.now()).is_err() {
        return module.put_off(line);
    }
    while let Some(waiters) = admit(subject, line) {
        let waiters = send_away_forbidden(subject, waiters);
        hand_over(subject, waiters);
        if budget.exhausted(module.now()) {
            return module.lines().borrow_mut().keep_unserved(line);
        }
    }
}

/// Who has lost the permission while waiting is told so, and gets nothing; the others are left.
fn send_away_forbidden(subject: &Subject, waiters: Vec<InLine>) -> Vec<InLine> {
    let (_, name) = subject.place();
    let (allowed, forbidden) = waiters.into_iter().partition(|waiter| waiter.client.may_acquire(name));
    let forbidden: Vec<InLine> = forbidden;
    forbidden
        .into_iter()
        .for_each(|waiter| waiter.client.conclude(Outcome::Failed(Error::NoPermission), None));
    allowed
}

fn admit(subject: &Subject, line: LineId) -> Option<Vec<InLine>> {
    subject.module().lines().borrow_mut().admit(line, subject.lock(), subject.now())
}

/// Grants the lock to one owner, to whom all of these requests belong, in line order: the first makes
/// the hold (or it was there already), the others renew it. Only then is any of them answered.
fn hand_over(subject: &mut Subject, waiters: Vec<InLine>) {
    let now = subject.now();
    let Some(owner) = waiters.first().map(|waiter| waiter.owner.clone()) else { return };
    subject.purge_owner(owner.as_slice());
    let held_before = subject.hold(owner.as_slice()).is_some();
    let results: Vec<Result<(), Error>> = waiters.iter().map(|waiter| grant_one(subject, waiter)).collect();
    let token = subject.hold(owner.as_slice()).map_or(0, |hold| hold.token);
    let granted = results.iter().filter(|result| result.is_ok()).count();
    let handover = (!held_before && granted > 0).then(|| {
        subject.module().totals.handed_over.add(1);
        subject.mark_untold(owner.as_slice());
        let (db, name) = subject.place();
        Handover::new(subject.module(), (db, name.bytes().into()), owner, token, granted)
    });
    for (waiter, result) in waiters.into_iter().zip(results) {
        match result {
            Ok(()) => {
                count_wait(subject.module(), waiter.since, now);
                waiter.client.conclude(Outcome::Granted(token), handover.clone());
            }
            Err(error) => waiter.client.conclude(Outcome::Failed(error), None),
        }
    }
}

fn grant_one(subject: &mut Subject, waiter: &InLine) -> Result<(), Error> {
    let (module, now) = (subject.module(), subject.now());
    let token = match standing(subject.lock(), false, waiter.owner.as_slice(), waiter.limit, now) {
        Standing::Own(token) => token.max(waiter.fence.unwrap_or(0)),
        Standing::OtherLimit => return Err(Error::OtherLimit),
        // Held: cannot be, of one whose turn it is, but where no token is left.
        Standing::Free | Standing::Held => module.tokens().next(module.token_clock(now), waiter.fence)?,
    };
    module.accept_token(token);
    subject.grant(&waiter.grant(now, token), None);
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
    change: impl FnOnce(&mut Subject),
) -> bool {
    let name = OwnedStr::new(name.as_slice());
    if !ctx.select_db(db) {
        return true;
    }
    // Before the key is opened: the server looks it up for that.
    let waited_for = module.has_lines() && module.line(db, name.as_str().bytes()).is_some();
    let may_serve = waited_for && ctx.takes_writes(name.as_str());
    let Ok(mut subject) = Subject::open(module, ctx, name.as_str(), now) else { return false };
    leave_late(&subject);
    change(&mut subject);
    match subject.line() {
        Some(_) if may_serve => serve(&mut subject, budget),
        Some(line) => module.put_off(line),
        None => {}
    }
    settle_all(&mut [subject], Told::Effect);
    true
}
