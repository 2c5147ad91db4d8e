//! How many holders a hold tolerates, itself included.

/// The limit of a hold or request: 1 (exclusive), n (a semaphore) or none (shared).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit(u16);

impl Limit {
    /// Tolerates only itself.
    pub const EXCLUSIVE: Limit = Limit(1);
    /// Tolerates any number; it is greater than every other limit.
    pub const SHARED: Limit = Limit(u16::MAX);
    /// The greatest n of LIMIT n.
    pub const MAX: i64 = 10_000;

    /// Returns LIMIT n, or `None` if n is outside 1 … [`Limit::MAX`].
    pub fn new(n: i64) -> Option<Limit> {
        // Fits: MAX is below u16::MAX.
        (1..=Self::MAX).contains(&n).then_some(Limit(n as u16))
    }

    /// Does what [`Limit::new`] does, with 0 for shared, as in replies, effects and payloads.
    pub fn from_wire(n: i64) -> Option<Limit> {
        match n {
            0 => Some(Limit::SHARED),
            n => Limit::new(n),
        }
    }

    /// Returns the number in replies, effects and payloads: 0 for shared.
    pub fn to_wire(self) -> u16 {
        if self == Limit::SHARED {
            0
        } else {
            self.0
        }
    }

    /// Returns whether there may be this number of holders: the comparison of the rule.
    #[inline]
    pub fn tolerates(self, holders: usize) -> bool {
        self == Limit::SHARED || holders <= usize::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_wire() {
        assert_eq!(Limit::new(0), None);
        assert_eq!(Limit::new(-1), None);
        assert_eq!(Limit::new(10_001), None);
        assert_eq!(Limit::new(1), Some(Limit::EXCLUSIVE));
        assert_eq!(Limit::from_wire(0), Some(Limit::SHARED));
        for n in [0, 1, 2, 9_999, 10_000] {
            assert_eq!(Limit::from_wire(n).map(Limit::to_wire), Some(n as u16));
        }
        assert!(Limit::new(10_000).unwrap() < Limit::SHARED);
    }

    #[test]
    fn tolerance() {
        assert!(Limit::EXCLUSIVE.tolerates(1) && !Limit::EXCLUSIVE.tolerates(2));
        assert!(Limit::SHARED.tolerates(usize::MAX));
    }
}
