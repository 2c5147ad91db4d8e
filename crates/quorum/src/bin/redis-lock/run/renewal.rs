//! Keeps the lock while the command runs, and tells when that is in doubt.

use crate::say;
use redis_lock_quorum::{Error, Lock};
use std::time::Duration;

/// A failed renewal is tried again after this part of what is left.
const AGAIN: u32 = 8;
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// Extends whenever half of the ttl is over, and tells whenever the lock is `kept` for longer. Returns when there is
/// no more use in it.
pub async fn renew(lock: &Lock, ttl: Duration, mut kept: impl FnMut()) -> Error {
    kept();
    let mut failing = false;
    let mut pause = until_half(lock, ttl);
    loop {
        lock.renewal_due(pause).await;
        pause = match lock.extend(ttl).await {
            Ok(_) => {
                if failing {
                    say("the lock is renewed again");
                }
                failing = false;
                kept();
                until_half(lock, ttl)
            }
            Err(error @ (Error::Lost(_) | Error::Config(_))) => return error,
            Err(error) => {
                if !failing {
                    say(&format!("the lock can't be renewed at the moment, trying again: {error}"));
                }
                failing = true;
                (lock.validity() / AGAIN).max(LEAST_PAUSE)
            }
        };
    }
}

fn until_half(lock: &Lock, ttl: Duration) -> Duration {
    lock.validity().saturating_sub(ttl / 2)
}
