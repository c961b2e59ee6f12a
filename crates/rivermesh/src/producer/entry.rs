//! Who is let in: the part of admission that asks for tickets, at the beginning and again.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use rivermesh_proto::{
    catalog::Peer,
    subscribe::Refusal,
    ticket::{Credential, Right},
};
use tracing::debug;

use super::{
    core::{Core, Sub},
    refusals::Reason,
};
use crate::admission::{Entitled, Gate, Verifier};

impl Core {
    pub(super) fn gate(&self) -> Option<Arc<Gate>> {
        let gate = self.gate.lock();
        gate.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks consumers for other tickets from now on, those included that are subscribed.
    pub(crate) fn require_ticket(&self, verifier: Option<Verifier>) {
        let gate = verifier.map(|verifier| {
            let (desk, name) = (self.desk.clone(), self.name.clone());
            Arc::new(Gate::new(desk, verifier, name, Right::Consume))
        });
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = gate;
        self.changed.notify_one();
    }

    /// Decides by requirement and ticket. Where a ticket is asked for, a peer without a genuine one
    /// is told what it would be told if there were no such stream, and if it did not meet the requirement.
    pub(super) fn let_in(
        &self,
        peer: &Peer,
        shown: Option<&Credential>,
    ) -> Result<Option<Entitled>, Refusal> {
        self.entitled(peer, shown).map_err(|reason| {
            debug!(stream = %self.name, peer = %peer.id().fmt_short(), ?reason, "not let in");
            self.refusals.note(peer.id(), reason, shown);
            Refusal::NotAdmitted
        })
    }

    /// As [`let_in`](Self::let_in), with the reason, which is not for the peer.
    pub(super) fn entitled(
        &self,
        peer: &Peer,
        shown: Option<&Credential>,
    ) -> Result<Option<Entitled>, Reason> {
        let checked = self.gate().map(|gate| gate.check(shown, peer.id()));
        let entitled = checked.transpose().map_err(Reason::Ticket)?;
        if !self.admits(peer) {
            return Err(Reason::Requirement);
        }
        Ok(entitled)
    }

    /// Whether a peer that shows this may hear why somebody is served or not: who may subscribe, or is
    /// subscribed.
    pub(super) fn tells_why(&self, peer: &Peer, shown: Option<&Credential>) -> bool {
        self.tells(peer) || self.entitled(peer, shown).is_ok()
    }

    /// Whether a peer that shows no ticket may hear of the stream: where consumers are asked for
    /// tickets, one that is subscribed by one.
    pub(super) fn tells(&self, peer: &Peer) -> bool {
        let by_ticket = |gate: Arc<Gate>| {
            let subs = self.subs();
            let mut own = subs.values().filter(|sub| sub.peer == peer.id());
            own.any(|sub| sub.is_entitled(Some(&gate)))
        };
        self.admits(peer) && self.gate().is_none_or(by_ticket)
    }

    /// Goes by a newer credential of a subscribed consumer from now on. False where it is not good
    /// for that; the one before counts then.
    pub(crate) fn renew(&self, sub: &Sub, shown: &Credential) -> bool {
        let Some(gate) = self.gate() else {
            return true;
        };
        match gate.check(Some(shown), sub.peer) {
            Ok(entitled) => {
                sub.entitle(Some(entitled));
                // The stream's worker looks when the next lease ends.
                self.changed.notify_one();
                true
            }
            Err(reason) => {
                debug!(stream = %self.name, peer = %sub.peer.fmt_short(), %reason, "not renewed");
                false
            }
        }
    }

    /// How long until the first lease of a subscription ends, if any does.
    pub(super) fn next_lease(&self) -> Option<Duration> {
        let subs = self.subs();
        let live = subs.values().filter(|sub| !sub.cut.is_cancelled());
        live.filter_map(|sub| sub.lease.left()).min()
    }
}

impl Sub {
    /// Sets by what the consumer is entitled, and so until when.
    pub(super) fn entitle(&self, entitled: Option<Entitled>) {
        self.lease.set(entitled.as_ref().map(|by| by.until_s));
        let mut held = self.entitled.lock().unwrap_or_else(PoisonError::into_inner);
        *held = entitled;
    }

    /// By what the consumer is entitled, as far as was decided last.
    pub(super) fn held(&self) -> Option<Entitled> {
        let held = self.entitled.lock();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the consumer is entitled now, by what it has shown.
    pub(super) fn is_entitled(&self, gate: Option<&Gate>) -> bool {
        match (gate, self.held()) {
            (None, None) => true,
            (None, Some(_)) => {
                // Nobody asks any more.
                self.entitle(None);
                true
            }
            (Some(_), None) => false,
            (Some(gate), Some(held)) => {
                !self.lease.is_over() && gate.check_again(&held, self.peer).is_ok()
            }
        }
    }
}
