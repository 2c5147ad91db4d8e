//! The kind of a lock, and how many nodes must grant it.

/// How many holders a lock tolerates.
///
/// Never mix `Limit(n)` with `Shared` or with another n on one resource: each kind needs its own number of
/// grants, and two numbers that are meant for different kinds do not exclude each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One holder.
    #[default]
    Exclusive,
    /// Any number of shared holders, and no exclusive one beside them.
    Shared,
    /// At most this number of holders, 1 to 10,000. `Limit(1)` is `Exclusive`.
    Limit(u16),
}

impl Kind {
    /// The largest n of [`Kind::Limit`].
    pub const MAX_LIMIT: u16 = 10_000;

    /// Returns how many of `nodes` must grant. Exclusive and shared locks need a majority. `Limit(n)` needs
    /// ⌊N·n/(n+1)⌋+1, since n+1 holders would then need more grants than N nodes can give (each at most n).
    /// From n = N−1 on this is every node.
    ///
    /// ```
    /// use redis_lock_quorum::Kind;
    ///
    /// assert_eq!(Kind::Exclusive.needed(5), 3);
    /// assert_eq!(Kind::Limit(2).needed(5), 4);
    /// assert_eq!(Kind::Limit(4).needed(5), 5);
    /// ```
    pub fn needed(self, nodes: usize) -> usize {
        let holders = self.holders();
        nodes * holders / (holders + 1) + 1
    }

    /// Returns the greatest number of nodes that may still have a hold if others have overtaken it. n other
    /// holders need n times the grants that one needs. They find n free places on a node that has forgotten
    /// the hold, n−1 on one that has not. With the hold on one node more, they can't all have held at once.
    pub(crate) fn overtaken_at(self, nodes: usize) -> usize {
        self.holders() * (nodes - self.needed(nodes))
    }

    /// Returns how many holders there can be at once. Shared ones count as one, against an exclusive one.
    fn holders(self) -> usize {
        match self {
            Kind::Exclusive | Kind::Shared => 1,
            Kind::Limit(n) => usize::from(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the grants needed on 1 to 7 nodes.
    fn needed(kind: Kind) -> Vec<usize> {
        (1..=7).map(|nodes| kind.needed(nodes)).collect()
    }

    #[test]
    fn enough_yeses_can_not_be_overtaken() {
        for kind in [Kind::Exclusive, Kind::Shared, Kind::Limit(2), Kind::Limit(3), Kind::Limit(10_000)] {
            for nodes in 1..=9 {
                assert!(kind.needed(nodes) > kind.overtaken_at(nodes), "{kind:?} {nodes}");
            }
        }
        assert_eq!([1, 3, 5].map(|nodes| Kind::Exclusive.overtaken_at(nodes)), [0, 1, 2]);
    }

    #[test]
    fn yeses_needed() {
        assert_eq!(needed(Kind::Exclusive), [1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(needed(Kind::Shared), needed(Kind::Exclusive));
        assert_eq!(needed(Kind::Limit(1)), needed(Kind::Exclusive));
        assert_eq!(needed(Kind::Limit(2)), [1, 2, 3, 3, 4, 5, 5]);
        assert_eq!(needed(Kind::Limit(3)), [1, 2, 3, 4, 4, 5, 6]);
        assert_eq!(needed(Kind::Limit(10_000)), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn one_holder_more_than_allowed_finds_too_few_yeses() {
        for nodes in 1..=7 {
            for n in 1..=10 {
                let needed = Kind::Limit(n).needed(nodes);
                let n = usize::from(n);
                assert!((n + 1) * needed > nodes * n, "{n} of {nodes}: {needed}");
                assert!(needed <= nodes, "{n} of {nodes}: {needed}");
            }
        }
    }
}
