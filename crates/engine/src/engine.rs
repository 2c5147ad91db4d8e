//! The engine: the state of a server besides its keys.

use redis_lock_core::time::{after_ms, ms_until, Micros};
use redis_lock_core::{Error, Lock, Tokens};

use crate::deadlines::Deadlines;
use crate::delivery::Delivery;
use crate::sessions::Sessions;
use crate::slot::Slot;
use crate::totals::Totals;
use crate::wait_queues::{QueueId, WaitQueues};

/// Interval at which deferred queues are retried, in microseconds: no event tells when the server again takes
/// writes that it has refused, or when the cooldown is over.
const RETRY: Micros = 50_000;

/// The inputs of every request.
pub struct Conditions<'a, C> {
    /// The current time, on a clock that nobody can set.
    pub now: Micros,
    /// For how long after a start or a promotion no lock is granted, in milliseconds.
    pub cooldown_ms: i64,
    /// Whether there may be replicas or an AOF that need the changes.
    pub propagate: bool,
    /// Returns whether the user of a blocked client may still acquire what it waits for.
    pub may_acquire: &'a dyn Fn(&C) -> bool,
}

/// One server. `S` is the place of a lock in the keyspace, `C` a blocked client.
pub struct Engine<S, C> {
    wall_at_zero: u64,
    tokens: Tokens,
    cooling_since: Micros,
    replica: bool,
    loading: bool,
    pub(crate) watches_clients: bool,
    retry_at: Option<Micros>,
    pub(crate) held: u64,
    pub(crate) totals: Totals,
    pub(crate) deadlines: Deadlines<S>,
    pub(crate) queues: WaitQueues<C>,
    pub(crate) sessions: Sessions,
    pub(crate) delivery: Delivery<C>,
    /// Clients that were closed while holds were bound to them.
    pub(crate) closed: Vec<u64>,
    /// Values that left their key in this cycle, and how long they had been held.
    pub(crate) departures: Vec<(S, u64)>,
}

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Returns a server that was just started, when the wall clock showed this many microseconds since 1970.
    /// Its own clock shows 0.
    pub fn new(wall_clock: u64, replica: bool) -> Self {
        Engine {
            wall_at_zero: wall_clock,
            tokens: Tokens::starting_at(wall_clock),
            cooling_since: 0,
            replica,
            loading: false,
            watches_clients: false,
            retry_at: None,
            held: 0,
            totals: Totals::default(),
            deadlines: Deadlines::default(),
            queues: WaitQueues::default(),
            sessions: Sessions::default(),
            delivery: Delivery::default(),
            closed: Vec::new(),
            departures: Vec::new(),
        }
    }

    /// Returns the token counter.
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// Takes a token that was granted here or has arrived. Later tokens are greater.
    #[inline]
    pub fn accept_token(&mut self, token: u64) {
        self.tokens.accept(token);
    }

    /// Returns whether a client may bring in this token.
    ///
    /// # Errors
    /// Returns [`Error::TokenTooFarAhead`] if it would spoil the counter.
    pub fn check_token(&self, token: u64, now: Micros) -> Result<(), Error> {
        self.tokens.check_fence(self.token_clock(now), token)
    }

    /// Returns the next token, for a request that wants at least `fence`.
    #[inline]
    pub(crate) fn next_token(&self, now: Micros, fence: Option<u64>) -> Result<u64, Error> {
        self.tokens.next(self.token_clock(now), fence)
    }

    /// Returns the clock that tokens follow: the wall clock at the start plus the time since then.
    #[inline]
    pub(crate) fn token_clock(&self, now: Micros) -> u64 {
        self.wall_at_zero.saturating_add_signed(now)
    }

    /// Takes a change of role. A new master's tokens are above those that the former one may have granted,
    /// and its cooldown begins. On a replica no hold ends with a connection.
    pub fn on_role(&mut self, is_master: bool, wall_clock: u64, now: Micros) {
        self.replica = !is_master;
        if is_master {
            self.tokens.restart(wall_clock);
            self.cooling_since = now;
        } else {
            self.closed.clear();
            if !std::mem::take(&mut self.sessions).is_empty() {
                self.deadlines.iter().for_each(|slot| slot.with_lock(Lock::end_sessions));
            }
        }
    }

    /// Takes the begin or end of loading a data set, whose commands are carried out, not decided.
    pub fn on_loading(&mut self, loading: bool) {
        self.loading = loading;
        if !loading {
            self.queues.mark_all_dirty(None);
        }
    }

    /// Returns whether this server is a replica.
    pub fn is_replica(&self) -> bool {
        self.replica
    }

    /// Returns whether others decide about holds, and this server only carries their decisions out.
    #[inline]
    pub fn is_passive(&self) -> bool {
        self.replica || self.loading
    }

    /// Returns the rest of the cooldown, in milliseconds.
    pub fn cooldown_left_ms(&self, cooldown_ms: i64, now: Micros) -> i64 {
        match cooldown_ms {
            0 => 0,
            ms => ms_until(after_ms(self.cooling_since, ms), now),
        }
    }

    #[inline]
    pub(crate) fn check_cooldown(&self, at: &Conditions<C>) -> Result<(), Error> {
        match self.cooldown_left_ms(at.cooldown_ms, at.now) {
            0 => Ok(()),
            left => Err(Error::Cooldown(left)),
        }
    }

    /// Returns how many holds there are.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Returns the totals since the start.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Returns the queues of all waiters.
    pub fn queues(&self) -> &WaitQueues<C> {
        &self.queues
    }

    /// Returns whether the engine must be told of closed clients.
    #[inline]
    pub fn watches_clients(&self) -> bool {
        self.watches_clients
    }

    /// Defers a queue that can't be served now.
    pub(crate) fn defer(&mut self, queue: QueueId, now: Micros) {
        self.queues.defer(queue);
        self.retry_at.get_or_insert(now + RETRY);
    }

    /// Marks all deferred queues to be served again, if it is time.
    pub(crate) fn retry_deferred(&mut self, now: Micros) {
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            self.queues.retry_deferred();
        }
    }

    /// Returns the next moment at which something expires by itself.
    #[inline]
    pub fn next_moment(&self) -> Option<Micros> {
        let hold = self.deadlines.first().map(|(deadline, _)| deadline).filter(|_| !self.is_passive());
        if self.queues.is_empty() {
            return hold;
        }
        [hold, self.next_time_out(), self.retry_at].into_iter().flatten().min()
    }

    /// Returns whether there is work for the time after the running command.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.queues.next_unserved().is_some() || !self.closed.is_empty() || !self.delivery.is_idle()
    }

    /// Ends a cycle of the event loop: locks that have left their keys are gone.
    #[inline]
    pub fn end_cycle(&mut self) {
        self.departures.clear();
        self.delivery.forget_moves();
    }
}
