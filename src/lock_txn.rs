//! An open key and its lock, which the engine works on, and the only place where the results are carried out:
//! value, deadline and replication, then events.

use redis_lock_core::time::Micros;
use redis_lock_core::Error;
use redis_lock_engine::{Event, OpenLock, Rest};

use crate::ffi::arguments::Str;
use crate::ffi::context::{publishes_events, Ctx, GENERIC_EVENT, MODULE_EVENT};
use crate::ffi::events::hear_of_closes;
use crate::ffi::key::Key;
use crate::ffi::replicate;
use crate::ffi::value::ValueRef;
use crate::module::Module;

/// Who decides about the lock of a key, and for what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// This server, to grant or extend a hold.
    Grant,
    /// This server, to end a hold.
    Release,
    /// Another server has decided.
    Follow,
}

/// How changes are propagated to replicas and the AOF.
#[derive(Clone, Copy)]
pub enum Propagation<'c> {
    /// As effects.
    Effects,
    /// As the command that the client sent, if nothing but a release happened.
    Release,
    /// As effects, but a grant with the owner and ttl in the client's own words.
    Grant(Str<'c>, Str<'c>),
}

/// An open key and its lock.
pub struct LockTxn<'c> {
    key: Key<'c>,
    open: OpenLock<'c>,
    deleted: bool,
}

impl<'c> AsMut<OpenLock<'c>> for LockTxn<'c> {
    #[inline]
    fn as_mut(&mut self) -> &mut OpenLock<'c> {
        &mut self.open
    }
}

impl<'c> LockTxn<'c> {
    /// Opens a key.
    ///
    /// # Errors
    /// Returns [`Error::WrongType`] if the key has another type.
    // Always inlined: the result is large, and is built in place.
    #[inline(always)]
    pub fn open(
        module: &'static Module,
        ctx: &'c Ctx,
        name: Str<'c>,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let mut key = Key::open(ctx, name)?;
        let place = (key.db(), name.bytes());
        let engine = module.engine();
        // A release grants too, if a client waits.
        let may_grant = purpose != Purpose::Release || !engine.queues().is_empty();
        let expires = may_grant && key.expires();
        let open = engine.open(place, key.lend(place), expires, purpose == Purpose::Follow);
        Ok(LockTxn { key, open, deleted: false })
    }

    /// Opens all keys of a command, each once even if it is named more than once.
    ///
    /// # Errors
    /// Returns the errors of [`LockTxn::open`].
    pub fn open_all(
        module: &'static Module,
        ctx: &'c Ctx,
        names: impl Iterator<Item = Str<'c>>,
        purpose: Purpose,
    ) -> Result<Vec<Self>, Error> {
        let mut seen = std::collections::HashSet::new();
        names
            .filter(|name| seen.insert(name.bytes()))
            .map(|name| LockTxn::open(module, ctx, name, purpose))
            .collect()
    }

    /// Returns the database and name of the key.
    pub fn place(&self) -> (i32, Str<'c>) {
        (self.open.place.0, self.key.name())
    }

    /// Carries out the changes, and closes the key. Events are sent later, once all keys of the command are
    /// stored, because other modules act on them.
    #[inline]
    fn commit(&mut self, module: &Module, ctx: &Ctx, now: Micros, propagation: Propagation) {
        if !self.open.events.is_empty() {
            self.store(module);
            if module.must_propagate.get() {
                self.propagate(ctx, now, propagation);
            }
        }
        self.key.close();
    }

    /// Updates the key and its deadline.
    #[inline]
    fn store(&mut self, module: &Module) {
        if self.open.persist {
            self.key.persist();
        }
        self.key.store();
        let Some(value) = self.key.value() else { return };
        let mut engine = module.engine();
        engine.on_stored(ValueRef::new(value), value.lock());
        let watches_clients = engine.watches_clients();
        drop(engine);
        if watches_clients {
            hear_of_closes();
        }
        if value.lock().is_empty() {
            self.deleted = self.key.delete();
        }
    }

    #[inline]
    fn propagate(&self, ctx: &Ctx, now: Micros, propagation: Propagation) {
        let name = self.key.name();
        for (hold, gone) in &self.open.effects {
            replicate::hold(ctx, name, hold, gone, now);
        }
        if let (Some(token), Propagation::Grant(owner, ttl)) = (self.open.granted, propagation) {
            replicate::plain_hold(ctx, name, owner, ttl, token);
        }
        match self.open.rest(matches!(propagation, Propagation::Release)) {
            Rest::Nothing => {}
            Rest::Verbatim => ctx.replicate_verbatim(),
            Rest::Drop(gone) => replicate::drops(ctx, name, gone),
        }
    }

    /// Notifies subscribers and watchers of the changes.
    #[inline]
    fn announce(&self, module: &Module, ctx: &Ctx) {
        if self.open.touched {
            ctx.signal_modified(self.key.name());
        }
        if module.has_other_modules.get() || publishes_events() {
            self.tell_events(ctx);
        }
    }

    fn tell_events(&self, ctx: &Ctx) {
        for event in &self.open.events {
            let name = match event {
                Event::Acquired => c"lock.acquire",
                Event::Extended => c"lock.extend",
                Event::Released => c"lock.release",
                Event::Expired => c"lock.expired",
            };
            ctx.notify(MODULE_EVENT, name, self.key.name());
        }
        if self.deleted {
            ctx.notify(GENERIC_EVENT, c"del", self.key.name());
        }
    }
}

/// Carries out the changes to all keys of a command, then announces them.
#[inline]
pub fn commit_all(
    module: &'static Module,
    ctx: &Ctx,
    txns: &mut [LockTxn],
    now: Micros,
    propagation: Propagation,
) {
    for txn in txns.iter_mut() {
        txn.commit(module, ctx, now, propagation);
    }
    for txn in txns {
        txn.announce(module, ctx);
    }
    module.wake();
}
