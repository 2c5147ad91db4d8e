//! Standard output, written by a thread of its own: a reader who has stopped, or a terminal after Ctrl-S, must not keep
//! a signal from ending the watch.

use std::io::{self, Write};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// So many pieces wait to be written. More are not looked for.
const MOST: usize = 8;
/// At the end they are waited for no longer than this.
const SETTLE: Duration = Duration::from_secs(1);

enum Piece {
    Text(String),
    /// All before it is written.
    Settled(oneshot::Sender<()>),
}

/// What is written, in order.
#[derive(Clone)]
pub struct Output(mpsc::Sender<Piece>);

impl Output {
    /// # Errors
    /// Where the system has no thread for it.
    pub fn start() -> io::Result<Output> {
        let (sender, pieces) = mpsc::channel(MOST);
        std::thread::Builder::new().name("output".into()).spawn(move || write_all(pieces))?;
        Ok(Output(sender))
    }

    /// Returns when there is room for one piece more.
    pub async fn ready(&self) {
        // That nobody reads any more, closed() tells.
        drop(self.0.reserve().await);
    }

    /// Whether all that was written before is being read.
    pub fn is_idle(&self) -> bool {
        self.0.capacity() == MOST
    }

    /// Writes this, after what waits already.
    pub async fn write(&self, text: String) {
        // As in ready().
        let _ = self.0.send(Piece::Text(text)).await;
    }

    /// Writes this if there is room.
    pub fn try_write(&self, text: String) {
        // As in ready(); where there is no room nobody reads it.
        let _ = self.0.try_send(Piece::Text(text));
    }

    /// Returns when nobody reads any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Waits until all of it is written, if somebody reads it.
    pub async fn settle(&self) {
        let (written, settled) = oneshot::channel();
        let all = async {
            if self.0.send(Piece::Settled(written)).await.is_ok() {
                // The thread has ended: there is nothing to wait for.
                let _ = settled.await;
            }
        };
        // Nobody reads: nothing more can be done.
        let _ = tokio::time::timeout(SETTLE, all).await;
    }
}

fn write_all(mut pieces: mpsc::Receiver<Piece>) {
    let mut out = io::stdout();
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Text(text) => {
                if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
            // It is not waited for any more.
            Piece::Settled(written) => drop(written.send(())),
        }
    }
}
