//! What the local node says and finds out itself.

use super::{Catalog, Change, Clock, Peer, Refused, Rtt};
use crate::{
    NodeId,
    entry::{EntryError, Record, SignedRecord, Suspicion},
};

/// The local node found a peer to be unreachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// What to sign, hand to [`Catalog::announce`] and gossip, so that others know it as well.
    pub suspicion: Suspicion,
    /// The peer is now unreachable.
    pub change: Change,
}

impl Catalog {
    /// Takes a record that the local node signed itself: its entry, its departure, or a suspicion
    /// that [`Catalog::unreachable`] asked for.
    ///
    /// The local entry takes a place even in a full catalog.
    ///
    /// # Errors
    /// When another node signed it, or its revision is not above the last one.
    pub fn announce(
        &mut self,
        record: SignedRecord,
        now: Clock,
    ) -> Result<Option<Change>, Refused> {
        if record.network_bytes() != *self.network.as_bytes() {
            return Err(Refused::Network);
        }
        if record.signer_bytes() != *self.local {
            return Err(Refused::Invalid(EntryError::WrongKey));
        }
        match record.verify()? {
            Record::Suspicion(suspicion) => {
                let slot = self
                    .slots
                    .get_mut(&suspicion.node)
                    .ok_or(Refused::UnknownNode)?;
                // The peer may have come back while this was being signed.
                if slot.lost.is_some() && slot.record.revision() == suspicion.revision {
                    slot.suspicion = Some(record);
                }
                Ok(None)
            }
            Record::Entry(entry) => {
                self.check_above(entry.revision)?;
                let expires_at = now.mono + self.lifetime(entry.refresh());
                Ok(Some(self.list(entry, record, expires_at, true, now)))
            }
            Record::Departure(departure) => {
                self.check_above(departure.revision)?;
                let lifetime = self
                    .slots
                    .get(&departure.node)
                    .map_or(self.config.grace, |slot| slot.lifetime);
                Ok(self.depart(departure.node, record, lifetime, now).change)
            }
        }
    }

    /// The local node has a connection to this one: its entry does not expire, it cannot be
    /// suspected, and if it was unreachable it is live again.
    pub fn connected(&mut self, node: NodeId, now: Clock) -> Option<Change> {
        self.connected.insert(node);
        let slot = self.slots.get_mut(&node)?;
        slot.expires_at = slot.expires_at.max(now.mono + slot.lifetime);
        if slot.lost.is_some() {
            return self.set_lost(&node, None).map(Change::Updated);
        }
        self.schedule(&node);
        None
    }

    /// The local node has no connection to this one any more, which by itself says nothing about it.
    /// When the connection was not given up on purpose, dial again, and call
    /// [`Catalog::unreachable`] when that fails.
    pub fn disconnected(&mut self, node: &NodeId, now: Clock) {
        self.connected.remove(node);
        if let Some(slot) = self.slots.get_mut(node) {
            slot.expires_at = slot.expires_at.max(now.mono + self.config.grace);
            self.schedule(node);
        }
    }

    /// Whether the local node said that it is connected to this one.
    #[must_use]
    pub fn is_connected(&self, node: &NodeId) -> bool {
        self.connected.contains(node)
    }

    /// The local node lost its connection to this one and could not dial it again.
    ///
    /// `None` when there is nothing to tell: the node is not listed, is the local one, is connected
    /// after all, or is known to be unreachable.
    pub fn unreachable(&mut self, node: &NodeId, now: Clock) -> Option<Lost> {
        if *node == self.local || self.connected.contains(node) {
            return None;
        }
        let slot = self.slots.get(node)?;
        if slot.lost.is_some() {
            return None;
        }
        let suspicion = Suspicion {
            network: self.network,
            node: *node,
            revision: slot.record.revision(),
            reporter: self.local,
        };
        let peer = self.set_lost(node, Some(now.mono))?;
        Some(Lost {
            suspicion,
            change: Change::Unreachable(peer),
        })
    }

    /// Notes the round-trip time to a listed peer; only that peer's value is replaced.
    ///
    /// Returns whether the peer is listed.
    pub fn set_rtt(&mut self, node: &NodeId, rtt: Rtt) -> bool {
        let Some(old) = self.view.get(node) else {
            return false;
        };
        if old.rtt != Some(rtt) {
            let peer = Peer {
                rtt: Some(rtt),
                ..Peer::clone(old)
            };
            self.view.put(peer);
        }
        true
    }

    fn check_above(&self, revision: u64) -> Result<(), Refused> {
        match self.record(&self.local).map(SignedRecord::revision) {
            Some(known) if revision == known => Err(Refused::Known),
            Some(known) if revision < known => Err(Refused::Older { known }),
            Some(_) | None => Ok(()),
        }
    }
}
