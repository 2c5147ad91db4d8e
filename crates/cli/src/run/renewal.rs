//! Keeps the lock while the command runs, and tells when that is in doubt.

use crate::say;
use redis_lock_quorum::{Error, Lock, Renewal};
use std::time::Duration;

/// Renews the lock, and tells whenever it is `kept` for longer. Returns when there is no more use in it.
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
