//! Standard output, written by a thread of its own. A reader that has stopped, such as a terminal after
//! Ctrl-S, must not keep a signal from ending the watch.

use std::io::{self, Write};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Capacity of the queue of pieces. Nothing more is looked up while it is full.
const MOST: usize = 8;
/// Time limit for writing the queued pieces at the end.
const SETTLE: Duration = Duration::from_secs(1);

enum Piece {
    Text(String),
    /// Answered once all pieces before it are written.
    Settled(oneshot::Sender<()>),
}

/// The output, in order.
#[derive(Clone)]
pub struct Output(mpsc::Sender<Piece>);

impl Output {
    /// # Errors
    /// Returns an error if the system can't start the thread for it.
    pub fn start() -> io::Result<Output> {
        let (sender, pieces) = mpsc::channel(MOST);
        std::thread::Builder::new().name("output".into()).spawn(move || write_all(pieces))?;
        Ok(Output(sender))
    }

    /// Returns when there is room for another piece.
    pub async fn ready(&self) {
        // closed() reports that nobody reads any longer.
        drop(self.0.reserve().await);
    }

    /// Returns whether all that was written before is being read.
    pub fn is_idle(&self) -> bool {
        self.0.capacity() == MOST
    }

    /// Writes this after the queued pieces.
    pub async fn write(&self, text: String) {
        // As in ready().
        let _ = self.0.send(Piece::Text(text)).await;
    }

    /// Writes this if there is room.
    pub fn try_write(&self, text: String) {
        // As in ready(). Without room, nobody reads it.
        let _ = self.0.try_send(Piece::Text(text));
    }

    /// Returns when nobody reads any longer.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Waits until everything is written, if somebody reads it.
    pub async fn settle(&self) {
        let (written, settled) = oneshot::channel();
        let all = async {
            if self.0.send(Piece::Settled(written)).await.is_ok() {
                // An error means that the thread has ended: there is nothing to wait for.
                let _ = settled.await;
            }
        };
        // On a timeout nobody reads, and nothing more can be done.
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
            // The sender may no longer wait for it.
            Piece::Settled(written) => drop(written.send(())),
        }
    }
}
