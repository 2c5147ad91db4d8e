//! The network: connections between clients and servers, with all that can happen to them.
//!
//! Within a connection bytes keep their order and are neither lost nor repeated, as TCP has it; a connection that breaks
//! may still deliver what was sent over it, much later. Connections overtake each other.

use crate::fingerprint::Fingerprint;
use crate::time::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer = 0,
    ToClient = 1,
}

/// Both ways.
pub const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// What a server finds when it looks at its sockets.
#[derive(Debug)]
pub enum Arrival {
    Bytes(usize, Vec<u8>),
    Closed(usize),
}

/// The network between all machines of a history.
#[derive(Clone)]
pub struct Network {
    state: Arc<Mutex<State>>,
    /// Something is to be delivered earlier than what was next before.
    earlier: Arc<Notify>,
    /// A link works again.
    healed: Arc<Notify>,
}

struct State {
    time: Time,
    random: SmallRng,
    /// How long bytes are under way, in microseconds.
    delay: RangeInclusive<i64>,
    connections: Vec<Connection>,
    /// Of each client to each server.
    links: Vec<Vec<Link>>,
    servers: Vec<Server>,
    under_way: BTreeMap<(i64, u64), Delivery>,
    sent: u64,
    delivered: Fingerprint,
}

/// Between one client and one server.
#[derive(Default)]
struct Link {
    /// Nothing is delivered that way until it is healed.
    silent: [bool; 2],
    held: VecDeque<Delivery>,
    /// Longest additional delay.
    slow_micros: i64,
    refuses: bool,
    /// The client's machine is gone.
    dead: bool,
}

#[derive(Default)]
struct Server {
    inbox: VecDeque<Arrival>,
    waker: Option<Waker>,
    down: bool,
}

struct Connection {
    client: usize,
    server: usize,
    /// Nothing sent later arrives earlier.
    last_arrival: [i64; 2],
    /// How much is under way.
    under_way: [u32; 2],
    received: VecDeque<u8>,
    /// No more is received once this has been read.
    ended: bool,
    reader: Option<Waker>,
    client_gone: bool,
    server_gone: bool,
}

struct Delivery {
    connection: usize,
    direction: Direction,
    what: What,
}

enum What {
    Bytes(Vec<u8>),
    Close,
}

impl Network {
    pub fn new(time: Time, seed: u64, servers: usize, delay: RangeInclusive<i64>) -> Network {
        let state = State {
            time,
            random: SmallRng::seed_from_u64(seed),
            delay,
            connections: Vec::new(),
            links: Vec::new(),
            servers: (0..servers).map(|_| Server::default()).collect(),
            under_way: BTreeMap::new(),
            sent: 0,
            delivered: Fingerprint::default(),
        };
        Network { state: Arc::new(Mutex::new(state)), earlier: Arc::default(), healed: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers what is under way, each at its time. Never returns.
    pub async fn run(self) {
        loop {
            let (time, next) = {
                let mut state = self.state();
                state.deliver_due();
                (state.time, state.under_way.keys().next().map(|(arrival, _)| *arrival))
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

    /// A hash of all that was delivered.
    pub fn fingerprint(&self) -> u64 {
        self.state().delivered.value()
    }

    /// A machine more that connects to servers, and its number.
    pub fn add_client(&self) -> usize {
        let mut state = self.state();
        let links = state.servers.iter().map(|_| Link::default()).collect();
        state.links.push(links);
        state.links.len() - 1
    }

    /// Connects a client to a server.
    ///
    /// # Errors
    /// Returns an error if nobody listens there.
    pub async fn connect(&self, client: usize, server: usize) -> io::Result<Stream> {
        for direction in BOTH {
            self.until_heard(client, server, direction).await;
            let delay = self.state().delay(client, server);
            if delay > 0 {
                tokio::time::sleep(std::time::Duration::from_micros(delay.unsigned_abs())).await;
            }
        }
        let mut state = self.state();
        let link = &state.links[client][server];
        if link.refuses || link.dead || state.servers[server].down {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let number = state.connections.len();
        state.connections.push(Connection {
            client,
            server,
            last_arrival: [0; 2],
            under_way: [0; 2],
            received: VecDeque::new(),
            ended: false,
            reader: None,
            client_gone: false,
            server_gone: false,
        });
        Ok(Stream { network: self.clone(), number })
    }

    async fn until_heard(&self, client: usize, server: usize, direction: Direction) {
        loop {
            let mut healed = std::pin::pin!(self.healed.notified());
            healed.as_mut().enable();
            if !self.state().links[client][server].silent[direction as usize] {
                return;
            }
            healed.await;
        }
    }

    /// A server sends bytes over a connection.
    pub fn reply(&self, connection: usize, bytes: Vec<u8>) {
        self.send(connection, Direction::ToClient, What::Bytes(bytes));
    }

    /// A server closes a connection.
    pub fn close(&self, connection: usize) {
        self.send(connection, Direction::ToClient, What::Close);
        self.state().connections[connection].server_gone = true;
    }

    fn send(&self, connection: usize, direction: Direction, what: What) {
        if self.state().send(Delivery { connection, direction, what }) {
            self.earlier.notify_one();
        }
    }

    /// What has arrived at a server: at most so much of it.
    pub fn take_arrivals(&self, server: usize, at_most: usize) -> Vec<Arrival> {
        let mut state = self.state();
        let inbox = &mut state.servers[server].inbox;
        let count = at_most.min(inbox.len());
        inbox.drain(..count).collect()
    }

    /// Whether something has arrived at a server; if not, it is woken when it does.
    pub fn poll_arrival(&self, server: usize, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let server = &mut state.servers[server];
        if !server.inbox.is_empty() {
            return Poll::Ready(());
        }
        server.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The server's process ends: its connections with it. Nobody listens until [`Network::server_up`].
    pub fn server_down(&self, server: usize) {
        let connections = {
            let mut state = self.state();
            state.servers[server].down = true;
            state.servers[server].inbox.clear();
            state.connections_of(|connection| connection.server == server && !connection.server_gone)
        };
        connections.into_iter().for_each(|connection| self.close(connection));
    }

    pub fn server_up(&self, server: usize) {
        self.state().servers[server].down = false;
    }

    /// The client's machine ends. What it has sent arrives, nothing else ever does.
    pub fn client_dies(&self, client: usize) {
        let connections = {
            let mut state = self.state();
            state.links[client].iter_mut().for_each(|link| link.dead = true);
            state.connections_of(|connection| connection.client == client && !connection.client_gone)
        };
        for connection in connections {
            self.send(connection, Direction::ToServer, What::Close);
            self.state().end_client_side(connection);
        }
    }

    /// Breaks all connections of a client to a server. What the client has sent is lost, or arrives in its time; the server
    /// sees the end of the connection only then, or even later.
    pub fn cut(&self, client: usize, server: usize) {
        let broken = |connection: &Connection| {
            connection.client == client && connection.server == server && !connection.client_gone
        };
        let mut state = self.state();
        for connection in state.connections_of(broken) {
            if state.random.random_bool(0.5) {
                state.lose(connection);
            }
            let later = state.random.random_range(0..2_000_000);
            let now = state.time.now();
            let last = &mut state.connections[connection].last_arrival[Direction::ToServer as usize];
            *last = (*last).max(now + later);
            state.send(Delivery { connection, direction: Direction::ToServer, what: What::Close });
            state.end_client_side(connection);
        }
        drop(state);
        self.earlier.notify_one();
    }

    /// From now on nothing is delivered that way.
    pub fn silence(&self, client: usize, server: usize, direction: Direction) {
        self.state().links[client][server].silent[direction as usize] = true;
    }

    /// What was held back that way is delivered now.
    pub fn unsilence(&self, client: usize, server: usize, direction: Direction) {
        let mut state = self.state();
        let link = &mut state.links[client][server];
        link.silent[direction as usize] = false;
        let held = std::mem::take(&mut link.held);
        held.into_iter().for_each(|delivery| state.deliver(delivery));
        drop(state);
        self.healed.notify_waiters();
    }

    /// Bytes between these two take up to so much longer.
    pub fn slow(&self, client: usize, server: usize, micros: i64) {
        self.state().links[client][server].slow_micros = micros;
    }

    /// Whether new connections are refused.
    pub fn refuse(&self, client: usize, server: usize, refuses: bool) {
        self.state().links[client][server].refuses = refuses;
    }
}

impl State {
    /// How long something between these two is under way.
    fn delay(&mut self, client: usize, server: usize) -> i64 {
        let slow = self.links[client][server].slow_micros;
        let slow = if slow > 0 { self.random.random_range(0..=slow) } else { 0 };
        self.random.random_range(self.delay.clone()).max(0) + slow
    }

    /// Returns whether this is to be delivered earlier than everything else.
    fn send(&mut self, delivery: Delivery) -> bool {
        let now = self.time.now();
        let connection = &self.connections[delivery.connection];
        let delay = self.delay(connection.client, connection.server);
        let way = delivery.direction as usize;
        let connection = &mut self.connections[delivery.connection];
        let arrival = connection.last_arrival[way].max(now + delay);
        connection.last_arrival[way] = arrival;
        if arrival <= now && connection.under_way[way] == 0 {
            self.deliver(delivery);
            return false;
        }
        connection.under_way[way] += 1;
        self.sent += 1;
        let key = (arrival, self.sent);
        self.under_way.insert(key, delivery);
        self.under_way.keys().next() == Some(&key)
    }

    fn deliver_due(&mut self) {
        let now = self.time.now();
        while let Some(next) = self.under_way.first_entry() {
            if next.key().0 > now {
                return;
            }
            let delivery = next.remove();
            self.connections[delivery.connection].under_way[delivery.direction as usize] -= 1;
            self.deliver(delivery);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let connection = &mut self.connections[delivery.connection];
        let link = &mut self.links[connection.client][connection.server];
        if link.silent[delivery.direction as usize] {
            link.held.push_back(delivery);
            return;
        }
        self.delivered.number(self.time.now().unsigned_abs());
        self.delivered.number(2 * delivery.connection as u64 + delivery.direction as u64);
        if let What::Bytes(bytes) = &delivery.what {
            self.delivered.bytes(bytes);
        }
        match delivery.direction {
            Direction::ToServer if !connection.server_gone => {
                let server = &mut self.servers[connection.server];
                server.inbox.push_back(match delivery.what {
                    What::Bytes(bytes) => Arrival::Bytes(delivery.connection, bytes),
                    What::Close => Arrival::Closed(delivery.connection),
                });
                server.waker.take().into_iter().for_each(Waker::wake);
            }
            Direction::ToClient if !connection.client_gone => {
                match delivery.what {
                    What::Bytes(bytes) => connection.received.extend(bytes),
                    What::Close => connection.ended = true,
                }
                connection.reader.take().into_iter().for_each(Waker::wake);
            }
            _ => {}
        }
    }

    /// What is under way to the server over this connection is lost.
    fn lose(&mut self, connection: usize) {
        let lost = |delivery: &Delivery| {
            delivery.connection == connection && delivery.direction == Direction::ToServer
        };
        self.under_way.retain(|_, delivery| !lost(delivery));
        self.connections[connection].under_way[Direction::ToServer as usize] = 0;
        let Connection { client, server, .. } = self.connections[connection];
        self.links[client][server].held.retain(|delivery| !lost(delivery));
    }

    fn end_client_side(&mut self, connection: usize) {
        let connection = &mut self.connections[connection];
        connection.client_gone = true;
        connection.ended = true;
        connection.received.clear();
        connection.reader.take().into_iter().for_each(Waker::wake);
    }

    fn connections_of(&self, wanted: impl Fn(&Connection) -> bool) -> Vec<usize> {
        let numbered = self.connections.iter().enumerate();
        numbered.filter(|(_, connection)| wanted(connection)).map(|(number, _)| number).collect()
    }
}

/// The client's end of a connection.
pub struct Stream {
    network: Network,
    number: usize,
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.network.state();
        let connection = &mut state.connections[self.number];
        if connection.received.is_empty() && !connection.ended {
            connection.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.remaining().min(connection.received.len());
        let (first, second) = connection.received.as_slices();
        let from_first = count.min(first.len());
        buffer.put_slice(&first[..from_first]);
        buffer.put_slice(&second[..count - from_first]);
        connection.received.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.network.state().connections[self.number].client_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.network.send(self.number, Direction::ToServer, What::Bytes(bytes.to_vec()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let gone = self.network.state().connections[self.number].client_gone;
        if !gone {
            self.network.send(self.number, Direction::ToServer, What::Close);
            self.network.state().end_client_side(self.number);
        }
    }
}
