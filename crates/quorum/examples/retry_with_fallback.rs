//! A retry policy of one's own, and something else to do when there is no lock to be had.
//!
//! ```sh
//! cargo run --release -p redis-lock-quorum --example retry_with_fallback -- redis://127.0.0.1:6379
//! ```

use redis_lock_quorum::{Error, Lock, Options, Quorum};
use std::time::Duration;

const ATTEMPTS: u32 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    // The policy is below: the client itself asks once.
    let locks = Quorum::connect(urls, Options { retry_count: 0, ..Options::default() }).await?;

    match with_retries(&locks, "resource_lock").await {
        Some(lock) => {
            println!("Performing the task under token {}.", lock.fencing_token());
            lock.release().await?;
        }
        None => println!("Failed to acquire lock after {ATTEMPTS} attempts: serving the cached report."),
    }
    Ok(())
}

async fn with_retries(locks: &Quorum, resource: &str) -> Option<Lock> {
    for attempt in 1..=ATTEMPTS {
        let pause = match locks.acquire(resource, Duration::from_secs(10)).await {
            Ok(lock) => {
                println!("Lock acquired on attempt {attempt}.");
                return Some(lock);
            }
            // Someone is at work: it will take a while.
            Err(Error::Held(_)) => Duration::from_millis(300) * attempt,
            // Nodes are down, or slow: they may be back soon.
            Err(error @ (Error::NoQuorum(_) | Error::Late(_))) => {
                println!("Attempt {attempt}: {error}");
                Duration::from_millis(100)
            }
            // Asking again does not help.
            Err(error) => {
                println!("{error}");
                return None;
            }
        };
        tokio::time::sleep(pause).await;
    }
    None
}
