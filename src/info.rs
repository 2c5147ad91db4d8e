//! The fields of INFO lock.

use crate::ffi::info::Section;
use crate::state::state;

/// Adds them all. Waiting in line, circles and sessions are always 0 so far.
pub fn fields(section: &Section) {
    let (state, totals) = (state(), &state().totals);
    section.field(c"held", state.held());
    section.field(c"waiting", 0);
    section.field(c"acquired", totals.acquired.get());
    section.field(c"reacquired", totals.reacquired.get());
    section.field(c"refused", totals.refused.get());
    section.field(c"handed_over", 0);
    section.field(c"released", totals.released.get());
    section.field(c"extended", totals.extended.get());
    section.field(c"expired", totals.expired.get());
    section.field(c"removed", totals.removed.get());
    section.field(c"deadlocks", 0);
    section.field(c"wait_timeouts", 0);
    section.field(c"sessions_dropped", 0);
    section.field(c"wait_ms_sum", 0);
    section.field(c"hold_ms_sum", totals.hold_ms_sum.get());
    section.field(c"last_fence", state.tokens().last());
    section.field(c"cooldown_ms", u64::try_from(state.cooldown_left_ms(state.now())).unwrap_or(0));
}
