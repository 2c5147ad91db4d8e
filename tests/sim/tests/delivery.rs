//! A grant to one who waited, and what may happen before its reply has left: in every order, on one lock with two
//! who wait. Servers differ in the order of these events; what must hold does not.

use redis_lock_core::Limit;
use redis_lock_core::request::Acquire;
use redis_lock_engine::{Conditions, Engine, Outcome, Slot, Ticket};
use redis_lock_sim::memory::{Handle, Purpose, with_open};

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
    engine: Engine<Handle, u64>,
    key: Handle,
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
        let (mut engine, key) = (Engine::new(0, false), Handle::new(0, b"k"));
        let holder = request(b"holder", None);
        let token = with_open(&mut engine, &[key], Purpose::Decide, |engine, open| {
            engine.acquire(open, &holder, 0, &conditions())
        });
        assert!(token.0.expect("the lock is free").is_some());
        let mut join = |owner: &[u8], client| {
            let ticket = engine.join((0, b"k"), &request(owner, Some(0)), (client, client), 1);
            engine.admit_waiter(ticket, None, 9).expect("there is room");
            ticket
        };
        let first = join(b"first", FIRST);
        join(b"second", 2);
        with_open(&mut engine, &[key], Purpose::Decide, |engine, open| {
            engine.release(open, b"holder", &conditions())
        });
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
            let visited = with_open(&mut self.engine, &[self.key], Purpose::Decide, |engine, open| {
                engine.visit(&mut open[0].0, &visit, true, &conditions())
            });
            self.engine.end_visit(visit, visited.0, 1);
        }
    }
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
        server.key.give_back();
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
