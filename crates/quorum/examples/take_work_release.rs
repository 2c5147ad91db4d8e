//! Take a lock, work, release it.
//!
//! ```sh
//! cargo run --release -p redis-lock-quorum --example take_work_release -- redis://127.0.0.1:6379
//! ```

use redis_lock_quorum::{Error, Options, Quorum};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    let locks = Quorum::connect(urls, Options::default()).await?;

    let lock = match locks.acquire("resource_lock", Duration::from_secs(10)).await {
        Ok(lock) => lock,
        Err(Error::Held(_)) => {
            println!("Resource is locked, try again later.");
            return Ok(());
        }
        Err(error) => return Err(error),
    };

    println!("Task is running under token {}.", lock.fencing_token());
    tokio::time::sleep(Duration::from_millis(500)).await; // the task
    println!("It may go on for {} ms more.", lock.validity().as_millis());

    let released = lock.release().await?;
    println!("Lock released on {} of {} nodes.", released.released, released.nodes.len());
    Ok(())
}
