//! The members at one moment, immutable and cheap to clone.

use std::{fmt, ops::Bound, sync::Arc, time::Duration};

use imbl::{OrdMap, OrdSet};

use super::Peer;
use crate::{NodeId, StreamName};

/// The members that a node knew at one moment, the node itself included.
///
/// Cloning takes constant time and shares everything. Iteration is in the order of ids. A listed
/// peer may be [`Unreachable`](super::Reachability::Unreachable); [`Snapshot::live`] leaves those out.
#[derive(Clone, Default)]
pub struct Snapshot {
    peers: OrdMap<NodeId, Arc<Peer>>,
    /// One flat set, not a set for each stream: 640,000 distinct streams, the most that a full
    /// catalog can have, would each take a tree's smallest node.
    by_stream: OrdSet<(StreamName, [u8; 32])>,
    version: u64,
}

impl Snapshot {
    /// Grows with each change of the catalog; equal versions of one catalog are the same snapshot.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// How many members are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The member with this id.
    #[must_use]
    pub fn get(&self, node: &NodeId) -> Option<&Arc<Peer>> {
        self.peers.get(node)
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.values()
    }

    /// All members that are thought to be running.
    pub fn live(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.iter().filter(|peer| peer.is_live())
    }

    /// The members that produce a stream, found through an index.
    pub fn producers_of(&self, stream: &str) -> impl Iterator<Item = &Arc<Peer>> {
        // What is no stream name is produced by nobody.
        StreamName::new(stream)
            .into_iter()
            .flat_map(|name| {
                self.by_stream
                    .range((name.clone(), [0; 32])..=(name, [u8::MAX; 32]))
            })
            .filter_map(|(_, node)| self.peers.get(node))
    }

    /// The streams whose names begin with a text, each with a member that produces it, found through
    /// an index; in the order of names, and then of ids.
    pub fn streams_from<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a StreamName, &'a Arc<Peer>)> {
        // What no name can be is no prefix of one either, but for the text of no characters.
        let from = StreamName::new(prefix).ok().map(|name| (name, [0; 32]));
        let from = match from {
            Some(first) => Bound::Included(first),
            None => Bound::Unbounded,
        };
        self.by_stream
            .range((from, Bound::Unbounded))
            .take_while(move |(name, _)| name.as_str().starts_with(prefix))
            .filter_map(|(name, node)| Some((name, self.peers.get(node)?)))
    }

    /// The members with a tag.
    pub fn with_tag<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Arc<Peer>> {
        self.iter().filter(move |peer| peer.has_tag(tag))
    }

    /// The members with a name; names need not be unique.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Peer>> {
        self.iter().filter(move |peer| peer.name() == name)
    }

    /// The members whose smoothed round-trip time is known and at most `max`.
    pub fn within_rtt(&self, max: Duration) -> impl Iterator<Item = &Arc<Peer>> {
        self.iter()
            .filter(move |peer| peer.rtt().is_some_and(|rtt| rtt.smoothed <= max))
    }

    pub(super) fn get_bytes(&self, node: &[u8; 32]) -> Option<&Arc<Peer>> {
        self.peers.get(node)
    }

    pub(super) fn put(&mut self, peer: Peer) -> Arc<Peer> {
        let node = peer.id();
        let peer = Arc::new(peer);
        let old = self.peers.insert(node, Arc::clone(&peer));
        self.version += 1;
        let same_streams = old.as_ref().is_some_and(|old| {
            let names = |peer: &Peer| -> Vec<StreamName> {
                let streams = peer.streams().iter();
                streams.map(|advert| advert.name.clone()).collect()
            };
            Arc::ptr_eq(&old.entry, &peer.entry) || names(old) == names(&peer)
        });
        if !same_streams {
            if let Some(old) = old {
                self.unindex(&old);
            }
            for advert in peer.streams() {
                self.by_stream.insert((advert.name.clone(), *node));
            }
        }
        peer
    }

    pub(super) fn take(&mut self, node: &NodeId) -> Option<Arc<Peer>> {
        let peer = self.peers.remove(node)?;
        self.unindex(&peer);
        self.version += 1;
        Some(peer)
    }

    fn unindex(&mut self, peer: &Peer) {
        let node = *peer.id();
        for advert in peer.streams() {
            self.by_stream.remove(&(advert.name.clone(), node));
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("peers", &self.peers.len())
            .finish()
    }
}
