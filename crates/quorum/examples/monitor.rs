//! Who holds a lock, asked of every node: LOCK.INFO needs no client of its own.
//!
//! ```sh
//! cargo run --release -p redis-lock-quorum --example monitor -- resource_lock redis://127.0.0.1:6379
//! ```

use redis::{RedisResult, Value};
use std::time::Duration;

const ROUNDS: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let resource = arguments.next().unwrap_or("resource_lock".into());
    let urls: Vec<String> = arguments.collect();
    for _ in 0..ROUNDS {
        for url in &urls {
            match holders(url, &resource).await {
                Ok(holders) if holders.is_empty() => println!("{resource} on {url}: unlocked"),
                Ok(holders) => println!("{resource} on {url}: locked by {}", holders.join(", ")),
                Err(error) => println!("{resource} on {url}: {error}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn holders(url: &str, resource: &str) -> RedisResult<Vec<String>> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let info: Value = redis::cmd("LOCK.INFO").arg(resource).query_async(&mut connection).await?;
    let Some(Value::Array(holders)) = field(&info, "holders") else {
        return Ok(Vec::new());
    };
    let text = |holder: &Value, name: &str| {
        let value = field(holder, name).cloned().unwrap_or(Value::Nil);
        redis::from_redis_value::<String>(value).unwrap_or_default()
    };
    let describe = |holder| {
        let (owner, ttl, held) = (text(holder, "owner"), text(holder, "ttl-ms"), text(holder, "held-ms"));
        format!("{owner} for {held} ms, {ttl} ms left, token {}", text(holder, "fence"))
    };
    Ok(holders.iter().map(describe).collect())
}

/// A field of a map, as RESP2 has it: name, value, name, value …
fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Array(items) = map else {
        return None;
    };
    let is = |item: &Value| matches!(item, Value::BulkString(bytes) if bytes == name.as_bytes());
    items.chunks_exact(2).find(|pair| is(&pair[0])).map(|pair| &pair[1])
}
