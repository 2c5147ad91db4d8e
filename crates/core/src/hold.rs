//! One owner's hold of one lock.

use crate::decision::Grant;
use crate::time::{after_ms, Micros};
use crate::{Bytes, Limit};

/// A hold: its owner, its deadline, how many holders it tolerates, and its fencing token.
#[derive(Clone, Debug)]
pub struct Hold {
    owner: Bytes,
    /// The moment at which the hold expires.
    pub deadline: Micros,
    /// When it was granted.
    pub since: Micros,
    /// The number that a protected resource compares.
    pub token: u64,
    // Behind a pointer, as it is rare, and holds are many.
    extra: Option<Box<Extra>>,
    limit: Limit,
    /// Whether it was given to a waiter that has not been told of it, so that it can be revoked.
    pub undelivered: bool,
}

/// Data that few holds have.
#[derive(Clone, Debug, Default)]
struct Extra {
    meta: Box<[u8]>,
    /// The connections that it ends with, latest last.
    sessions: Vec<u64>,
}

/// The changes of a renewal. Only real changes are announced, propagated and signalled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Whether the deadline is later now.
    pub deadline: bool,
    /// Whether the token is higher now.
    pub token: bool,
    /// Whether META is another text now.
    pub meta: bool,
}

impl Renewal {
    /// Returns whether anything has changed.
    pub fn any(self) -> bool {
        self.deadline || self.token || self.meta
    }
}

impl Hold {
    /// Returns a hold that was granted at `since` and expires `ttl_ms` milliseconds later.
    #[inline]
    pub fn new(owner: &[u8], limit: Limit, since: Micros, ttl_ms: i64, token: u64) -> Self {
        Hold {
            owner: owner.into(),
            deadline: after_ms(since, ttl_ms),
            since,
            token,
            extra: None,
            limit,
            undelivered: false,
        }
    }

    /// Returns a hold that must be filled in place, so that it is written only once.
    #[inline]
    pub(crate) fn blank() -> Self {
        Hold {
            owner: Bytes::EMPTY,
            deadline: 0,
            since: 0,
            token: 0,
            extra: None,
            limit: Limit::EXCLUSIVE,
            undelivered: false,
        }
    }

    /// Sets everything to these terms.
    #[inline]
    pub(crate) fn fill(&mut self, grant: &Grant) {
        self.owner.set(grant.owner);
        self.deadline = after_ms(grant.now, grant.ttl_ms);
        self.since = grant.now;
        self.token = grant.token;
        self.limit = grant.limit;
        self.undelivered = false;
        self.extra = None;
        self.set_meta(grant.meta.unwrap_or_default());
        self.bind(grant.session);
    }

    /// Returns the same hold with another META text; empty means none.
    #[must_use]
    pub fn with_meta(mut self, meta: &[u8]) -> Self {
        self.set_meta(meta);
        self
    }

    /// Returns the owner.
    #[inline]
    pub fn owner(&self) -> &[u8] {
        self.owner.as_slice()
    }

    /// Returns the owner, if the rest is no longer needed.
    #[inline]
    pub fn into_owner(self) -> Bytes {
        self.owner
    }

    pub(crate) fn owner_bytes(&self) -> &Bytes {
        &self.owner
    }

    /// Returns how many holders it tolerates, which never changes.
    #[inline]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Returns its META text, which is empty if none was given.
    #[inline]
    pub fn meta(&self) -> &[u8] {
        self.extra.as_deref().map_or(&[], |extra| &extra.meta)
    }

    /// Returns the connections, latest last, of which the last to be closed ends the hold; none for a plain
    /// hold.
    #[inline]
    pub fn sessions(&self) -> &[u64] {
        self.extra.as_deref().map_or(&[], |extra| &extra.sessions)
    }

    /// Binds it to one more connection; `None` makes it a plain hold.
    #[inline]
    pub fn bind(&mut self, session: Option<u64>) {
        if session.is_none() && self.extra.is_none() {
            return;
        }
        match session {
            None => self.change_extra(|extra| extra.sessions.clear()),
            Some(session) => self.change_extra(|extra| {
                extra.sessions.retain(|&other| other != session);
                extra.sessions.push(session);
            }),
        }
    }

    /// Unbinds it from a closed connection. Returns whether it was the last that the hold was bound to.
    pub fn unbind(&mut self, session: u64) -> bool {
        let was_bound = self.sessions().contains(&session);
        if was_bound {
            self.change_extra(|extra| extra.sessions.retain(|&other| other != session));
        }
        was_bound && self.sessions().is_empty()
    }

    #[inline]
    fn set_meta(&mut self, meta: &[u8]) {
        if !meta.is_empty() || self.extra.is_some() {
            self.change_extra(|extra| extra.meta = meta.into());
        }
    }

    /// Changes the extra data, which is kept only if it is not empty.
    #[cold]
    fn change_extra(&mut self, change: impl FnOnce(&mut Extra)) {
        let mut extra = self.extra.take().unwrap_or_default();
        change(&mut extra);
        if !extra.meta.is_empty() || !extra.sessions.is_empty() {
            self.extra = Some(extra);
        }
    }

    /// Returns whether it has not expired.
    #[inline]
    pub fn is_live(&self, now: Micros) -> bool {
        now < self.deadline
    }

    /// Moves the deadline to the later of the old one and `deadline`, raises the token to at least `token`,
    /// and replaces META if one is given. It never shortens the hold or lowers the token.
    pub fn renew(&mut self, deadline: Micros, token: Option<u64>, meta: Option<&[u8]>) -> Renewal {
        let mut change = Renewal::default();
        self.undelivered = false;
        if deadline > self.deadline {
            self.deadline = deadline;
            change.deadline = true;
        }
        if let Some(token) = token.filter(|&token| token > self.token) {
            self.token = token;
            change.token = true;
        }
        if let Some(meta) = meta.filter(|&meta| meta != self.meta()) {
            self.set_meta(meta);
            change.meta = true;
        }
        change
    }

    /// Returns how many bytes it has allocated besides its own size.
    pub fn heap_size(&self) -> usize {
        let extra = self.extra.as_deref().map_or(0, |extra| {
            std::mem::size_of::<Extra>() + extra.meta.len() + extra.sessions.capacity() * size_of::<u64>()
        });
        self.owner.heap_size() + extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewing_never_shortens_lowers_or_reports_what_did_not_change() {
        let mut hold = Hold::new(b"o", Limit::EXCLUSIVE, 0, 10, 5).with_meta(b"m");
        assert_eq!(hold.renew(9_999, Some(5), Some(b"m")), Renewal::default());
        assert_eq!((hold.deadline, hold.token, hold.meta()), (10_000, 5, &b"m"[..]));
        let change = hold.renew(10_001, Some(6), Some(b""));
        assert_eq!(change, Renewal { deadline: true, token: true, meta: true });
        assert_eq!((hold.deadline, hold.token, hold.meta()), (10_001, 6, &b""[..]));
        assert!(!hold.renew(0, None, None).any());
    }

    #[test]
    fn gone_at_its_deadline() {
        let hold = Hold::new(b"o", Limit::EXCLUSIVE, 0, 1, 1);
        assert!(hold.is_live(999) && !hold.is_live(1000));
        assert!(!Hold::new(b"o", Limit::EXCLUSIVE, 7, 0, 1).is_live(7));
    }

    #[test]
    fn is_no_larger_than_meant() {
        assert_eq!(std::mem::size_of::<Hold>(), 80);
    }
}
