//! Work under a lock that is renewed while the work runs.

use crate::lock::{Lease, Lock};
use crate::lock_state::LockState;
use std::future::Future;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// Ends the renewal, however the work ends.
struct Keeper(AbortHandle);

impl Drop for Keeper {
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
    // The renewal has a task of its own: work that keeps this task busy does not delay it.
    let keeper = Keeper(state.quorum.spawn(keep(Arc::clone(&state))));
    let output = work(lock.lease()).await;
    drop(keeper);
    // A failed release must not hide the output of the work; the background goes on trying.
    let _ = lock.release().await;
    output
}

/// Extends the lock until it is lost. A lock that was reported lost stays lost.
async fn keep(lock: Arc<LockState>) {
    tokio::select! {
        biased;
        () = lock.lost_before(None) => {}
        _ = crate::renewal::renew(&lock, lock.ttl(), |_| {}) => {}
    }
    lock.end_now();
}
