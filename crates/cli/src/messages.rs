//! Messages to standard error, written by a thread of its own. A reader that has stopped, such as a terminal
//! after Ctrl-S, must not stop the renewal of the lock or the end of the command.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Capacity of the message queue; messages that do not fit are dropped.
const MOST: usize = 1_000;
/// Time limit for writing the queued messages at the end.
const SETTLE: Duration = Duration::from_secs(1);

enum Message {
    Line(String),
    /// Answered once all messages before it are written.
    Settled(Sender<()>),
}

/// The queue of the thread that writes; `None` if no thread could be started.
static MESSAGES: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();

/// Writes a message to standard error.
pub fn say(message: &str) {
    let line = format!("redis-lock: {message}");
    match MESSAGES.get_or_init(start) {
        // A full queue means that nobody reads the messages.
        Some(messages) => drop(messages.try_send(Message::Line(line))),
        None => write(&line),
    }
}

/// Waits until all messages are written, if somebody reads them.
pub fn settle() {
    if let Some(Some(messages)) = MESSAGES.get() {
        let (written, settled) = channel();
        if messages.try_send(Message::Settled(written)).is_ok() {
            // On a timeout nobody reads, and nothing more can be done.
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
            // The sender may no longer wait for it.
            Message::Settled(written) => drop(written.send(())),
        }
    }
}

fn write(line: &str) {
    // Nobody reads standard error any longer, which is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}
