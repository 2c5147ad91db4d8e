//! Changes of locks that the servers tell of by themselves (`CLIENT TRACKING`): a DEL by somebody else is known at
//! once, not only at the next renewal.

use redis::Value;
use tokio::sync::broadcast;

/// So many may wait to be heard; who misses some looks at once.
const MANY: usize = 64;

/// What is told to everybody who keeps a lock.
#[derive(Clone)]
pub(crate) struct Changes(broadcast::Sender<Option<String>>);

impl Default for Changes {
    fn default() -> Changes {
        Changes(broadcast::Sender::new(MANY))
    }
}

impl Changes {
    /// What a server has pushed: the keys that changed, or nothing for all of them.
    pub fn tell(&self, pushed: &[Value]) {
        let keys = pushed.iter().flat_map(|value| match value {
            Value::Array(keys) => keys.iter().map(name).collect(),
            _ => vec![None],
        });
        // An error says that nobody listens.
        keys.for_each(|key| drop(self.0.send(key)));
    }

    /// What changes from now on.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// `None` stands for any key.
fn name(key: &Value) -> Option<String> {
    match key {
        Value::BulkString(name) => String::from_utf8(name.clone()).ok(),
        _ => None,
    }
}

/// Somebody who keeps a lock.
pub(crate) struct Listener(broadcast::Receiver<Option<String>>);

impl Listener {
    /// Returns when one of these may have changed.
    pub async fn changed(&mut self, names: &[String]) {
        loop {
            match self.0.recv().await {
                Ok(Some(key)) if !names.contains(&key) => {}
                // The sender is the quorum's: it lives longer than its locks.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                _ => return,
            }
        }
    }
}
