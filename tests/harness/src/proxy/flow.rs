//! Bytes in flight in one direction.

use super::{Fate, Rule};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

const CHUNK: usize = 64 * 1024;

struct Item {
    due: Instant,
    /// Empty: the end of the stream.
    bytes: Vec<u8>,
    /// How many were written before.
    sent: usize,
}

/// Bytes that were read from one side and must still be written to the other.
#[derive(Default)]
pub struct Flow {
    items: VecDeque<Item>,
    /// Whether nothing more comes from the source.
    ended: bool,
    /// Whether nothing more can or needs to be written.
    done: bool,
    lost: bool,
    full: bool,
}

/// Reads what is available. Returns `None` if the stream has ended, for any reason.
pub fn read_all(mut source: &TcpStream, mut bytes: impl FnMut(&[u8])) -> Option<()> {
    let mut chunk = [0; CHUNK];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => bytes(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

impl Flow {
    /// Takes what the source has sent, and passes all of it to `seen`.
    pub fn read(&mut self, source: &TcpStream, rule: Rule, now: Instant, mut seen: impl FnMut(&[u8])) {
        if self.ended {
            return;
        }
        let more = read_all(source, |bytes| {
            seen(bytes);
            self.push(bytes.to_vec(), rule, now);
        });
        if more.is_none() {
            self.end(rule, now);
        }
    }

    pub fn push(&mut self, bytes: Vec<u8>, rule: Rule, now: Instant) {
        if rule.fate == Fate::Lose {
            self.lost = true;
        } else if !self.done {
            // A delay shorter than before must not let bytes overtake.
            let due = self.items.back().map_or(now, |last| last.due).max(now + rule.delay);
            self.items.push_back(Item { due, bytes, sent: 0 });
        }
    }

    /// Called at the end of the source. The end is kept even while bytes are lost, for the time after that.
    pub fn end(&mut self, rule: Rule, now: Instant) {
        if !self.ended {
            self.ended = true;
            self.push(Vec::new(), Rule { fate: Fate::Hold, ..rule }, now);
        }
    }

    /// Called when the target accepts nothing more.
    pub fn give_up(&mut self) {
        self.done = true;
        self.items.clear();
    }

    /// Writes the bytes whose time has come, as far as the target accepts them.
    pub fn write(&mut self, mut target: &TcpStream, rule: Rule, now: Instant) {
        self.full = false;
        while let Some(item) = self.items.front_mut().filter(|item| item.due <= now) {
            if rule.fate != Fate::Pass {
                return;
            }
            if item.bytes.is_empty() {
                // An error only means that the other side was faster.
                let _ = target.shutdown(Shutdown::Write);
                return self.give_up();
            }
            match target.write(&item.bytes[item.sent..]) {
                Ok(count) => item.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.full = true;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.give_up(),
            }
            if item.sent == item.bytes.len() {
                self.items.pop_front();
            }
        }
    }

    pub fn is_due(&self, rule: Rule, now: Instant) -> bool {
        rule.fate == Fate::Pass && self.items.front().is_some_and(|item| item.due <= now)
    }

    /// Returns when the next bytes must be written, if they only wait for time.
    pub fn next_due(&self, rule: Rule) -> Option<Instant> {
        let waits = rule.fate == Fate::Pass && !self.full;
        self.items.front().filter(|_| waits).map(|item| item.due)
    }

    pub fn lose_waiting(&mut self) {
        let before = self.items.len();
        self.items.retain(|item| item.bytes.is_empty());
        self.lost |= self.items.len() < before;
    }

    pub fn release(&mut self, now: Instant) {
        self.items.iter_mut().for_each(|item| item.due = item.due.min(now));
    }

    pub fn waiting(&self) -> usize {
        self.items.iter().map(|item| item.bytes.len() - item.sent).sum()
    }

    pub fn wants_read(&self) -> bool {
        !self.ended
    }

    pub fn wants_write(&self) -> bool {
        self.full
    }

    pub fn is_done(&self) -> bool {
        self.done
    }

    pub fn has_lost(&self) -> bool {
        self.lost
    }
}

/// Makes closing the stream reset the connection instead of ending it in order.
pub fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value is a `linger` of that size, read during the call only.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
