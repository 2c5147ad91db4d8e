//! A connection that sends exactly what it is given and returns exactly what it receives.

use crate::reply::{read_reply, Reply};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// No reply of a live server takes longer, even on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn open(socket: &Path) -> io::Result<Client> {
        Client::on(UnixStream::connect(socket)?)
    }

    pub(crate) fn open_tcp(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, BOUND)?;
        stream.set_nodelay(true)?;
        // Reading, writing and time limits are the same for sockets of every kind.
        Client::on(OwnedFd::from(stream).into())
    }

    fn on(stream: UnixStream) -> io::Result<Client> {
        stream.set_read_timeout(Some(BOUND))?;
        stream.set_write_timeout(Some(BOUND))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Sends a command and reads its reply.
    ///
    /// # Panics
    /// Panics if the connection breaks, or no reply comes within 30 seconds.
    #[track_caller]
    pub fn run<A: AsRef<[u8]>>(&mut self, command: impl IntoIterator<Item = A>) -> Reply {
        unbroken(self.try_run(command))
    }

    /// Does what [`Client::run`] does, for servers that may die.
    pub fn try_run<A: AsRef<[u8]>>(&mut self, command: impl IntoIterator<Item = A>) -> io::Result<Reply> {
        self.try_send(command)?;
        self.try_read()
    }

    /// Sends all commands at once, then reads one reply for each.
    #[track_caller]
    pub fn pipeline<A, C>(&mut self, commands: impl IntoIterator<Item = C>) -> Vec<Reply>
    where
        A: AsRef<[u8]>,
        C: IntoIterator<Item = A>,
    {
        let count = self.send_all(commands);
        (0..count).map(|_| unbroken(self.try_read())).collect()
    }

    /// Sends all commands at once, and returns how many. Read their replies with [`Client::read`].
    #[track_caller]
    pub fn send_all<A, C>(&mut self, commands: impl IntoIterator<Item = C>) -> usize
    where
        A: AsRef<[u8]>,
        C: IntoIterator<Item = A>,
    {
        let mut bytes = Vec::new();
        let count = commands.into_iter().map(|command| encode(command, &mut bytes)).count();
        unbroken(self.stream.get_mut().write_all(&bytes));
        count
    }

    /// Sends a command. Read its reply with [`Client::read`].
    #[track_caller]
    pub fn send<A: AsRef<[u8]>>(&mut self, command: impl IntoIterator<Item = A>) {
        unbroken(self.try_send(command));
    }

    /// Does what [`Client::send`] does, for servers that may die.
    pub fn try_send<A: AsRef<[u8]>>(&mut self, command: impl IntoIterator<Item = A>) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(command, &mut bytes);
        self.stream.get_mut().write_all(&bytes)
    }

    /// Sends bytes as they are, for malformed commands.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        unbroken(self.stream.get_mut().write_all(bytes));
    }

    /// Returns the next reply or push message.
    ///
    /// # Panics
    /// Panics if the connection breaks, or nothing comes within 30 seconds.
    #[track_caller]
    pub fn read(&mut self) -> Reply {
        unbroken(self.try_read())
    }

    /// Does what [`Client::read`] does, for servers that may die.
    pub fn try_read(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.stream)
    }

    /// Returns the next reply, or `None` if none has begun to arrive within `bound`.
    #[track_caller]
    pub fn read_within(&mut self, bound: Duration) -> Option<Reply> {
        unbroken(self.stream.get_ref().set_read_timeout(Some(bound)));
        let begun = self.stream.fill_buf().map(|bytes| bytes.len());
        unbroken(self.stream.get_ref().set_read_timeout(Some(BOUND)));
        match begun {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            begun => {
                unbroken(begun);
                Some(self.read())
            }
        }
    }

    /// Returns the server's id of this connection.
    #[track_caller]
    pub fn id(&mut self) -> i64 {
        self.run(["CLIENT", "ID"]).int()
    }
}

fn encode<A: AsRef<[u8]>>(command: impl IntoIterator<Item = A>, bytes: &mut Vec<u8>) {
    let arguments: Vec<A> = command.into_iter().collect();
    bytes.extend(format!("*{}\r\n", arguments.len()).bytes());
    for argument in &arguments {
        let argument = argument.as_ref();
        bytes.extend(format!("${}\r\n", argument.len()).bytes());
        bytes.extend(argument);
        bytes.extend(b"\r\n");
    }
}

#[track_caller]
fn unbroken<T>(result: io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the connection to the server failed: {error}"),
    }
}
