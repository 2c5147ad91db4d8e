//! The description of a command for COMMAND DOCS, INFO and GETKEYS, and the hints of redis-cli.

/// How a command uses its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads them.
    Read,
    /// It reads and changes them.
    Update,
    /// It reads and removes them.
    Delete,
}

/// The positions of the keys, and how they are used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// There is none.
    None,
    /// One key, the first argument.
    One(Access),
    /// Keys after the first argument, which is their number.
    Counted(Access),
}

/// The description of a command.
pub struct Doc {
    /// Its name and its arguments. `[…]` is optional, `...` repeats what precedes it, and a word in capital
    /// letters stands for itself. Numbers have the names that `command_info.rs` lists.
    pub syntax: &'static str,
    /// Its number of words, including the name; if negative, the minimum number.
    pub arity: i32,
    /// Its flags, in the server's terms.
    pub flags: &'static str,
    /// Its keys.
    pub keys: Keys,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its complexity.
    pub complexity: &'static str,
}

impl Doc {
    /// Returns its name and its arguments.
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.syntax.split_once(' ').unwrap_or((self.syntax, ""))
    }
}
