//! What a consumer asks of each of its producers, and how far it has got there.

use std::sync::Arc;

use rivermesh_proto::{
    Epoch, Fingerprint, Seq, StreamName,
    named::{Named, Share},
    schema::Schema,
    subscribe::{Lag, Start, Subscribe, Superseded},
};
use tokio::sync::watch;

use super::wanted::Wanted;
use crate::{
    admission::{Gate, Wallet},
    stream::Retry,
};

/// What a consumer asks of each of its producers.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) stream: StreamName,
    /// `None` for a consumer that takes any shape.
    pub(super) schema: Option<Arc<Schema>>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) lag: Lag,
    pub(super) superseded: Superseded,
    pub(super) retry: Retry,
    pub(super) wanted: watch::Receiver<Wanted>,
    /// The name that it acknowledges under.
    pub(super) named: Option<Named>,
    /// Asks producers for tickets.
    pub(super) gate: Option<Arc<Gate>>,
    /// What is shown to producers.
    pub(super) wallet: Wallet,
}

impl Wish {
    /// Whether the consumer is a member of a group.
    pub(super) fn is_shared(&self) -> bool {
        let named = self.named.as_ref();
        named.is_some_and(|named| named.share != Share::Alone)
    }

    /// What is wanted now, and the request for it, as yet without what entitles to it.
    pub(super) fn ask(
        &self,
        place: Option<Place>,
        start: Start,
    ) -> (watch::Receiver<Wanted>, Wanted, Subscribe) {
        let mut changes = self.wanted.clone();
        let wanted = changes.borrow_and_update().clone();
        let ask = Subscribe {
            stream: self.stream.clone(),
            fingerprint: self.fingerprint,
            start: place.map_or(start, Place::asked),
            lag: self.lag,
            filter: wanted.filter.as_deref().cloned(),
            superseded: self.superseded,
            named: self.named.clone(),
            credential: None,
        };
        (changes, wanted, ask)
    }
}

/// How far a producer has been followed: what is needed to go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: Epoch,
    pub(super) next: Seq,
    /// Of the items before this only the newest of each key come.
    pub(super) thinned: Seq,
}
