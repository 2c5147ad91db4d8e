//! Several independent servers, each behind a proxy of its own.

use crate::builder::Builder;
use crate::client::Client;
use crate::proxy::Proxy;
use crate::server::Server;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

/// Independent nodes for a quorum, not a Redis Cluster (for that set `cluster-enabled yes`). They are ended
/// on drop.
pub struct Cluster {
    nodes: Vec<Node>,
}

/// Nodes that have not been started.
pub struct ClusterBuilder {
    nodes: Vec<Builder>,
}

impl ClusterBuilder {
    /// Changes the configuration of each node. The closure gets its number, from 0.
    pub fn each(mut self, mut change: impl FnMut(usize, Builder) -> Builder) -> ClusterBuilder {
        self.nodes = self.nodes.into_iter().enumerate().map(|(i, node)| change(i, node)).collect();
        self
    }

    /// Adds a line to redis.conf on every node, see [`Builder::config`].
    pub fn config(self, name: &str, value: &str) -> ClusterBuilder {
        self.each(|_, node| node.config(name, value))
    }

    /// Makes every node's clocks movable, see [`Builder::movable_clocks`].
    pub fn movable_clocks(self) -> ClusterBuilder {
        self.each(|_, node| node.movable_clocks())
    }

    /// Starts all nodes, and waits until they answer.
    ///
    /// # Panics
    /// Panics for the reasons of [`Builder::start`].
    #[track_caller]
    pub fn start(self) -> Cluster {
        Cluster { nodes: self.nodes.into_iter().map(|node| Node::behind_proxy(node.tcp().start())).collect() }
    }
}

impl Cluster {
    /// Starts this number of nodes with the module, without persistence.
    #[track_caller]
    pub fn start(nodes: usize) -> Cluster {
        Cluster::builder(nodes).start()
    }

    /// Returns this number of nodes, which can be configured before their start.
    pub fn builder(nodes: usize) -> ClusterBuilder {
        ClusterBuilder { nodes: (0..nodes).map(|_| Server::builder()).collect() }
    }

    /// Returns one of the nodes, counted from 0.
    ///
    /// # Panics
    /// Panics if there is no node of this number.
    #[track_caller]
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// Returns all nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the addresses for clients: each node's proxy.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Node::url).collect()
    }

    /// Returns the addresses of the nodes themselves, which bypass the proxies.
    pub fn direct_urls(&self) -> Vec<String> {
        self.nodes.iter().map(Node::direct_url).collect()
    }
}

/// A server and the proxy in front of it.
pub struct Node {
    // First: it stops passing bytes before the server ends.
    proxy: Proxy,
    server: Server,
}

impl Node {
    /// Puts a proxy in front of a server, which must listen on a port.
    ///
    /// # Panics
    /// Panics if it does not, or if no port is free for the proxy.
    #[track_caller]
    pub fn behind_proxy(server: Server) -> Node {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
        let proxy = Proxy::start(target).expect("a port and a thread for the proxy");
        Node { proxy, server }
    }

    /// Returns the server itself, for connections that bypass the proxy, clocks, log and INFO.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns the proxy that clients connect to.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Returns a connection through the proxy, with RESP2.
    #[track_caller]
    pub fn connect(&self) -> Client {
        match self.try_connect() {
            Ok(client) => client,
            Err(error) => panic!("no connection to the proxy: {error}"),
        }
    }

    /// Does what [`Node::connect`] does, for a proxy that may break it at once.
    pub fn try_connect(&self) -> io::Result<Client> {
        Client::open_tcp(self.proxy.address())
    }

    /// Returns the proxy's address, which stays the same over restarts.
    pub fn url(&self) -> String {
        format!("redis://{}", self.proxy.address())
    }

    /// Returns the server's address, which stays the same over restarts.
    pub fn direct_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.server.port())
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Sends SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Does what [`Server::restart`] does, with the same port and proxy. What is kept is a setting.
    #[track_caller]
    pub fn restart(&self) {
        self.server.start_again();
    }

    /// Does what [`Server::freeze`] does: the process stops, its connections stay.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Continues the process after [`Node::freeze`].
    pub fn thaw(&self) {
        self.server.thaw();
    }
}
