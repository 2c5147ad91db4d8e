//! How a command describes itself: COMMAND DOCS, INFO and GETKEYS, and the hints of redis-cli.

/// Where the keys are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// One, the first argument.
    First,
    /// As many as the first argument says, after it.
    Counted,
}

/// What is done with them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looked at.
    Read,
    /// Read and changed.
    Update,
    /// Read and removed.
    Delete,
}

/// What an argument is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A key.
    Key,
    /// Any bytes.
    Text,
    /// A number.
    Integer,
    /// A word that stands for itself.
    Word,
    /// One of the inner arguments.
    OneOf,
}

/// An argument.
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The word before it.
    pub token: Option<&'static str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether there may be several.
    pub multiple: bool,
    /// What it chooses from.
    pub inner: Vec<Arg>,
}

impl Arg {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Arg { name, kind, token: None, optional: false, multiple: false, inner: Vec::new() }
    }

    /// A key.
    pub const fn key() -> Self {
        Arg::new("key", Kind::Key)
    }

    /// Any bytes.
    pub const fn text(name: &'static str) -> Self {
        Arg::new(name, Kind::Text)
    }

    /// A number.
    pub const fn integer(name: &'static str) -> Self {
        Arg::new(name, Kind::Integer)
    }

    /// A word that stands for itself.
    pub const fn word(name: &'static str, word: &'static str) -> Self {
        let mut arg = Arg::new(name, Kind::Word);
        arg.token = Some(word);
        arg
    }

    /// One of these.
    pub fn one_of(name: &'static str, inner: Vec<Arg>) -> Self {
        Arg { inner, ..Arg::new(name, Kind::OneOf) }
    }

    /// The same after a word.
    pub fn after(self, word: &'static str) -> Self {
        Arg { token: Some(word), ..self }
    }

    /// The same, which may be left out.
    pub fn optional(self) -> Self {
        Arg { optional: true, ..self }
    }

    /// The same, of which there may be several.
    pub fn multiple(self) -> Self {
        Arg { multiple: true, ..self }
    }
}

/// A command.
pub struct Doc {
    /// What it does, in a line.
    pub summary: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// The version of the module that brought it.
    pub since: &'static str,
    /// How many words it has, its name included; negative: at least so many.
    pub arity: i32,
    /// Where its keys are, and what is done with them.
    pub keys: Option<(Keys, Access)>,
    /// Its arguments.
    pub args: Vec<Arg>,
}

impl Doc {
    /// First key, last key and step, as clients before key specs want them. Counted keys can't be
    /// said so: the server finds them by the key spec.
    pub fn legacy_keys(&self) -> (i32, i32, i32) {
        match self.keys {
            Some((Keys::First, _)) => (1, 1, 1),
            Some((Keys::Counted, _)) | None => (0, 0, 0),
        }
    }
}
