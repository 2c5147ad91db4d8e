//! Requests under way to several nodes at once, each with its time limit.

use crate::command::Reply;
use crate::error::NodeError;
use crate::node::PendingReply;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Requests under way, each with what it is for.
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

/// What became of a request.
pub(crate) struct Completion<T> {
    pub node: usize,
    pub purpose: T,
    /// The generation of the connection over which it was sent, if it was.
    pub generation: Option<u64>,
    pub reply: Result<Reply, NodeError>,
    /// The request itself where its time limit has passed: the reply may still come.
    pub late: Option<PendingReply>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        InFlight { under_way: Vec::new(), timer: None }
    }
}

impl<T> InFlight<T> {
    /// Adds a request that is to be answered within `limit` from now.
    pub fn add(&mut self, node: usize, purpose: T, pending: PendingReply, limit: Duration) {
        // What the clock has no room for is not waited for to the end by anybody.
        let until = Instant::now() + limit.min(LONGEST);
        self.under_way.push(Request { node, purpose, pending, limit, until });
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The next reply, or request whose time is up; `None` when nothing is under way.
    pub async fn next(&mut self) -> Option<Completion<T>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Tells of each node over which connection it is asked; drops what has not been sent yet.
    pub fn drop_unsent(&mut self, mut tell: impl FnMut(usize, Option<u64>)) {
        self.under_way.retain(|request| {
            let generation = request.pending.generation();
            tell(request.node, generation);
            generation.is_some()
        });
    }

    /// Everything under way.
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
