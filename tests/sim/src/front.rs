//! A server's replies to other commands than those of the module, and a mutant's changes of those.

use crate::mutants::Mutant;
use crate::resp;
use crate::time::Clock;
use redis_lock_quorum::order;

/// Runs a command on the node, and returns the reply.
type Run<'a> = &'a mut dyn FnMut(&[Vec<u8>]) -> Vec<u8>;

/// The front end of one node.
pub struct Front {
    number: usize,
    starts: u64,
    mutant: Option<Mutant>,
}

impl Front {
    pub fn new(number: usize, mutant: Option<Mutant>) -> Front {
        Front { number, starts: 1, mutant }
    }

    /// Notes that it is another process now.
    pub fn restarted(&mut self) {
        self.starts += 1;
    }

    /// Returns the time on the clock that the node counts deadlines on.
    pub fn monotonic(&self, clock: &Clock) -> i64 {
        clock.monotonic_micros() + self.wall_offset(clock)
    }

    /// Returns the true time at which that clock shows this time.
    pub fn true_time_of(&self, clock: &Clock, micros: i64) -> i64 {
        clock.true_time_of(micros - self.wall_offset(clock))
    }

    fn wall_offset(&self, clock: &Clock) -> i64 {
        if self.mutant == Some(Mutant::WallClockDeadlines) { clock.wall_offset() } else { 0 }
    }

    /// Returns the reply to a command; empty if it comes later.
    pub fn serve(&mut self, command: Vec<Vec<u8>>, run: Run) -> Vec<u8> {
        let word = |index: usize| command.get(index).map(|word| word.to_ascii_uppercase());
        match (word(0).unwrap_or_default().as_slice(), word(1).unwrap_or_default().as_slice()) {
            (b"HELLO", _) => [b"%1\r\n".to_vec(), resp::bulk("proto"), resp::integer(3)].concat(),
            (b"CLIENT", b"SETINFO") => resp::simple("OK"),
            (b"CLIENT", _) => resp::error("NOPERM this user may not run it"),
            (b"PING", _) => resp::simple("PONG"),
            (b"INFO", _) => resp::bulk(&format!("# Server\r\nrun_id:{}-{}\r\n", self.number, self.starts)),
            (name, _) if name.starts_with(b"LOCK.") => match self.mutant {
                Some(mutant) => twisted(mutant, &command, run),
                None => run(&command),
            },
            _ => resp::error("ERR unknown command"),
        }
    }
}

fn twisted(mutant: Mutant, command: &[Vec<u8>], run: Run) -> Vec<u8> {
    let name = command[0].as_slice();
    match (mutant, name, command) {
        (Mutant::ConfirmsUnconditionally, b"LOCK.EXTEND", [.., fence, token]) if fence == b"FENCE" => {
            match run(command) {
                gone if gone == resp::integer(0) => [b":", token.as_slice(), b"\r\n"].concat(),
                reply => reply,
            }
        }
        (Mutant::PlainMaximum, b"LOCK.EXTEND", [plain @ .., fence, token]) if fence == b"FENCE" => {
            match run(plain) {
                extended if extended == resp::integer(1) => [b":", token.as_slice(), b"\r\n"].concat(),
                reply => reply,
            }
        }
        (Mutant::ReleaseFreesAnyone, b"LOCK.RELEASE", [release, key, _]) => {
            let owner = run(&[b"LOCK.OWNER".to_vec(), key.clone()]);
            // A bulk string: its second line.
            match owner.split(|byte| *byte == b'\n').nth(1).and_then(|line| line.strip_suffix(b"\r")) {
                Some(owner) => run(&[release.clone(), key.clone(), owner.to_vec()]),
                None => run(command),
            }
        }
        (Mutant::LineNotKept, b"LOCK.MACQUIRE", [_, two, resource, line, terms @ ..])
            if two == b"2" && line.ends_with(order::SUFFIX.as_bytes()) =>
        {
            let alone = [b"LOCK.ACQUIRE".to_vec(), resource.clone()];
            run(&[&alone, terms].concat())
        }
        (Mutant::ExtendRevives, b"LOCK.EXTEND", [_, key, owner, ttl, ..]) => match run(command) {
            gone if gone == resp::integer(0) => {
                let again = run(&[b"LOCK.ACQUIRE".to_vec(), key.clone(), owner.clone(), ttl.clone()]);
                if again.starts_with(b":") { resp::integer(1) } else { gone }
            }
            reply => reply,
        },
        _ => run(command),
    }
}
