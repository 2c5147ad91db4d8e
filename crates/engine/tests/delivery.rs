//! A grant to one who waited, and what may happen before its reply has left: in every order, on one lock with two
//! who wait. Servers differ in the order of these events; what must hold does not.

use std::cell::{Cell, RefCell};

use redis_lock_core::request::Acquire;
use redis_lock_core::{Bytes, Limit, Lock};
use redis_lock_engine::{Conditions, Engine, Entry, OpenLock, Outcome, Slot, Ticket, NOWHERE};

/// The one key, of a server that lives as long as the test.
#[derive(Default)]
struct Stored(RefCell<Lock>, Cell<u32>);

#[derive(Clone, Copy)]
struct Key(&'static Stored);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Key {}

impl Entry for Key {
    fn set_place(&self, place: u32) {
        self.0 .1.set(place);
    }
}

impl Slot for Key {
    fn place(&self) -> u32 {
        self.0 .1.get()
    }

    fn home(&self) -> (i32, Bytes) {
        (0, b"k"[..].into())
    }

    fn db(&self) -> i32 {
        0
    }

    fn set_db(&self, _: i32) {}

    fn with_lock<R>(&self, with: impl FnOnce(&mut Lock) -> R) -> R {
        with(&mut self.0 .0.borrow_mut())
    }
}

struct Open<'k>(OpenLock<'k>);

impl<'k> AsMut<OpenLock<'k>> for Open<'k> {
    fn as_mut(&mut self) -> &mut OpenLock<'k> {
        &mut self.0
    }
}

/// What may happen to the first who waits, once it is granted the lock.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// The module asks for its reply to be written, at the end of the cycle.
    Call,
    /// The server writes the reply: the module's, or nil for CLIENT UNBLOCK … TIMEOUT.
    Reply,
    /// CLIENT UNBLOCK … ERROR, a change of role, a moved slot, or the end of its connection while it is blocked.
    Disconnect,
    /// Its connection is closed before the reply has left.
    Close,
    /// The replies have left.
    Sent,
    /// What is due is done.
    Visit,
}

const EVENTS: [Event; 6] =
    [Event::Call, Event::Reply, Event::Disconnect, Event::Close, Event::Sent, Event::Visit];
const FIRST: u64 = 1;

struct Server {
    engine: Engine<Key, u64>,
    key: Key,
    first: Ticket,
    called: bool,
    reply: Option<Outcome>,
    closed: bool,
    told: bool,
}

fn request(owner: &[u8], block_ms: Option<i64>) -> Acquire<'_> {
    let limit = Limit::EXCLUSIVE;
    Acquire { owner, ttl_ms: 60_000, limit, block_ms, session: false, fence: None, meta: None }
}

fn conditions() -> Conditions<'static, u64> {
    Conditions { now: 1, cooldown_ms: 0, propagate: true, may_acquire: &|_| true }
}

impl Server {
    /// `holder` has released the lock, and `first` was granted it in that moment; `second` waits.
    fn after_the_grant() -> Server {
        let stored: &'static Stored = Box::leak(Box::default());
        stored.1.set(NOWHERE);
        let (mut engine, key) = (Engine::new(0, false), Key(stored));
        let token = with(&mut engine, key, |engine, open| {
            engine.acquire(&mut [open], &request(b"holder", None), 0, &conditions())
        });
        assert!(token.expect("the lock is free").is_some());
        let mut join = |owner: &[u8], client| {
            let ticket = engine.join((0, b"k"), &request(owner, Some(0)), (client, client), 1);
            engine.admit_waiter(ticket, None, 9).expect("there is room");
            ticket
        };
        let first = join(b"first", FIRST);
        join(b"second", 2);
        with(&mut engine, key, |engine, open| engine.release(&mut [open], b"holder", &conditions()));
        Server { engine, key, first, called: false, reply: None, closed: false, told: false }
    }

    fn holder(&self) -> Vec<u8> {
        self.key.with_lock(|lock| lock.holds().next().map(|hold| hold.owner().to_vec()).unwrap_or_default())
    }

    /// What can't happen on any server does not: who was let go is not answered, nobody is closed twice.
    fn happen(&mut self, event: Event) {
        let blocked = self.reply.is_none() && !self.closed;
        match event {
            Event::Call if !self.called => {
                self.called = true;
                self.engine.take_resolved();
            }
            Event::Reply if blocked => self.reply = Some(self.engine.on_reply(self.first)),
            Event::Disconnect if blocked => {
                self.reply = Some(Outcome::Nil);
                self.engine.on_disconnected(self.first);
            }
            Event::Close if !self.closed => {
                self.closed = true;
                if self.reply.is_none() {
                    self.engine.on_disconnected(self.first);
                }
                self.engine.on_client_closed(FIRST, false);
            }
            Event::Sent => {
                self.engine.on_replies_sent();
                self.told |= matches!(self.reply, Some(Outcome::Granted(_))) && !self.closed;
            }
            Event::Visit => self.visit(),
            _ => {}
        }
    }

    fn visit(&mut self) {
        while let Some(visit) = self.engine.next_visit(1) {
            let visited = with(&mut self.engine, self.key, |engine, mut open| {
                engine.visit(open.as_mut(), &visit, true, &conditions())
            });
            self.engine.end_visit(visit, visited, 1);
        }
    }
}

/// Opens the key for one call of the engine.
fn with<R>(
    engine: &mut Engine<Key, u64>,
    key: Key,
    call: impl FnOnce(&mut Engine<Key, u64>, Open) -> R,
) -> R {
    let mut lock = key.0 .0.borrow_mut();
    let open = Open(engine.open((0, b"k"), &mut lock, false, false));
    let result = call(engine, open);
    engine.on_stored(key, &lock);
    result
}

/// All sequences of events up to this length.
fn orders(length: u32) -> impl Iterator<Item = Vec<Event>> {
    (0..EVENTS.len().pow(length)).map(move |number| {
        (0..length).map(|place| EVENTS[number / EVENTS.len().pow(place) % EVENTS.len()]).collect()
    })
}

#[test]
fn in_every_order_the_lock_is_with_one_who_was_told_or_with_the_next() {
    let mut outcomes = [0; 2];
    for order in orders(6) {
        let mut server = Server::after_the_grant();
        assert_eq!(server.holder(), b"first");
        order.iter().for_each(|&event| server.happen(event));
        // The server gets on with its work: the cycle ends, and the next.
        for event in [Event::Call, Event::Reply, Event::Sent, Event::Visit] {
            server.happen(event);
        }
        let (holder, granted) = (server.holder(), matches!(server.reply, Some(Outcome::Granted(_))));
        outcomes[usize::from(server.told)] += 1;
        if server.told {
            assert_eq!(holder, b"first", "{order:?}");
        } else {
            assert_eq!(holder, b"second", "nobody was told of the first grant: {order:?}");
            assert!(!granted || server.closed, "granted, and taken away: {order:?}");
        }
        assert_eq!(server.engine.held(), 1, "{order:?}");
        assert_eq!(server.engine.totals().handed_over, if server.told { 1 } else { 2 }, "{order:?}");
    }
    assert!(outcomes.iter().all(|&count| count > 1_000), "{outcomes:?}");
}
