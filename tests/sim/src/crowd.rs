//! Many clients of one server that wait, leave, are killed, unblocked, too late, granted and robbed, at random: one
//! thing at a time, and after each all that can be seen is compared with plain lists. The same steps are taken on the
//! engine in memory, with a replica beside it, and on real servers.

mod in_memory;
mod lists;
mod steps;

pub use in_memory::InMemory;
pub use lists::Conn;
pub use steps::{COUNTED, Counts, run};

/// What a client is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Integer(u64),
    Nil,
    Ok,
    Error(String),
}

/// All that can be seen of a key.
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
    /// The connection that it ends with last; 0 if none.
    pub session: Conn,
    pub token: u64,
    pub meta: String,
}

/// A server, and connections to it. Words of a command are apart by one space each.
pub trait Target {
    /// A new connection.
    fn connect(&mut self) -> Conn;

    fn send(&mut self, conn: Conn, line: &str);

    /// The next reply to this connection.
    ///
    /// # Errors
    /// Returns what is wrong if there is none.
    fn read(&mut self, conn: Conn) -> Result<Answer, String>;

    /// Runs commands on a connection of its own, without anything in between.
    fn operate(&mut self, lines: &[&str]) -> Vec<Answer>;

    /// The client closes the connection.
    fn close(&mut self, conn: Conn);

    /// This many milliseconds pass.
    fn pass(&mut self, ms: i64);

    /// All that is to happen by itself has happened, as far as that can be known from here.
    ///
    /// # Errors
    /// Returns what is wrong by then.
    fn settle(&mut self) -> Result<(), String>;

    /// Returns whether it is worth looking again after something did not turn out as expected.
    fn look_again(&mut self) -> bool;

    fn view(&mut self, key: &str) -> View;

    /// A number of INFO.
    fn count(&mut self, name: &str) -> u64;

    /// Returns whether nothing was said to this connection that was not read.
    fn is_quiet(&mut self, conn: Conn) -> bool;

    /// From here on the replica hears nothing any more. Returns whether there is one.
    fn cut_replica(&mut self) -> bool {
        false
    }

    /// The master is gone, and all connections with it; the replica takes its place.
    fn promote(&mut self) {}
}
