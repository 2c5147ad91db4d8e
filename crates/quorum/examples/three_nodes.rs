//! The same over three independent nodes, with all options spelled out (these are the defaults).
//!
//! ```sh
//! cargo run --release -p redis-lock-quorum --example three_nodes -- \
//!     redis://127.0.0.1:6379 redis://127.0.0.1:6380 redis://127.0.0.1:6381
//! ```

use redis_lock_quorum::{Error, Options, Quorum};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    let options = Options {
        drift: 0.01,                              // clock rates may differ by 1 %
        retry_count: 3,                           // attempts after the first
        retry_delay: Duration::from_millis(200),  // time between attempts
        retry_jitter: Duration::from_millis(100), // more or less, at random
        ..Options::default()
    };
    let locks = Quorum::connect(urls, options).await?;

    let lock = match locks.acquire("locks:resource_lock", Duration::from_secs(10)).await {
        Ok(lock) => lock,
        Err(error) => {
            // Which node answered what, and what to do about it.
            println!("Failed to acquire lock: {error}");
            return Ok(());
        }
    };
    println!("Lock acquired, token {}.", lock.fencing_token());

    tokio::time::sleep(Duration::from_millis(500)).await; // the task

    lock.release().await?;
    println!("Lock released.");
    Ok(())
}
