//! The replies to waiters.

use crate::delivery::{GrantId, Outcome, Resolved};
use crate::engine::Engine;
use crate::slot::Slot;
use crate::wait_queues::Ticket;

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Returns whether a client must be answered at the end of the cycle.
    #[inline]
    pub fn has_resolved(&self) -> bool {
        !self.delivery.uncalled.is_empty()
    }

    /// Returns the clients that must be answered now. The server calls [`Engine::on_reply`] for each, unless
    /// it has dropped the client.
    pub fn take_resolved(&mut self) -> Vec<C> {
        let uncalled = std::mem::take(&mut self.delivery.uncalled);
        let mut call = |ticket: &Ticket| {
            let resolved = self.delivery.resolved.get_mut(ticket)?;
            resolved.called = true;
            Some(resolved.client.clone())
        };
        uncalled.iter().filter_map(&mut call).collect()
    }

    /// Returns the reply of a waiter, which the server writes now. If the server does so on its own (CLIENT
    /// UNBLOCK … TIMEOUT), the reply is nil even if another one was decided meanwhile.
    pub fn on_reply(&mut self, ticket: Ticket) -> Outcome {
        let called = self.delivery.resolved.get(&ticket).is_some_and(|resolved| resolved.called);
        match self.delivery.resolved.remove(&ticket) {
            Some(Resolved { client_id, outcome, grant, .. }) if called => {
                self.delivery.told.extend(grant.map(|grant| (client_id, grant)));
                outcome
            }
            resolved => {
                self.give_up(ticket, resolved.and_then(|resolved| resolved.grant));
                Outcome::Nil
            }
        }
    }

    /// Called when the server has dropped the client of a request, which gets no further reply.
    pub fn on_disconnected(&mut self, ticket: Ticket) {
        let resolved = self.delivery.resolved.remove(&ticket);
        self.give_up(ticket, resolved.and_then(|resolved| resolved.grant));
    }

    fn give_up(&mut self, ticket: Ticket, grant: Option<GrantId>) {
        self.queues.leave(ticket);
        if let Some(grant) = grant {
            self.delivery.decide(grant, false);
        }
    }

    /// Called when the replies of the last cycle have been sent: they count as delivered from now on.
    #[inline]
    pub fn on_replies_sent(&mut self) {
        for (_, grant) in std::mem::take(&mut self.delivery.told) {
            self.delivery.decide(grant, true);
        }
    }

    /// Returns whether the reply to a grant is being sent to this client.
    pub fn is_being_told(&self, client: u64) -> bool {
        self.delivery.told.iter().any(|(told, _)| *told == client)
    }

    /// Called when a client was closed, so its holds must be visited. If it was granted a lock in this cycle,
    /// `told` is whether its reply was sent; see [`Engine::is_being_told`].
    pub fn on_client_closed(&mut self, client: u64, told: bool) {
        if self.sessions.contains(client) {
            self.closed.push(client);
        }
        self.delivery.close(client, told);
    }
}
