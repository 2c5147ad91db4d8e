//! One client that takes a lock again and again, by one of the ways that people use.

use std::time::{Duration, Instant};

/// How a lock is taken.
#[derive(Clone, Debug)]
pub enum Way {
    /// `LOCK.ACQUIRE … BLOCK 0` and `LOCK.RELEASE`.
    Line,
    /// A token in a list: BLPOP takes it, RPUSH gives it to the next.
    Token,
    /// `SET NX PX`, again after so long, and a script (its SHA1) that compares and deletes.
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

/// What a client does next.
pub enum Next {
    /// Sends a command, and waits for its reply.
    Send(Vec<u8>),
    /// Nothing, until then.
    SleepUntil(Instant),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Pausing,
    Holding,
    Releasing,
}

/// The client, and what it went through.
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
    /// Number `index` of those who hold for `hold` at a time.
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

    /// How often it has had the lock.
    pub fn acquires(&self) -> usize {
        self.waits_ms.len()
    }

    /// How long it waited each time, from sending its first command to having the lock.
    pub fn waits_ms(&self) -> &[f64] {
        &self.waits_ms
    }

    /// For how long it has been waiting now.
    pub fn waiting_ms(&self, now: Instant) -> f64 {
        match self.phase {
            Phase::Asking | Phase::Pausing => now.saturating_duration_since(self.asked).as_secs_f64() * 1e3,
            Phase::Holding | Phase::Releasing => 0.0,
        }
    }

    /// How many commands it has sent.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Forgets what was measured so far.
    pub fn reset(&mut self) {
        self.waits_ms.clear();
        self.commands = 0;
    }

    /// The first command.
    pub fn begin(&mut self, now: Instant) -> Next {
        self.asked = now;
        self.turn += 1;
        self.ask()
    }

    /// The pause, or the hold, is over.
    pub fn slept(&mut self, _: Instant) -> Next {
        if self.phase == Phase::Holding {
            self.give_back()
        } else {
            self.ask()
        }
    }

    /// A reply has come.
    ///
    /// # Panics
    /// At an error, and at anything that was not to be expected.
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

    /// Another one each time, of 20 bytes, as the contract wants it.
    fn owner(&self) -> String {
        format!("{:06}-{:013}", self.index, self.turn)
    }
}
