//! The proxy's loop: one thread, all its connections.

use super::flow::reset_on_close;
use super::link::Link;
use super::{Rules, Way};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub struct State {
    listener: TcpListener,
    pub target: SocketAddr,
    links: Vec<Link>,
    /// Accepted connections that lead nowhere.
    stranded: Vec<TcpStream>,
    pub rules: Rules,
    pub accepted: u64,
    pub duplicated: u64,
    pub stopped: bool,
}

impl State {
    pub fn new(listener: TcpListener, target: SocketAddr) -> State {
        State {
            listener,
            target,
            links: Vec::new(),
            stranded: Vec::new(),
            rules: Rules::default(),
            accepted: 0,
            duplicated: 0,
            stopped: false,
        }
    }

    pub fn waiting(&mut self, way: Way) -> usize {
        self.links.iter_mut().map(|link| link.flow(way).waiting()).sum()
    }

    pub fn lose_waiting(&mut self, way: Way) {
        self.links.iter_mut().for_each(|link| link.flow(way).lose_waiting());
    }

    pub fn reset_all(&mut self) {
        self.links.drain(..).for_each(Link::reset);
        self.stranded.clear();
    }

    /// Delivers everything that is held, and resets broken connections.
    pub fn release(&mut self, now: Instant) {
        self.stranded.clear();
        let (broken, whole) = self.links.drain(..).partition(Link::has_lost);
        self.links = whole;
        let broken: Vec<Link> = broken;
        broken.into_iter().for_each(Link::reset);
        for link in &mut self.links {
            Way::BOTH.into_iter().for_each(|way| link.flow(way).release(now));
        }
    }

    fn turn(&mut self, now: Instant) {
        while let Ok((client, _)) = self.listener.accept() {
            self.accepted += 1;
            if self.rules.refuse {
                // If that is not possible, it is closed in order.
                let _ = reset_on_close(&client);
            } else if self.rules.strand {
                self.stranded.push(client);
            } else if client.set_nonblocking(true).and_then(|()| client.set_nodelay(true)).is_ok() {
                self.links.push(Link::new(client, self.target));
            }
        }
        for link in &mut self.links {
            self.duplicated += link.turn(&self.rules, now);
        }
        self.links.retain(|link| !link.is_done());
    }

    /// Returns what the next turn waits for.
    fn wait_for(&self, woken: RawFd) -> (Vec<libc::pollfd>, Option<Instant>) {
        let mut sockets =
            vec![interest(woken, true, false), interest(self.listener.as_raw_fd(), true, false)];
        let mut wait = |socket, read, write| {
            // The end of a connection is reported even if nothing was asked for.
            if read || write {
                sockets.push(interest(socket, read, write));
            }
        };
        self.links.iter().for_each(|link| link.interests(&mut wait));
        let due = self.links.iter().filter_map(|link| link.next_due(&self.rules)).min();
        (sockets, due)
    }
}

fn interest(socket: RawFd, read: bool, write: bool) -> libc::pollfd {
    let mut events = 0;
    if read {
        events |= libc::POLLIN;
    }
    if write {
        events |= libc::POLLOUT;
    }
    libc::pollfd { fd: socket, events, revents: 0 }
}

/// Runs until the proxy is dropped.
pub fn run(shared: &Mutex<State>, mut woken: &UnixStream) {
    loop {
        let (mut sockets, due) = {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if state.stopped {
                return;
            }
            state.turn(Instant::now());
            state.wait_for(woken.as_raw_fd())
        };
        let timeout = due.map_or(-1, |due| {
            let left = due.saturating_duration_since(Instant::now());
            left.as_micros().div_ceil(1000).try_into().unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: the array is ours during the call, with its length. A socket that is closed meanwhile is
        // only reported as such, or as another that is ready: every one is then tried, and none blocks.
        unsafe { libc::poll(sockets.as_mut_ptr(), sockets.len() as libc::nfds_t, timeout) };
        let _ = woken.read(&mut [0; 64]);
    }
}
