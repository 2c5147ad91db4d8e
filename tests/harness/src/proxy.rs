//! A TCP proxy in front of a server that simulates network faults.

mod flow;
mod link;
mod requests;
mod turn;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use turn::State;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client: requests.
    ToServer,
    /// From the server: replies.
    ToClient,
}

impl Way {
    /// Both directions.
    pub const BOTH: [Way; 2] = [Way::ToServer, Way::ToClient];
}

/// What happens to bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Pass,
    Hold,
    Lose,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rule {
    pub fate: Fate,
    pub delay: Duration,
}

/// How the proxy treats all its connections, including future ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub to_server: Rule,
    pub to_client: Rule,
    /// How much later requests are repeated, if they are.
    pub again: Option<Duration>,
    pub refuse: bool,
    pub strand: bool,
}

impl Rules {
    pub fn way(&mut self, way: Way) -> &mut Rule {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }
}

/// Listens on a free port of 127.0.0.1 and passes everything on to a server, until told to do otherwise.
///
/// Methods take effect before they return: after [`Proxy::freeze`] no further byte passes. The end of a
/// connection is treated like its bytes: it is held, delayed and lost with them.
pub struct Proxy {
    shared: Arc<Mutex<State>>,
    waker: UnixStream,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy for the server at `target`, which need not run at that time.
    ///
    /// # Errors
    /// Returns an error if there is no free port or no thread.
    pub fn start(target: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let shared = Arc::new(Mutex::new(State::new(listener, target)));
        let thread = std::thread::Builder::new().name(format!("proxy {}", address.port())).spawn({
            let shared = Arc::clone(&shared);
            move || turn::run(&shared, &woken)
        })?;
        Ok(Proxy { shared, waker, address, thread: Some(thread) })
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds all bytes back, in both directions, until [`Proxy::heal`].
    pub fn freeze(&self) {
        Way::BOTH.into_iter().for_each(|way| self.hold(way));
    }

    /// Holds the bytes of this direction until [`Proxy::heal`], which delivers them.
    pub fn hold(&self, way: Way) {
        self.change(|state| state.rules.way(way).fate = Fate::Hold);
    }

    /// Drops the bytes of this direction from now on, including those that are held. [`Proxy::heal`] resets
    /// connections that lost bytes, as TCP would do in the end.
    pub fn lose(&self, way: Way) {
        self.change(|state| {
            state.rules.way(way).fate = Fate::Lose;
            state.lose_waiting(way);
        });
    }

    /// Delays bytes of this direction that arrive from now on. Their order stays.
    pub fn delay(&self, way: Way, delay: Duration) {
        self.change(|state| state.rules.way(way).delay = delay);
    }

    /// Sends each request that arrives from now on to the server once more, `after` the first time. It uses a
    /// connection of its own, as the client must not see a second reply. (Such a connection has only the
    /// password and database that the client sets while this is on.)
    pub fn duplicate(&self, after: Duration) {
        self.change(|state| state.rules.again = Some(after));
    }

    /// Resets all connections, with their bytes in flight. New connections are accepted.
    pub fn reset(&self) {
        self.change(State::reset_all);
    }

    /// Resets all connections, and each new one at once, until [`Proxy::heal`].
    pub fn refuse(&self) {
        self.change(|state| {
            state.rules.refuse = true;
            state.reset_all();
        });
    }

    /// Accepts new connections but does not connect them, until [`Proxy::heal`]. Existing ones go on.
    pub fn strand(&self) {
        self.change(|state| state.rules.strand = true);
    }

    /// Connects new connections to another server, as after a change of a DNS name. Existing connections
    /// stay.
    pub fn lead_to(&self, target: SocketAddr) {
        self.change(|state| state.target = target);
    }

    /// Passes everything again from now on. Bytes that were held or delayed are delivered at once, except
    /// requests that [`Proxy::duplicate`] repeats later.
    pub fn heal(&self) {
        self.change(|state| {
            state.rules = Rules::default();
            state.release(Instant::now());
        });
    }

    /// Returns how many bytes of this direction are held or delayed.
    pub fn waiting(&self, way: Way) -> usize {
        self.state().waiting(way)
    }

    /// Returns how many connections clients have opened so far.
    pub fn accepted(&self) -> u64 {
        self.state().accepted
    }

    /// Returns how many requests have been sent to the server a second time so far.
    pub fn duplicated(&self) -> u64 {
        self.state().duplicated
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        // A full pipe also wakes it.
        let _ = (&self.waker).write(&[1]);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|state| state.stopped = true);
        if let Some(thread) = self.thread.take() {
            // The thread panicked, and its message is already on standard error.
            let _ = thread.join();
        }
    }
}
