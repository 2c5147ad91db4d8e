//! Locks that come and go other than by LOCK commands: DEL, RENAME, MOVE, SWAPDB, FLUSH, RESTORE, a loaded
//! data set. Deadlines, sessions, queues and totals follow.

use redis_lock_core::time::{ms_since, Micros};
use redis_lock_core::{Lock, TOKEN_END};

use crate::engine::Engine;
use crate::slot::Slot;
use crate::totals::add;

/// The origin of a lock that arrives at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// RESTORE or a data set: its tokens are new here.
    Outside,
    /// RENAME or MOVE: it just left another key.
    OtherKey,
}

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Takes a lock that has arrived at the key of its slot. Its deadline counts from now on.
    pub fn on_added(&mut self, slot: S, from: Origin) {
        let (db, name) = slot.home();
        let place = (db, name.as_slice());
        slot.with_lock(|lock| {
            self.on_stored(slot, lock);
            self.held += lock.len() as u64;
            self.sessions.remember_all(place, lock);
            match from {
                Origin::Outside => lock.holds().for_each(|hold| self.accept_token(hold.token)),
                // It was counted as removed when it left the other key.
                Origin::OtherKey => {
                    self.take_back_departure(slot, lock);
                    self.delivery.note_move(db, name.as_slice());
                }
            }
        });
        self.queues.mark_dirty(db, name.as_slice());
    }

    /// Takes a lock that leaves its key, or is freed after it left unnoticed. A lock that the engine removed
    /// is empty by then, so remaining holds were removed by others. Returns whether there are any: they may
    /// arrive at another key.
    pub fn on_removed(&mut self, slot: S, now: Micros) -> bool {
        self.deadlines.remove(slot.place());
        if slot.with_lock(|lock| lock.is_empty()) {
            return false;
        }
        let (db, name) = slot.home();
        let held_ms = self.count_removed(slot, now);
        if !self.is_passive() {
            self.departures.push((slot, held_ms));
        }
        self.queues.mark_dirty(db, name.as_slice());
        true
    }

    /// Takes a lock that left its key unnoticed, and was not freed. It stays among the deadlines until nobody
    /// looks at it any longer, because the code that frees it, perhaps on another thread, relies on that.
    pub(crate) fn on_vanished(&mut self, slot: S, now: Micros) {
        self.count_removed(slot, now);
        slot.with_lock(std::mem::take);
        self.deadlines.remove(slot.place());
    }

    /// Takes the flush of a database, or of all.
    pub fn on_flushed(&mut self, db: Option<i32>, now: Micros) {
        let mut deadlines = std::mem::take(&mut self.deadlines);
        deadlines.retain(|slot| {
            let goes = db.is_none_or(|db| slot.db() == db);
            if goes {
                self.count_removed(*slot, now);
            }
            !goes
        });
        self.deadlines = deadlines;
        self.queues.mark_all_dirty(db);
    }

    /// Takes a swap of the numbers of two databases.
    pub fn on_swapped(&mut self, first: i32, second: i32) {
        for slot in self.deadlines.iter() {
            if slot.db() == first {
                slot.set_db(second);
            } else if slot.db() == second {
                slot.set_db(first);
            } else {
                continue;
            }
            if self.delivery.is_pending() && slot.with_lock(|lock| lock.holds().any(|hold| hold.undelivered))
            {
                let (db, name) = slot.home();
                self.delivery.note_move(db, name.as_slice());
            }
        }
        self.sessions.swap(first, second);
        [first, second].into_iter().for_each(|db| self.queues.mark_all_dirty(Some(db)));
    }

    /// Returns the highest token of an arriving lock, if it would spoil this server's counter. The data set
    /// or the master of a server may bring in any token, since the counter came with it.
    pub fn excessive_token(&self, lock: &Lock, now: Micros) -> Option<u64> {
        let highest = lock.holds().map(|hold| hold.token).max().filter(|_| !self.is_passive())?;
        (highest >= TOKEN_END || self.check_token(highest, now).is_err()).then_some(highest)
    }

    /// Counts holds that are gone or moved. Returns how long they had been held, in milliseconds.
    fn count_removed(&mut self, slot: S, now: Micros) -> u64 {
        let (db, name) = slot.home();
        slot.with_lock(|lock| {
            self.sessions.forget_all((db, name.as_slice()), lock);
            self.held = self.held.saturating_sub(lock.len() as u64);
            if self.is_passive() {
                return 0;
            }
            // Wrapping, like the total: a forged time held may have any value.
            let held_ms =
                lock.holds().fold(0u64, |sum, hold| sum.wrapping_add(ms_since(hold.since, now) as u64));
            add(&mut self.totals.removed, lock.len() as u64);
            add(&mut self.totals.hold_ms_sum, held_ms);
            held_ms
        })
    }

    /// Reverts the count of a removed lock that turns out to be renamed or moved.
    fn take_back_departure(&mut self, slot: S, lock: &Lock) {
        // The latest one: the same slot may have been that of another lock before.
        if let Some(at) = self.departures.iter().rposition(|(departed, _)| *departed == slot) {
            let (_, held_ms) = self.departures.remove(at);
            self.totals.removed = self.totals.removed.saturating_sub(lock.len() as u64);
            self.totals.hold_ms_sum = self.totals.hold_ms_sum.saturating_sub(held_ms);
        }
    }
}
