//! An open key in the hands of a command, and the one place where what became of it is carried
//! out: value, index of deadlines, replication, counters; then events.

use redis_lock_core::effect::Cause;
use redis_lock_core::plan::{Grant, Granted};
use redis_lock_core::time::{after_ms, Micros};
use redis_lock_core::{Error, Hold, Lock, Renewal};
use smallvec::SmallVec;

use crate::ffi::arguments::Str;
use crate::ffi::context::{publishes_events, Class, Ctx};
use crate::ffi::key::Key;
use crate::ffi::replicate::{self, Gone};
use crate::state::state;

/// What became of the hold that the command is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Became {
    /// It is as it was.
    Same,
    /// It is new.
    New,
    /// It goes on, with a change.
    Renewed,
}

/// How a change reaches replicas and AOF.
pub enum Told<'c> {
    /// By an effect that says the whole hold of this owner, or what went.
    Effect(&'c [u8]),
    /// As [`Told::Effect`]; where the hold is new, exclusive and bare, in the client's own words
    /// for owner and ttl.
    Grant(Str<'c>, Str<'c>),
    /// By the command as the client sent it, if a release is all that happened.
    Release,
    /// By the effect command that is running.
    Verbatim,
}

/// An open key, and what has been done to its lock so far.
pub struct Subject<'c> {
    ctx: &'c Ctx,
    key: Key<'c>,
    now: Micros,
    gone: SmallVec<[Gone; 1]>,
    became: Became,
    touched: bool,
    persisted: bool,
    deleted: bool,
    /// Whether this server decided, or carries out what another one did.
    decided: bool,
}

impl<'c> Subject<'c> {
    /// Opens a key to decide about its lock.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    #[inline]
    pub fn open(ctx: &'c Ctx, name: Str<'c>, now: Micros) -> Result<Self, Error> {
        let key = Key::open(ctx, name)?;
        let decided = !state().is_passive();
        Ok(Subject {
            ctx,
            key,
            now,
            gone: SmallVec::new(),
            became: Became::Same,
            touched: false,
            persisted: false,
            deleted: false,
            decided,
        })
    }

    /// Opens a key to carry out what was decided elsewhere.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn open_to_follow(ctx: &'c Ctx, name: Str<'c>, now: Micros) -> Result<Self, Error> {
        Ok(Subject { decided: false, ..Subject::open(ctx, name, now)? })
    }

    /// Opens all keys of a command, each once however often it is named.
    ///
    /// # Errors
    /// [`Error::WrongType`] if one of them holds something else.
    pub fn open_all(
        ctx: &'c Ctx,
        names: impl Iterator<Item = Str<'c>>,
        now: Micros,
    ) -> Result<Vec<Self>, Error> {
        let mut seen = std::collections::HashSet::new();
        names.filter(|name| seen.insert(name.bytes())).map(|name| Subject::open(ctx, name, now)).collect()
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

    /// Takes out what is past its deadline: before anything else, so that nothing is decided by
    /// a hold that is gone. A server that only follows drops nothing by time.
    #[inline]
    pub fn purge(&mut self) {
        while self.purge_one() {}
    }

    /// Takes out at most so many of what is past its deadline; whether there was any.
    pub fn purge_some(&mut self, most: usize) -> bool {
        (0..most).take_while(|_| self.purge_one()).count() > 0
    }

    #[inline]
    fn purge_one(&mut self) -> bool {
        if !self.decided {
            return false;
        }
        match self.key.lock_mut().and_then(|lock| lock.take_expired(self.now)) {
            Some(hold) => {
                self.went(Cause::Expired, hold);
                true
            }
            None => false,
        }
    }

    /// Carries a grant out.
    #[inline]
    pub fn grant(&mut self, grant: &Grant) {
        self.persist();
        let granted = self.key.lock_or_create().grant(grant);
        match granted {
            Granted::New => self.mark(Became::New, true),
            Granted::Again(renewal) => self.renewed(renewal),
        }
        self.count(|totals| match granted {
            Granted::New => totals.acquired.add(1),
            Granted::Again(_) => totals.reacquired.add(1),
        });
    }

    /// Extends this owner's hold, and raises its token to at least `token` where one is given.
    pub fn extend(&mut self, owner: &[u8], ttl_ms: i64, token: Option<u64>) {
        let deadline = after_ms(self.now, ttl_ms);
        let Some(lock) = self.key.lock_mut() else {
            return;
        };
        let renewal = lock.change(owner, |hold| hold.renew(deadline, token, None));
        if let Some(renewal) = renewal {
            self.persist();
            self.renewed(renewal);
            self.count(|totals| totals.extended.add(1));
        }
    }

    /// Takes this owner's hold out; whether there was one.
    #[inline]
    pub fn remove(&mut self, owner: &[u8], cause: Cause) -> bool {
        match self.key.lock_mut().and_then(|lock| lock.remove(owner)) {
            Some(hold) => {
                self.went(cause, hold);
                true
            }
            None => false,
        }
    }

    /// Puts a whole hold in, as another server has it.
    pub fn put(&mut self, hold: Hold) {
        let differs =
            |old: &Hold| old.token != hold.token || old.meta() != hold.meta() || old.limit() != hold.limit();
        let (became, touched) = match self.hold(hold.owner()) {
            Some(old) => (Became::Renewed, differs(old)),
            None => (Became::New, true),
        };
        self.persist();
        self.key.lock_or_create().put(hold);
        self.mark(became, touched || self.persisted);
    }

    #[inline]
    fn went(&mut self, cause: Cause, hold: Hold) {
        state().sub_held(1);
        self.count(|totals| {
            state().count_end(&hold, self.now);
            match cause {
                Cause::Expired => totals.expired.add(1),
                Cause::Released => totals.released.add(1),
            }
        });
        self.gone.push((cause, hold.into_owner()));
    }

    fn persist(&mut self) {
        self.persisted |= self.key.persist();
    }

    /// A changed deadline alone touches nobody who watches the key.
    fn renewed(&mut self, renewal: Renewal) {
        if renewal.any() || self.persisted {
            self.mark(Became::Renewed, renewal.token || renewal.meta || self.persisted);
        }
    }

    #[inline]
    fn mark(&mut self, became: Became, touched: bool) {
        self.became = became;
        self.touched |= touched;
        if became == Became::New {
            state().add_held(1);
        }
    }

    #[inline]
    fn count(&self, count: impl FnOnce(&crate::state::Totals)) {
        if self.decided {
            count(&state().totals);
        }
    }

    /// Carries out what has changed, and closes the key. The events are still to be told: only
    /// when all keys of the command are settled, since others act on them.
    #[inline]
    fn settle(&mut self, told: &Told) {
        if !self.gone.is_empty() || self.became != Became::Same {
            if state().is_listened_to() {
                self.replicate(told);
            }
            self.deleted = self.store();
        }
        self.key.close();
    }

    /// Tells subscribers and watchers what has changed.
    #[inline]
    fn announce(&self) {
        if self.touched || !self.gone.is_empty() {
            self.ctx.signal_modified(self.key.name());
        }
        if state().has_other_modules() || publishes_events() {
            self.tell_events();
        }
    }

    fn tell_events(&self) {
        let tell = |event| self.ctx.notify(Class::Module, event, self.key.name());
        for (cause, _) in &self.gone {
            match cause {
                Cause::Expired => tell(c"lock.expired"),
                Cause::Released => tell(c"lock.release"),
            }
        }
        match self.became {
            Became::Same => {}
            Became::New => tell(c"lock.acquire"),
            Became::Renewed => tell(c"lock.extend"),
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
        state().schedule(value);
        let empty = value.lock().is_empty();
        if empty {
            self.key.delete();
        }
        empty
    }

    fn replicate(&self, told: &Told) {
        let (ctx, key) = (self.ctx, self.key.name());
        let owner = match told {
            Told::Verbatim => return ctx.replicate_verbatim(),
            Told::Release if self.only_released() => return ctx.replicate_verbatim(),
            Told::Release => &[],
            Told::Effect(owner) => *owner,
            Told::Grant(owner, _) => owner.bytes(),
        };
        let hold = match self.became {
            Became::Same => None,
            Became::New | Became::Renewed => self.hold(owner),
        };
        match (hold, told) {
            (None, _) => replicate::drops(ctx, key, &self.gone),
            (Some(hold), Told::Grant(owner, ttl)) if self.is_plain(hold) => {
                replicate::plain_hold(ctx, key, *owner, *ttl, hold.token);
            }
            (Some(hold), _) => replicate::hold(ctx, key, hold, &self.gone, self.now),
        }
    }

    fn only_released(&self) -> bool {
        matches!(self.gone.as_slice(), [(Cause::Released, _)]) && self.became == Became::Same
    }

    fn is_plain(&self, hold: &Hold) -> bool {
        let bare = hold.limit() == redis_lock_core::Limit::EXCLUSIVE && hold.meta().is_empty();
        bare && self.became == Became::New && self.gone.is_empty()
    }
}

/// Settles all keys of a command, then tells of them.
#[inline]
pub fn settle_all(subjects: &mut [Subject], told: &Told) {
    for subject in subjects.iter_mut() {
        subject.settle(told);
    }
    for subject in subjects {
        subject.announce();
    }
}
