//! The source of fencing tokens.

use crate::Error;

/// One minute: how far `last` starts ahead of the wall clock, and how far FENCE may lead it.
const LEAD: u64 = 60_000_000;

/// Tokens stay below this, so that they are exact in every client (2^53).
pub const TOKEN_END: u64 = 1 << 53;

/// The counter of a server. Every token that it grants is `max(last + 1, clock)`, in microseconds, where
/// `clock` is the wall clock at start plus the monotonic time since. So tokens also rise over a restart that
/// lost the counter, if the wall clock is not more than a minute behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    last: u64,
    used: bool,
}

impl Tokens {
    /// Returns a counter that starts at the wall clock (microseconds since 1970) + 1 minute.
    pub fn starting_at(wall_clock: u64) -> Self {
        Tokens { last: start(wall_clock), used: false }
    }

    /// Returns the highest token granted or accepted so far.
    pub fn last(self) -> u64 {
        self.last
    }

    /// Returns whether a token was ever granted here or arrived: otherwise there is nothing to save.
    pub fn used(self) -> bool {
        self.used
    }

    /// Returns the token of the next grant, of at least `fence` if FENCE is given.
    ///
    /// # Errors
    /// Returns [`Error::TokenTooFarAhead`] if none is left below 2^53, in the year 2255 or after a clock that
    /// showed it.
    #[inline]
    pub fn next(self, clock: u64, fence: Option<u64>) -> Result<u64, Error> {
        let token = fence.unwrap_or(clock).max(self.last + 1);
        if token < TOKEN_END {
            Ok(token)
        } else {
            Err(Error::TokenTooFarAhead)
        }
    }

    /// Checks whether FENCE may ask for this token. One that is too far ahead would spoil the counter for all
    /// later grants.
    ///
    /// # Errors
    /// Returns [`Error::TokenTooFarAhead`] above both `last + 1` and `clock` + 1 minute, and from 2^53 on.
    #[inline]
    pub fn check_fence(self, clock: u64, fence: u64) -> Result<(), Error> {
        if fence >= TOKEN_END || (fence > self.last + 1 && fence > clock.saturating_add(LEAD)) {
            return Err(Error::TokenTooFarAhead);
        }
        Ok(())
    }

    /// Raises the counter to a token that was granted or arrived.
    #[inline]
    pub fn accept(&mut self, token: u64) {
        self.last = self.last.max(token.min(TOKEN_END - 1));
        self.used = true;
    }

    /// Called at a promotion: tokens that the old master may have granted stay below, as after a start.
    pub fn restart(&mut self, wall_clock: u64) {
        self.last = self.last.max(start(wall_clock));
    }
}

/// Returns the start of a counter, which is below 2^53 whatever the clock says, so that nothing overflows.
fn start(wall_clock: u64) -> u64 {
    wall_clock.saturating_add(LEAD).min(TOKEN_END - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_with_every_grant_and_follows_the_clock() {
        let mut tokens = Tokens::starting_at(1_000);
        assert!(!tokens.used());
        let first = tokens.next(1_000, None).unwrap();
        assert_eq!(first, 60_001_001);
        tokens.accept(first);
        assert_eq!(tokens.next(1_001, None), Ok(first + 1));
        assert_eq!(tokens.next(90_000_000, None), Ok(90_000_000));
        assert!(tokens.used());
    }

    #[test]
    fn a_fence_is_a_floor_and_not_the_clock() {
        let mut tokens = Tokens::starting_at(0);
        assert_eq!(tokens.next(90_000_000, Some(5)), Ok(60_000_001));
        assert_eq!(tokens.next(0, Some(61_000_000)), Ok(61_000_000));
        tokens.accept(3);
        assert_eq!(tokens.last(), 60_000_000);
    }

    #[test]
    fn the_bound_on_fence() {
        let mut tokens = Tokens::starting_at(0);
        assert_eq!(tokens.check_fence(0, 60_000_001), Ok(()), "last + 1 is always allowed");
        assert_eq!(tokens.check_fence(0, 60_000_002), Err(Error::TokenTooFarAhead));
        assert_eq!(tokens.check_fence(2, 60_000_002), Ok(()));
        tokens.accept(100_000_000);
        assert_eq!(tokens.check_fence(0, 100_000_001), Ok(()));
        assert_eq!(tokens.check_fence(0, u64::MAX), Err(Error::TokenTooFarAhead));
    }

    #[test]
    fn a_promotion_raises_and_never_lowers() {
        let mut tokens = Tokens::starting_at(0);
        tokens.restart(5);
        assert_eq!(tokens.last(), 60_000_005);
        tokens.restart(1);
        assert_eq!(tokens.last(), 60_000_005);
    }

    #[test]
    fn at_its_end_the_counter_refuses_and_never_repeats() {
        let mut tokens = Tokens::starting_at(0);
        tokens.accept(TOKEN_END - 2);
        assert_eq!(tokens.next(0, None), Ok(TOKEN_END - 1));
        for token in [TOKEN_END - 1, TOKEN_END, u64::MAX] {
            tokens.accept(token);
            assert_eq!(tokens.next(0, None), Err(Error::TokenTooFarAhead));
            assert_eq!(tokens.check_fence(0, TOKEN_END), Err(Error::TokenTooFarAhead));
        }
        for wall_clock in [TOKEN_END, u64::MAX] {
            let mut tokens = Tokens::starting_at(wall_clock);
            assert_eq!(tokens.next(wall_clock, None), Err(Error::TokenTooFarAhead));
            tokens.restart(wall_clock);
            assert_eq!(tokens.last(), TOKEN_END - 1);
        }
    }
}
