//! A TCP proxy in front of a server, that does to the bytes what networks do.

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

/// What happens to bytes that go one way.
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

/// How the proxy treats all its connections, also those to come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub to_server: Rule,
    pub to_client: Rule,
    /// Requests are sent once more, so much later.
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

/// Listens on a free port of 127.0.0.1 and hands everything on to a server, until told to do otherwise.
///
/// What a method says holds when it returns: after [`Proxy::freeze`] no further byte passes. The end of a
/// connection travels like its bytes: it is held, delayed and lost with them.
pub struct Proxy {
    shared: Arc<Mutex<State>>,
    waker: UnixStream,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy for the server at `target`, which need not run yet.
    ///
    /// # Errors
    /// Where no port or no thread is to be had.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds all bytes back, in both directions, until [`Proxy::heal`].
    pub fn freeze(&self) {
        Way::BOTH.into_iter().for_each(|way| self.hold(way));
    }

    /// Holds the bytes that go this way back until [`Proxy::heal`], which delivers them.
    pub fn hold(&self, way: Way) {
        self.change(|state| state.rules.way(way).fate = Fate::Hold);
    }

    /// Loses the bytes that go this way from now on, those that wait here included. A connection that lost
    /// some is reset by [`Proxy::heal`], as TCP would do in the end.
    pub fn lose(&self, way: Way) {
        self.change(|state| {
            state.rules.way(way).fate = Fate::Lose;
            state.lose_waiting(way);
        });
    }

    /// Lets bytes that arrive from now on take so much longer this way. Their order stays.
    pub fn delay(&self, way: Way, delay: Duration) {
        self.change(|state| state.rules.way(way).delay = delay);
    }

    /// Sends each request that comes from now on to the server once more, `after` the first time: on a
    /// connection of its own, for the client must not see a second reply. (Such a connection has no
    /// password and no database but those that the client states while this is on.)
    pub fn duplicate(&self, after: Duration) {
        self.change(|state| state.rules.again = Some(after));
    }

    /// Resets all connections, with what they had under way here. New ones are welcome.
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

    /// Lets new connections come up and lead nowhere, until [`Proxy::heal`]; those that are there go on.
    pub fn strand(&self) {
        self.change(|state| state.rules.strand = true);
    }

    /// Leads new connections to another server, as a name does that has been given to it. Those that are
    /// there stay where they are.
    pub fn lead_to(&self, target: SocketAddr) {
        self.change(|state| state.target = target);
    }

    /// From now on everything passes again. What was held or delayed is delivered at once, but for requests
    /// that [`Proxy::duplicate`] promised for later.
    pub fn heal(&self) {
        self.change(|state| {
            state.rules = Rules::default();
            state.release(Instant::now());
        });
    }

    /// How many bytes wait here to go this way, held or delayed.
    pub fn waiting(&self, way: Way) -> usize {
        self.state().waiting(way)
    }

    /// How many connections clients have opened so far.
    pub fn accepted(&self) -> u64 {
        self.state().accepted
    }

    /// How many requests have been sent to the server a second time so far.
    pub fn duplicated(&self) -> u64 {
        self.state().duplicated
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        // A full pipe wakes it as well.
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
            // It panicked: its message is already on standard error.
            let _ = thread.join();
        }
    }
}
