//! Work under a lock that is renewed for as long as the work runs.

use crate::error::Error;
use crate::lock::{Lease, Lock, LockState};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// A failed renewal is tried again after this part of what is left.
const AGAIN: u32 = 8;

/// Ends the renewal, however the work ends.
struct Renewal(AbortHandle);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn using<F, W>(lock: Lock, work: F) -> W::Output
where
    F: FnOnce(Lease) -> W,
    W: Future,
{
    let state = Arc::clone(&lock.0);
    // A task of its own: work that keeps this one busy does not keep the renewal.
    let renewal = Renewal(state.quorum.spawn(renew(Arc::clone(&state))));
    let output = work(lock.lease()).await;
    drop(renewal);
    // That it can't be released must not hide what the work came to; the background goes on trying.
    let _ = lock.release().await;
    output
}

/// Extends at half of the ttl until the lock is lost; what was told to be lost stays lost.
async fn renew(lock: Arc<LockState>) {
    let ttl = lock.ttl();
    let allowance = lock.quorum.options.allowance(ttl);
    let mut pause = lock.validity().saturating_sub((ttl / 2).saturating_sub(allowance));
    loop {
        let lost = tokio::select! {
            biased;
            () = lock.lost_before(None) => true,
            () = lock.renewal_due(pause) => false,
        };
        if lost {
            break;
        }
        let extended = tokio::select! {
            biased;
            () = lock.lost_before(None) => break,
            extended = crate::extend::extend(&lock, ttl) => extended,
        };
        pause = match extended {
            Ok(validity) => validity.saturating_sub((ttl / 2).saturating_sub(allowance)),
            Err(Error::Lost(_) | Error::Config(_)) => break,
            Err(_) => (lock.validity() / AGAIN).max(Duration::from_millis(1)),
        };
    }
    lock.end_now();
}
