//! Makes commands: mostly of the right form, with a wrong word here and there.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt;

/// What a place in a command is meant for.
#[derive(Clone, Copy)]
enum Slot {
    Key,
    /// numkeys and so many keys.
    Keys,
    Owner,
    Ttl,
    Token,
    AcquireOptions,
    FenceOption,
    HoldOptions,
    Gone,
}

const FORMS: [(&str, &[Slot]); 13] = [
    ("LOCK.ACQUIRE", &[Slot::Key, Slot::Owner, Slot::Ttl, Slot::AcquireOptions]),
    ("LOCK.RELEASE", &[Slot::Key, Slot::Owner]),
    ("LOCK.EXTEND", &[Slot::Key, Slot::Owner, Slot::Ttl, Slot::FenceOption]),
    ("LOCK.OWNER", &[Slot::Key]),
    ("LOCK.TTL", &[Slot::Key]),
    ("LOCK.INFO", &[Slot::Key]),
    ("LOCK.CHECK", &[Slot::Key, Slot::Token]),
    ("LOCK.MACQUIRE", &[Slot::Keys, Slot::Owner, Slot::Ttl, Slot::AcquireOptions]),
    ("LOCK.MEXTEND", &[Slot::Keys, Slot::Owner, Slot::Ttl, Slot::FenceOption]),
    ("LOCK.MRELEASE", &[Slot::Keys, Slot::Owner]),
    ("LOCK._HOLD", &[Slot::Key, Slot::Owner, Slot::Ttl, Slot::Token, Slot::HoldOptions, Slot::Gone]),
    ("LOCK._DROP", &[Slot::Key, Slot::Gone]),
    ("LOCK._LAST", &[Slot::Token]),
];

const KEYS: [&[u8]; 9] = [b"a", b"b", b"c", b"d", b"string", b"", b"\0", b"%s%n", b"\xff\xfe"];
const OWNERS: [&[u8]; 6] = [b"me", b"you", b"they", b"\0", b"%n%s%p", b"\xc3\x28"];
const TTLS: [&str; 5] = ["1", "20", "1000", "600000", "86400000"];
const EXTREMES: [&str; 14] = [
    "0",
    "-1",
    "86400001",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "340282366920938463463374607431768211456",
];
const JUNK: [&[u8]; 11] =
    [b"", b"\0", b"1\0", b"\xff", b"\xf0\x9f", b"%s%n", b"%1000000d", b"\r\n", b"-", b" 1", b"1e3"];
const OPTIONS: [&str; 11] = [
    "SHARED", "LIMIT", "BLOCK", "SESSION", "FENCE", "META", "HELD", "EXPIRED", "RELEASED", "shared", "fEnCe",
];
/// More than a query buffer's first size, and than any limit of the module.
const HUGE: usize = 70_000;

/// The words of a command.
pub struct Command(pub Vec<Vec<u8>>);

impl Command {
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.0[0]).into_owned()
    }

    /// The same with nothing that would wait for long: a connection of its own is not at stake here.
    pub fn tamed(mut self) -> Command {
        for at in 1..self.0.len() {
            if self.0[at - 1].eq_ignore_ascii_case(b"BLOCK") && waits(&self.0[at]) {
                self.0[at] = b"2".to_vec();
            }
        }
        self
    }
}

fn waits(word: &[u8]) -> bool {
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok());
    number.is_some_and(|ms| (0..i64::MAX).contains(&ms))
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for word in &self.0 {
            match word.len() {
                0..=600 => write!(f, "\"{}\" ", word.escape_ascii())?,
                length => write!(f, "<{length} bytes> ")?,
            }
        }
        Ok(())
    }
}

/// Makes the same commands again from the same seed.
pub struct Maker {
    random: StdRng,
}

impl Maker {
    pub fn new(seed: u64) -> Maker {
        Maker { random: StdRng::seed_from_u64(seed) }
    }

    /// The next command.
    pub fn command(&mut self) -> Command {
        let (name, slots) = *FORMS.choose(&mut self.random).expect("there are some");
        let mut words = Vec::new();
        for slot in slots {
            self.fill(*slot, &mut words);
        }
        if self.one_in(4) {
            self.spoil(&mut words);
        }
        words.insert(0, name.into());
        Command(words)
    }

    fn fill(&mut self, slot: Slot, words: &mut Vec<Vec<u8>>) {
        match slot {
            Slot::Key => words.push(self.key()),
            Slot::Keys => {
                let count = self.random.random_range(1..=5);
                words.push(count.to_string().into());
                words.extend((0..count).map(|_| self.key()));
            }
            Slot::Owner => words.push(self.owner()),
            Slot::Ttl => words.push(self.ttl()),
            Slot::Token => words.push(self.token()),
            Slot::AcquireOptions => self.acquire_options(words),
            Slot::FenceOption if self.one_in(3) => words.extend([b"FENCE".to_vec(), self.token()]),
            Slot::FenceOption => {}
            Slot::HoldOptions => self.hold_options(words),
            Slot::Gone => self.gone(words),
        }
    }

    fn acquire_options(&mut self, words: &mut Vec<Vec<u8>>) {
        match self.random.random_range(0..6) {
            0..=1 => words.push(b"SHARED".into()),
            2..=3 => words.extend([b"LIMIT".to_vec(), self.small()]),
            _ => {}
        }
        if self.one_in(5) {
            words.extend([b"BLOCK".to_vec(), self.wait()]);
        }
        if self.one_in(10) {
            words.push(b"SESSION".into());
        }
        if self.one_in(6) {
            words.extend([b"FENCE".to_vec(), self.token()]);
        }
        if self.one_in(5) {
            words.extend([b"META".to_vec(), self.text()]);
        }
    }

    fn hold_options(&mut self, words: &mut Vec<Vec<u8>>) {
        if self.one_in(2) {
            words.extend([b"LIMIT".to_vec(), self.small()]);
        }
        if self.one_in(3) {
            words.extend([b"HELD".to_vec(), self.ttl()]);
        }
        if self.one_in(3) {
            words.extend([b"META".to_vec(), self.text()]);
        }
    }

    fn gone(&mut self, words: &mut Vec<Vec<u8>>) {
        for _ in 0..self.random.random_range(0..4) {
            let cause: &[u8] = if self.one_in(2) { b"EXPIRED" } else { b"RELEASED" };
            words.extend([cause.to_vec(), self.owner()]);
        }
    }

    /// Replaces, adds or takes away a word or two.
    fn spoil(&mut self, words: &mut Vec<Vec<u8>>) {
        for _ in 0..self.random.random_range(1..=2) {
            let at = self.random.random_range(0..=words.len());
            let odd = self.odd();
            match self.random.random_range(0..4) {
                0 => words.insert(at, odd),
                1 if at < words.len() => drop(words.remove(at)),
                _ if at < words.len() => words[at] = odd,
                _ => words.push(odd),
            }
        }
    }

    /// A word that fits nowhere in particular.
    fn odd(&mut self) -> Vec<u8> {
        match self.random.random_range(0..40) {
            0 => self.huge(),
            1..=14 => self.extreme(),
            15..=24 => JUNK.choose(&mut self.random).expect("some").to_vec(),
            25..=34 => OPTIONS.choose(&mut self.random).expect("some").as_bytes().to_vec(),
            _ => (0..self.random.random_range(0..30)).map(|_| self.random.random()).collect(),
        }
    }

    fn key(&mut self) -> Vec<u8> {
        match self.random.random_range(0..200) {
            0 => self.huge(),
            1..=5 => self.odd(),
            _ => KEYS.choose(&mut self.random).expect("some").to_vec(),
        }
    }

    fn owner(&mut self) -> Vec<u8> {
        match self.random.random_range(0..100) {
            0 => vec![b'o'; self.random.random_range(511..=513)],
            1 => Vec::new(),
            _ => OWNERS.choose(&mut self.random).expect("some").to_vec(),
        }
    }

    fn ttl(&mut self) -> Vec<u8> {
        match self.random.random_range(0..30) {
            0 => self.extreme(),
            _ => TTLS.choose(&mut self.random).expect("some").as_bytes().to_vec(),
        }
    }

    /// Tokens of servers lie near microseconds since 1970; what is far above them would be refused.
    fn token(&mut self) -> Vec<u8> {
        match self.random.random_range(0..4) {
            0 => self.extreme(),
            1 => self.small(),
            _ => self.random.random_range(1..1u64 << 50).to_string().into_bytes(),
        }
    }

    fn small(&mut self) -> Vec<u8> {
        match self.random.random_range(0..20) {
            0 => self.extreme(),
            1 => b"10000".into(),
            2 => b"10001".into(),
            _ => self.random.random_range(1..5).to_string().into_bytes(),
        }
    }

    fn wait(&mut self) -> Vec<u8> {
        match self.random.random_range(0..10) {
            0 => i64::MAX.to_string().into_bytes(),
            1 => b"-1".into(),
            _ => self.small(),
        }
    }

    fn text(&mut self) -> Vec<u8> {
        match self.random.random_range(0..10) {
            0 => vec![b'm'; self.random.random_range(511..=513)],
            1 => self.odd(),
            _ => b"a text with \"quotes\", %s and \0".into(),
        }
    }

    fn extreme(&mut self) -> Vec<u8> {
        EXTREMES.choose(&mut self.random).expect("some").as_bytes().to_vec()
    }

    fn huge(&mut self) -> Vec<u8> {
        vec![self.random.random(); HUGE]
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }
}
