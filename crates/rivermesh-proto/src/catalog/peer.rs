//! A member as one node knows it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use iroh_base::TransportAddr;

use crate::{
    NodeId,
    entry::{Entry, StreamAdvert},
};

/// What a node measured of the way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt {
    /// The smoothed round-trip time.
    pub smoothed: Duration,
    /// The shortest round-trip time seen.
    pub min: Duration,
    /// The smoothed deviation from the smoothed time.
    pub variance: Duration,
}

/// Whether a peer is thought to be running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reachability {
    /// The peer keeps its promises.
    Live,
    /// The peer was silent for too long, or a node lost its connection to it.
    Unreachable {
        /// When this was found, on the monotonic clock that the catalog is fed.
        since: Duration,
    },
}

/// A member of the network: its own words, and what the local node found out about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub(super) entry: Arc<Entry>,
    pub(super) rtt: Option<Rtt>,
    pub(super) reachability: Reachability,
    pub(super) local: bool,
}

impl Peer {
    /// The node's identity.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.entry.node
    }

    /// The name for people; may be empty, need not be unique.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// The node's tags.
    #[must_use]
    pub fn tags(&self) -> &BTreeSet<String> {
        &self.entry.tags
    }

    /// Whether the node has this tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.entry.tags.contains(tag)
    }

    /// The streams the node produces, in the order of their names.
    #[must_use]
    pub fn streams(&self) -> &[StreamAdvert] {
        &self.entry.streams
    }

    /// What the node says of the stream, if it produces it.
    #[must_use]
    pub fn produces(&self, stream: &str) -> Option<&StreamAdvert> {
        let streams = &self.entry.streams;
        streams
            .binary_search_by(|advert| advert.name.as_str().cmp(stream))
            .ok()
            .map(|at| &streams[at])
    }

    /// Where the node says that it can be reached.
    #[must_use]
    pub fn addrs(&self) -> &[TransportAddr] {
        &self.entry.addrs
    }

    /// A random number for the life of the node's process.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.entry.instance
    }

    /// The revision of the node's entry.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.entry.revision
    }

    /// The node's entry as it was signed.
    #[must_use]
    pub const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The round-trip time from the local node, where it was measured.
    #[must_use]
    pub const fn rtt(&self) -> Option<Rtt> {
        self.rtt
    }

    /// Whether the peer is thought to be running.
    #[must_use]
    pub const fn reachability(&self) -> Reachability {
        self.reachability
    }

    /// Whether the peer is thought to be running, as a yes or no.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.reachability, Reachability::Live)
    }

    /// Whether this is the local node itself.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.local
    }
}
