//! Holds that end with a connection: the clients that they are bound to.

use std::collections::{BTreeMap, BTreeSet};

use redis_lock_core::{Bytes, Hold, Lock};

/// A hold: database and name of its key, and its owner.
pub(crate) type Bound = (i32, Bytes, Bytes);

/// The holds of each client that end with it. A lock that leaves its key leaves this index with all its
/// holds, and returns with them if it arrives at another key.
#[derive(Default)]
pub(crate) struct Sessions(BTreeMap<u64, BTreeSet<Bound>>);

impl Sessions {
    /// Returns whether no hold is bound to any client.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a hold is bound to this client.
    pub fn contains(&self, client: u64) -> bool {
        self.0.contains_key(&client)
    }

    /// Returns one of this client's holds.
    pub fn any_of(&self, client: u64) -> Option<&Bound> {
        self.0.get(&client)?.first()
    }

    /// Binds a hold to the clients that it names.
    pub fn remember(&mut self, (db, name): (i32, &[u8]), hold: &Hold) {
        for &client in hold.sessions() {
            self.0.entry(client).or_default().insert((db, name.into(), hold.owner().into()));
        }
    }

    /// Removes a hold that is gone, or will be bound to others.
    pub fn forget(&mut self, (db, name): (i32, &[u8]), hold: &Hold) {
        let bound = (db, name.into(), hold.owner().into());
        hold.sessions().iter().for_each(|&client| self.remove(client, &bound));
    }

    /// Unbinds a hold from this client.
    pub fn remove(&mut self, client: u64, bound: &Bound) {
        if let Some(holds) = self.0.get_mut(&client) {
            holds.remove(bound);
            if holds.is_empty() {
                self.0.remove(&client);
            }
        }
    }

    /// Binds all holds of a lock that has arrived at a key.
    pub fn remember_all(&mut self, place: (i32, &[u8]), lock: &Lock) {
        lock.holds().filter(|hold| !hold.sessions().is_empty()).for_each(|hold| self.remember(place, hold));
    }

    /// Removes all holds of a lock that leaves its key.
    pub fn forget_all(&mut self, place: (i32, &[u8]), lock: &Lock) {
        if !self.is_empty() {
            lock.holds().filter(|hold| !hold.sessions().is_empty()).for_each(|hold| self.forget(place, hold));
        }
    }

    /// Takes a swap of the numbers of two databases.
    pub fn swap(&mut self, first: i32, second: i32) {
        let swapped = |db| match db {
            db if db == first => second,
            db if db == second => first,
            db => db,
        };
        for holds in self.0.values_mut() {
            *holds = std::mem::take(holds)
                .into_iter()
                .map(|(db, name, owner)| (swapped(db), name, owner))
                .collect();
        }
    }
}
