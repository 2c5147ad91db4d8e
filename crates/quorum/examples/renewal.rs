//! A task that takes longer than the ttl: the lock is renewed while it runs, and the task is told when it is no longer
//! certain.
//!
//! ```sh
//! cargo run --release -p redis-lock-quorum --example renewal -- redis://127.0.0.1:6379
//! ```

use redis_lock_quorum::{Error, Lease, Options, Quorum};
use std::time::Duration;

const TTL: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    let locks = Quorum::connect(urls, Options::default()).await?;

    let finished = locks
        .using("resource_lock", TTL, |lock| async move {
            tokio::select! {
                () = long_task(&lock) => true,
                () = lock.lost() => false,
            }
        })
        .await?;

    match finished {
        true => println!("Task finished, lock released."),
        false => println!("Lock lost, task stopped in time."),
    }
    Ok(())
}

/// Takes three times the ttl.
async fn long_task(lock: &Lease) {
    for step in 1..=6 {
        tokio::time::sleep(TTL / 2).await;
        let validity = lock.validity().as_millis();
        println!("Step {step} under token {}, certain for {validity} ms.", lock.fencing_token());
    }
}
