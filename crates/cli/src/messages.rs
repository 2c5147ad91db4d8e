//! What a person is told at standard error, by a thread of its own: one who has stopped reading, as at a terminal
//! after Ctrl-S, must not keep the lock from being renewed, or the command from being ended with it.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// So many wait to be read; what does not fit is not told.
const MOST: usize = 1_000;
/// At the end they are waited for no longer than this.
const SETTLE: Duration = Duration::from_secs(1);

enum Message {
    Line(String),
    /// All before it are written.
    Settled(Sender<()>),
}

/// To the thread that writes; `None` where the system has no thread.
static MESSAGES: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();

/// Tells the person at standard error something.
pub fn say(message: &str) {
    let line = format!("redis-lock: {message}");
    match MESSAGES.get_or_init(start) {
        // There are so many that nobody reads them.
        Some(messages) => drop(messages.try_send(Message::Line(line))),
        None => write(&line),
    }
}

/// Waits until all of it is written, if somebody reads it.
pub fn settle() {
    if let Some(Some(messages)) = MESSAGES.get() {
        let (written, settled) = channel();
        if messages.try_send(Message::Settled(written)).is_ok() {
            // Nobody reads: nothing more can be done.
            let _ = settled.recv_timeout(SETTLE);
        }
    }
}

fn start() -> Option<SyncSender<Message>> {
    let (sender, messages) = sync_channel(MOST);
    std::thread::Builder::new().name("messages".into()).spawn(move || write_all(&messages)).ok()?;
    Some(sender)
}

fn write_all(messages: &Receiver<Message>) {
    for message in messages {
        match message {
            Message::Line(line) => write(&line),
            // It is not waited for any more.
            Message::Settled(written) => drop(written.send(())),
        }
    }
}

fn write(line: &str) {
    // Nobody reads it any more: no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}
