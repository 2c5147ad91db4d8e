//! Real servers for tests: started in a directory of their own, used over a unix socket, killed, restarted
//! and replicated, and removed on drop. For a quorum there are several servers at once, each behind a proxy
//! that simulates network faults ([`Cluster`]).
//!
//! ```no_run
//! use redis_lock_harness::{Reply, Server};
//!
//! let server = Server::start();
//! let mut client = server.connect();
//! assert!(client.run(["LOCK.ACQUIRE", "key", "owner", "1000"]).int() > 0);
//! assert_eq!(client.run(["LOCK.RELEASE", "key", "owner"]), Reply::Int(1));
//! ```

mod builder;
mod client;
mod clocks;
mod cluster;
mod poll;
mod port;
mod process;
mod proxy;
mod reply;
mod server;

pub use builder::{module_path, server_binary, Builder};
pub use client::Client;
pub use cluster::{Cluster, ClusterBuilder, Node};
pub use poll::{eventually, Condition};
pub use port::free_port;
pub use process::allow_connections;
pub use proxy::{Proxy, Way};
pub use reply::Reply;
pub use server::Server;
