//! Requests in flight to several nodes at once, each with its time limit.

use crate::command::Reply;
use crate::error::NodeError;
use crate::node::PendingReply;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Requests in flight, each with its purpose.
pub(crate) struct InFlight<T> {
    under_way: Vec<Request<T>>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct Request<T> {
    node: usize,
    purpose: T,
    pending: PendingReply,
    limit: Duration,
    until: Instant,
}

/// The outcome of a request.
pub(crate) struct Completion<T> {
    pub node: usize,
    pub purpose: T,
    /// The generation of the connection over which it was sent, if it was.
    pub generation: Option<u64>,
    pub reply: Result<Reply, NodeError>,
    /// The request itself if its time limit has passed: the reply may still come.
    pub late: Option<PendingReply>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        InFlight { under_way: Vec::new(), timer: None }
    }
}

impl<T> InFlight<T> {
    /// Adds a request that must be answered within `limit` from now.
    pub fn add(&mut self, node: usize, purpose: T, pending: PendingReply, limit: Duration) {
        // Nobody awaits the end of a time that the clock can't hold.
        let until = Instant::now() + limit.min(LONGEST);
        self.under_way.push(Request { node, purpose, pending, limit, until });
    }

    /// Returns whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Returns the next reply or request that timed out, or `None` if nothing is in flight.
    pub async fn next(&mut self) -> Option<Completion<T>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Calls `tell` with each node and its connection's generation, and drops what is still unsent.
    pub fn drop_unsent(&mut self, mut tell: impl FnMut(usize, Option<u64>)) {
        self.under_way.retain(|request| {
            let generation = request.pending.generation();
            tell(request.node, generation);
            generation.is_some()
        });
    }

    /// Removes and returns everything in flight.
    pub fn drain(&mut self) -> impl Iterator<Item = (usize, T, PendingReply)> + '_ {
        self.under_way.drain(..).map(|request| (request.node, request.purpose, request.pending))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Completion<T>>> {
        for index in 0..self.under_way.len() {
            if let Poll::Ready(reply) = Pin::new(&mut self.under_way[index].pending).poll(context) {
                let request = self.under_way.remove(index);
                return Poll::Ready(Some(request.completed(reply)));
            }
        }
        // The next one to time out. The order is that of adding, but limits differ.
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

impl<T> Request<T> {
    fn completed(self, reply: Result<Reply, NodeError>) -> Completion<T> {
        let generation = self.pending.generation();
        Completion { node: self.node, purpose: self.purpose, generation, reply, late: None }
    }

    fn late(self) -> Completion<T> {
        self.pending.is_late();
        let generation = self.pending.generation();
        let reply = Err(NodeError::NoAnswer(self.limit));
        Completion { node: self.node, purpose: self.purpose, generation, reply, late: Some(self.pending) }
    }
}
