//! A stream, written by a thread of its own. A reader that has stopped, such as a terminal after Ctrl-S, must
//! stop neither the renewal of a lock, nor the end of a command or a watch.

use std::io::{self, Write};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Time limit for writing the queued pieces at the end.
const SETTLE: Duration = Duration::from_secs(1);
/// Interval between looks for room, in the queue or in the stream.
const LOOK: Duration = Duration::from_millis(5);

enum Piece {
    Text(String),
    /// Answered once all pieces before it are written.
    Settled(Sender<()>),
}

/// The pieces to be written, in order.
#[derive(Clone)]
pub struct Writer(mpsc::Sender<Piece>);

impl Writer {
    /// Starts the thread. The queue has room for this number of pieces.
    ///
    /// # Errors
    /// Returns an error if the system can't start a thread.
    pub fn start(name: &str, room: usize, stream: impl Write + Send + 'static) -> io::Result<Writer> {
        let (sender, pieces) = mpsc::channel(room);
        std::thread::Builder::new().name(name.into()).spawn(move || write_all(pieces, stream))?;
        Ok(Writer(sender))
    }

    /// Returns when there is room for another piece.
    pub async fn ready(&self) {
        // closed() reports that nobody reads any longer.
        drop(self.0.reserve().await);
    }

    /// Returns whether all that was written before is being read.
    pub fn is_idle(&self) -> bool {
        self.0.capacity() == self.0.max_capacity()
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
    pub fn settle(&self) {
        let began = Instant::now();
        let (written, settled) = channel();
        let mut last = Piece::Settled(written);
        while let Err(TrySendError::Full(unsent)) = self.0.try_send(last) {
            if began.elapsed() > SETTLE {
                return;
            }
            last = unsent;
            std::thread::sleep(LOOK);
        }
        // On a timeout nobody reads, and nothing more can be done. Without the thread there is nothing to wait for.
        let _ = settled.recv_timeout(SETTLE.saturating_sub(began.elapsed()));
    }
}

/// Ends when nobody reads any longer.
fn write_all(mut pieces: mpsc::Receiver<Piece>, mut stream: impl Write) {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Text(text) => {
                if write(&mut stream, text.as_bytes()).is_err() {
                    return;
                }
            }
            // The sender may no longer wait for it.
            Piece::Settled(written) => drop(written.send(())),
        }
    }
}

/// Waits for the reader also if the stream does not: whoever shares it may have made it non-blocking.
fn write(stream: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    loop {
        let written =
            if bytes.is_empty() { stream.flush().map(|()| None) } else { stream.write(bytes).map(Some) };
        match written {
            Ok(None) => return Ok(()),
            Ok(Some(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(Some(count)) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOOK),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
