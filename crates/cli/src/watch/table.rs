//! The table in a terminal, drawn repeatedly on a screen of its own.

use super::locks::{LockInfo, kind, roughly, short};
use super::server::Server;
use crate::writer::Writer;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use unicode_width::UnicodeWidthChar;

/// A line that is wider on the terminal than expected is cut, and does not take two lines.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";
const COLUMNS: [&str; 7] = ["LOCK", "HOLDER", "KIND", "HELD", "LEFT", "WAITING", "TOKEN"];
const WIDEST: [usize; 7] = [40, 48, 16, 16, 16, 32, 20];
/// Columns that are cut if a line is too long, and the least that is left of them.
const LONG: [usize; 3] = [0, 1, 5];
const NARROWEST: usize = 8;
const GAP: &str = "  ";
/// The size if the terminal does not report one.
const USUAL_SIZE: (usize, usize) = (24, 80);

/// Whether the terminal shows its other screen. There is only one terminal.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// The terminal's other screen. It is left on drop, so that the previous contents are back.
pub struct Screen(pub Writer);

impl Screen {
    pub fn draw(&self, lines: &[String]) {
        if !self.0.is_idle() {
            // The last drawing is not on the screen yet: room is kept for what must follow it.
            return;
        }
        let enter = if ENTERED.swap(true, Ordering::Relaxed) { "" } else { ENTER };
        self.0.try_write(format!("{enter}{}", frame(lines, size())));
    }

    pub fn leave(&self) {
        leave(&self.0);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Returns to what the terminal showed before.
pub fn leave(output: &Writer) {
    if ENTERED.swap(false, Ordering::Relaxed) {
        output.try_write(LEAVE.into());
    }
}

/// Returns a frame of these lines, as many as fit.
fn frame(lines: &[String], (height, width): (usize, usize)) -> String {
    let hidden = lines.len().saturating_sub(height);
    // The last line says how many lines did not fit.
    let shown = if hidden > 0 { height.saturating_sub(1) } else { lines.len() };
    let mut frame = HOME.to_owned();
    for (number, line) in lines.iter().take(shown).enumerate() {
        let line = cut(line, width);
        let (on, off) = if number == 0 { (BOLD, PLAIN) } else { ("", "") };
        let end = if number + 1 < height { "\r\n" } else { "" };
        frame += &format!("{on}{line}{off}{CLEAR_LINE}{end}");
    }
    if hidden > 0 {
        frame += &format!("... and {} more{CLEAR_LINE}", lines.len() - shown);
    }
    frame + CLEAR_BELOW
}

fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => USUAL_SIZE,
    }
}

/// Returns the table as lines that fit the terminal.
pub fn lines(about: &str, server: &Server) -> Vec<String> {
    let locks: Vec<(String, &LockInfo)> = server.locks().collect();
    let holders: usize = locks.iter().map(|(_, info)| info.holders.len()).sum();
    let waiters: usize = locks.iter().map(|(_, info)| info.waiters.len()).sum();
    let mut lines = vec![
        format!("redis-lock watch {about}"),
        format!(
            "{} locks, {holders} holders, {waiters} waiting{}",
            locks.len(),
            if server.is_behind() { "; so many keys that each is looked at less often" } else { "" }
        ),
        String::new(),
    ];
    let mut rows = vec![COLUMNS.map(String::from)];
    for (name, info) in &locks {
        rows.extend(rows_of(name, info));
    }
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let widths = fitted(std::array::from_fn(|column| widest(column).min(WIDEST[column])), size().1);
    lines.extend(rows.iter().map(|row| joined(row, widths)));
    lines
}

/// Narrows the widest of the long columns until a line fits.
fn fitted(mut widths: [usize; 7], most: usize) -> [usize; 7] {
    let gaps = GAP.len() * (widths.len() - 1);
    while widths.iter().sum::<usize>() + gaps > most {
        let widest = LONG.into_iter().max_by_key(|column| widths[*column]);
        match widest {
            Some(column) if widths[column] > NARROWEST => widths[column] -= 1,
            _ => break,
        }
    }
    widths
}

/// Returns a row for each holder. The first one names the lock and its waiters.
fn rows_of(name: &str, info: &LockInfo) -> Vec<[String; 7]> {
    let waiting = match info.waiters.as_slice() {
        [] => String::new(),
        [first] => short(&first.owner),
        [first, rest @ ..] => format!("{} and {} more", short(&first.owner), rest.len()),
    };
    let age = info.age();
    let mut rows: Vec<[String; 7]> = info
        .holders
        .iter()
        .map(|holder| holder.later(age))
        .map(|holder| {
            [
                String::new(),
                holder.name(),
                kind(holder.limit),
                roughly(holder.held),
                roughly(holder.ttl),
                String::new(),
                holder.token.to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        rows.push(Default::default());
        rows[0][1] = "nobody".into();
    }
    rows[0][0] = name.into();
    rows[0][5] = waiting;
    rows
}

fn joined(row: &[String; 7], widths: [usize; 7]) -> String {
    let cell = |(text, most): (&String, usize)| {
        let text = if width(text) > most { cut(text, most.saturating_sub(1)) + "…" } else { text.clone() };
        let missing = most.saturating_sub(width(&text));
        text + &" ".repeat(missing)
    };
    row.iter().zip(widths).map(cell).collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// Returns how many columns of a terminal the text takes.
fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// Returns as much of the beginning as fits.
fn cut(text: &str, most: usize) -> String {
    let mut left = most;
    let fits = |character: &char| {
        let rest = left.checked_sub(character.width().unwrap_or(0));
        rest.is_some_and(|rest| {
            left = rest;
            true
        })
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(cut("鍵鍵鍵", 5), "鍵鍵");
        assert_eq!(cut("key", 5), "key");
        let row = ["鍵鍵鍵", "b", "", "", "", "", ""].map(String::from);
        assert_eq!(joined(&row, [5, 1, 0, 0, 0, 0, 0]), "鍵鍵…  b");
        assert_eq!(joined(&row, [4, 1, 0, 0, 0, 0, 0]), "鍵…   b");
        assert_eq!(joined(&row, [8, 1, 0, 0, 0, 0, 0]), "鍵鍵鍵    b");
    }

    #[test]
    fn long_columns_make_room_for_the_others() {
        assert_eq!(fitted([40, 13, 9, 2, 7, 0, 16], 200), [40, 13, 9, 2, 7, 0, 16]);
        assert_eq!(fitted([40, 40, 9, 2, 7, 7, 16], 80), [14, 13, 9, 2, 7, 7, 16]);
        assert_eq!(fitted([40, 40, 9, 2, 7, 7, 16], 10), [8, 8, 9, 2, 7, 7, 16]);
    }
}
