//! The deadlock search: whether a request would wait for itself.
//!
//! A node of the wait-for graph is an owner. A waiting owner waits for the owner of each hold, and of each
//! request ahead of it in the queue, on that key, if one of the two has limit 1. If both tolerate others, one
//! may leave before the other, so there is no edge and no false alarm. Nobody waits for itself. Of an owner's
//! requests in one queue only the first counts, as the others are answered with it.
//!
//! The search starts at the request that has just joined, breadth first. It looks at each hold at most twice
//! (once for requests with limit 1, once for others), and of the requests ahead only at those whose owner
//! also waits in another queue, since the others lead nowhere else. A request that tolerates others waits for
//! the last one ahead of it that does not, and through that for all before.
//!
//! It calls nothing: it returns whose holds it needs ([`Step::Holds`]), and is fed with them. Changes of
//! other keys meanwhile can make it miss a cycle that is being closed, or find one that has just opened, as
//! if the request had come a moment earlier.

use std::collections::{HashMap, HashSet, VecDeque};

use redis_lock_core::time::Micros;
use redis_lock_core::{Bytes, Limit, Lock};

use crate::wait_queue::Seq;
use crate::wait_queues::{Database, QueueId, Ticket, WaitQueues};

/// How much of a queue has already been followed.
#[derive(Clone, Copy, Default)]
struct Followed {
    /// Requests below this were followed, and all holds if it is not 0.
    requests: Seq,
    /// Whether holds with limit 1 were followed.
    exclusive_holds: bool,
}

/// A request that is being followed: the holds of its key are needed.
struct Following {
    owner: Bytes,
    ticket: Ticket,
    /// Whether all holds count, or only those with limit 1.
    all_holds: bool,
    /// The requests ahead of it that were not followed before.
    ahead: std::ops::Range<Seq>,
}

/// A search in progress.
pub struct Search {
    db: i32,
    asker: Bytes,
    followed: HashMap<QueueId, Followed>,
    /// The owners that were reached, from whom, and in which queue.
    reached: HashMap<Bytes, (Bytes, QueueId)>,
    next: VecDeque<Bytes>,
    requests: Vec<(Bytes, Ticket)>,
    following: Option<Following>,
    closing: Option<(Bytes, QueueId)>,
}

/// The next step of a search.
pub enum Step {
    /// The search needs the lock of this key in its database: see [`Search::feed`].
    Holds(Bytes),
    /// The search is over, with the number of different locks in the cycle if there is one.
    Done(Option<usize>),
}

impl<T> WaitQueues<T> {
    /// Begins a search for the cycle that this new request closes. Returns `None` if it can't close one.
    pub fn search(&self, ticket: Ticket) -> Option<Search> {
        let queue = self.queues.get(&ticket.queue)?;
        let asker = queue.get(ticket.seq)?.owner.clone();
        let database = self.databases.get(&queue.db)?;
        // A cycle has at least two queues.
        if database.queues.len() < 2 || requests(database, &asker).all(|first| first != ticket) {
            return None;
        }
        Some(Search {
            db: queue.db,
            requests: vec![(asker.clone(), ticket)],
            asker,
            followed: HashMap::new(),
            reached: HashMap::new(),
            next: VecDeque::new(),
            following: None,
            closing: None,
        })
    }
}

impl Search {
    /// Continues until a lock is needed, or the search is over.
    pub fn step<T>(&mut self, queues: &WaitQueues<T>) -> Step {
        loop {
            if let Some((last, closing)) = &self.closing {
                return Step::Done(Some(self.count(last, *closing)));
            }
            if let Some(request) = self.requests.pop() {
                if let Some(name) = self.follow(queues, request) {
                    return Step::Holds(name);
                }
            } else {
                let Some(owner) = self.next.pop_front() else { return Step::Done(None) };
                let database = queues.databases.get(&self.db);
                self.requests = database
                    .into_iter()
                    .flat_map(|database| requests(database, &owner))
                    .map(|ticket| (owner.clone(), ticket))
                    .collect();
                self.requests.reverse();
            }
        }
    }

    /// Follows what one request waits for. Returns the name of its key if its holds are needed.
    fn follow<T>(&mut self, queues: &WaitQueues<T>, (owner, ticket): (Bytes, Ticket)) -> Option<Bytes> {
        let queue = queues.queues.get(&ticket.queue)?;
        let exclusive = queue.get(ticket.seq)?.limit == Limit::EXCLUSIVE;
        let last_exclusive = || queue.exclusive.range(..ticket.seq).next_back();
        let up_to = if exclusive { ticket.seq } else { last_exclusive().map_or(0, |&seq| seq + 1) };
        let followed = self.followed.entry(ticket.queue).or_default();
        let from = followed.requests;
        // No request has number 0.
        let all_holds = up_to > 0 && from == 0;
        let some_holds = from == 0 && !std::mem::replace(&mut followed.exclusive_holds, true);
        followed.requests = from.max(up_to);
        let following = Following { owner, ticket, all_holds, ahead: from.min(up_to)..up_to };
        if all_holds || some_holds {
            self.following = Some(following);
            return Some(queue.name.clone());
        }
        self.follow_requests(queues, &following);
        None
    }

    /// Takes the lock that [`Step::Holds`] asked for, or `None` if the key has no lock.
    pub fn feed<T>(&mut self, queues: &WaitQueues<T>, lock: Option<&Lock>, now: Micros) {
        let Some(following) = self.following.take() else { return };
        for hold in lock.into_iter().flat_map(|lock| lock.live(now)) {
            if following.all_holds || hold.limit() == Limit::EXCLUSIVE {
                self.reach(queues, hold.owner(), &following);
            }
        }
        self.follow_requests(queues, &following);
    }

    fn follow_requests<T>(&mut self, queues: &WaitQueues<T>, following: &Following) {
        let Some(queue) = queues.queues.get(&following.ticket.queue) else { return };
        for other in queue.crossing.range(following.ahead.clone()).filter_map(|&seq| queue.get(seq)) {
            self.reach(queues, other.owner.as_slice(), following);
        }
    }

    /// Adds the edge from a request to this owner.
    fn reach<T>(&mut self, queues: &WaitQueues<T>, owner: &[u8], from: &Following) {
        if owner == from.owner.as_slice() {
            return;
        }
        if owner == self.asker.as_slice() {
            self.closing.get_or_insert((from.owner.clone(), from.ticket.queue));
            return;
        }
        let waits =
            || queues.databases.get(&self.db).is_some_and(|database| database.tickets(owner).is_some());
        if !self.reached.contains_key(owner) && waits() {
            self.next.push_back(owner.into());
            self.reached.insert(owner.into(), (from.owner.clone(), from.ticket.queue));
        }
    }

    /// Returns how many different queues the path from the asker to `last` and back goes through.
    fn count(&self, last: &Bytes, closing: QueueId) -> usize {
        let mut queues = HashSet::from([closing]);
        let mut owner = last;
        while let Some((from, queue)) = self.reached.get(owner) {
            queues.insert(*queue);
            owner = from;
        }
        queues.len()
    }
}

/// Returns the first request of an owner in each queue. Its later ones there wait for nothing else: they are
/// answered with the first.
fn requests<'a>(database: &'a Database, owner: &Bytes) -> impl Iterator<Item = Ticket> + 'a {
    let mut last = None;
    let tickets = database.tickets(owner.as_slice()).into_iter().flatten();
    tickets.copied().filter(move |ticket| last.replace(ticket.queue) != Some(ticket.queue))
}
