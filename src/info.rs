//! The fields of INFO lock.

use std::ffi::CStr;

use crate::configuration::cooldown_ms;
use crate::module::Module;

/// Returns all fields. The server puts the module's name before each.
pub fn fields(module: &Module) -> Vec<(&'static CStr, u64)> {
    let engine = module.engine();
    let totals = engine.totals();
    let cooldown = engine.cooldown_left_ms(cooldown_ms(), module.now());
    vec![
        (c"held", engine.held()),
        (c"waiting", engine.queues().len() as u64),
        (c"acquired", totals.acquired),
        (c"reacquired", totals.reacquired),
        (c"refused", totals.refused),
        (c"handed_over", totals.handed_over),
        (c"released", totals.released),
        (c"extended", totals.extended),
        (c"expired", totals.expired),
        (c"removed", totals.removed),
        (c"deadlocks", totals.deadlocks),
        (c"wait_timeouts", totals.wait_timeouts),
        (c"sessions_dropped", totals.sessions_dropped),
        (c"wait_ms_sum", totals.wait_ms_sum),
        (c"hold_ms_sum", totals.hold_ms_sum),
        (c"last_fence", engine.tokens().last()),
        (c"cooldown_ms", u64::try_from(cooldown).unwrap_or(0)),
    ]
}
