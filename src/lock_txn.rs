//! An open key in the hands of a command, and the one place where what becomes of it is carried
//! out: value, index of deadlines, replication, counters; then events.

use redis_lock_core::decision::{Grant, Granted};
use redis_lock_core::effect::Cause;
use redis_lock_core::time::{after_ms, Micros};
use redis_lock_core::{Error, Hold, Lock, QueueId, Renewal};
use smallvec::SmallVec;

use crate::ffi::arguments::Str;
use crate::ffi::context::{publishes_events, Class, Ctx};
use crate::ffi::key::Key;
use crate::ffi::replicate::{self, Gone};
use crate::module::{Counter, Module, Totals};
use crate::sessions;

/// So many holds of one lock are taken out at a time: what a crowd leaves behind does not make clients wait.
const HOLDS: usize = 128;

/// What is told to subscribers, one for each hold that changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Acquired,
    Extended,
    Released,
    Expired,
}

/// How the end of a hold reaches replicas and AOF.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// By an effect.
    Effect,
    /// By the command as the client sent it, if a release is all that happened.
    Release,
}

/// Why a hold ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its deadline has passed.
    Expired,
    /// Its owner released it, or its grant could not be delivered.
    Released,
    /// Its last connection was closed.
    SessionClosed,
}

impl End {
    fn cause(self) -> Cause {
        match self {
            End::Expired => Cause::Expired,
            End::Released | End::SessionClosed => Cause::Released,
        }
    }

    fn counter(self, totals: &Totals) -> &Counter {
        match self {
            End::Expired => &totals.expired,
            End::Released => &totals.released,
            End::SessionClosed => &totals.sessions_dropped,
        }
    }
}

impl From<Cause> for End {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Expired => End::Expired,
            Cause::Released => End::Released,
        }
    }
}

/// An open key, and what has been done to its lock so far.
pub struct LockTxn<'c> {
    module: &'static Module,
    ctx: &'c Ctx,
    key: Key<'c>,
    now: Micros,
    /// Who waits for it.
    line: Option<QueueId>,
    /// What went, and was not replicated yet.
    gone: SmallVec<[Gone; 1]>,
    events: SmallVec<[Event; 4]>,
    touched: bool,
    deleted: bool,
    /// Whether this server decided, or carries out what another one did.
    decided: bool,
}

impl<'c> LockTxn<'c> {
    /// Opens a key to decide about its lock.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    #[inline]
    pub fn open(module: &'static Module, ctx: &'c Ctx, name: Str<'c>, now: Micros) -> Result<Self, Error> {
        let key = Key::open(ctx, name)?;
        let decided = !module.is_passive();
        let line = if module.has_queues() { module.line(key.db(), name.bytes()) } else { None };
        Ok(LockTxn {
            module,
            ctx,
            key,
            now,
            line,
            gone: SmallVec::new(),
            events: SmallVec::new(),
            touched: false,
            deleted: false,
            decided,
        })
    }

    /// Opens a key to carry out what was decided elsewhere.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn open_to_follow(
        module: &'static Module,
        ctx: &'c Ctx,
        name: Str<'c>,
        now: Micros,
    ) -> Result<Self, Error> {
        Ok(LockTxn { decided: false, ..LockTxn::open(module, ctx, name, now)? })
    }

    /// Opens all keys of a command, each once however often it is named.
    ///
    /// # Errors
    /// [`Error::WrongType`] if one of them holds something else.
    pub fn open_all(
        module: &'static Module,
        ctx: &'c Ctx,
        names: impl Iterator<Item = Str<'c>>,
        now: Micros,
    ) -> Result<Vec<Self>, Error> {
        let mut seen = std::collections::HashSet::new();
        names
            .filter(|name| seen.insert(name.bytes()))
            .map(|name| LockTxn::open(module, ctx, name, now))
            .collect()
    }

    /// The module.
    #[inline]
    pub fn module(&self) -> &'static Module {
        self.module
    }

    /// The lock as it stands.
    #[inline]
    pub fn lock(&self) -> Option<&Lock> {
        self.key.lock()
    }

    /// This owner's hold.
    #[inline]
    pub fn hold(&self, owner: &[u8]) -> Option<&Hold> {
        self.lock()?.get(owner)
    }

    /// Database and name of the key.
    pub fn place(&self) -> (i32, Str<'c>) {
        (self.key.db(), self.key.name())
    }

    /// The moment of the command.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Who waits for it; of a line that has emptied since, nothing is found any more.
    #[inline]
    pub fn line(&self) -> Option<QueueId> {
        self.line
    }

    /// Takes out what is past its deadline, so that it is told of before what is decided next; whether there
    /// was any. A crowd is left in part to the end of the turn, where it goes on: nothing is decided by a
    /// hold that is gone. A server that only follows drops nothing by time.
    #[inline]
    pub fn purge(&mut self) -> bool {
        (0..HOLDS).take_while(|_| self.purge_one()).count() > 0
    }

    /// Takes out this owner's hold, if it is past its deadline.
    #[inline]
    pub fn purge_owner(&mut self, owner: &[u8]) {
        if self.decided && self.hold(owner).is_some_and(|hold| !hold.is_live(self.now)) {
            self.remove(owner, End::Expired);
        }
    }

    #[inline]
    fn purge_one(&mut self) -> bool {
        if !self.decided {
            return false;
        }
        match self.key.lock_mut().and_then(|lock| lock.take_expired(self.now)) {
            Some(hold) => {
                self.record_end(End::Expired, hold);
                true
            }
            None => false,
        }
    }

    /// Carries a grant out. `words` are the client's own for owner and ttl, where it is the client
    /// of the running command that is granted the lock.
    #[inline]
    pub fn grant(&mut self, grant: &Grant, words: Option<(Str, Str)>) {
        let persisted = self.key.persist();
        let was_bound = self.module.has_sessions() && self.unbind(grant.owner);
        let granted = self.key.lock_or_create().grant(grant);
        if was_bound || grant.session.is_some() {
            self.bind(grant.owner);
        }
        match granted {
            Granted::New => {
                self.module.add_held(1);
                self.count(|totals| totals.acquired.add(1));
                self.touched = true;
                self.events.push(Event::Acquired);
                self.propagate(grant.owner, words);
            }
            Granted::Again(renewal) => {
                self.count(|totals| totals.reacquired.add(1));
                self.renewed(grant.owner, renewal, persisted);
            }
        }
    }

    /// Extends this owner's hold, and raises its token to at least `token` where one is given.
    pub fn extend(&mut self, owner: &[u8], ttl_ms: i64, token: Option<u64>) {
        let deadline = after_ms(self.now, ttl_ms);
        let Some(lock) = self.key.lock_mut() else {
            return;
        };
        if let Some(renewal) = lock.change(owner, |hold| hold.renew(deadline, token, None)) {
            let persisted = self.key.persist();
            self.renewed(owner, renewal, persisted);
            self.count(|totals| totals.extended.add(1));
        }
    }

    /// Takes this owner's hold out; whether there was one.
    #[inline]
    pub fn remove(&mut self, owner: &[u8], end: End) -> bool {
        match self.key.lock_mut().and_then(|lock| lock.remove(owner)) {
            Some(hold) => {
                self.record_end(end, hold);
                true
            }
            None => false,
        }
    }

    /// A connection that this owner's hold was bound to is closed: if it was the last, it ends.
    pub fn close_session(&mut self, owner: &[u8], client: u64) {
        let last = self.key.lock_mut().and_then(|lock| lock.change(owner, |hold| hold.unbind(client)));
        if last == Some(true) {
            self.remove(owner, End::SessionClosed);
        }
    }

    /// Nobody was told of this owner's hold so far.
    pub fn mark_undelivered(&mut self, owner: &[u8]) {
        if let Some(lock) = self.key.lock_mut() {
            lock.change(owner, |hold| hold.undelivered = true);
        }
    }

    /// Puts a whole hold in, as another server has it.
    pub fn put(&mut self, hold: Hold) {
        let differs =
            |old: &Hold| old.token != hold.token || old.meta() != hold.meta() || old.limit() != hold.limit();
        let (event, touched) = match self.hold(hold.owner()) {
            Some(old) => (Event::Extended, differs(old)),
            None => (Event::Acquired, true),
        };
        self.unbind(hold.owner());
        let persisted = self.key.persist();
        self.key.lock_or_create().put(hold);
        self.module.add_held(usize::from(event == Event::Acquired));
        self.touched |= touched || persisted;
        self.events.push(event);
    }

    #[inline]
    fn record_end(&mut self, end: End, hold: Hold) {
        self.module.sub_held(1);
        if let Some(value) = self.key.value().filter(|_| !hold.sessions().is_empty()) {
            sessions::forget(self.module, value, &hold);
        }
        self.count(|totals| {
            self.module.count_end(&hold, self.now);
            end.counter(totals).add(1);
        });
        self.events.push(if end == End::Expired { Event::Expired } else { Event::Released });
        self.touched = true;
        self.gone.push((end.cause(), hold.into_owner()));
    }

    /// Takes this owner's hold out of the index of sessions; whether it was in there.
    #[cold]
    fn unbind(&self, owner: &[u8]) -> bool {
        let Some(value) = self.key.value() else { return false };
        match value.lock().get(owner).filter(|hold| !hold.sessions().is_empty()) {
            Some(hold) => sessions::forget(self.module, value, hold),
            None => return false,
        }
        true
    }

    #[cold]
    fn bind(&self, owner: &[u8]) {
        let Some(value) = self.key.value() else { return };
        if let Some(hold) = value.lock().get(owner) {
            sessions::remember(self.module, value, hold);
        }
    }

    /// A changed deadline alone touches nobody who watches the key.
    fn renewed(&mut self, owner: &[u8], renewal: Renewal, persisted: bool) {
        if renewal.any() || persisted {
            self.touched |= renewal.token || renewal.meta || persisted;
            self.events.push(Event::Extended);
            self.propagate(owner, None);
        }
    }

    #[inline]
    fn count(&self, count: impl FnOnce(&Totals)) {
        if self.decided {
            count(&self.module.totals);
        }
    }

    /// Replicates this owner's hold as it is now, and before it what went: in one effect, so that a
    /// lock that passes on is never without a hold.
    #[inline]
    fn propagate(&mut self, owner: &[u8], words: Option<(Str, Str)>) {
        if !self.decided || !self.module.must_propagate() {
            return;
        }
        let (ctx, name, now) = (self.ctx, self.key.name(), self.now);
        let gone = std::mem::take(&mut self.gone);
        let Some(hold) = self.hold(owner) else { return };
        match words {
            Some((owner, ttl)) if gone.is_empty() && is_bare(hold) => {
                replicate::plain_hold(ctx, name, owner, ttl, hold.token);
            }
            _ => replicate::hold(ctx, name, hold, &gone, now),
        }
    }

    /// Carries out what has changed, and closes the key. The events are still to be told: only
    /// when all keys of the command are settled, since others act on them.
    #[inline]
    fn commit(&mut self, propagation: Propagation) {
        if !self.events.is_empty() {
            if self.module.must_propagate() {
                self.replicate_rest(propagation);
            }
            self.deleted = self.store();
        }
        self.key.close();
    }

    fn replicate_rest(&self, propagation: Propagation) {
        let only_released = matches!(self.events.as_slice(), [Event::Released]);
        if !self.decided || (propagation == Propagation::Release && only_released) {
            self.ctx.replicate_verbatim();
        } else if !self.gone.is_empty() {
            replicate::drops(self.ctx, self.key.name(), &self.gone);
        }
    }

    /// Tells subscribers and watchers what has changed.
    #[inline]
    fn announce(&self) {
        if self.touched {
            self.ctx.signal_modified(self.key.name());
        }
        if self.module.has_other_modules() || publishes_events() {
            self.tell_events();
        }
    }

    fn tell_events(&self) {
        for event in &self.events {
            let name = match event {
                Event::Acquired => c"lock.acquire",
                Event::Extended => c"lock.extend",
                Event::Released => c"lock.release",
                Event::Expired => c"lock.expired",
            };
            self.ctx.notify(Class::Module, name, self.key.name());
        }
        if self.deleted {
            self.ctx.notify(Class::Generic, c"del", self.key.name());
        }
    }

    /// Brings key and index up to date; true where the key is gone.
    #[inline]
    fn store(&mut self) -> bool {
        let Some(value) = self.key.value() else {
            return false;
        };
        self.module.schedule(value);
        let empty = value.lock().is_empty();
        if empty {
            self.key.delete();
        }
        empty
    }
}

fn is_bare(hold: &Hold) -> bool {
    hold.limit() == redis_lock_core::Limit::EXCLUSIVE && hold.meta().is_empty()
}

/// Settles all keys of a command, then tells of them.
#[inline]
pub fn commit_all(txns: &mut [LockTxn], propagation: Propagation) {
    for txn in txns.iter_mut() {
        txn.commit(propagation);
    }
    for txn in txns {
        txn.announce();
    }
}
