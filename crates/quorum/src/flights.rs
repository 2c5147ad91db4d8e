//! Requests under way to several nodes at once, each with its time limit.

use crate::command::Reply;
use crate::error::NodeError;
use crate::node::Flight;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Requests under way, each with what it is for.
pub(crate) struct Flights<T> {
    under_way: Vec<UnderWay<T>>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct UnderWay<T> {
    node: usize,
    purpose: T,
    flight: Flight,
    limit: Duration,
    until: Instant,
}

/// What became of a request.
pub(crate) struct Landing<T> {
    pub node: usize,
    pub purpose: T,
    /// The generation of the connection over which it was sent, if it was.
    pub generation: Option<u64>,
    pub reply: Result<Reply, NodeError>,
    /// The request itself where its time limit has passed: the reply may still come.
    pub late: Option<Flight>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Flights { under_way: Vec::new(), timer: None }
    }
}

impl<T> Flights<T> {
    /// Adds a request that is to be answered within `limit` from now.
    pub fn add(&mut self, node: usize, purpose: T, flight: Flight, limit: Duration) {
        // What the clock has no room for is not waited for to the end by anybody.
        let until = Instant::now() + limit.min(LONGEST);
        self.under_way.push(UnderWay { node, purpose, flight, limit, until });
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The next reply, or request whose time is up; `None` when nothing is under way.
    pub async fn next(&mut self) -> Option<Landing<T>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Tells of each node over which connection it is asked; drops what has not been sent yet.
    pub fn drop_unsent(&mut self, mut tell: impl FnMut(usize, Option<u64>)) {
        self.under_way.retain(|request| {
            let generation = request.flight.generation();
            tell(request.node, generation);
            generation.is_some()
        });
    }

    /// Everything under way.
    pub fn drain(&mut self) -> impl Iterator<Item = (usize, T, Flight)> + '_ {
        self.under_way.drain(..).map(|request| (request.node, request.purpose, request.flight))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Landing<T>>> {
        for index in 0..self.under_way.len() {
            if let Poll::Ready(reply) = Pin::new(&mut self.under_way[index].flight).poll(context) {
                let request = self.under_way.remove(index);
                return Poll::Ready(Some(request.landed(reply)));
            }
        }
        // The next to be late: they are in the order in which they were added, but limits differ.
        let Some(next) = self.under_way.iter().map(|request| request.until).min() else {
            return Poll::Ready(None);
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if timer.deadline() != next {
            timer.as_mut().reset(next);
        }
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let late = self.under_way.iter().position(|request| request.until <= next).unwrap_or(0);
        Poll::Ready(Some(self.under_way.remove(late).late()))
    }
}

impl<T> UnderWay<T> {
    fn landed(self, reply: Result<Reply, NodeError>) -> Landing<T> {
        let generation = self.flight.generation();
        Landing { node: self.node, purpose: self.purpose, generation, reply, late: None }
    }

    fn late(self) -> Landing<T> {
        self.flight.is_late();
        let generation = self.flight.generation();
        let reply = Err(NodeError::NoAnswer(self.limit));
        Landing { node: self.node, purpose: self.purpose, generation, reply, late: Some(self.flight) }
    }
}
