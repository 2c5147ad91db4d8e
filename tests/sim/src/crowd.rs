//! Many clients of one server that wait, leave, are killed, unblocked, time out, and get or lose locks, at
//! random: one step at a time. After each step everything visible is compared with plain lists. The same
//! steps are made on the engine in memory, with a replica, and on real servers.

mod in_memory;
mod lists;
mod steps;

pub use in_memory::InMemory;
pub use lists::Conn;
pub use steps::{COUNTED, Counts, run};

/// A reply to a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Integer(u64),
    Nil,
    Ok,
    Error(String),
}

/// The visible state of a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub holders: Vec<Holder>,
    /// Owner, limit, client.
    pub waiters: Vec<(String, u64, Conn)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    pub owner: String,
    pub limit: u64,
    /// The latest connection that it ends with; 0 if none.
    pub session: Conn,
    pub token: u64,
    pub meta: String,
}

/// A server, and connections to it. The words of a command are separated by one space each.
pub trait Target {
    /// Returns a new connection.
    fn connect(&mut self) -> Conn;

    fn send(&mut self, conn: Conn, line: &str);

    /// Returns the next reply to this connection.
    ///
    /// # Errors
    /// Returns an error if there is none.
    fn read(&mut self, conn: Conn) -> Result<Answer, String>;

    /// Runs commands on a connection of its own, without anything in between.
    fn operate(&mut self, lines: &[&str]) -> Vec<Answer>;

    /// Closes the connection by the client.
    fn close(&mut self, conn: Conn);

    /// Lets this many milliseconds pass.
    fn pass(&mut self, ms: i64);

    /// Waits until all that must happen by itself has happened, as far as that can be known here.
    ///
    /// # Errors
    /// Returns an error if something is wrong by then.
    fn settle(&mut self) -> Result<(), String>;

    /// Returns whether a second look may help after an unexpected result.
    fn look_again(&mut self) -> bool;

    fn view(&mut self, key: &str) -> View;

    /// Returns a number of INFO.
    fn count(&mut self, name: &str) -> u64;

    /// Returns whether this connection has no unread reply.
    fn is_quiet(&mut self, conn: Conn) -> bool;

    /// Cuts the replica off from now on. Returns whether there is one.
    fn cut_replica(&mut self) -> bool {
        false
    }

    /// Replaces the master, which is gone with all its connections, by the replica.
    fn promote(&mut self) {}
}
