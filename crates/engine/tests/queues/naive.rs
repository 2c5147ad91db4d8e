//! Queues as plain lists, and cycles by looking at every edge.

use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub struct Request {
    pub number: u64,
    pub owner: u8,
    pub limit: u8,
    pub until: Option<i64>,
}

pub enum Answer {
    Granted,
    Waits,
    /// In how many locks: what each cycle comes to.
    Cycle(BTreeSet<usize>),
}

pub struct Naive {
    pub holders: Vec<Vec<(u8, u8)>>,
    pub queues: Vec<Vec<Request>>,
    pub now: i64,
    pub granted: Vec<Vec<u64>>,
    pub left: Vec<u64>,
}

fn tolerates(limit: u8, holders: usize) -> bool {
    limit == 0 || holders <= usize::from(limit)
}

impl Naive {
    pub fn new(keys: usize) -> Self {
        Naive {
            holders: vec![Vec::new(); keys],
            queues: vec![Vec::new(); keys],
            now: 0,
            granted: vec![Vec::new(); keys],
            left: Vec::new(),
        }
    }

    fn admits(&self, key: usize, limit: u8) -> bool {
        let count = self.holders[key].len() + 1;
        let limits = self.holders[key].iter().map(|(_, limit)| *limit).chain([limit]);
        limits.into_iter().all(|limit| tolerates(limit, count))
    }

    fn holds(&self, key: usize, owner: u8) -> bool {
        self.holders[key].iter().any(|(holder, _)| *holder == owner)
    }

    pub fn ask(&mut self, key: usize, request: Request) -> Answer {
        if self.holds(key, request.owner) {
            return Answer::Granted;
        }
        if self.queues[key].is_empty() && self.admits(key, request.limit) {
            self.holders[key].push((request.owner, request.limit));
            return Answer::Granted;
        }
        let owner = request.owner;
        let retried = self.queues[key].iter().any(|other| other.owner == owner);
        self.queues[key].push(request);
        let cycles = if retried { BTreeSet::new() } else { self.cycles(owner, key) };
        if cycles.is_empty() {
            return Answer::Waits;
        }
        self.queues[key].pop();
        Answer::Cycle(cycles)
    }

    /// For whom an owner waits, and at which key. Of anyone's requests for one key the first counts.
    fn edges(&self, owner: u8) -> Vec<(u8, usize)> {
        let mut edges = Vec::new();
        for (key, queue) in self.queues.iter().enumerate() {
            let Some(at) = queue.iter().position(|request| request.owner == owner) else { continue };
            let is_first = |i: &usize| queue[..*i].iter().all(|other| other.owner != queue[*i].owner);
            let ahead = (0..at).filter(is_first).map(|i| (queue[i].owner, queue[i].limit));
            let others = self.holders[key].iter().copied().chain(ahead);
            let counts = |other: &(u8, u8)| other.0 != owner && (queue[at].limit == 1 || other.1 == 1);
            edges.extend(others.filter(counts).map(|(other, _)| (other, key)));
        }
        edges
    }

    /// The cycles that begin with `asker` waiting for `key`: of how many keys they are.
    fn cycles(&self, asker: u8, key: usize) -> BTreeSet<usize> {
        let first = self.edges(asker).into_iter().filter(|(_, at)| *at == key);
        let mut ways: Vec<Vec<(u8, usize)>> = first.map(|edge| vec![edge]).collect();
        let mut counts = BTreeSet::new();
        while let Some(way) = ways.pop() {
            if way.last().is_some_and(|(owner, _)| *owner == asker) {
                counts.insert(way.iter().map(|(_, key)| key).collect::<BTreeSet<_>>().len());
            } else {
                ways.extend(self.longer(&way));
            }
        }
        counts
    }

    fn longer(&self, way: &[(u8, usize)]) -> Vec<Vec<(u8, usize)>> {
        let Some(&(last, _)) = way.last() else { return Vec::new() };
        let fresh = |edge: &(u8, usize)| way.iter().all(|(owner, _)| *owner != edge.0);
        self.edges(last).into_iter().filter(fresh).map(|edge| [way, &[edge]].concat()).collect()
    }

    pub fn release(&mut self, key: usize, owner: u8) {
        self.holders[key].retain(|(holder, _)| *holder != owner);
        let left = self.queues[key].iter().filter(|request| request.owner == owner);
        self.left.extend(left.map(|request| request.number));
        self.queues[key].retain(|request| request.owner != owner);
        self.serve_one(key);
    }

    pub fn leave(&mut self, number: u64) -> bool {
        let before = self.queues.iter().map(Vec::len).sum::<usize>();
        self.queues.iter_mut().for_each(|queue| queue.retain(|request| request.number != number));
        self.queues.iter().map(Vec::len).sum::<usize>() < before
    }

    pub fn wait(&mut self, time: i64) {
        self.now += time;
        let now = self.now;
        for queue in &mut self.queues {
            let late = |request: &Request| request.until.is_some_and(|until| until <= now);
            self.left.extend(queue.iter().filter(|request| late(request)).map(|request| request.number));
            queue.retain(|request| !late(request));
        }
    }

    /// Who holds a lock that has come to the key it waits for, is answered wherever it stands.
    pub fn answer_holders(&mut self) {
        for key in 0..self.queues.len() {
            while let Some(at) = self.queues[key].iter().position(|request| self.holds(key, request.owner)) {
                let owner = self.queues[key][at].owner;
                self.grant(key, owner);
            }
            self.serve_one(key);
        }
    }

    pub fn serve(&mut self) {
        (0..self.queues.len()).for_each(|key| self.serve_one(key));
    }

    fn serve_one(&mut self, key: usize) {
        while let Some(first) = self.queues[key].first() {
            let (owner, limit) = (first.owner, first.limit);
            if !self.admits(key, limit) {
                break;
            }
            self.holders[key].push((owner, limit));
            self.grant(key, owner);
        }
    }

    fn grant(&mut self, key: usize, owner: u8) {
        let own = self.queues[key].iter().filter(|request| request.owner == owner);
        self.granted[key].extend(own.map(|request| request.number));
        self.queues[key].retain(|request| request.owner != owner);
    }
}
