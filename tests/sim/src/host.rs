//! The event loop of a server's process: reads what has arrived, runs it, sends the replies, sleeps.

use crate::engine_node::EngineNode;
use crate::front::Front;
use crate::history::History;
use crate::network::{Arrival, Network};
use crate::node::Persistence;
use crate::resp;
use crate::time::{Clock, Time};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redis_lock_quorum::order;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use tokio::sync::Notify;

/// A server's machine.
pub struct Host {
    number: usize,
    pub clock: Clock,
    time: Time,
    network: Network,
    history: Rc<History>,
    /// Notified when it is thawed or started again, or has something else to look at.
    resumed: Notify,
    process: RefCell<Process>,
}

struct Process {
    node: EngineNode,
    front: Front,
    random: SmallRng,
    /// The client of the node for each connection.
    clients: BTreeMap<usize, Client>,
    connections: BTreeMap<u64, usize>,
    frozen: bool,
    down: bool,
}

struct Client {
    id: u64,
    input: Vec<u8>,
}

impl Host {
    pub fn new(
        number: usize,
        mut node: EngineNode,
        front: Front,
        clock: Clock,
        network: &Network,
        history: &Rc<History>,
        seed: u64,
    ) -> Host {
        node.set_clocks(front.monotonic(&clock), clock.wall_micros());
        Host {
            number,
            clock,
            time: history.time(),
            network: network.clone(),
            history: Rc::clone(history),
            resumed: Notify::new(),
            process: RefCell::new(Process {
                node,
                front,
                random: SmallRng::seed_from_u64(seed),
                clients: BTreeMap::new(),
                connections: BTreeMap::new(),
                frozen: false,
                down: false,
            }),
        }
    }

    /// Runs the event loop. Never returns.
    pub async fn run(self: Rc<Self>) {
        loop {
            let wake = {
                let process = self.process.borrow();
                (!process.frozen && !process.down).then(|| process.node.next_wake())
            };
            let Some(wake) = wake else {
                self.resumed.notified().await;
                continue;
            };
            let arrival = poll_fn(|context| self.network.poll_arrival(self.number, context));
            match wake {
                Some(wake) => {
                    let wake = self.process.borrow().front.true_time_of(&self.clock, wake);
                    tokio::select! {
                        biased;
                        () = arrival => {}
                        () = self.resumed.notified() => {}
                        () = self.time.sleep_until(wake) => {}
                    }
                }
                None => {
                    tokio::select! {
                        biased;
                        () = arrival => {}
                        () = self.resumed.notified() => {}
                    }
                }
            }
            self.turn();
        }
    }

    /// Runs one cycle of the event loop.
    fn turn(&self) {
        let mut process = self.process.borrow_mut();
        if process.frozen || process.down {
            return;
        }
        let at_most = process.random.random_range(1..=8);
        let arrivals = self.network.take_arrivals(self.number, at_most);
        process.set_clocks(&self.clock);
        process.node.after_sleep();
        let mut output = Vec::new();
        for arrival in arrivals {
            process.arrived(arrival, &mut output, self);
        }
        process.node.before_sleep();
        let last = process.node.take_output();
        output.extend(self.to_connections(&process.connections, last));
        drop(process);
        self.send(output);
    }

    /// Stops the process. What arrives meanwhile accumulates.
    pub fn freeze(&self) {
        self.process.borrow_mut().frozen = true;
    }

    pub fn thaw(&self) {
        self.process.borrow_mut().frozen = false;
        self.resumed.notify_one();
    }

    /// Kills the process. It is down until [`Host::start`].
    pub fn kill(&self) {
        self.process.borrow_mut().down = true;
        self.network.server_down(self.number);
    }

    pub fn start(&self, keep: Persistence) {
        let mut process = self.process.borrow_mut();
        process.clients.clear();
        process.connections.clear();
        process.front.restarted();
        process.set_clocks(&self.clock);
        process.node.crash_and_restart(keep);
        (process.down, process.frozen) = (false, false);
        self.network.server_up(self.number);
        self.resumed.notify_one();
    }

    /// Sends output to the connections. Output for clients that are gone is dropped.
    fn to_connections(
        &self,
        connections: &BTreeMap<u64, usize>,
        output: Vec<(u64, Vec<u8>)>,
    ) -> Vec<(usize, Vec<u8>)> {
        let known = output.into_iter().filter_map(|(id, bytes)| Some((*connections.get(&id)?, bytes)));
        let noted = known.inspect(|(connection, bytes)| {
            self.history.note(|| {
                let reply = String::from_utf8_lossy(bytes);
                format!("node {} > {connection}: {}", self.number, reply.replace("\r\n", " "))
            });
        });
        noted.collect()
    }

    /// Runs an operator's command in a cycle of its own. Returns the reply; empty if the process is stopped.
    pub fn operate(&self, command: &[&str]) -> Vec<u8> {
        let mut process = self.process.borrow_mut();
        if process.frozen || process.down {
            return Vec::new();
        }
        let args: Vec<Vec<u8>> = command.iter().map(|word| word.as_bytes().to_vec()).collect();
        process.set_clocks(&self.clock);
        process.node.after_sleep();
        let client = process.node.connect();
        process.node.command(client, &args);
        process.node.before_sleep();
        let output = process.node.take_output();
        process.node.disconnect(client);
        let (own, others): (Vec<_>, _) = output.into_iter().partition(|(id, _)| *id == client);
        let others = self.to_connections(&process.connections, others);
        drop(process);
        self.send(others);
        self.resumed.notify_one();
        own.into_iter().flat_map(|(_, bytes)| bytes).collect()
    }

    fn send(&self, output: Vec<(usize, Vec<u8>)>) {
        output.into_iter().for_each(|(connection, bytes)| self.network.reply(connection, bytes));
    }
}

impl Process {
    fn set_clocks(&mut self, clock: &Clock) {
        let monotonic = self.front.monotonic(clock);
        self.node.set_clocks(monotonic, clock.wall_micros());
    }

    fn arrived(&mut self, arrival: Arrival, output: &mut Vec<(usize, Vec<u8>)>, host: &Host) {
        match arrival {
            Arrival::Bytes(connection, bytes) => {
                let client = self.clients.entry(connection).or_insert_with(|| {
                    let id = self.node.connect();
                    self.connections.insert(id, connection);
                    Client { id, input: Vec::new() }
                });
                client.input.extend(bytes);
                self.run_commands(connection, output, host);
            }
            Arrival::Closed(connection) => {
                if let Some(client) = self.clients.remove(&connection) {
                    self.connections.remove(&client.id);
                    self.node.disconnect(client.id);
                }
            }
        }
    }

    fn run_commands(&mut self, connection: usize, output: &mut Vec<(usize, Vec<u8>)>, host: &Host) {
        loop {
            let Some(client) = self.clients.get_mut(&connection) else { return };
            let id = client.id;
            let command = match resp::take_command(&mut client.input) {
                Ok(Some(command)) => command,
                Ok(None) => return,
                Err(resp::Malformed) => {
                    host.history
                        .violation("", format!("a client sent no command over connection {connection}"));
                    client.input.clear();
                    return;
                }
            };
            host.history.note(|| format!("node {} < {connection}: {}", host.number, text(&command)));
            if command.iter().any(|word| word == b"BLOCK") && command[1].ends_with(order::SUFFIX.as_bytes()) {
                host.history.lines_up(host.network.client_of(connection));
            }
            let Process { node, front, connections, .. } = self;
            let mut others = Vec::new();
            let mut run = |command: &[Vec<u8>]| {
                node.command(id, command);
                let (own, rest): (Vec<_>, _) = node.take_output().into_iter().partition(|(to, _)| *to == id);
                others.extend(rest);
                own.into_iter().flat_map(|(_, bytes)| bytes).collect()
            };
            let own = front.serve(command, &mut run);
            if !own.is_empty() {
                others.push((id, own));
            }
            output.extend(host.to_connections(connections, others));
        }
    }
}

fn text(command: &[Vec<u8>]) -> String {
    let words: Vec<_> = command.iter().map(|word| String::from_utf8_lossy(word)).collect();
    words.join(" ")
}
