//! The order in which requests get a lock over several nodes, which one node, the *line's node*, keeps.
//!
//! Beside the resource there is the *line's lock*, an ordinary lock named `<resource>#line` on that node
//! alone. The holder of the resource holds it too. Others wait for it (`BLOCK`), and make ordinary attempts
//! once it is granted. Exclusion and tokens never depend on it, only on the [`agreement`](crate::agreement).
//!
//! Pure: no I/O, no clock, no randomness. What nodes answered goes in, what to do next comes out.

/// The end of the name of a line's lock.
pub const SUFFIX: &str = "#line";

/// Returns the name of the lock that keeps the order of this resource.
pub fn line_of(resource: &str) -> String {
    format!("{resource}{SUFFIX}")
}

/// Ranks nodes by a hash of the resource and their configured addresses. The line's node is the first that is
/// reachable, so it differs between resources. The hash is 64-bit FNV-1a of the resource, a zero byte and the
/// address, with the finalizer of MurmurHash3. The highest hash is first.
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

/// Which nodes an attempt asks, and whose refusal is decisive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// This node is asked for the resource and the line's lock together. Its refusal is decisive while it
    /// answers, so that nobody acquires between a release and the request whose turn it is.
    pub line: Option<usize>,
    /// This node is asked before the others, which are not asked if it refuses.
    pub first: Option<usize>,
}

impl Route {
    /// Returns whether a refusal of this node ends the attempt.
    pub fn is_decisive(self, node: usize) -> bool {
        self.line == Some(node) || self.first == Some(node)
    }
}

/// The next step of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make an attempt, then call [`Order::attempted`].
    Attempt(Route),
    /// Wait in the line of this node, then call [`Order::waited`].
    Join(usize),
    /// Pause as between any two attempts, then call [`Order::begin`].
    Retry,
    /// Pause for a moment, since it is the request's turn and attempts have failed. Then keep the line's
    /// lock, and call [`Order::paused`].
    Turn {
        /// How many attempts have failed.
        failures: u32,
    },
}

/// The outcome of waiting in line, if the time did not run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It is the request's turn.
    Granted,
    /// The node was lost, or does not grant now.
    Lost,
    /// This user may not use the line's lock, or its key has another type.
    NotAllowed,
    /// The node has too many waiters, or ended the wait early.
    SentAway,
}

/// What a client knows when a request decides.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Returns whether a node is connected and grants locks.
    pub reachable: &'a dyn Fn(usize) -> bool,
    /// Whether there is time left to wait.
    pub may_wait: bool,
    /// Whether this client found the resource held within the last second.
    pub found_held: bool,
}

/// The state of one request: attempts, waiting, its turn.
#[derive(Clone, Debug)]
pub struct Order {
    /// The nodes that can keep the order, best first; none for several resources or without permission.
    rank: Vec<usize>,
    /// The node on which it has the line's lock, and how many attempts have failed since.
    turn: Option<(usize, u32)>,
    /// Nodes that refused: one of them must change its answer before an attempt can succeed.
    held_at: Vec<usize>,
}

impl Order {
    /// Returns the order of a request on nodes of this [`rank`]. A single node needs no line's lock.
    pub fn new(rank: Vec<usize>) -> Order {
        Order { rank, turn: None, held_at: Vec::new() }
    }

    /// Returns the first step, and the step after [`Step::Retry`].
    pub fn begin(&self, view: View) -> Step {
        match self.line_node(view) {
            Some(node) if self.rank.len() > 1 => match view.found_held {
                true if view.may_wait => Step::Join(node),
                // The others are not asked, since the request whose turn it is needs their votes.
                found_held => Step::Attempt(Route { line: Some(node), first: found_held.then_some(node) }),
            },
            _ => Step::Attempt(Route::default()),
        }
    }

    /// Returns the step after a failed attempt. `held_at` lists the nodes on which others hold the lock, if
    /// that was the cause. `line_allowed` is whether this user may use the line's lock, as far as is known.
    pub fn attempted(&mut self, held_at: Vec<usize>, line_allowed: bool, view: View) -> Step {
        if !line_allowed {
            self.leave_line();
        }
        let is_held = !held_at.is_empty();
        // The others were not asked: nothing else is known of them.
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

    /// Returns the step after the wait in the line of this node.
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

    /// Returns the step after a pause in its turn. Nodes that refused are asked first, in rotation, so that
    /// it takes no votes that the holder may need to join a node again that has forgotten its hold.
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

    /// Makes the request repeat attempts from now on, like others that can't use a line.
    fn leave_line(&mut self) {
        (self.rank, self.turn) = (Vec::new(), None);
    }

    /// Returns which node that refused is asked first. They rotate, as one may have a hold without an owner.
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
