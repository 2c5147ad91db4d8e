//! ACQUIRE, EXTEND and RELEASE of one lock or several, and decisions of another server.

use redis_lock_core::decision::{decide_acquire, decide_extend, key_status, Grant, KeyStatus};
use redis_lock_core::effect::{Cause, Gone, HoldEffect};
use redis_lock_core::request::{Acquire, Extend};
use redis_lock_core::time::{after_ms, Micros};
use redis_lock_core::{Error, Hold};

use crate::engine::{Conditions, Engine};
use crate::open_lock::OpenLock;
use crate::slot::Slot;

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Makes the checks that need no key. `is_replicated` is called on a replica only, and returns whether
    /// the command comes from a master or the AOF.
    ///
    /// # Errors
    /// Returns [`Error::ReadOnly`] for a client's command on a replica, which must not pretend to decide, and
    /// [`Error::TokenTooFarAhead`] for a fence that would spoil the counter.
    #[inline]
    pub fn check(
        &self,
        is_replicated: impl FnOnce() -> bool,
        fence: Option<u64>,
        now: Micros,
    ) -> Result<(), Error> {
        if self.is_replica() && !is_replicated() {
            return Err(Error::ReadOnly);
        }
        fence.map_or(Ok(()), |fence| self.check_token(fence, now))
    }

    /// Grants all of these locks to the client of the running command, or none. Returns the token, or `None`
    /// if others hold or wait for one of them.
    ///
    /// # Errors
    /// Returns [`Error::Cooldown`] during it, [`Error::OtherLimit`] if this owner holds one of them with
    /// another limit, [`Error::TokenTooFarAhead`] if no token is left. Expired holds are removed even then.
    #[inline]
    pub fn acquire<'k, O: AsMut<OpenLock<'k>>>(
        &mut self,
        locks: &mut [O],
        request: &Acquire,
        client_id: u64,
        at: &Conditions<C>,
    ) -> Result<Option<u64>, Error> {
        self.check_cooldown(at)?;
        for open in locks.iter_mut() {
            self.bring_up(open.as_mut(), request.owner, at);
        }
        let statuses = locks.iter_mut().map(|open| self.status(open.as_mut(), request, at.now));
        let decision = decide_acquire(statuses)?;
        let clock = self.token_clock(at.now);
        let Some(token) = decision.token(self.tokens(), clock, request.fence)? else { return Ok(None) };
        let &Acquire { owner, limit, ttl_ms, meta, .. } = request;
        let session = request.session.then_some(client_id);
        let grant = Grant { owner, limit, now: at.now, ttl_ms, token, meta, session };
        for open in locks {
            self.grant(open.as_mut(), &grant, true, at);
        }
        self.accept_token(token);
        Ok(Some(token))
    }

    #[inline]
    fn status(&self, open: &OpenLock, request: &Acquire, now: Micros) -> KeyStatus {
        let is_waited_for = open.queue.is_some_and(|queue| self.queues.place(queue).is_some());
        key_status(open.lock, is_waited_for, request.owner, request.limit, now)
    }

    /// Extends this owner's holds of all these locks, or none. Returns `None` if one is not held, or else the
    /// token that they agree on, if the request names one.
    ///
    /// # Errors
    /// Returns [`Error::Cooldown`] during the cooldown.
    #[inline]
    pub fn extend<'k, O: AsMut<OpenLock<'k>>>(
        &mut self,
        locks: &mut [O],
        request: &Extend,
        at: &Conditions<C>,
    ) -> Result<Option<Option<u64>>, Error> {
        self.check_cooldown(at)?;
        for open in locks.iter_mut() {
            self.bring_up(open.as_mut(), request.owner, at);
        }
        let tokens = locks.iter_mut().map(|open| open.as_mut().hold(request.owner).map(|hold| hold.token));
        let Some(token) = decide_extend(tokens, request.fence) else { return Ok(None) };
        for open in locks {
            self.extend_hold(open.as_mut(), (request.owner, request.ttl_ms, token), at);
        }
        token.into_iter().for_each(|token| self.accept_token(token));
        Ok(Some(token))
    }

    /// Releases this owner's holds of these locks. Its requests that wait for one of them get nil. Returns
    /// how many holds it had.
    #[inline]
    pub fn release<'k, O: AsMut<OpenLock<'k>>>(
        &mut self,
        locks: &mut [O],
        owner: &[u8],
        at: &Conditions<C>,
    ) -> i64 {
        let mut released = 0;
        for open in locks {
            let open = open.as_mut();
            self.bring_up(open, owner, at);
            released += i64::from(self.remove(open, owner, Cause::Released, at.now));
            if let Some(queue) = open.queue {
                self.send_away_owner(queue, owner);
                self.grant_waiters(open, queue, at);
            }
        }
        released
    }

    /// Expires holds and serves the queue, before a command of this owner.
    #[inline]
    fn bring_up(&mut self, open: &mut OpenLock, owner: &[u8], at: &Conditions<C>) {
        self.expire_and_serve(open, at);
        self.purge_owner(open, owner, at.now);
    }

    /// Carries out another server's grant or change of a hold, after the end of other holds.
    pub fn follow_hold(&mut self, open: &mut OpenLock, effect: &HoldEffect, now: Micros) {
        self.follow_drop(open, &effect.gone, now);
        let mut hold =
            Hold::new(effect.owner, effect.limit, now, effect.ttl_ms, effect.token).with_meta(effect.meta);
        hold.since = after_ms(now, -effect.held_ms);
        self.put(open, hold);
        self.accept_token(effect.token);
    }

    /// Carries out another server's end of holds.
    pub fn follow_drop(&mut self, open: &mut OpenLock, gone: &[Gone], now: Micros) {
        for &(cause, owner) in gone {
            self.remove(open, owner, cause, now);
        }
    }

    /// Called after an effect. If an operator sent it to a master, the queue must be served again.
    pub fn on_followed(&mut self, db: i32, name: &[u8]) {
        self.queues.mark_dirty(db, name);
    }
}
