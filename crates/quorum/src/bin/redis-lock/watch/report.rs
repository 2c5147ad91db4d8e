//! What is shown: a table in a terminal, else lines.

use super::changes::{Change, What};
use super::locks::kind;
use super::server::Server;
use super::table;
use crate::say;
use humantime::{format_duration, format_rfc3339_millis};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::time::{Duration, SystemTime};

enum Form {
    Table(table::Screen),
    Lines,
    Json,
}

/// Where all of it goes.
pub struct Report {
    form: Form,
    about: String,
    closed: bool,
}

impl Report {
    pub fn new(json: bool) -> Report {
        let form = match json {
            true => Form::Json,
            false if std::io::stdout().is_terminal() => Form::Table(table::Screen),
            false => Form::Lines,
        };
        Report { form, about: String::new(), closed: false }
    }

    /// A connection is made.
    pub fn begin(&mut self, about: String) {
        if !matches!(self.form, Form::Table(_)) {
            say(&about);
        }
        self.about = about;
    }

    /// Something is wrong for a while.
    pub fn trouble(&mut self, message: &str) {
        match &self.form {
            Form::Table(screen) => self.closed |= screen.draw(&[message.to_owned()]).is_err(),
            Form::Lines | Form::Json => say(message),
        }
    }

    /// What comes now is for another screen.
    pub fn end(&self) {
        if let Form::Table(_) = self.form {
            table::leave();
        }
    }

    /// Whether nobody reads it any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn changes(&mut self, changes: &[Change]) {
        let line: fn(&Change) -> String = match self.form {
            Form::Table(_) => return,
            Form::Lines => |change| line(change),
            Form::Json => |change| json_line(change).to_string(),
        };
        let mut out = std::io::stdout().lock();
        for change in changes {
            self.closed |= writeln!(out, "{}", line(change)).is_err();
        }
        self.closed |= out.flush().is_err();
    }

    pub fn draw(&mut self, server: &Server) {
        if let Form::Table(screen) = &self.form {
            self.closed |= screen.draw(&table::lines(&self.about, server)).is_err();
        }
    }
}

fn now() -> String {
    format_rfc3339_millis(SystemTime::now()).to_string()
}

/// Whole seconds are enough for a person, and milliseconds below that.
pub fn roughly(time: Duration) -> String {
    let rough = match time.as_secs() {
        0 => Duration::from_millis(time.as_millis() as u64),
        seconds => Duration::from_secs(seconds),
    };
    format_duration(rough).to_string()
}

fn line(change: &Change) -> String {
    let mut line = format!("{} {} {}", now(), change.lock, change.what.name());
    if let Some(holder) = &change.holder {
        line += &format!(" by {} ({}), token {}", holder.name(), kind(holder.limit), holder.token);
        line += &match change.what {
            What::Held => format!(", for {}, {} left", roughly(holder.held), roughly(holder.ttl)),
            What::Acquired | What::Extended => format!(", {} left", roughly(holder.ttl)),
            _ => format!(", after {}", roughly(holder.held)),
        };
    }
    if let Some(waiter) = &change.waiter {
        line += &format!(" {} ({})", waiter.owner, kind(waiter.limit));
    }
    line
}

fn json_line(change: &Change) -> Value {
    let mut line = json!({ "at": now(), "lock": change.lock, "change": change.what.name() });
    if let Some(holder) = &change.holder {
        line["owner"] = json!(holder.owner);
        line["token"] = json!(holder.token);
        line["limit"] = json!(holder.limit);
        line["ttl_ms"] = json!(holder.ttl.as_millis() as u64);
        line["held_ms"] = json!(holder.held.as_millis() as u64);
        line["meta"] = json!(holder.meta);
    }
    if let Some(waiter) = &change.waiter {
        line["owner"] = json!(waiter.owner);
        line["limit"] = json!(waiter.limit);
        line["waiting_ms"] = json!(waiter.waiting.as_millis() as u64);
    }
    line
}
