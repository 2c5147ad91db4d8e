//! Renews the lock while the command runs, and reports problems.

use crate::say;
use redis_lock_quorum::{Error, Lock, Renewal};
use std::time::Duration;

/// Renews the lock, and calls `kept` after each renewal. Returns when renewing no longer helps.
pub async fn renew(lock: &Lock, ttl: Duration, kept: impl Fn()) -> Error {
    let mut failing = false;
    let told = |renewal: Renewal| match renewal {
        Renewal::Extended => {
            kept();
            if std::mem::take(&mut failing) {
                say("the lock is renewed again");
            }
        }
        Renewal::Failed(error) => {
            if !std::mem::replace(&mut failing, true) {
                say(&format!("the lock can't be renewed at the moment, trying again: {error}"));
            }
        }
    };
    lock.renew(ttl, told).await
}
