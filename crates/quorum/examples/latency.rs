//! How long acquire and release take, uncontended: p50 and p99 over the nodes given.
//!
//! ```sh
//! cargo run --release -p redis-lock-quorum --example latency -- redis://127.0.0.1:6379
//! ```

use redis_lock_quorum::{Error, Options, Quorum};
use std::time::{Duration, Instant};

const WARM_UP: usize = 500;
const ROUNDS: usize = 5_000;

fn main() -> Result<(), Error> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    for threads in [1, 2] {
        let mut builder = match threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.enable_all().build().expect("a runtime");
        let urls = urls.clone();
        // A task of the runtime: the thread that waits for it would be one more to wake.
        let (acquire, release, one_round) =
            runtime.block_on(async { tokio::spawn(measure(urls)).await.expect("no panic") })?;
        let name = if threads == 1 { "current-thread" } else { "multi-thread" };
        println!("{name}: acquire {acquire}, release {release}, {one_round} in one round trip");
    }
    Ok(())
}

async fn measure(urls: Vec<String>) -> Result<(String, String, String), Error> {
    let locks = Quorum::connect(urls, Options::default()).await?;
    let (mut acquire, mut release) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let name = format!("latency:{round}");
        let started = Instant::now();
        let lock = locks.acquire(name, Duration::from_secs(10)).await?;
        let acquired = started.elapsed();
        lock.release().await?;
        if round >= WARM_UP {
            acquire.push(acquired);
            release.push(started.elapsed() - acquired);
        }
    }
    let (acquired, one_round) = locks.round_trips();
    Ok((percentiles(acquire), percentiles(release), format!("{one_round} of {acquired}")))
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("p50 {:?} p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100])
}
