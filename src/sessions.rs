//! Holds that end with a connection: which client's, and what happens when it is closed.

use std::collections::{HashMap, HashSet};

use redis_lock_core::{Bytes, Hold};

use crate::budget::Budget;
use crate::ffi::context::Ctx;
use crate::ffi::events::hear_of_closes;
use crate::ffi::value::{Value, ValueRef};
use crate::handoff;
use crate::module::Module;

/// The holds of each client that are to end with it. A value that leaves its key leaves this index
/// with all its holds, and comes back with them if it arrives at another one.
#[derive(Default)]
pub struct Sessions(HashMap<u64, HashSet<(ValueRef, Bytes)>>);

impl Sessions {
    /// Whether no hold is bound to any client.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a hold is bound to this client.
    pub fn contains(&self, client: u64) -> bool {
        self.0.contains_key(&client)
    }

    /// One of this client's holds.
    fn any_of(&self, client: u64) -> Option<(ValueRef, Bytes)> {
        self.0.get(&client)?.iter().next().cloned()
    }

    fn insert(&mut self, client: u64, value: &Value, owner: &Bytes) {
        self.0.entry(client).or_default().insert((ValueRef::new(value), owner.clone()));
    }

    fn remove(&mut self, client: u64, entry: &(ValueRef, Bytes)) {
        if let Some(holds) = self.0.get_mut(&client) {
            holds.remove(entry);
            if holds.is_empty() {
                self.0.remove(&client);
            }
        }
    }
}

/// A hold is bound to the clients that it names.
pub fn remember(module: &'static Module, value: &Value, hold: &Hold) {
    if !hold.sessions().is_empty() {
        hear_of_closes();
    }
    let owner: Bytes = hold.owner().into();
    let mut sessions = module.sessions().borrow_mut();
    hold.sessions().iter().for_each(|&client| sessions.insert(client, value, &owner));
}

/// A hold is gone, or bound to others from here on.
pub fn forget(module: &'static Module, value: &Value, hold: &Hold) {
    let entry = (ValueRef::new(value), hold.owner().into());
    let mut sessions = module.sessions().borrow_mut();
    hold.sessions().iter().for_each(|&client| sessions.remove(client, &entry));
}

/// All holds of a value that has come to a key.
pub fn remember_all(module: &'static Module, value: &Value) {
    value
        .lock()
        .holds()
        .filter(|hold| !hold.sessions().is_empty())
        .for_each(|hold| remember(module, value, hold));
}

/// All holds of a value that leaves its key.
pub fn forget_all(module: &'static Module, value: &Value) {
    if module.has_sessions() {
        value
            .lock()
            .holds()
            .filter(|hold| !hold.sessions().is_empty())
            .for_each(|hold| forget(module, value, hold));
    }
}

/// From now on another server decides: only the ttl counts.
pub fn end_none(module: &'static Module) {
    let sessions = module.sessions().take();
    for (value, owner) in sessions.0.into_values().flatten() {
        value.get().make_plain(owner.as_slice());
    }
}

/// A client was closed.
pub fn closed(module: &'static Module, client: u64) {
    if module.sessions().borrow().contains(client) {
        module.deferred.add(&module.deferred.closed, client);
    }
}

/// Ends what was bound to clients that were closed; false where time has run out before all is done.
pub fn end_closed(module: &'static Module, ctx: &Ctx, budget: Budget) -> bool {
    while let Some(client) = module.deferred.closed.pop() {
        loop {
            let entry = module.sessions().borrow().any_of(client);
            let Some((value, owner)) = entry else { break };
            let now = module.now();
            if budget.exhausted(now) {
                module.deferred.add(&module.deferred.closed, client);
                return false;
            }
            let (db, name) = value.get().home();
            handoff::change_outside_command(module, ctx, (db, &name), now, budget, |txn| {
                txn.purge();
                txn.close_session(owner.as_slice(), client);
            });
            // Whatever became of it: it must not be met again for ever.
            module.sessions().borrow_mut().remove(client, &(value, owner));
        }
    }
    true
}
