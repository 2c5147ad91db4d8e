//! The circle search: would waiting mean to wait for oneself?
//!
//! A node of the wait-for graph is an owner. One with a waiting request waits for the owner of
//! each hold, and of each request ahead in line, on that key, where one of the two has limit 1.
//! Where both tolerate others, one may leave before the other: no edge, so that no alarm is false.
//! Nor does anyone wait for itself. Of an owner's requests in one line only the first counts: the
//! others are answered with it.
//!
//! The search goes from the request that has just joined, breadth first. It looks at each hold twice
//! at most (once for requests with limit 1, once for the others), and of the requests ahead only at
//! those whose owner waits in another line too: the others lead nowhere that the line does not. A
//! request that tolerates others waits for the last one ahead of it that does not, and over that
//! for all before.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::wait_queue::Seq;
use crate::wait_queues::{Database, QueueId, Ticket, WaitQueues};
use crate::{Bytes, Limit};

/// How much of a line has been followed already.
#[derive(Clone, Copy, Default)]
struct Followed {
    /// Requests below this, and all holds where it is not 0.
    requests: Seq,
    /// Holds with limit 1.
    exclusive_holds: bool,
}

struct Search<'a, T, H> {
    lines: &'a WaitQueues<T>,
    database: &'a Database,
    holds: H,
    asker: &'a [u8],
    followed: HashMap<QueueId, Followed>,
    /// Who was reached, from whom, and in which line.
    reached: HashMap<Bytes, (Bytes, QueueId)>,
    next: VecDeque<Bytes>,
}

/// Tells the holds of a key, by its name, in the database of the search.
pub trait Holds: FnMut(&[u8], &mut dyn FnMut(&[u8], Limit)) {}
impl<F: FnMut(&[u8], &mut dyn FnMut(&[u8], Limit))> Holds for F {}

impl<T> WaitQueues<T> {
    /// Whether the request that has just joined its line waits for itself, over others: then in how
    /// many different lines. `holds` tells owner and limit of every hold of a key of its database.
    pub fn cycle(&self, ticket: Ticket, holds: impl Holds) -> Option<usize> {
        let line = self.lines.get(&ticket.line)?;
        let asker = &line.get(ticket.seq)?.owner;
        let mut search = Search {
            lines: self,
            database: self.databases.get(&line.db)?,
            holds,
            asker: asker.as_slice(),
            followed: HashMap::new(),
            reached: HashMap::new(),
            next: VecDeque::new(),
        };
        if search.requests(asker).all(|first| first != ticket) {
            return None;
        }
        if let Some(closing) = search.follow(asker, ticket) {
            return Some(search.count(asker, closing));
        }
        while let Some(owner) = search.next.pop_front() {
            for ticket in search.requests(&owner) {
                if let Some(closing) = search.follow(&owner, ticket) {
                    return Some(search.count(&owner, closing));
                }
            }
        }
        None
    }
}

impl<'a, T, H: Holds> Search<'a, T, H> {
    /// The first request of an owner in each line: its later ones there wait for no more than that,
    /// since they are answered with it.
    fn requests(&self, owner: &Bytes) -> impl Iterator<Item = Ticket> + 'a {
        let mut last = None;
        let tickets = self.database.tickets(owner.as_slice()).into_iter().flatten();
        tickets.copied().filter(move |ticket| last.replace(ticket.line()) != Some(ticket.line()))
    }

    /// Follows what one request waits for. The line in which that is the asker itself, if so.
    fn follow(&mut self, owner: &Bytes, ticket: Ticket) -> Option<QueueId> {
        let line = self.lines.lines.get(&ticket.line)?;
        let exclusive = line.get(ticket.seq)?.limit == Limit::EXCLUSIVE;
        let last_exclusive = || line.exclusive.range(..ticket.seq).next_back();
        let up_to = if exclusive { ticket.seq } else { last_exclusive().map_or(0, |&seq| seq + 1) };
        let followed = self.followed.entry(ticket.line).or_default();
        let from = followed.requests;
        // No request has number 0.
        let all_holds = up_to > 0 && from == 0;
        let some_holds = from == 0 && !std::mem::replace(&mut followed.exclusive_holds, true);
        followed.requests = from.max(up_to);

        let mut found: Vec<Bytes> = Vec::new();
        let mut closed = false;
        if all_holds || some_holds {
            let (asker, database) = (self.asker, self.database);
            (self.holds)(line.name.as_slice(), &mut |holder, limit| {
                if (all_holds || limit == Limit::EXCLUSIVE) && holder != owner.as_slice() {
                    closed |= holder == asker;
                    if database.tickets(holder).is_some() {
                        found.push(holder.into());
                    }
                }
            });
        }
        for other in line.crossing.range(from.min(up_to)..up_to).filter_map(|&seq| line.get(seq)) {
            if other.owner != *owner {
                closed |= other.owner.as_slice() == self.asker;
                found.push(other.owner.clone());
            }
        }
        found.into_iter().for_each(|other| self.reach(other, owner, ticket.line));
        closed.then_some(ticket.line)
    }

    fn reach(&mut self, owner: Bytes, from: &Bytes, line: QueueId) {
        if owner.as_slice() != self.asker && !self.reached.contains_key(owner.as_slice()) {
            self.next.push_back(owner.clone());
            self.reached.insert(owner, (from.clone(), line));
        }
    }

    /// How many different lines the way from the asker to `last`, and from there back, goes through.
    fn count(&self, last: &Bytes, closing: QueueId) -> usize {
        let mut lines = HashSet::from([closing]);
        let mut owner = last;
        while let Some((from, line)) = self.reached.get(owner) {
            lines.insert(*line);
            owner = from;
        }
        lines.len()
    }
}
