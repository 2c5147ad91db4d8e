//! One client's connection through the proxy.

use super::flow::{read_all, reset_on_close, Flow};
use super::requests::Requests;
use super::{Fate, Rule, Rules, Way};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// On loopback a listening server accepts at once, unless its backlog is full.
const CONNECT_BOUND: Duration = Duration::from_secs(1);

/// A connection to the server, made when the first bytes must be sent.
struct Far {
    target: SocketAddr,
    stream: Option<TcpStream>,
    failed: bool,
}

impl Far {
    fn new(target: SocketAddr) -> Far {
        Far { target, stream: None, failed: false }
    }

    fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    /// Returns the connection, or `None` if the server does not listen.
    fn connect(&mut self) -> Option<&TcpStream> {
        if self.stream.is_none() && !self.failed {
            self.stream = connect(self.target).ok();
            self.failed = self.stream.is_none();
        }
        self.stream.as_ref()
    }
}

fn connect(target: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target, CONNECT_BOUND)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Repeated requests to the server. Their replies are dropped.
struct Again {
    server: Far,
    flow: Flow,
    ended: bool,
}

/// The client's connection, the server's, and the bytes in flight between them.
pub struct Link {
    client: TcpStream,
    server: Far,
    to_server: Flow,
    to_client: Flow,
    requests: Requests,
    again: Option<Again>,
}

impl Link {
    pub fn new(client: TcpStream, target: SocketAddr) -> Link {
        Link {
            client,
            server: Far::new(target),
            to_server: Flow::default(),
            to_client: Flow::default(),
            requests: Requests::default(),
            again: None,
        }
    }

    pub fn flow(&mut self, way: Way) -> &mut Flow {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }

    /// Reads and writes what is possible. Returns how many requests were scheduled to be sent again.
    pub fn turn(&mut self, rules: &Rules, now: Instant) -> u64 {
        let mut whole = Vec::new();
        self.to_server
            .read(&self.client, rules.to_server, now, |bytes| whole.extend(self.requests.push(bytes)));
        let again = self.send_again(whole, rules, now);
        if self.to_server.is_due(rules.to_server, now) {
            match self.server.connect() {
                Some(server) => self.to_server.write(server, rules.to_server, now),
                None => self.to_server.give_up(),
            }
        }
        match self.server.stream() {
            Some(server) => self.to_client.read(server, rules.to_client, now, |_| ()),
            None if self.server.failed => self.to_client.end(rules.to_client, now),
            None => {}
        }
        self.to_client.write(&self.client, rules.to_client, now);
        again
    }

    fn send_again(&mut self, whole: Vec<Vec<u8>>, rules: &Rules, now: Instant) -> u64 {
        let mut count = 0;
        if let Some(after) = rules.again.filter(|_| rules.to_server.fate != Fate::Lose) {
            for request in whole {
                let target = self.server.target;
                let again = self.again.get_or_insert_with(|| Again {
                    server: Far::new(target),
                    flow: Flow::default(),
                    ended: false,
                });
                again.flow.push(request, Rule { delay: after, ..Rule::default() }, now);
                count += 1;
            }
        }
        let Some(again) = &mut self.again else { return 0 };
        if !self.to_server.wants_read() {
            again.flow.end(Rule::default(), now);
        }
        let rule = Rule { fate: rules.to_server.fate, ..Rule::default() };
        if again.flow.is_due(rule, now) {
            match again.server.connect() {
                Some(server) => again.flow.write(server, rule, now),
                None => again.flow.give_up(),
            }
        }
        if let Some(server) = again.server.stream().filter(|_| !again.ended) {
            again.ended = read_all(server, |_| ()).is_none();
        }
        count
    }

    pub fn is_done(&self) -> bool {
        let again = self.again.as_ref().is_none_or(|again| again.flow.is_done());
        self.to_server.is_done() && self.to_client.is_done() && again
    }

    pub fn has_lost(&self) -> bool {
        self.to_server.has_lost() || self.to_client.has_lost()
    }

    /// Returns the next time at which there is something to do without any traffic.
    pub fn next_due(&self, rules: &Rules) -> Option<Instant> {
        let rule = Rule { fate: rules.to_server.fate, ..Rule::default() };
        let again = self.again.as_ref().and_then(|again| again.flow.next_due(rule));
        let first = self.to_server.next_due(rules.to_server);
        [first, self.to_client.next_due(rules.to_client), again].into_iter().flatten().min()
    }

    /// Calls `wait` with the sockets to wait for, and for what.
    pub fn interests(&self, mut wait: impl FnMut(RawFd, bool, bool)) {
        wait(self.client.as_raw_fd(), self.to_server.wants_read(), self.to_client.wants_write());
        if let Some(server) = self.server.stream() {
            wait(server.as_raw_fd(), self.to_client.wants_read(), self.to_server.wants_write());
        }
        if let Some(again) = &self.again {
            if let Some(server) = again.server.stream() {
                wait(server.as_raw_fd(), !again.ended, again.flow.wants_write());
            }
        }
    }

    /// Resets the connection, which the client notices at once.
    pub fn reset(self) {
        // If that is not possible, it is closed in order.
        let _ = reset_on_close(&self.client);
    }
}
