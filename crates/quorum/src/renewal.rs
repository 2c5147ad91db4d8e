//! Keeps a lock by extending it repeatedly.

use crate::error::Error;
use crate::lock_state::LockState;
use std::sync::Arc;
use std::time::Duration;

/// A failed extension is repeated after this part of the time that is left.
const RETRY_PART: u32 = 8;
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// The result of one extension.
#[derive(Debug)]
pub enum Renewal<'a> {
    /// The lock was extended.
    Extended,
    /// The extension failed, for this reason; it is repeated in time.
    Failed(&'a Error),
}

/// Extends when half of the ttl is over, or a server reports a change. Returns why that no longer helps.
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
