//! Which streams a consumer takes: one, or all whose names follow a pattern.

use std::sync::Arc;

use rivermesh_proto::{
    NodeId, StreamName,
    catalog::{Peer, Snapshot},
    entry::StreamAdvert,
    filter::Pattern,
};

/// A stream of one producer.
pub(super) type Followee = (NodeId, StreamName);

/// The streams that a consumer takes.
#[derive(Clone, Debug)]
pub(super) enum Streams {
    One(StreamName),
    /// At most so many, of all producers together.
    Matching {
        pattern: Pattern,
        max: usize,
    },
}

impl Streams {
    /// Whether there may be several.
    pub(super) fn are_many(&self) -> bool {
        matches!(self, Self::Matching { .. })
    }

    /// Whether there is a name that both take.
    pub(super) fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(a), Self::One(b)) => a == b,
            (Self::One(name), Self::Matching { pattern, .. })
            | (Self::Matching { pattern, .. }, Self::One(name)) => pattern.matches(name.as_str()),
            (Self::Matching { pattern: a, .. }, Self::Matching { pattern: b, .. }) => a.overlaps(b),
        }
    }

    /// How many streams of producers are followed at most.
    pub(super) fn max(&self) -> usize {
        match self {
            Self::One(_) => usize::MAX,
            Self::Matching { max, .. } => *max,
        }
    }

    /// Who produces them, in the order of their names.
    pub(super) fn produced<'a>(
        &'a self,
        snapshot: &'a Snapshot,
    ) -> Box<dyn Iterator<Item = (&'a Arc<Peer>, &'a StreamAdvert)> + 'a> {
        let advert = |peer: &'a Arc<Peer>, stream: &str| Some((peer, peer.produces(stream)?));
        match self {
            Self::One(stream) => {
                let peers = snapshot.producers_of(stream.as_str());
                Box::new(peers.filter_map(move |peer| advert(peer, stream.as_str())))
            }
            Self::Matching { pattern, .. } => {
                let streams = snapshot.streams_from(pattern.prefix());
                let matching = streams.filter(|(stream, _)| pattern.matches(stream.as_str()));
                Box::new(matching.filter_map(move |(stream, peer)| advert(peer, stream.as_str())))
            }
        }
    }
}
