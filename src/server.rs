//! What the server goes through: start, loading, changes of role, children.

use crate::chores::Change;
use crate::ffi::context::Ctx;
use crate::sessions;
use crate::state::{state, Loading};

/// At load: the role, who listens, and the timer.
///
/// # Errors
/// What the system did not give.
pub fn start(ctx: &Ctx) -> Result<(), &'static str> {
    let state = state();
    state.set_replica(ctx.is_replica());
    state.set_listened_to(may_be_listened_to(ctx));
    state.set_other_modules(has_other_modules(ctx));
    match state.wake_up() {
        Some(wake_up) if wake_up.join_event_loop() => Ok(()),
        _ => Err("timerfd"),
    }
}

/// The module is not loaded after all: gives back what would be left of it.
pub fn stop() {
    if let Some(wake_up) = state().wake_up() {
        wake_up.leave_event_loop();
    }
}

/// A data set is being loaded: what its commands say is carried out, not decided.
pub fn loading_started(from: Loading) {
    state().set_loading(Some(from));
}

/// The data set is there. A master that was restarted may let replicas go on where they were:
/// then changes must be replicated from the first one on.
pub fn loading_ended(ctx: &Ctx) {
    let state = state();
    state.set_loading(None);
    state.note_change(Change::Database(None));
    state.set_listened_to(state.is_listened_to() || may_be_listened_to(ctx));
}

/// From now on another server decides.
pub fn became_replica() {
    let state = state();
    state.set_replica(true);
    state.set_listened_to(true);
    sessions::end_none();
    state.chores.closed.take();
}

/// From now on this server decides.
pub fn became_master() {
    let state = state();
    state.set_replica(false);
    state.set_listened_to(true);
    state.restart_as_master();
}

/// A child writes a snapshot, for a file or for a replica: from now on somebody may listen. An
/// AOF rewritten without preamble has no room for the last token, so it is replicated once by
/// itself: that lands in the file that follows the rewritten one. Only then: it counts as a
/// change, and a server that found one after each of its snapshots would save for ever.
pub fn child_born(ctx: &Ctx) {
    let state = state();
    state.set_listened_to(true);
    if ctx.server_info(c"persistence", c"aof_rewrite_in_progress") != Some(0) {
        state.set_last_due(true);
    }
}

/// The configuration has changed: save points may have been set.
pub fn configured(ctx: &Ctx) {
    let state = state();
    state.set_listened_to(state.is_listened_to() || may_be_listened_to(ctx));
}

/// To build an effect costs time even where nobody hears it. Nobody can while the AOF is off,
/// there are no save points (the server counts the changes by the effects), there is no
/// replication backlog, and no child was ever forked: an AOF or replica that comes
/// later begins with a fork, whose event comes in time (a replica's own event comes too late).
fn may_be_listened_to(ctx: &Ctx) -> bool {
    let none = |section, field| ctx.server_info(section, field) == Some(0);
    let silent = !ctx.has_save_points()
        && none(c"persistence", c"aof_enabled")
        && none(c"stats", c"total_forks")
        && none(c"replication", c"repl_backlog_active")
        && none(c"replication", c"connected_slaves")
        && !ctx.is_replica();
    !silent
}

/// This module itself is not in the list while it is being loaded.
fn has_other_modules(ctx: &Ctx) -> bool {
    match redis_module::Context::new(ctx.as_ptr()).call("MODULE", &["LIST"]) {
        Ok(redis_module::RedisValue::Array(modules)) => !modules.is_empty(),
        _ => true,
    }
}
