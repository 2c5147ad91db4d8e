//! The record of what happened: requests for locks and their outcomes, faults, and violations that are
//! noticed at once.

use crate::fingerprint::Fingerprint;
use crate::time::Time;
use redis_lock_quorum::{Error, Kind, Meaning, NodeAnswer, NodeError};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// One request for a lock.
#[derive(Clone, Debug)]
pub struct Operation {
    pub client: usize,
    pub resources: Vec<String>,
    pub kind: Kind,
    /// Its position among all events of the history.
    pub invoked: u64,
    pub invoked_at: i64,
    /// When it must have been answered.
    pub told_by: i64,
    pub completed: Option<u64>,
    pub completed_at: i64,
    pub token: Option<u64>,
    /// When the client was certain to hold it: from, until, in true time, in order.
    pub valid: Vec<(i64, i64)>,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    pub at: i64,
    /// Empty if the violation concerns no resource.
    pub resource: String,
    pub what: String,
}

/// A line of the history for people.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: i64,
    pub text: String,
}

/// The record of one history.
pub struct History {
    time: Time,
    operations: RefCell<Vec<Operation>>,
    faults: RefCell<BTreeMap<&'static str, u64>>,
    /// How often each outcome of a request occurred.
    outcomes: RefCell<BTreeMap<&'static str, u64>>,
    violations: RefCell<Vec<Violation>>,
    fingerprint: RefCell<Fingerprint>,
    events: Cell<u64>,
    /// The client of each request that has arrived in a line at a server, and its position among all events.
    lined_up: RefCell<Vec<(usize, u64)>>,
    /// Kept only if somebody wants to read the lines.
    lines: Option<RefCell<Vec<Line>>>,
}

impl History {
    pub fn new(time: Time, readable: bool) -> History {
        History {
            time,
            operations: RefCell::default(),
            faults: RefCell::default(),
            outcomes: RefCell::default(),
            violations: RefCell::default(),
            fingerprint: RefCell::default(),
            events: Cell::new(0),
            lined_up: RefCell::default(),
            lines: readable.then(RefCell::default),
        }
    }

    pub fn time(&self) -> Time {
        self.time
    }

    /// Records a line for people.
    pub fn note(&self, text: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            lines.borrow_mut().push(Line { at: self.time.now(), text: text() });
        }
    }

    fn event(&self, what: u64, number: u64) -> u64 {
        let mut fingerprint = self.fingerprint.borrow_mut();
        for part in [self.time.now().unsigned_abs(), what, number] {
            fingerprint.number(part);
        }
        self.events.set(self.events.get() + 1);
        self.events.get()
    }

    /// Records that a client asks for a lock, and must have a reply by `told_by`.
    pub fn begin(&self, client: usize, resources: &[String], kind: Kind, told_by: i64) -> usize {
        let invoked = self.event(1, client as u64);
        let mut operations = self.operations.borrow_mut();
        operations.push(Operation {
            client,
            resources: resources.to_vec(),
            kind,
            invoked,
            invoked_at: self.time.now(),
            told_by,
            completed: None,
            completed_at: 0,
            token: None,
            valid: Vec::new(),
        });
        let number = operations.len() - 1;
        self.note(|| format!("#{number} client {client} asks for {} {kind:?}", resources.join(" ")));
        number
    }

    fn complete(&self, number: usize, what: u64, detail: u64) {
        let completed = self.event(what, detail);
        let operation = &mut self.operations.borrow_mut()[number];
        operation.completed = Some(completed);
        operation.completed_at = self.time.now();
    }

    /// Records that a client's request to wait in a line has arrived.
    pub fn lines_up(&self, client: usize) {
        let at = self.event(11, client as u64);
        self.lined_up.borrow_mut().push((client, at));
    }

    pub fn lined_up(&self) -> Vec<(usize, u64)> {
        self.lined_up.borrow().clone()
    }

    /// Records a grant, and for how long the client is certain of it, in microseconds of true time.
    pub fn granted(&self, number: usize, token: u64, validity: i64) {
        self.complete(number, 2, token);
        self.count("granted");
        self.operations.borrow_mut()[number].token = Some(token);
        self.note(|| format!("#{number} is granted, token {token}, {}", self.resources(number)));
        self.valid(number, validity);
    }

    /// Records a check of the validity, and how long it still lasts.
    pub fn valid(&self, number: usize, validity: i64) {
        self.event(3, validity.unsigned_abs());
        let now = self.time.now();
        let mut operations = self.operations.borrow_mut();
        let valid = &mut operations[number].valid;
        if validity > 0 {
            match valid.last_mut().filter(|(_, until)| now <= *until) {
                Some((_, until)) => *until = (*until).max(now + validity),
                None => valid.push((now, now + validity)),
            }
        }
        self.note(|| format!("#{number} is valid for {validity} µs"));
    }

    /// Records that the client no longer claims the lock.
    pub fn ended(&self, number: usize) {
        self.event(4, number as u64);
        let now = self.time.now();
        if let Some((_, until)) = self.operations.borrow_mut()[number].valid.last_mut() {
            *until = now.min(*until);
        }
        self.note(|| format!("#{number} ends, {}", self.resources(number)));
    }

    /// Records that the client was refused the lock.
    pub fn failed(&self, number: usize, error: &Error) {
        let (what, outcome) = match error {
            Error::Held(_) => (5, "held by others"),
            Error::NoQuorum(_) => (6, "no quorum"),
            Error::Late(_) => (7, "too late"),
            _ => (8, "other errors"),
        };
        self.complete(number, what, number as u64);
        self.count(outcome);
        self.note(|| format!("#{number} fails: {error}"));
        self.judge(number, error);
    }

    /// Records a failed extension.
    pub fn not_extended(&self, number: usize, error: &Error) {
        self.count(if matches!(error, Error::Lost(_)) { "lost" } else { "not extended" });
        self.note(|| format!("#{number} is not extended: {error}"));
        self.judge(number, error);
    }

    pub fn count(&self, outcome: &'static str) {
        *self.outcomes.borrow_mut().entry(outcome).or_default() += 1;
    }

    pub fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        self.outcomes.borrow().clone()
    }

    /// Records that the request was given up.
    pub fn cancelled(&self, number: usize) {
        self.complete(number, 9, number as u64);
        self.count("given up");
        self.note(|| format!("#{number} is cancelled"));
    }

    /// Records that its process was killed.
    pub fn killed(&self, number: usize) {
        if self.operations.borrow()[number].completed.is_none() {
            self.cancelled(number);
        }
        self.ended(number);
    }

    /// Records a violation if no fault explains the error.
    pub fn judge(&self, number: usize, error: &Error) {
        if matches!(error, Error::CountersLost { .. } | Error::Config(_)) {
            self.violation(&self.resources(number), format!("#{number} failed with: {error}"));
        }
        for report in error.failure().map_or(&[][..], |failure| &failure.nodes) {
            let unexpected = match &report.answer {
                NodeAnswer::Failed(NodeError::Unexpected(_)) => true,
                NodeAnswer::Failed(NodeError::Refused(error)) => {
                    error.code() == "ERR" && error.meaning() != Meaning::TooFarAhead
                }
                _ => false,
            };
            if unexpected {
                self.violation(&self.resources(number), format!("#{number}: {report}"));
            }
        }
    }

    fn resources(&self, number: usize) -> String {
        self.operations.borrow()[number].resources.join(" ")
    }

    pub fn fault(&self, kind: &'static str, what: impl FnOnce() -> String) {
        self.event(10, kind.len() as u64);
        *self.faults.borrow_mut().entry(kind).or_default() += 1;
        self.note(|| format!("FAULT {kind}: {}", what()));
    }

    pub fn violation(&self, resource: &str, what: String) {
        let at = self.time.now();
        self.violations.borrow_mut().push(Violation { at, resource: resource.into(), what });
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.operations.borrow().clone()
    }

    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.borrow().clone()
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.violations.borrow().clone()
    }

    pub fn fingerprint(&self) -> u64 {
        self.fingerprint.borrow().value()
    }

    pub fn lines(&self) -> Vec<Line> {
        self.lines.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }
}
