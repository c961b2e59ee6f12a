//! What is remembered of nodes that are not listed any more.
//!
//! A tombstone stands for a revision that must not be listed again. How long it must stand follows
//! from the rule that a record older than [`MAX_AGE`](super::MAX_AGE) is refused whoever brings it:
//! a tombstone is taken away once its own revision is that old, because from then on the age rule
//! refuses everything that it refused. (Only a wall clock that is set back meanwhile opens a gap,
//! and what slips through it is dropped again when it is not refreshed.)
//!
//! For the first part of this time the tombstone also counts in the digest: as long as another node
//! may still list the entry, so that the two do not take each other for different. After that it only
//! refuses; a node that joined since never hears of it, and must not differ by it for a day.
//!
//! The number and the bytes are bounded. Over the bound the lowest revision goes first, being the
//! nearest to its end; what it refused can then come back, until it is not refreshed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{NodeId, entry::SignedRecord};

/// Why a node is not listed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The node said goodbye. The record is its departure.
    Departed,
    /// The local node dropped it. The record is its entry.
    Evicted,
}

#[derive(Clone, Debug)]
pub(super) struct Tombstone {
    pub(super) record: SignedRecord,
    pub(super) cause: Cause,
    /// Until when it counts in the digest; `None` if it does not any more.
    pub(super) counts_until: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Tombstones {
    by_node: BTreeMap<NodeId, Tombstone>,
    by_revision: BTreeSet<(u64, NodeId)>,
    counting: BTreeSet<(Duration, NodeId)>,
    bytes: usize,
    max: usize,
    max_bytes: usize,
}

impl Tombstones {
    pub(super) const fn new(max: usize, max_bytes: usize) -> Self {
        Self {
            by_node: BTreeMap::new(),
            by_revision: BTreeSet::new(),
            counting: BTreeSet::new(),
            bytes: 0,
            max,
            max_bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_node.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, node: &[u8; 32]) -> Option<&Tombstone> {
        self.by_node.get(node)
    }

    /// Those that count in the digest, from one id to another.
    pub(super) fn counted(
        &self,
        from: [u8; 32],
        to: [u8; 32],
    ) -> impl Iterator<Item = (&NodeId, &Tombstone)> {
        self.by_node
            .range::<[u8; 32], _>(from..=to)
            .filter(|(_, tombstone)| tombstone.counts_until.is_some())
    }

    pub(super) fn insert(&mut self, node: NodeId, tombstone: Tombstone) {
        self.remove(&node);
        self.bytes += tombstone.record.as_bytes().len();
        self.by_revision.insert((tombstone.record.revision(), node));
        if let Some(until) = tombstone.counts_until {
            self.counting.insert((until, node));
        }
        self.by_node.insert(node, tombstone);
    }

    pub(super) fn remove(&mut self, node: &NodeId) -> Option<Tombstone> {
        let tombstone = self.by_node.remove(node)?;
        self.bytes -= tombstone.record.as_bytes().len();
        self.by_revision
            .remove(&(tombstone.record.revision(), *node));
        if let Some(until) = tombstone.counts_until {
            self.counting.remove(&(until, *node));
        }
        Some(tombstone)
    }

    /// Takes away the lowest revision if there are too many, or if it is below `too_old`.
    pub(super) fn pop(&mut self, too_old: u64) -> Option<(NodeId, Tombstone)> {
        let (revision, node) = *self.by_revision.first()?;
        let full = self.len() > self.max || self.bytes > self.max_bytes;
        if !full && revision >= too_old {
            return None;
        }
        self.remove(&node).map(|tombstone| (node, tombstone))
    }

    /// When the next tombstone ceases to count.
    pub(super) fn next(&self) -> Option<Duration> {
        self.counting.first().map(|(until, _)| *until)
    }

    /// Lets one that ceases to count by `now` do so, and says which and at what revision.
    pub(super) fn cease(&mut self, now: Duration) -> Option<(NodeId, u64)> {
        let (until, node) = *self.counting.first()?;
        if until > now {
            return None;
        }
        self.counting.pop_first();
        let tombstone = self.by_node.get_mut(&node)?;
        tombstone.counts_until = None;
        Some((node, tombstone.record.revision()))
    }
}
