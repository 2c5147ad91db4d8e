//! States that differ only in how nodes, or attempts of one kind, are numbered count as one.

use crate::world::{Client, Stage, State};
use redis_lock_quorum::agreement::KeyStatus;
use std::hash::{Hash, Hasher};

/// Room for all about one node.
const COLUMN: usize = 64;

/// The checker knows a state by its hash alone.
impl<const N: usize, const A: usize> Hash for State<N, A> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut order = std::array::from_fn(|attempt| attempt);
        let mut least = self.numbered(&order);
        while next_order(&mut order) {
            if (0..A).all(|place| self.kinds[place] == self.kinds[order[place]]) {
                least = least.min(self.numbered(&order));
            }
        }
        least.hash(hasher);
        self.left.hash(hasher);
    }
}

impl<const N: usize, const A: usize> State<N, A> {
    /// Everything, with the attempts in this order and the nodes sorted.
    fn numbered(&self, order: &[usize; A]) -> ([[u8; COLUMN]; N], [[u8; 4]; A]) {
        let mut columns = std::array::from_fn(|node| self.column(node, order));
        columns.sort_unstable();
        (columns, order.map(|attempt| self.attempt_code(attempt)))
    }

    fn column(&self, node: usize, order: &[usize; A]) -> [u8; COLUMN] {
        let mut column = [0; COLUMN];
        let mut places = column.iter_mut();
        let mut write = |byte| *places.next().expect("a column has room for all") = byte;
        write(self.nodes[node].last);
        write(self.nodes[node].sits_out.into());
        for &attempt in order {
            write(self.nodes[node].holds[attempt]);
            let line = &self.lines[node][attempt];
            line.requests.codes().iter().chain(line.answers.codes()).for_each(|&code| write(code));
            if let Stage::Open(client) = &self.attempts[attempt].stage {
                client.standing_code(node).into_iter().for_each(&mut write);
            }
        }
        column
    }

    fn attempt_code(&self, attempt: usize) -> [u8; 4] {
        let floor = self.attempts[attempt].floor;
        match &self.attempts[attempt].stage {
            Stage::ToCome => [0, 0, 0, floor],
            Stage::Open(Client::Agreement(_)) => [1, 0, 0, floor],
            Stage::Open(Client::Naive(naive)) => [1, naive.chosen as u8, 0, floor],
            Stage::Agreed { token, raised } => [2, *token, (*raised).into(), floor],
            Stage::Failed => [3, 0, 0, floor],
        }
    }
}

impl<const N: usize> Client<N> {
    /// What the client knows of a node.
    fn standing_code(&self, node: usize) -> [u8; 4] {
        let code = |token: Option<u64>| token.map_or(0, |token| token as u8);
        match self {
            Client::Naive(naive) => [9, naive.tokens[node] as u8, 0, 0],
            Client::Agreement(agreement) => match agreement.nodes()[node] {
                KeyStatus::Asked { fenced } => [1, fenced.into(), 0, 0],
                KeyStatus::Holds { token, asked, refused } => [2, token as u8, code(asked), code(refused)],
                KeyStatus::Held => [3, 0, 0, 0],
                KeyStatus::Gone => [4, 0, 0, 0],
                KeyStatus::Failed => [5, 0, 0, 0],
            },
        }
    }
}

/// The next order in the dictionary's sense; false after the last.
fn next_order(order: &mut [usize]) -> bool {
    let Some(place) = order.windows(2).rposition(|pair| pair[0] < pair[1]) else {
        return false;
    };
    let Some(larger) = order.iter().rposition(|&item| item > order[place]) else {
        return false;
    };
    order.swap(place, larger);
    order[place + 1..].reverse();
    true
}
