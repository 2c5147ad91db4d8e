//! Data in flight, when it arrives, and what happens to it.

use crate::fingerprint::Fingerprint;
use crate::time::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::task::Waker;

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer = 0,
    ToClient = 1,
}

/// Both directions.
pub const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// What a server finds on its sockets.
#[derive(Debug)]
pub enum Arrival {
    Bytes(usize, Vec<u8>),
    Closed(usize),
}

/// Everything between the machines.
pub(super) struct Wires {
    pub(super) time: Time,
    pub(super) random: SmallRng,
    /// How long bytes are in flight, in microseconds.
    pub(super) delay: RangeInclusive<i64>,
    pub(super) connections: Vec<Connection>,
    /// The links of each client to each server.
    pub(super) links: Vec<Vec<Link>>,
    pub(super) servers: Vec<Server>,
    pub(super) under_way: BTreeMap<(i64, u64), Delivery>,
    pub(super) sent: u64,
    pub(super) delivered: Fingerprint,
}

/// The link between one client and one server.
#[derive(Default)]
pub(super) struct Link {
    /// Whether nothing is delivered in each direction until it is healed.
    pub(super) silent: [bool; 2],
    pub(super) held: VecDeque<Delivery>,
    /// Longest additional delay.
    pub(super) slow_micros: i64,
    pub(super) refuses: bool,
    /// Whether the client's machine is gone.
    pub(super) dead: bool,
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) inbox: VecDeque<Arrival>,
    pub(super) waker: Option<Waker>,
    pub(super) down: bool,
}

pub(super) struct Connection {
    pub(super) client: usize,
    pub(super) server: usize,
    /// The last arrival, before which nothing sent later arrives.
    pub(super) last_arrival: [i64; 2],
    /// How much is in flight.
    pub(super) under_way: [u32; 2],
    pub(super) received: VecDeque<u8>,
    /// Whether no more is received once this has been read.
    pub(super) ended: bool,
    pub(super) reader: Option<Waker>,
    pub(super) client_gone: bool,
    pub(super) server_gone: bool,
}

pub(super) struct Delivery {
    pub(super) connection: usize,
    pub(super) direction: Direction,
    pub(super) what: What,
}

pub(super) enum What {
    Bytes(Vec<u8>),
    Close,
}

impl Wires {
    pub(super) fn new(time: Time, seed: u64, servers: usize, delay: RangeInclusive<i64>) -> Wires {
        Wires {
            time,
            random: SmallRng::seed_from_u64(seed),
            delay,
            connections: Vec::new(),
            links: Vec::new(),
            servers: (0..servers).map(|_| Server::default()).collect(),
            under_way: BTreeMap::new(),
            sent: 0,
            delivered: Fingerprint::default(),
        }
    }

    /// Makes a connection, and returns its number.
    pub(super) fn connect(&mut self, client: usize, server: usize) -> usize {
        self.connections.push(Connection {
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
        self.connections.len() - 1
    }

    /// Returns how long something between these two is in flight.
    pub(super) fn delay(&mut self, client: usize, server: usize) -> i64 {
        let slow = self.links[client][server].slow_micros;
        let slow = if slow > 0 { self.random.random_range(0..=slow) } else { 0 };
        self.random.random_range(self.delay.clone()).max(0) + slow
    }

    /// Sends this. Returns whether it must be delivered earlier than everything else.
    pub(super) fn send(&mut self, delivery: Delivery) -> bool {
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

    pub(super) fn deliver_due(&mut self) {
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

    pub(super) fn deliver(&mut self, delivery: Delivery) {
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

    /// Loses what is in flight to the server over this connection.
    pub(super) fn lose(&mut self, connection: usize) {
        let lost = |delivery: &Delivery| {
            delivery.connection == connection && delivery.direction == Direction::ToServer
        };
        self.under_way.retain(|_, delivery| !lost(delivery));
        self.connections[connection].under_way[Direction::ToServer as usize] = 0;
        let Connection { client, server, .. } = self.connections[connection];
        self.links[client][server].held.retain(|delivery| !lost(delivery));
    }

    pub(super) fn end_client_side(&mut self, connection: usize) {
        let connection = &mut self.connections[connection];
        connection.client_gone = true;
        connection.ended = true;
        connection.received.clear();
        connection.reader.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn connections_of(&self, wanted: impl Fn(&Connection) -> bool) -> Vec<usize> {
        let numbered = self.connections.iter().enumerate();
        numbered.filter(|(_, connection)| wanted(connection)).map(|(number, _)| number).collect()
    }
}
