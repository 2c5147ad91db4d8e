//! Keeps a lock by extending it again and again.

use crate::error::Error;
use crate::lock_state::LockState;
use std::sync::Arc;
use std::time::Duration;

/// A failed extension is tried again after this part of what is left.
const RETRY_PART: u32 = 8;
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// What became of one extension.
#[derive(Debug)]
pub enum Renewal<'a> {
    /// The lock is held for longer.
    Extended,
    /// It is not, for this reason; it is tried again in time.
    Failed(&'a Error),
}

/// Extends whenever half of the ttl is over, or a server tells of a change. Returns why there is no more use in it.
pub(crate) async fn renew(lock: &Arc<LockState>, ttl: Duration, mut told: impl FnMut(Renewal)) -> Error {
    let until_half = |validity: Duration| {
        let allowance = lock.quorum.options.allowance(ttl);
        validity.saturating_sub((ttl / 2).saturating_sub(allowance))
    };
    let mut pause = until_half(lock.validity());
    loop {
        lock.renewal_due(pause).await;
        pause = match crate::extend::extend(lock, ttl).await {
            Ok(validity) => {
                told(Renewal::Extended);
                until_half(validity)
            }
            Err(error @ (Error::Lost(_) | Error::Config(_))) => return error,
            Err(error) => {
                told(Renewal::Failed(&error));
                (lock.validity() / RETRY_PART).max(MIN_PAUSE)
            }
        };
    }
}
