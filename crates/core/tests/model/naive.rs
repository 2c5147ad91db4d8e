//! Locks as the command reference words them, in plain lists: slow, and short enough to compare
//! with it sentence by sentence. It shares nothing with the crate.

/// One minute, in microseconds.
const MINUTE: u64 = 60_000_000;

/// A hold; a shared one has no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NaiveHold {
    pub owner: Vec<u8>,
    pub limit: Option<u64>,
    pub deadline: i64,
    pub since: i64,
    pub token: u64,
    pub meta: Vec<u8>,
}

/// The holds of one key, the one that has held longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NaiveLock(pub Vec<NaiveHold>);

/// What somebody asks for; times in milliseconds.
#[derive(Clone, Debug)]
pub struct Request {
    pub keys: Vec<usize>,
    pub owner: Vec<u8>,
    pub limit: Option<u64>,
    pub ttl_ms: i64,
    pub fence: Option<u64>,
    pub meta: Option<Vec<u8>>,
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Token(u64),
    One,
    No,
    OtherLimit,
    TooFarAhead,
}

impl NaiveLock {
    pub fn of(&self, owner: &[u8]) -> Option<&NaiveHold> {
        self.0.iter().find(|hold| hold.owner == owner)
    }

    fn of_mut(&mut self, owner: &[u8]) -> Option<&mut NaiveHold> {
        self.0.iter_mut().find(|hold| hold.owner == owner)
    }

    /// "A request is granted if the lock would then have no more holders than the smallest limit
    /// among its holders and the request."
    pub fn admits(&self, limit: Option<u64>) -> bool {
        let holders = self.0.len() as u64 + 1;
        self.0.iter().map(|hold| hold.limit).chain([limit]).flatten().all(|limit| holders <= limit)
    }

    /// "A hold past its deadline is gone."
    pub fn drop_expired(&mut self, now: i64) {
        self.0.retain(|hold| now < hold.deadline);
    }

    pub fn live(&self, now: i64) -> Vec<NaiveHold> {
        self.0.iter().filter(|hold| now < hold.deadline).cloned().collect()
    }

    /// In place of the same owner's hold, else as the youngest.
    pub fn put(&mut self, hold: NaiveHold) {
        match self.of_mut(&hold.owner) {
            Some(old) => *old = hold,
            None => self.0.push(hold),
        }
    }

    pub fn remove(&mut self, owner: &[u8]) -> bool {
        let before = self.0.len();
        self.0.retain(|hold| hold.owner != owner);
        self.0.len() < before
    }
}

/// All locks of a server, and its last token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NaiveServer {
    pub locks: Vec<NaiveLock>,
    pub last: u64,
}

impl NaiveServer {
    /// `last` "is at least wall clock + 1 minute at every start".
    pub fn start(keys: usize, wall_clock: u64) -> Self {
        NaiveServer { locks: vec![NaiveLock::default(); keys], last: wall_clock + MINUTE }
    }

    /// The same at a promotion.
    pub fn promote(&mut self, wall_clock: u64) {
        self.last = self.last.max(wall_clock + MINUTE);
    }

    /// ACQUIRE is MACQUIRE of one key.
    pub fn acquire(&mut self, request: &Request, now: i64, clock: u64) -> Outcome {
        self.drop_expired(&request.keys, now);
        if self.too_far_ahead(request.fence, clock) {
            return Outcome::TooFarAhead;
        }
        let locks = || request.keys.iter().map(|&key| &self.locks[key]);
        let own = |lock: &NaiveLock| lock.of(&request.owner).cloned();
        // "With another limit than the hold's" is an error, and errors come before a nil.
        if locks().filter_map(own).any(|hold| hold.limit != request.limit) {
            return Outcome::OtherLimit;
        }
        if locks().any(|lock| own(lock).is_none() && !lock.admits(request.limit)) {
            return Outcome::No;
        }
        let mut tokens: Vec<Option<u64>> = locks().map(|lock| own(lock).map(|hold| hold.token)).collect();
        tokens.dedup();
        let token = match tokens[..] {
            // "Where this owner holds all of them under one token: that token", raised by FENCE.
            [Some(token)] => token.max(request.fence.unwrap_or(0)),
            _ => (self.last + 1).max(request.fence.unwrap_or(clock)),
        };
        self.last = self.last.max(token);
        for &key in &request.keys {
            self.locks[key].grant(request, now, token);
        }
        Outcome::Token(token)
    }

    /// EXTEND is MEXTEND of one key.
    pub fn extend(&mut self, request: &Request, now: i64, clock: u64) -> Outcome {
        self.drop_expired(&request.keys, now);
        if self.too_far_ahead(request.fence, clock) {
            return Outcome::TooFarAhead;
        }
        let own: Option<Vec<u64>> = request
            .keys
            .iter()
            .map(|&key| self.locks[key].of(&request.owner).map(|hold| hold.token))
            .collect();
        let Some(own) = own else { return Outcome::No };
        // "The highest of p and their own tokens"; without FENCE tokens stay.
        let token = request.fence.map(|fence| own.into_iter().fold(fence, u64::max));
        for &key in &request.keys {
            if let Some(hold) = self.locks[key].of_mut(&request.owner) {
                hold.deadline = hold.deadline.max(now + request.ttl_ms * 1000);
                hold.token = token.unwrap_or(hold.token);
            }
        }
        self.last = self.last.max(token.unwrap_or(0));
        token.map_or(Outcome::One, Outcome::Token)
    }

    pub fn release(&mut self, key: usize, owner: &[u8], now: i64) -> bool {
        self.drop_expired(&[key], now);
        self.locks[key].remove(owner)
    }

    fn drop_expired(&mut self, keys: &[usize], now: i64) {
        for &key in keys {
            self.locks[key].drop_expired(now);
        }
    }

    /// "A p above both `last + 1` and clock + 1 minute is refused."
    fn too_far_ahead(&self, fence: Option<u64>, clock: u64) -> bool {
        fence.is_some_and(|fence| fence > self.last + 1 && fence > clock + MINUTE)
    }
}

impl NaiveLock {
    /// A new hold; or the owner's own again: "deadline = the later of the old one and now + ttl,
    /// META replaced where given", its token only rising.
    fn grant(&mut self, request: &Request, now: i64, token: u64) {
        let deadline = now + request.ttl_ms * 1000;
        match self.of_mut(&request.owner) {
            Some(hold) => {
                hold.deadline = hold.deadline.max(deadline);
                hold.token = hold.token.max(token);
                hold.meta = request.meta.clone().unwrap_or_else(|| hold.meta.clone());
            }
            None => self.0.push(NaiveHold {
                owner: request.owner.clone(),
                limit: request.limit,
                deadline,
                since: now,
                token,
                meta: request.meta.clone().unwrap_or_default(),
            }),
        }
    }
}
