//! A client that waits in line: how it joins, what it is told in the end, and what becomes of a grant
//! that could not be delivered.
//!
//! A request in line is *resolved* in the step in which its fate is decided, and its client answered
//! at the end of that turn of the event loop. In between the server may let the client go: a grant
//! that then nobody was told of is taken back, and goes to the next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use redis_lock_core::request::Acquire;
use redis_lock_core::time::{after_ms, ms_since, Micros};
use redis_lock_core::{Bytes, Error, QueueId, Ticket, Waiter};

use crate::configuration::{self, DEADLOCK_DETECTION, MAX_WAITERS};
use crate::ffi::arguments::{OwnedStr, Str};
use crate::ffi::blocked::{self, Blocked, Handle};
use crate::ffi::context::Ctx;
use crate::ffi::events::hear_of_closes;
use crate::ffi::key::Key;
use crate::ffi::permission::User;
use crate::ffi::reply::Reply;
use crate::lock_txn::{End, LockTxn};
use crate::module::Module;

/// What a client that waited is told.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// It has the lock, under this token.
    Granted(u64),
    /// It does not.
    Nil,
    /// What is wrong.
    Failed(Error),
}

/// A client that waits.
pub struct BlockedClient {
    module: &'static Module,
    /// Its number.
    pub client: u64,
    handle: Handle,
    /// Whose it is, where the server says so.
    user: Option<User>,
    ticket: Cell<Option<Ticket>>,
    outcome: Cell<Outcome>,
    /// Whether the server was asked to have it answered.
    called: Cell<bool>,
    pending: RefCell<Option<Rc<PendingGrant>>>,
}

/// A hold that was given to one who waited, as long as it is open whether anybody was told.
pub struct PendingGrant {
    module: &'static Module,
    /// Where it was given: database and key. It may have been renamed or moved since.
    pub place: (i32, Bytes),
    owner: Bytes,
    token: u64,
    /// How many of the requests that it answers are neither answered nor given up.
    undecided: Cell<usize>,
    answered: Cell<bool>,
}

impl PendingGrant {
    /// One that answers so many requests.
    pub fn new(
        module: &'static Module,
        place: (i32, Bytes),
        owner: Bytes,
        token: u64,
        requests: usize,
    ) -> Rc<Self> {
        hear_of_closes();
        module.deferred.handed_over();
        Rc::new(PendingGrant {
            module,
            place,
            owner,
            token,
            undecided: Cell::new(requests),
            answered: Cell::new(false),
        })
    }

    /// Takes the hold out, where it still is as it was given: who asked again meanwhile was told of it.
    pub fn revoke(&self, txn: &mut LockTxn) {
        let hold = txn.hold(self.owner.as_slice());
        if hold.is_some_and(|hold| hold.undelivered && hold.token == self.token) {
            txn.remove(self.owner.as_slice(), End::Released);
        }
    }

    /// One of the requests was answered, or never will be. Where that is true of all, it is taken back.
    fn decide(self: Rc<Self>, answered: bool) {
        self.undecided.set(self.undecided.get().saturating_sub(1));
        self.answered.set(self.answered.get() || answered);
        if self.undecided.get() > 0 {
            return;
        }
        self.module.deferred.decided();
        if !self.answered.get() {
            let deferred = &self.module.deferred;
            deferred.add(&deferred.undelivered, self);
        }
    }
}

impl BlockedClient {
    fn new(module: &'static Module, ctx: &Ctx) -> Rc<Self> {
        Rc::new(BlockedClient {
            module,
            client: ctx.client_id(),
            user: User::current(ctx),
            handle: Handle::none(),
            ticket: Cell::new(None),
            outcome: Cell::new(Outcome::Nil),
            called: Cell::new(false),
            pending: RefCell::new(None),
        })
    }

    /// Whether its user may still have this lock.
    pub fn may_acquire(&self, key: Str) -> bool {
        self.user.as_ref().is_none_or(|user| user.may_acquire(key))
    }

    /// It has left the line, and this is its answer; where it is a hold that was made for it, with
    /// what is needed to take that back.
    pub fn resolve(self: Rc<Self>, outcome: Outcome, pending: Option<Rc<PendingGrant>>) {
        self.ticket.set(None);
        self.outcome.set(outcome);
        self.pending.replace(pending);
        let deferred = &self.module.deferred;
        deferred.add(&deferred.resolved, self);
    }

    /// Has it answered, unless the server has let it go meanwhile.
    fn call(&self, ctx: &Ctx) {
        self.called.set(true);
        self.handle.answer(ctx, self.client);
    }
}

impl Blocked for BlockedClient {
    fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What it was resolved with, or nil where the server has its own reasons (CLIENT UNBLOCK).
    fn answer(&self) -> Result<Reply, Error> {
        if !self.called.get() {
            self.on_disconnect();
            return Ok(Reply::Nil);
        }
        if let Some(pending) = self.pending.take() {
            let deferred = &self.module.deferred;
            deferred.add(&deferred.told, (self.client, pending));
        }
        match self.outcome.get() {
            Outcome::Granted(token) => Ok(Reply::token(token)),
            Outcome::Nil => Ok(Reply::Nil),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// It waits no more.
    fn on_disconnect(&self) {
        if let Some(ticket) = self.ticket.take() {
            self.module.leave_line(ticket);
        }
        if let Some(pending) = self.pending.take() {
            pending.decide(false);
        }
    }
}

/// Puts the client of the running command in line, unless it would wait for itself.
///
/// # Errors
/// [`Error::Deadlock`], [`Error::MaxWaiters`].
#[cold]
pub fn join(
    module: &'static Module,
    ctx: &Ctx,
    now: Micros,
    (db, name): (i32, Str),
    request: &Acquire,
    block_ms: i64,
) -> Result<Reply, Error> {
    let client = BlockedClient::new(module, ctx);
    let waiter = Waiter {
        owner: request.owner.into(),
        limit: request.limit,
        ttl_ms: request.ttl_ms,
        fence: request.fence,
        meta: request.meta.map(Into::into),
        session: request.session.then_some(client.client),
        since: now,
        until: (block_ms > 0).then(|| after_ms(now, block_ms)),
        client: Rc::clone(&client),
    };
    let ticket = module.lines().borrow_mut().join(db, name.bytes(), waiter);
    if let Err(error) = check(module, ctx, now, ticket) {
        module.lines().borrow_mut().leave(ticket);
        return Err(error);
    }
    client.ticket.set(Some(ticket));
    if blocked::block(ctx, name, &client) {
        return Ok(Reply::Sent);
    }
    client.on_disconnect();
    module.totals.refused.add(1);
    Ok(Reply::Nil)
}

/// Whether a request that has just joined may stay.
fn check(module: &Module, ctx: &Ctx, now: Micros, ticket: Ticket) -> Result<(), Error> {
    let lines = module.lines().borrow();
    if DEADLOCK_DETECTION.get() {
        let holds = |name: &[u8], tell: &mut dyn FnMut(&[u8], redis_lock_core::Limit)| {
            let name = OwnedStr::new(name);
            let Ok(key) = Key::peek(ctx, name.as_str()) else { return };
            let live = key.lock().into_iter().flat_map(|lock| lock.live(now));
            live.for_each(|hold| tell(hold.owner(), hold.limit()));
        };
        if let Some(locks) = lines.cycle(ticket, holds) {
            module.totals.deadlocks.add(1);
            return Err(Error::Deadlock(locks));
        }
    }
    let most = usize::try_from(MAX_WAITERS.get()).unwrap_or(usize::MAX);
    if lines.len() > most {
        return Err(Error::MaxWaiters);
    }
    Ok(())
}

/// One of this line who has waited too long is told nil; whether there was one.
pub fn time_out(module: &Module, line: QueueId, now: Micros) -> bool {
    let waiter = module.lines().borrow_mut().time_out(line, now);
    let Some(waiter) = waiter else { return false };
    module.totals.wait_timeouts.add(1);
    waiter.client.resolve(Outcome::Nil, None);
    true
}

/// All requests of this owner leave a line, and are told nil.
#[cold]
pub fn send_away_owner(module: &Module, line: QueueId, owner: &[u8]) {
    let waiters = module.lines().borrow_mut().leave_owner(line, owner);
    waiters.into_iter().for_each(|waiter| waiter.client.resolve(Outcome::Nil, None));
}

/// How long somebody waited who has the lock now.
pub fn count_wait(module: &Module, since: Micros, now: Micros) {
    // Never negative.
    module.totals.wait_ms_sum.add(ms_since(since, now) as u64);
}

/// At the end of a turn: all whose fate was decided are answered.
pub fn answer_all(module: &Module, ctx: &Ctx) {
    let resolved = module.deferred.resolved.take();
    resolved.iter().for_each(|client| client.call(ctx));
}

/// The replies of the last turn have left the server: whose connection is closed from here on was told.
#[inline]
pub fn replies_sent(module: &Module) {
    let told = &module.deferred.told;
    if !told.is_empty() {
        told.take().into_iter().for_each(|(_, pending)| pending.decide(true));
    }
}

/// A client is being closed. Was it granted a lock in this turn, its reply stays behind, and the grant is taken
/// back: the server had given the client up before the reply, or could not send it.
///
/// Two kinds of client are closed after their whole reply: those that ended themselves, and those that
/// make room for others (`maxmemory-clients`). The latter can't be told apart: where that is set, all count
/// as told, and the ttl decides.
pub fn closed(module: &Module, ctx: &Ctx, client: u64) {
    let told = &module.deferred.told;
    if told.is_empty() {
        return;
    }
    for (_, pending) in told.take_if(|(told, _)| *told == client) {
        let sent = configuration::setting(ctx, "maxmemory-clients") != "0" || ctx.closes_after_reply(client);
        pending.decide(sent);
    }
}
