//! A lock as LOCK.INFO reports it.

use humantime::format_duration;
use redis::Value;
use std::time::{Duration, Instant};

/// Length of an owner if there is no room for all of it.
const SHORT_OWNER: usize = 12;

/// A hold.
#[derive(Clone, Debug)]
pub struct Holder {
    pub owner: String,
    pub token: i64,
    /// How many holders the lock tolerates; 0 is any number.
    pub limit: i64,
    pub ttl: Duration,
    pub held: Duration,
    pub meta: String,
}

/// A request in line.
#[derive(Clone, Debug)]
pub struct Waiter {
    pub owner: String,
    pub limit: i64,
    pub waiting: Duration,
}

/// A lock at one moment.
#[derive(Clone, Debug)]
pub struct LockInfo {
    pub at: Instant,
    pub holders: Vec<Holder>,
    pub waiters: Vec<Waiter>,
    /// Owners of requests over several nodes whose turn it is: they have the line's lock.
    pub turns: Vec<String>,
}

impl LockInfo {
    /// Reads replies of LOCK.INFO about the lock and its line's lock. Returns `None` if both are unused.
    pub fn read(reply: &Value, line: &Value) -> Option<LockInfo> {
        let waiters = [reply, line].into_iter().flat_map(|reply| list(reply, "waiters"));
        let info = LockInfo {
            at: Instant::now(),
            holders: list(reply, "holders").iter().map(Holder::read).collect(),
            waiters: waiters.map(Waiter::read).collect(),
            turns: list(line, "holders").iter().map(|holder| text_field(holder, "owner")).collect(),
        };
        let is_there = !info.holders.is_empty() || !info.waiters.is_empty() || !info.turns.is_empty();
        is_there.then_some(info)
    }

    /// Returns how long ago that moment was.
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

impl Holder {
    fn read(value: &Value) -> Holder {
        Holder {
            owner: text_field(value, "owner"),
            token: number(value, "fence"),
            limit: number(value, "limit"),
            ttl: millis(value, "ttl-ms"),
            held: millis(value, "held-ms"),
            meta: text_field(value, "meta"),
        }
    }

    /// Returns the same hold after some time, if nothing else happens to it.
    pub fn later(&self, time: Duration) -> Holder {
        Holder { ttl: self.ttl.saturating_sub(time), held: self.held + time, ..self.clone() }
    }

    /// Returns the holder's name for people.
    pub fn name(&self) -> String {
        if self.meta.is_empty() { short(&self.owner) } else { self.meta.clone() }
    }
}

impl Waiter {
    fn read(value: &Value) -> Waiter {
        Waiter {
            owner: text_field(value, "owner"),
            limit: number(value, "limit"),
            waiting: millis(value, "waiting-ms"),
        }
    }
}

/// Returns a duration for people: whole seconds, or milliseconds below one second.
pub fn roughly(time: Duration) -> String {
    let rough = match time.as_secs() {
        0 => Duration::from_millis(time.as_millis() as u64),
        seconds => Duration::from_secs(seconds),
    };
    format_duration(rough).to_string()
}

/// Returns the name of a limit.
pub fn kind(limit: i64) -> String {
    match limit {
        0 => "shared".into(),
        1 => "exclusive".into(),
        n => format!("at most {n}"),
    }
}

/// Returns the beginning of an owner.
pub fn short(owner: &str) -> String {
    if owner.chars().count() <= SHORT_OWNER + 1 {
        return owner.into();
    }
    owner.chars().take(SHORT_OWNER).chain(['…']).collect()
}

/// Returns bytes as text. Each byte of what can't be shown, or would move a terminal's cursor or change the
/// direction of text, is written as \xNN. A backslash is too, so that this can be undone.
pub fn text(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' || character.is_control() || is_format(character) {
                let mut buffer = [0; 4];
                escape(character.encode_utf8(&mut buffer).as_bytes(), &mut shown);
            } else {
                shown.push(character);
            }
        }
        escape(chunk.invalid(), &mut shown);
    }
    shown
}

/// Returns whether it changes the direction of text (Unicode's Bidi_Control), or breaks lines.
fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

fn escape(bytes: &[u8], shown: &mut String) {
    use std::fmt::Write;
    for byte in bytes {
        // Writing to a string never fails.
        let _ = write!(shown, "\\x{byte:02x}");
    }
}

fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Map(pairs) = map else { return None };
    pairs.iter().find(|(key, _)| bytes(key) == name.as_bytes()).map(|(_, value)| value)
}

fn list<'a>(map: &'a Value, name: &str) -> &'a [Value] {
    match field(map, name) {
        Some(Value::Array(items)) => items,
        _ => &[],
    }
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.as_bytes(),
        _ => &[],
    }
}

fn text_field(map: &Value, name: &str) -> String {
    field(map, name).map(|value| text(bytes(value))).unwrap_or_default()
}

fn number(map: &Value, name: &str) -> i64 {
    match field(map, name) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}

fn millis(map: &Value, name: &str) -> Duration {
    Duration::from_millis(u64::try_from(number(map, name)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_a_cursor_is_escaped() {
        assert_eq!(text("grün".as_bytes()), "grün");
        assert_eq!(text(b"a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
        assert_eq!(text(b"\xff\xfeend"), "\\xff\\xfeend");
        assert_eq!(text("a\u{202e}b".as_bytes()), "a\\xe2\\x80\\xaeb");
        for mark in ['\u{200e}', '\u{200f}', '\u{202a}', '\u{2066}', '\u{2069}'] {
            assert!(text(mark.to_string().as_bytes()).is_ascii(), "{mark:?}");
        }
    }

    #[test]
    fn what_is_escaped_can_be_told_from_what_is_not() {
        assert_eq!(text(br"\xff"), r"\x5cxff");
    }
}
