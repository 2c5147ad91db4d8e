//! What becomes of the replies to those who waited.

use crate::delivery::{GrantId, Outcome, Resolved};
use crate::engine::Engine;
use crate::slot::Slot;
use crate::wait_queues::Ticket;

impl<S: Slot, C: Clone> Engine<S, C> {
    /// Returns whether a client is to be answered at the end of the cycle.
    #[inline]
    pub fn has_resolved(&self) -> bool {
        !self.delivery.uncalled.is_empty()
    }

    /// The clients that are to be answered now. For each the server asks [`Engine::on_reply`], unless it has let
    /// the client go.
    pub fn take_resolved(&mut self) -> Vec<C> {
        let uncalled = std::mem::take(&mut self.delivery.uncalled);
        let mut call = |ticket: &Ticket| {
            let resolved = self.delivery.resolved.get_mut(ticket)?;
            resolved.called = true;
            Some(resolved.client.clone())
        };
        uncalled.iter().filter_map(&mut call).collect()
    }

    /// The server writes the reply of a request that waited: by the module's wish, or for a reason of its own
    /// (CLIENT UNBLOCK … TIMEOUT), and then it is nil whatever was decided meanwhile.
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

    /// The server has let the client of a request go: it will not be told anything that it was not told.
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

    /// The replies of the last cycle have left the server: a connection that is closed from here on was told.
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

    /// A client was closed: its holds are visited. If it was granted a lock in this cycle, `told` says whether its
    /// reply was sent; see [`Engine::is_being_told`].
    pub fn on_client_closed(&mut self, client: u64, told: bool) {
        if self.sessions.contains(client) {
            self.closed.push(client);
        }
        self.delivery.close(client, told);
    }
}
