//! In which order those who want a lock over several nodes get it: one node, the *line's node*, keeps it.
//!
//! Beside the resource there is the *line's lock*, an ordinary lock named `<resource>#line` on that node alone. Who has the
//! resource has the line's lock too; who waits, waits for the line's lock (`BLOCK`), and makes ordinary attempts once
//! it is granted. Exclusion and tokens never depend on it: they are the votes', see [`agreement`](crate::agreement).
//!
//! Pure: no I/O, no clock, no randomness. What nodes answered goes in, what to do next comes out.

/// What the name of a line's lock ends in.
pub const SUFFIX: &str = "#line";

/// Returns the name of the lock that keeps the order of this resource.
pub fn line_of(resource: &str) -> String {
    format!("{resource}{SUFFIX}")
}

/// Ranks nodes by a hash of the resource and their addresses, as configured: the line's node is the first that is
/// reachable. Different resources have different ones. (The hash: 64-bit FNV-1a of the resource, a zero byte and the
/// address, with the finalizer of MurmurHash3; the highest is first.)
pub fn rank<'a>(resource: &str, nodes: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
    let hash = |(number, node): (usize, &str)| {
        let bytes = resource.bytes().chain([0]).chain(node.bytes());
        let fnv = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        (std::cmp::Reverse(mixed ^ (mixed >> 33)), number)
    };
    let mut ranked: Vec<_> = nodes.into_iter().enumerate().map(hash).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, number)| number).collect()
}

/// Whom an attempt asks, and whose no is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// This node is asked for the line's lock together with the resource. Its no is decisive while it answers, so that
    /// nobody slips in between a release and the one whose turn it is.
    pub line: Option<usize>,
    /// This node is asked before the others, which are spared if it says no.
    pub first: Option<usize>,
}

impl Route {
    /// Whether no other answer helps once this node has said no.
    pub fn is_decisive(self, node: usize) -> bool {
        self.line == Some(node) || self.first == Some(node)
    }
}

/// What a request does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes an attempt, then tells [`Order::attempted`].
    Attempt(Route),
    /// Waits in the line of this node, then tells [`Order::waited`].
    Join(usize),
    /// Pauses as between any two attempts, then asks [`Order::begin`].
    Retry,
    /// Pauses for a moment: it is its turn, and so many attempts have failed since. Then keeps the line's lock, and tells
    /// [`Order::paused`].
    Turn {
        /// How many attempts have failed.
        failures: u32,
    },
}

/// What waiting in line came to, if it did not end with the time there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It is its turn.
    Granted,
    /// The node was lost, or does not serve now.
    Lost,
    /// This user may not use the line's lock, or something else has its name.
    NotAllowed,
    /// The node has too many waiters, or did not let it wait so long.
    SentAway,
}

/// What a client knows when it decides.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Whether a node is connected and serves.
    pub reachable: &'a dyn Fn(usize) -> bool,
    /// Whether there is time left to wait.
    pub may_wait: bool,
    /// Whether this client found the resource held within the last second.
    pub found_held: bool,
}

/// The way of one request: attempts, waiting, its turn.
#[derive(Clone, Debug)]
pub struct Order {
    /// The nodes that can keep the order, the best first: none if it is asked for several resources, or may not use a line.
    rank: Vec<usize>,
    /// Where it has the line's lock, and how many attempts have failed since.
    turn: Option<(usize, u32)>,
    /// Nodes that said no: so many that one of them must change its mind before an attempt can succeed.
    held_at: Vec<usize>,
}

impl Order {
    /// A request on nodes of this [`rank`]. A single node keeps the order of the resource itself.
    pub fn new(rank: Vec<usize>) -> Order {
        Order { rank, turn: None, held_at: Vec::new() }
    }

    /// What to do first, and after [`Step::Retry`].
    pub fn begin(&self, view: View) -> Step {
        match self.line_node(view) {
            Some(node) if self.rank.len() > 1 => match view.found_held {
                true if view.may_wait => Step::Join(node),
                // Spares the others: what an attempt takes and gives back, the one whose turn it is needs.
                found_held => Step::Attempt(Route { line: Some(node), first: found_held.then_some(node) }),
            },
            _ => Step::Attempt(Route::default()),
        }
    }

    /// An attempt failed: others hold it, as these nodes say, or (if there are none) something else was wrong. `line_allowed`
    /// if this user may use the line's lock, as far as is known.
    pub fn attempted(&mut self, held_at: Vec<usize>, line_allowed: bool, view: View) -> Step {
        if !line_allowed {
            self.leave_line();
        }
        let is_held = !held_at.is_empty();
        // The others were spared: nothing else is known of them.
        if held_at.len() != 1 || Some(held_at[0]) != self.next_to_free() {
            self.held_at = held_at;
        }
        if let Some((_, failures)) = &mut self.turn {
            *failures = failures.saturating_add(1);
            return Step::Turn { failures: *failures };
        }
        match self.line_node(view) {
            Some(node) if view.may_wait && is_held => Step::Join(node),
            _ => Step::Retry,
        }
    }

    /// The waiting in the line of this node has ended.
    pub fn waited(&mut self, node: usize, waited: Waited, view: View) -> Step {
        match waited {
            Waited::Granted => {
                (self.turn, self.held_at) = (Some((node, 0)), Vec::new());
                Step::Attempt(Route::default())
            }
            Waited::Lost => self.join_other(node, view),
            Waited::NotAllowed => {
                self.leave_line();
                Step::Retry
            }
            Waited::SentAway => Step::Retry,
        }
    }

    /// The pause of its turn is over, and the line's lock is still there, or is not. It asks again: first a node that had
    /// said no, by turns, so that it takes no votes that the holder may need, to join a node again that has forgotten it.
    pub fn paused(&mut self, has_line: bool, view: View) -> Step {
        let Some((node, _)) = self.turn else { return self.begin(view) };
        if !has_line {
            self.turn = None;
            return self.line_node(view).map_or(Step::Retry, Step::Join);
        }
        match self.line_node(view) {
            // Two lines become one again.
            Some(better) if self.is_better(better, node) => {
                self.turn = None;
                Step::Join(better)
            }
            _ => Step::Attempt(Route { line: None, first: self.next_to_free() }),
        }
    }

    /// From now on it asks again and again, as others do that can't use a line.
    fn leave_line(&mut self) {
        (self.rank, self.turn) = (Vec::new(), None);
    }

    /// Which of those that said no is asked first: each in its turn, one of them may have a hold that nobody owns.
    fn next_to_free(&self) -> Option<usize> {
        let (_, failures) = self.turn?;
        let turn = failures as usize % self.held_at.len().max(1);
        self.held_at.get(turn).copied()
    }

    fn line_node(&self, view: View) -> Option<usize> {
        self.rank.iter().copied().find(|node| (view.reachable)(*node))
    }

    fn join_other(&self, lost: usize, view: View) -> Step {
        match self.line_node(view) {
            Some(node) if node != lost && view.may_wait => Step::Join(node),
            _ => Step::Retry,
        }
    }

    fn is_better(&self, one: usize, other: usize) -> bool {
        let place = |node| self.rank.iter().position(|ranked| *ranked == node);
        place(one) < place(other)
    }
}

#[cfg(test)]
mod tests;
