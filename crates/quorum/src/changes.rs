//! Changes of locks that the servers push (`CLIENT TRACKING`): a DEL by somebody else is known at once, not
//! only at the next renewal.

use redis::Value;
use tokio::sync::broadcast;

/// Capacity of the channel; a listener that misses some changes acts at once.
const MANY: usize = 64;

/// Sends changes to everybody who keeps a lock.
#[derive(Clone)]
pub(crate) struct Changes(broadcast::Sender<Option<String>>);

impl Default for Changes {
    fn default() -> Changes {
        Changes(broadcast::Sender::new(MANY))
    }
}

impl Changes {
    /// Takes a push of a server: the keys that changed, or null if all did.
    pub fn tell(&self, pushed: &[Value]) {
        let keys = pushed.iter().flat_map(|value| match value {
            Value::Array(keys) => keys.iter().map(name).collect(),
            _ => vec![None],
        });
        // An error means that nobody listens.
        keys.for_each(|key| drop(self.0.send(key)));
    }

    /// Returns a listener to the changes from now on.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// Returns the name of the key; `None` stands for any key.
fn name(key: &Value) -> Option<String> {
    match key {
        Value::BulkString(name) => String::from_utf8(name.clone()).ok(),
        _ => None,
    }
}

/// Receives changes for somebody who keeps a lock.
pub(crate) struct Listener(broadcast::Receiver<Option<String>>);

impl Listener {
    /// Returns when one of these locks may have changed.
    pub async fn changed(&mut self, names: &[String]) {
        loop {
            match self.0.recv().await {
                Ok(Some(key)) if !names.contains(&key) => {}
                // The sender belongs to the quorum, which lives longer than its locks.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                _ => return,
            }
        }
    }
}
