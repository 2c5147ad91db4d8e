//! Blocked clients: joining the queue, and the reply. The engine revokes a grant that was not delivered.

use std::rc::Rc;

use redis_lock_core::request::Acquire;
use redis_lock_core::time::Micros;
use redis_lock_core::Error;
use redis_lock_engine::{Step, Ticket};

use crate::configuration::{self, deadlock_detection, max_waiters};
use crate::ffi::arguments::{OwnedStr, Str};
use crate::ffi::blocked::BlockedClient;
use crate::ffi::context::Ctx;
use crate::ffi::key::Key;
use crate::ffi::reply::Reply;
use crate::module::Module;

/// Puts the client of the running command into the queue of a key.
///
/// # Errors
/// Returns [`Error::Deadlock`] if it would wait for itself, [`Error::MaxWaiters`] if too many wait.
#[cold]
pub fn join(
    module: &'static Module,
    ctx: &Ctx,
    now: Micros,
    (db, name): (i32, Str),
    request: &Acquire,
) -> Result<Reply, Error> {
    let client = BlockedClient::current(ctx, name);
    let place = (db, name.bytes());
    let ticket = module.engine().join(place, request, (Rc::clone(&client), client.id), now);
    let cycle = find_cycle(module, ctx, ticket, now);
    module.engine().admit_waiter(ticket, cycle, max_waiters())?;
    if client.block(ctx, ticket) {
        return Ok(Reply::Sent);
    }
    module.tell(|engine| engine.on_disconnected(ticket));
    module.engine().on_refused();
    Ok(Reply::Nil)
}

/// Returns the length of the cycle that a newly queued request closes, or `None` if there is none.
fn find_cycle(module: &Module, ctx: &Ctx, ticket: Ticket, now: Micros) -> Option<usize> {
    let mut search = module.engine().queues().search(ticket).filter(|_| deadlock_detection())?;
    loop {
        let step = search.step(module.engine().queues());
        let name = match step {
            Step::Done(cycle) => return cycle,
            Step::Holds(name) => OwnedStr::new(name.as_slice()),
        };
        // Opening a key may remove it, by an expiry that somebody set. The engine is informed of that.
        let key = Key::peek(ctx, name.as_str()).ok();
        let lock = key.as_ref().and_then(Key::lock);
        search.feed(module.engine().queues(), lock, now);
    }
}

/// Answers all resolved waiters, at the end of a cycle.
pub fn answer_all(module: &Module, ctx: &Ctx) {
    let resolved = module.engine().take_resolved();
    resolved.iter().for_each(|client| client.answer(ctx));
}

/// Handles a client that is being closed. If it was granted a lock in this cycle, the reply is dropped and
/// the grant revoked, since the server gave the client up before the reply or could not send it.
///
/// Two kinds of client are closed after their whole reply: those that ended themselves, and those evicted by
/// `maxmemory-clients`. The latter can't be recognized. If that is set, every grant counts as delivered, and
/// the ttl decides.
pub fn on_closed(module: &Module, ctx: &Ctx, client: u64) {
    let is_being_told = module.engine().is_being_told(client);
    let told = is_being_told
        && (configuration::setting(ctx, "maxmemory-clients") != "0" || ctx.closes_after_reply(client));
    module.tell(|engine| engine.on_client_closed(client, told));
}
