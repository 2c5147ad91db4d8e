//! One client that acquires a lock repeatedly, in one of the ways that people use.

use std::time::{Duration, Instant};

/// How a lock is acquired.
#[derive(Clone, Debug)]
pub enum Way {
    /// `LOCK.ACQUIRE … BLOCK 0` and `LOCK.RELEASE`.
    Line,
    /// A token in a list: BLPOP takes it, RPUSH gives it to the next.
    Token,
    /// `SET NX PX`, repeated after this pause, and a script (its SHA1) that compares and deletes.
    Poll(Duration, String),
}

impl Way {
    fn acquire(&self, owner: &str) -> Vec<u8> {
        match self {
            Way::Line => encode(&["LOCK.ACQUIRE", "lock", owner, "30000", "BLOCK", "0"]),
            Way::Token => encode(&["BLPOP", "lock", "0"]),
            Way::Poll(..) => encode(&["SET", "lock", owner, "NX", "PX", "30000"]),
        }
    }

    fn release(&self, owner: &str) -> Vec<u8> {
        match self {
            Way::Line => encode(&["LOCK.RELEASE", "lock", owner]),
            Way::Token => encode(&["RPUSH", "lock", "token"]),
            Way::Poll(_, script) => encode(&["EVALSHA", script, "1", "lock", owner]),
        }
    }
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    bytes
}

/// The next step of a client.
pub enum Next {
    /// Sends a command, and waits for its reply.
    Send(Vec<u8>),
    /// Does nothing until then.
    SleepUntil(Instant),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Pausing,
    Holding,
    Releasing,
}

/// The client and its measurements.
pub struct Contender {
    way: Way,
    hold: Duration,
    index: usize,
    phase: Phase,
    asked: Instant,
    turn: usize,
    waits_ms: Vec<f64>,
    commands: usize,
}

impl Contender {
    /// Returns client `index`, which holds the lock for `hold` at a time.
    pub fn new(way: Way, hold: Duration, index: usize) -> Contender {
        Contender {
            way,
            hold,
            index,
            phase: Phase::Asking,
            asked: Instant::now(),
            turn: 0,
            waits_ms: Vec::new(),
            commands: 0,
        }
    }

    /// Returns how often it has had the lock.
    pub fn acquires(&self) -> usize {
        self.waits_ms.len()
    }

    /// Returns how long it waited each time, from sending its first command to having the lock.
    pub fn waits_ms(&self) -> &[f64] {
        &self.waits_ms
    }

    /// Returns how long it has been waiting now.
    pub fn waiting_ms(&self, now: Instant) -> f64 {
        match self.phase {
            Phase::Asking | Phase::Pausing => now.saturating_duration_since(self.asked).as_secs_f64() * 1e3,
            Phase::Holding | Phase::Releasing => 0.0,
        }
    }

    /// Returns how many commands it has sent.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Forgets all measurements.
    pub fn reset(&mut self) {
        self.waits_ms.clear();
        self.commands = 0;
    }

    /// Returns the first command.
    pub fn begin(&mut self, now: Instant) -> Next {
        self.asked = now;
        self.turn += 1;
        self.ask()
    }

    /// Called when the pause or the hold is over.
    pub fn slept(&mut self, _: Instant) -> Next {
        if self.phase == Phase::Holding {
            self.give_back()
        } else {
            self.ask()
        }
    }

    /// Called when a reply has come.
    ///
    /// # Panics
    /// Panics on an error, and on any unexpected reply.
    pub fn replied(&mut self, reply: &[u8], now: Instant) -> Next {
        assert!(!reply.starts_with(b"-"), "{:?} got {}", self.way, reply.escape_ascii());
        if self.phase == Phase::Releasing {
            assert!(reply.starts_with(b":"), "{:?} got {}", self.way, reply.escape_ascii());
            return self.begin(now);
        }
        if let (Way::Poll(pause, _), true) = (&self.way, reply.starts_with(b"$-1")) {
            self.phase = Phase::Pausing;
            return Next::SleepUntil(now + *pause);
        }
        assert!(!reply.starts_with(b"$-1"), "{:?} got nil", self.way);
        self.waits_ms.push(now.saturating_duration_since(self.asked).as_secs_f64() * 1e3);
        if self.hold.is_zero() {
            return self.give_back();
        }
        self.phase = Phase::Holding;
        Next::SleepUntil(now + self.hold)
    }

    fn ask(&mut self) -> Next {
        self.phase = Phase::Asking;
        self.commands += 1;
        Next::Send(self.way.acquire(&self.owner()))
    }

    fn give_back(&mut self) -> Next {
        self.phase = Phase::Releasing;
        self.commands += 1;
        Next::Send(self.way.release(&self.owner()))
    }

    /// Returns a new owner each time, of 20 bytes, as the contract suggests.
    fn owner(&self) -> String {
        format!("{:06}-{:013}", self.index, self.turn)
    }
}
