//! How a command describes itself: COMMAND DOCS, INFO and GETKEYS, and the hints of redis-cli.

/// What is done with keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looked at.
    Read,
    /// Read and changed.
    Update,
    /// Read and removed.
    Delete,
}

/// Where the keys are, and what is done with them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// There is none.
    None,
    /// One, the first argument.
    One(Access),
    /// As many as the first argument says, after it.
    Counted(Access),
}

/// A command.
pub struct Doc {
    /// Its name and its arguments: `[…]` may be left out, of what stands before `...` there may be several, a word in
    /// capital letters stands for itself. Numbers go by the names that `command_info.rs` lists.
    pub syntax: &'static str,
    /// How many words it has, its name included; negative: at least so many.
    pub arity: i32,
    /// Its flags, in the server's words.
    pub flags: &'static str,
    /// Its keys.
    pub keys: Keys,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What it costs.
    pub complexity: &'static str,
}

impl Doc {
    /// Its name and its arguments.
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.syntax.split_once(' ').unwrap_or((self.syntax, ""))
    }
}
