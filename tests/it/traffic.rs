//! Random commands on locks, the same for the same seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use redis_lock_harness::{Client, Reply, Server};

type Command = Vec<Vec<u8>>;

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const OWNERS: [&[u8]; 6] = [b"one", b"two", b"three", b"four", b"", b"\0\xff%s\r\n"];
const METAS: [&[u8]; 4] = [b"", b"nightly report", b"%n\0\xfe", b"META"];
const PIPELINED: usize = 50;

/// An endless sequence of commands: grants of all kinds, renewals, releases, locks that expire at once, and
/// core commands on the same keys; some in MULTI and in scripts, some wrong.
pub struct Traffic {
    random: StdRng,
    /// Around this the FENCE options lie.
    fence: i64,
}

impl Traffic {
    pub fn new(seed: u64, fence: i64) -> Traffic {
        Traffic { random: StdRng::seed_from_u64(seed), fence }
    }

    /// Runs so many commands; returns how many tokens were granted.
    pub fn run(&mut self, server: &Server, commands: usize) -> usize {
        let mut client = server.connect();
        let mut granted = 0;
        for _ in 0..commands / PIPELINED {
            granted += self.run_batch(&mut client);
        }
        granted
    }

    fn run_batch(&mut self, client: &mut Client) -> usize {
        let batch: Vec<Command> = (0..PIPELINED).flat_map(|_| self.next()).collect();
        let replies = client.pipeline(&batch);
        let granted = |(command, reply): &(&Command, &Reply)| {
            command[0].ends_with(b"ACQUIRE") && matches!(reply, Reply::Int(_))
        };
        batch.iter().zip(&replies).filter(granted).count()
    }

    /// One command, or a whole transaction.
    fn next(&mut self) -> Vec<Command> {
        match self.random.random_range(0..20) {
            0 => {
                let inner = self.random.random_range(1..5);
                let mut transaction = vec![words(["MULTI"])];
                transaction.extend((0..inner).map(|_| self.command()));
                transaction.push(words(["EXEC"]));
                transaction
            }
            1 => {
                let mut script = words(["EVAL", "return redis.pcall(unpack(ARGV))", "0"]);
                script.extend(self.command());
                vec![script]
            }
            _ => vec![self.command()],
        }
    }

    fn command(&mut self) -> Command {
        match self.random.random_range(0..100) {
            0..40 => self.acquire(),
            40..50 => self.acquire_many(),
            50..60 => self.extend(),
            60..75 => self.release(),
            75..80 => self.release_many(),
            _ => self.core_command(),
        }
    }

    fn acquire(&mut self) -> Command {
        let (key, owner, ttl) = (self.key(), self.owner(), self.ttl());
        let mut command = vec![b"LOCK.ACQUIRE".to_vec(), key, owner, ttl];
        self.add_options(&mut command);
        command
    }

    fn acquire_many(&mut self) -> Command {
        let mut command = words(["LOCK.MACQUIRE"]);
        self.add_keys(&mut command);
        command.extend([self.owner(), self.ttl()]);
        self.add_options(&mut command);
        command
    }

    fn extend(&mut self) -> Command {
        let mut command = if self.random.random_bool(0.7) {
            vec![b"LOCK.EXTEND".to_vec(), self.key()]
        } else {
            let mut command = words(["LOCK.MEXTEND"]);
            self.add_keys(&mut command);
            command
        };
        command.extend([self.owner(), self.ttl()]);
        self.add_fence(&mut command);
        command
    }

    fn release(&mut self) -> Command {
        vec![b"LOCK.RELEASE".to_vec(), self.key(), self.owner()]
    }

    fn release_many(&mut self) -> Command {
        let mut command = words(["LOCK.MRELEASE"]);
        self.add_keys(&mut command);
        command.push(self.owner());
        command
    }

    /// What an operator or another program does to the same keys.
    fn core_command(&mut self) -> Command {
        let key = self.key();
        let (name, arguments): (&str, Vec<Vec<u8>>) = match self.random.random_range(0..40) {
            0..8 => ("DEL", vec![key]),
            8..12 => ("UNLINK", vec![key, self.key()]),
            12..18 => ("RENAME", vec![key, self.key()]),
            18..20 => ("RENAMENX", vec![key, self.key()]),
            20..25 => ("MOVE", vec![key, b"1".to_vec()]),
            25..28 => ("EXPIRE", vec![key, b"10000".to_vec()]),
            28 => ("PEXPIRE", vec![key, b"3".to_vec()]),
            29..31 => ("PERSIST", vec![key]),
            31..33 => ("SET", vec![key, b"a string".to_vec()]),
            33 => ("SWAPDB", vec![b"0".to_vec(), b"1".to_vec()]),
            34 if self.random.random_bool(0.2) => ("FLUSHDB", vec![]),
            _ => ("SELECT", vec![self.random.random_range(0..2).to_string().into_bytes()]),
        };
        [vec![name.as_bytes().to_vec()], arguments].concat()
    }

    fn key(&mut self) -> Vec<u8> {
        self.one_of(&KEYS).as_bytes().to_vec()
    }

    fn owner(&mut self) -> Vec<u8> {
        self.one_of(&OWNERS).to_vec()
    }

    /// Gone at once, or there for the whole test.
    fn ttl(&mut self) -> Vec<u8> {
        let ttl = if self.random.random_bool(0.25) {
            self.random.random_range(1..20)
        } else {
            self.random.random_range(1_000_000..80_000_000)
        };
        ttl.to_string().into_bytes()
    }

    fn add_keys(&mut self, command: &mut Command) {
        let number = self.random.random_range(1..4);
        command.push(number.to_string().into_bytes());
        command.extend((0..number).map(|_| self.key()));
    }

    fn add_options(&mut self, command: &mut Command) {
        match self.random.random_range(0..6) {
            0..2 => command.push(b"SHARED".to_vec()),
            2..4 => {
                let limit = self.random.random_range(1..5).to_string();
                command.extend(words(["LIMIT", &limit]));
            }
            _ => {}
        }
        if self.random.random_bool(0.3) {
            command.extend([b"META".to_vec(), self.one_of(&METAS).to_vec()]);
        }
        self.add_fence(command);
    }

    fn add_fence(&mut self, command: &mut Command) {
        if self.random.random_bool(0.2) {
            self.fence += self.random.random_range(0..50);
            let fence = (self.fence + self.random.random_range(-100..100)).to_string();
            command.extend(words(["FENCE", &fence]));
        }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.choose(&mut self.random).expect("there is a choice")
    }
}

fn words<const N: usize>(words: [&str; N]) -> Command {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}
