//! One owner's hold of one lock.

use crate::plan::Grant;
use crate::time::{after_ms, Micros};
use crate::{Bytes, Limit};

/// A hold: who, until when, with how many others, under which fencing token.
#[derive(Clone, Debug)]
pub struct Hold {
    owner: Bytes,
    /// From this moment on the hold is gone.
    pub deadline: Micros,
    /// When it was granted.
    pub since: Micros,
    /// The number that a protected resource compares.
    pub token: u64,
    // Behind a pointer: rare, and holds are many.
    #[allow(clippy::box_collection)]
    meta: Option<Box<Vec<u8>>>,
    limit: Limit,
}

/// What a renewal changed: only real changes are told, replicated and watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// The deadline is later now.
    pub deadline: bool,
    /// The token is higher now.
    pub token: bool,
    /// META is another text now.
    pub meta: bool,
}

impl Renewal {
    /// Whether anything is different.
    pub fn any(self) -> bool {
        self.deadline || self.token || self.meta
    }
}

impl Hold {
    /// A hold granted at `since`, ending `ttl_ms` milliseconds later.
    #[inline]
    pub fn new(owner: &[u8], limit: Limit, since: Micros, ttl_ms: i64, token: u64) -> Self {
        Hold { owner: owner.into(), deadline: after_ms(since, ttl_ms), since, token, meta: None, limit }
    }

    /// A hold to be filled in place: it is written once, where it stays.
    #[inline]
    pub(crate) fn blank() -> Self {
        Hold { owner: Bytes::EMPTY, deadline: 0, since: 0, token: 0, meta: None, limit: Limit::EXCLUSIVE }
    }

    /// Becomes what these terms say.
    #[inline]
    pub(crate) fn fill(&mut self, grant: &Grant) {
        self.owner.set(grant.owner);
        self.deadline = after_ms(grant.now, grant.ttl_ms);
        self.since = grant.now;
        self.token = grant.token;
        self.limit = grant.limit;
        self.meta = grant.meta.filter(|meta| !meta.is_empty()).map(|meta| Box::new(meta.to_vec()));
    }

    /// The same hold with another META text; empty is the same as none.
    #[must_use]
    pub fn with_meta(mut self, meta: &[u8]) -> Self {
        self.meta = if meta.is_empty() { None } else { Some(Box::new(meta.to_vec())) };
        self
    }

    /// Who holds.
    #[inline]
    pub fn owner(&self) -> &[u8] {
        self.owner.as_slice()
    }

    /// Who held it, when the rest is of no use any more.
    #[inline]
    pub fn into_owner(self) -> Bytes {
        self.owner
    }

    pub(crate) fn owner_bytes(&self) -> &Bytes {
        &self.owner
    }

    /// How many holders it tolerates; never changes.
    #[inline]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// The text kept with it; empty where none was given.
    #[inline]
    pub fn meta(&self) -> &[u8] {
        self.meta.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Whether its deadline is yet to come.
    #[inline]
    pub fn is_live(&self, now: Micros) -> bool {
        now < self.deadline
    }

    /// Moves the deadline to the later of the old one and `deadline`, raises the token to at least
    /// `token`, replaces META where one is given. Nothing of it can shorten or lower.
    pub fn renew(&mut self, deadline: Micros, token: Option<u64>, meta: Option<&[u8]>) -> Renewal {
        let mut change = Renewal::default();
        if deadline > self.deadline {
            self.deadline = deadline;
            change.deadline = true;
        }
        if let Some(token) = token.filter(|&token| token > self.token) {
            self.token = token;
            change.token = true;
        }
        if let Some(meta) = meta.filter(|&meta| meta != self.meta()) {
            self.meta = if meta.is_empty() { None } else { Some(Box::new(meta.to_vec())) };
            change.meta = true;
        }
        change
    }

    /// Bytes allocated besides its own size.
    pub fn heap_size(&self) -> usize {
        let meta = self.meta.as_deref().map_or(0, |meta| std::mem::size_of::<Vec<u8>>() + meta.capacity());
        self.owner.heap_size() + meta
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
