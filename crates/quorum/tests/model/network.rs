//! What is under way between one attempt and one node: in no order, and what never arrives just stays.

use redis_lock_quorum::agreement::{Answer, Request};

/// Tokens of the model are below this.
const TOKENS: u64 = 32;
const ROOM: usize = 8;

/// A few small codes, sorted; 0 is an empty place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Few([u8; ROOM]);

impl Few {
    /// # Panics
    /// Where there is no room: nothing may be dropped silently.
    fn add(&mut self, code: u8) {
        let place = self.0.iter_mut().find(|place| **place == 0).expect("there is room for all under way");
        *place = code;
        self.0.sort_unstable_by(|a, b| b.cmp(a));
    }

    fn take(&mut self, code: u8) {
        let place = self.0.iter_mut().find(|place| **place == code).expect("it is under way");
        *place = 0;
        self.0.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Each different one once.
    fn different(self) -> impl Iterator<Item = u8> {
        let mut before = 0;
        self.0
            .into_iter()
            .take_while(|code| *code > 0)
            .filter(move |code| *code != std::mem::replace(&mut before, *code))
    }

    pub fn codes(&self) -> &[u8; ROOM] {
        &self.0
    }
}

/// Between one attempt and one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub requests: Few,
    pub answers: Few,
}

impl Line {
    pub fn send(&mut self, request: Request) {
        self.requests.add(request_code(request));
    }

    pub fn requests(self) -> impl Iterator<Item = Request> {
        self.requests.different().map(request)
    }

    pub fn arrived(&mut self, request: Request) {
        self.requests.take(request_code(request));
    }

    pub fn reply(&mut self, answer: Answer) {
        self.answers.add(answer_code(answer));
    }

    pub fn answers(self) -> impl Iterator<Item = Answer> {
        self.answers.different().map(answer)
    }

    pub fn heard(&mut self, answer: Answer) {
        self.answers.take(answer_code(answer));
    }

    /// Nobody listens any more.
    pub fn hang_up(&mut self) {
        self.answers = Few::default();
    }
}

fn with_token(kind: u8, token: u64) -> u8 {
    assert!(0 < token && token < TOKENS, "token {token} of the model");
    kind << 5 | token as u8
}

fn token(code: u8) -> u64 {
    u64::from(code) % TOKENS
}

fn request_code(request: Request) -> u8 {
    match request {
        Request::Acquire { fence: None } => 1,
        Request::Acquire { fence: Some(fence) } => with_token(1, fence),
        Request::Extend { fence } => with_token(2, fence),
    }
}

fn request(code: u8) -> Request {
    match code >> 5 {
        0 => Request::Acquire { fence: None },
        1 => Request::Acquire { fence: Some(token(code)) },
        _ => Request::Extend { fence: token(code) },
    }
}

fn answer_code(answer: Answer) -> u8 {
    match answer {
        Answer::Held => 1,
        Answer::AcquireTooFarAhead => 2,
        Answer::Gone => 3,
        Answer::Failed => 4,
        Answer::Granted(token) => with_token(1, token),
        Answer::Extended(token) => with_token(2, token),
        Answer::ExtendTooFarAhead(fence) => with_token(3, fence),
    }
}

fn answer(code: u8) -> Answer {
    match (code >> 5, code) {
        (0, 1) => Answer::Held,
        (0, 2) => Answer::AcquireTooFarAhead,
        (0, 3) => Answer::Gone,
        (0, _) => Answer::Failed,
        (1, _) => Answer::Granted(token(code)),
        (2, _) => Answer::Extended(token(code)),
        (_, _) => Answer::ExtendTooFarAhead(token(code)),
    }
}
