//! The form of the output: a table in a terminal, otherwise lines.

use super::changes::{Change, What};
use super::locks::{kind, roughly};
use super::server::Server;
use super::table;
use crate::say;
use crate::writer::Writer;
use humantime::format_rfc3339_millis;
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::time::SystemTime;

enum Form {
    Table(table::Screen),
    Lines,
    Json,
}

/// The form of the output, and where it goes.
pub struct Report {
    form: Form,
    output: Writer,
    about: String,
}

impl Report {
    pub fn new(json: bool, output: Writer) -> Report {
        let form = match json {
            true => Form::Json,
            false if std::io::stdout().is_terminal() => Form::Table(table::Screen(output.clone())),
            false => Form::Lines,
        };
        Report { form, output, about: String::new() }
    }

    /// Reports a new connection.
    pub fn begin(&mut self, about: String) {
        if !matches!(self.form, Form::Table(_)) {
            say(&about);
        }
        self.about = about;
    }

    /// Reports a temporary problem.
    pub fn trouble(&mut self, message: &str) {
        match &self.form {
            Form::Table(screen) => screen.draw(&[message.to_owned()]),
            Form::Lines | Form::Json => say(message),
        }
    }

    /// Leaves the screen: what follows is for another one.
    pub fn end(&self) {
        if let Form::Table(screen) = &self.form {
            screen.leave();
            self.output.settle();
        }
    }

    /// Returns when there is room for what comes next.
    pub async fn ready(&self) {
        self.output.ready().await;
    }

    pub async fn changes(&self, changes: &[Change]) {
        let line: fn(&Change) -> String = match self.form {
            Form::Table(_) => return,
            Form::Lines => |change| line(change) + "\n",
            Form::Json => |change| format!("{}\n", json_line(change)),
        };
        if !changes.is_empty() {
            self.output.write(changes.iter().map(line).collect()).await;
        }
    }

    pub fn draw(&self, server: &Server) {
        if let Form::Table(screen) = &self.form {
            screen.draw(&table::lines(&self.about, server));
        }
    }
}

fn now() -> String {
    format_rfc3339_millis(SystemTime::now()).to_string()
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
