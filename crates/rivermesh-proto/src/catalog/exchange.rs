//! What a sync needs to know of a catalog.

use std::time::Duration;

use super::{Catalog, Cause, Clock};
use crate::{NodeId, entry::SignedRecord};

/// What can be told of a node to a peer.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) record: SignedRecord,
    /// Time since the node was heard of.
    pub(crate) age: Duration,
    /// Goes along with the entry of a suspected node, lest the peer take it for live.
    pub(crate) suspicion: Option<SignedRecord>,
}

impl Catalog {
    /// What the digest counts in a bucket: nodes and revisions.
    pub(crate) fn counted(&self, bucket: u8) -> impl Iterator<Item = (NodeId, u64)> {
        let (mut from, mut to) = ([0; 32], [u8::MAX; 32]);
        from[0] = bucket;
        to[0] = bucket;
        let listed = self
            .slots
            .range::<[u8; 32], _>(from..=to)
            .map(|(node, slot)| (*node, slot.record.revision()));
        let gone = self
            .tombstones
            .counted(from, to)
            .map(|(node, tombstone)| (*node, tombstone.record.revision()));
        listed.chain(gone)
    }

    /// The highest revision known of a node, whether or not the digest counts it.
    pub(crate) fn known(&self, node: &[u8; 32]) -> Option<u64> {
        let listed = self.slots.get(node).map(|slot| slot.record.revision());
        listed.or_else(|| {
            let tombstone = self.tombstones.get(node);
            tombstone.map(|tombstone| tombstone.record.revision())
        })
    }

    /// What to tell `peer` of a node.
    ///
    /// An entry that the local node does not believe in is told to nobody but the node itself, which
    /// must get above its revision.
    pub(crate) fn offer(&self, node: &[u8; 32], peer: &NodeId, now: Clock) -> Option<Offer> {
        let to_itself = node == peer.as_bytes();
        if let Some(slot) = self.slots.get(node) {
            if slot.lost.is_some() && slot.suspicion.is_none() && !to_itself {
                return None;
            }
            let known_live = *node == *self.local || self.connected.contains(node);
            let left = slot.expires_at.saturating_sub(now.mono);
            let age = if known_live {
                Duration::ZERO
            } else {
                slot.lifetime.saturating_sub(left)
            };
            return Some(Offer {
                record: slot.record.clone(),
                age,
                suspicion: slot.suspicion.clone().filter(|_| slot.lost.is_some()),
            });
        }
        let tombstone = self.tombstones.get(node)?;
        let tell = tombstone.cause == Cause::Departed || to_itself;
        tell.then(|| Offer {
            record: tombstone.record.clone(),
            age: Duration::ZERO,
            suspicion: None,
        })
    }
}
