//! Several independent servers, each behind a proxy of its own.

use crate::builder::Builder;
use crate::client::Client;
use crate::proxy::Proxy;
use crate::server::Server;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

/// Nodes that know nothing of each other, as a quorum wants them. (No Redis Cluster: that is
/// `cluster-enabled yes`.) Dropping it ends them all.
pub struct Cluster {
    nodes: Vec<Node>,
}

/// Nodes that are not started yet.
pub struct ClusterBuilder {
    nodes: Vec<Builder>,
}

impl ClusterBuilder {
    /// Changes how each node is to be; the closure is given its number, from 0.
    pub fn each(mut self, mut change: impl FnMut(usize, Builder) -> Builder) -> ClusterBuilder {
        self.nodes = self.nodes.into_iter().enumerate().map(|(i, node)| change(i, node)).collect();
        self
    }

    /// Adds a line of redis.conf on every node, see [`Builder::config`].
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
    /// As [`Builder::start`].
    #[track_caller]
    pub fn start(self) -> Cluster {
        Cluster { nodes: self.nodes.into_iter().map(|node| Node::behind_proxy(node.tcp().start())).collect() }
    }
}

impl Cluster {
    /// So many nodes with the module, without persistence.
    #[track_caller]
    pub fn start(nodes: usize) -> Cluster {
        Cluster::builder(nodes).start()
    }

    /// So many nodes, to be configured before their start.
    pub fn builder(nodes: usize) -> ClusterBuilder {
        ClusterBuilder { nodes: (0..nodes).map(|_| Server::builder()).collect() }
    }

    /// One of the nodes, from 0.
    ///
    /// # Panics
    /// Where there is none of this number.
    #[track_caller]
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// All of them.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where clients connect: each node's proxy.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Node::url).collect()
    }

    /// The nodes themselves, past the proxies.
    pub fn direct_urls(&self) -> Vec<String> {
        self.nodes.iter().map(Node::direct_url).collect()
    }
}

/// A server and the proxy before it.
pub struct Node {
    // First: it stops handing on before the server goes.
    proxy: Proxy,
    server: Server,
}

impl Node {
    /// Puts a proxy before a server, which must listen on a port.
    ///
    /// # Panics
    /// Where it does not, or where no port is free for the proxy.
    #[track_caller]
    pub fn behind_proxy(server: Server) -> Node {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
        let proxy = Proxy::start(target).expect("a port and a thread for the proxy");
        Node { proxy, server }
    }

    /// The server itself, for its connections past the proxy, clocks, log and INFO.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The proxy that clients connect to.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// A connection through the proxy, that speaks RESP2.
    #[track_caller]
    pub fn connect(&self) -> Client {
        match self.try_connect() {
            Ok(client) => client,
            Err(error) => panic!("no connection to the proxy: {error}"),
        }
    }

    /// As [`Node::connect`], for a proxy that may break it at once.
    pub fn try_connect(&self) -> io::Result<Client> {
        Client::open_tcp(self.proxy.address())
    }

    /// The proxy's address. Stays the same over restarts.
    pub fn url(&self) -> String {
        format!("redis://{}", self.proxy.address())
    }

    /// The server's address. Stays the same over restarts.
    pub fn direct_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.server.port())
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop(&self) {
        self.server.stop();
    }

    /// As [`Server::restart`]: same port, same proxy; what it remembers is a matter of its configuration.
    #[track_caller]
    pub fn restart(&self) {
        self.server.start_again();
    }

    /// As [`Server::freeze`]: the process stops, its connections stay.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Goes on after [`Node::freeze`].
    pub fn thaw(&self) {
        self.server.thaw();
    }
}
