//! Messages to standard error.

use crate::writer::Writer;
use std::io::Write;
use std::sync::OnceLock;

/// Capacity of the message queue; messages that do not fit are dropped, since nobody reads them.
const CAPACITY: usize = 1_000;

/// `None` if no thread could be started.
static MESSAGES: OnceLock<Option<Writer>> = OnceLock::new();

/// Writes a message to standard error.
pub fn say(message: &str) {
    let line = format!("redis-lock: {message}\n");
    match MESSAGES.get_or_init(|| Writer::start("messages", CAPACITY, std::io::stderr()).ok()) {
        Some(messages) => messages.try_write(line),
        // An error means that nobody reads standard error any longer, which is no reason to stop.
        None => drop(std::io::stderr().write_all(line.as_bytes())),
    }
}

/// Waits until all messages are written, if somebody reads them.
pub fn settle() {
    if let Some(Some(messages)) = MESSAGES.get() {
        messages.settle();
    }
}
