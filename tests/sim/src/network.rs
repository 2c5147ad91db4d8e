//! The network: connections between clients and servers, and their faults.
//!
//! Within a connection bytes keep their order and are neither lost nor repeated, as in TCP. A broken
//! connection may still deliver what was sent over it, much later. Connections overtake each other.

mod stream;
mod wires;

use crate::time::Time;
use rand::Rng;
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use stream::Stream;
use tokio::sync::Notify;
pub use wires::{Arrival, BOTH, Direction};
use wires::{Connection, Delivery, Link, What, Wires};

/// The network between all machines of a history.
#[derive(Clone)]
pub struct Network {
    wires: Arc<Mutex<Wires>>,
    /// Notified if something must be delivered earlier than the next delivery so far.
    earlier: Arc<Notify>,
    /// Notified when a link works again.
    healed: Arc<Notify>,
}

impl Network {
    pub fn new(time: Time, seed: u64, servers: usize, delay: RangeInclusive<i64>) -> Network {
        let wires = Wires::new(time, seed, servers, delay);
        Network { wires: Arc::new(Mutex::new(wires)), earlier: Arc::default(), healed: Arc::default() }
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers what is in flight, each at its time. Never returns.
    pub async fn run(self) {
        loop {
            let (time, next) = {
                let mut wires = self.wires();
                wires.deliver_due();
                (wires.time, wires.under_way.keys().next().map(|(arrival, _)| *arrival))
            };
            match next {
                Some(next) => {
                    tokio::select! {
                        biased;
                        () = time.sleep_until(next) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    /// Returns a hash of all that was delivered.
    pub fn fingerprint(&self) -> u64 {
        self.wires().delivered.value()
    }

    /// Adds a machine that connects to servers, and returns its number.
    pub fn add_client(&self) -> usize {
        let mut wires = self.wires();
        let links = wires.servers.iter().map(|_| Link::default()).collect();
        wires.links.push(links);
        wires.links.len() - 1
    }

    /// Connects a client to a server.
    ///
    /// # Errors
    /// Returns an error if nobody listens there.
    pub async fn connect(&self, client: usize, server: usize) -> io::Result<Stream> {
        for direction in BOTH {
            self.until_heard(client, server, direction).await;
            let delay = self.wires().delay(client, server);
            if delay > 0 {
                tokio::time::sleep(std::time::Duration::from_micros(delay.unsigned_abs())).await;
            }
        }
        let mut wires = self.wires();
        let link = &wires.links[client][server];
        if link.refuses || link.dead || wires.servers[server].down {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let number = wires.connect(client, server);
        drop(wires);
        Ok(Stream { network: self.clone(), number })
    }

    async fn until_heard(&self, client: usize, server: usize, direction: Direction) {
        loop {
            let mut healed = std::pin::pin!(self.healed.notified());
            healed.as_mut().enable();
            if !self.wires().links[client][server].silent[direction as usize] {
                return;
            }
            healed.await;
        }
    }

    /// Sends bytes from a server over a connection.
    pub fn reply(&self, connection: usize, bytes: Vec<u8>) {
        self.send(connection, Direction::ToClient, What::Bytes(bytes));
    }

    /// Returns the client of this connection.
    pub fn client_of(&self, connection: usize) -> usize {
        self.wires().connections[connection].client
    }

    /// Closes a connection from the server.
    pub fn close(&self, connection: usize) {
        self.send(connection, Direction::ToClient, What::Close);
        self.wires().connections[connection].server_gone = true;
    }

    fn send(&self, connection: usize, direction: Direction, what: What) {
        if self.wires().send(Delivery { connection, direction, what }) {
            self.earlier.notify_one();
        }
    }

    /// Returns what has arrived at a server: at most this many arrivals.
    pub fn take_arrivals(&self, server: usize, at_most: usize) -> Vec<Arrival> {
        let mut wires = self.wires();
        let inbox = &mut wires.servers[server].inbox;
        let count = at_most.min(inbox.len());
        inbox.drain(..count).collect()
    }

    /// Returns whether something has arrived at a server. If not, it is woken when something does.
    pub fn poll_arrival(&self, server: usize, context: &mut Context<'_>) -> Poll<()> {
        let mut wires = self.wires();
        let server = &mut wires.servers[server];
        if !server.inbox.is_empty() {
            return Poll::Ready(());
        }
        server.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ends the server's process and its connections. Nobody listens until [`Network::server_up`].
    pub fn server_down(&self, server: usize) {
        let connections = {
            let mut wires = self.wires();
            wires.servers[server].down = true;
            wires.servers[server].inbox.clear();
            wires.connections_of(|connection| connection.server == server && !connection.server_gone)
        };
        connections.into_iter().for_each(|connection| self.close(connection));
    }

    pub fn server_up(&self, server: usize) {
        self.wires().servers[server].down = false;
    }

    /// Ends the client's machine. What it has sent still arrives.
    pub fn client_dies(&self, client: usize) {
        let connections = {
            let mut wires = self.wires();
            wires.links[client].iter_mut().for_each(|link| link.dead = true);
            wires.connections_of(|connection| connection.client == client && !connection.client_gone)
        };
        for connection in connections {
            self.send(connection, Direction::ToServer, What::Close);
            self.wires().end_client_side(connection);
        }
    }

    /// Breaks all connections of a client to a server. What the client has sent is lost, or arrives in its
    /// time. The server sees the end of the connection only then, or even later.
    pub fn cut(&self, client: usize, server: usize) {
        let broken = |connection: &Connection| {
            connection.client == client && connection.server == server && !connection.client_gone
        };
        let mut wires = self.wires();
        for connection in wires.connections_of(broken) {
            if wires.random.random_bool(0.5) {
                wires.lose(connection);
            }
            let later = wires.random.random_range(0..2_000_000);
            let now = wires.time.now();
            let last = &mut wires.connections[connection].last_arrival[Direction::ToServer as usize];
            *last = (*last).max(now + later);
            wires.send(Delivery { connection, direction: Direction::ToServer, what: What::Close });
            wires.end_client_side(connection);
        }
        drop(wires);
        self.earlier.notify_one();
    }

    /// Stops deliveries in this direction from now on.
    pub fn silence(&self, client: usize, server: usize, direction: Direction) {
        self.wires().links[client][server].silent[direction as usize] = true;
    }

    /// Delivers what was held in this direction.
    pub fn unsilence(&self, client: usize, server: usize, direction: Direction) {
        let mut wires = self.wires();
        let link = &mut wires.links[client][server];
        link.silent[direction as usize] = false;
        let held = std::mem::take(&mut link.held);
        held.into_iter().for_each(|delivery| wires.deliver(delivery));
        drop(wires);
        self.healed.notify_waiters();
    }

    /// Makes bytes between these two take up to this much longer.
    pub fn slow(&self, client: usize, server: usize, micros: i64) {
        self.wires().links[client][server].slow_micros = micros;
    }

    /// Sets whether new connections are refused.
    pub fn refuse(&self, client: usize, server: usize, refuses: bool) {
        self.wires().links[client][server].refuses = refuses;
    }
}
