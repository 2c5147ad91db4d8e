//! The names of what is locked.

use crate::Error;
use crate::order::SUFFIX;

/// One resource, or several that are locked together: all or none, under one token. Their names are the keys
/// on each node.
///
/// ```
/// use redis_lock_quorum::Resources;
///
/// let one = Resources::from("account:1");
/// let two = Resources::from(["account:1", "account:2"]);
/// let any = Resources::from((1..=2).map(|id| format!("account:{id}")).collect::<Vec<_>>());
/// assert_ne!(one, two);
/// assert_eq!(two, any);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources(Vec<String>);

impl Resources {
    /// Returns the names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// # Errors
    /// Returns [`Error::Config`] if there is none, or a name is that of a line's lock.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.is_empty() {
            return Err(Error::Config("no resource is given: name at least one".into()));
        }
        match self.0.iter().find(|name| name.ends_with(SUFFIX)) {
            Some(name) => Err(Error::Config(format!(
                "a resource can't be named {name}: names that end in {SUFFIX} are for those who wait for the rest of it"
            ))),
            None => Ok(()),
        }
    }
}

impl From<&str> for Resources {
    fn from(name: &str) -> Self {
        Resources(vec![name.into()])
    }
}

impl From<String> for Resources {
    fn from(name: String) -> Self {
        Resources(vec![name])
    }
}

impl From<&String> for Resources {
    fn from(name: &String) -> Self {
        Resources(vec![name.clone()])
    }
}

impl<T: Into<String>> From<Vec<T>> for Resources {
    fn from(names: Vec<T>) -> Self {
        Resources(names.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Resources {
    fn from(names: [T; N]) -> Self {
        Resources(names.into_iter().map(Into::into).collect())
    }
}

impl<T: AsRef<str>> From<&[T]> for Resources {
    fn from(names: &[T]) -> Self {
        Resources(names.iter().map(|name| name.as_ref().into()).collect())
    }
}
