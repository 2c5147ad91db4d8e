//! The fields of INFO lock.

use crate::ffi::info::Section;
use crate::module::Module;

/// Adds them all.
pub fn fields(module: &Module, section: &Section) {
    let totals = &module.totals;
    section.field(c"held", module.held());
    section.field(c"waiting", module.lines().borrow().len() as u64);
    section.field(c"acquired", totals.acquired.get());
    section.field(c"reacquired", totals.reacquired.get());
    section.field(c"refused", totals.refused.get());
    section.field(c"handed_over", totals.handed_over.get());
    section.field(c"released", totals.released.get());
    section.field(c"extended", totals.extended.get());
    section.field(c"expired", totals.expired.get());
    section.field(c"removed", totals.removed.get());
    section.field(c"deadlocks", totals.deadlocks.get());
    section.field(c"wait_timeouts", totals.wait_timeouts.get());
    section.field(c"sessions_dropped", totals.sessions_dropped.get());
    section.field(c"wait_ms_sum", totals.wait_ms_sum.get());
    section.field(c"hold_ms_sum", totals.hold_ms_sum.get());
    section.field(c"last_fence", module.tokens().last());
    section.field(c"cooldown_ms", u64::try_from(module.cooldown_left_ms(module.now())).unwrap_or(0));
}
