//! Ports for servers.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Both below those that the system gives to clients and to whoever listens on port 0 (from 32768).
const PORTS: std::ops::Range<u32> = 10_000..20_000;
/// A cluster node also listens on the port that is this much higher.
const CLUSTER_BUS: u32 = 10_000;

/// Returns a port on which nobody listens, and which nobody else gets: a server that was killed is not
/// answered for by another test's server, and finds its port still free.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes begin at different places.
    let begin = std::process::id() % 97 * 101;
    for _ in PORTS {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + begin.wrapping_add(given) % PORTS.len() as u32;
        if [port, port + CLUSTER_BUS].into_iter().all(is_free) {
            return port as u16;
        }
    }
    panic!("no port of {PORTS:?} is free");
}

fn is_free(port: u32) -> bool {
    TcpListener::bind(("127.0.0.1", port as u16)).is_ok()
}
