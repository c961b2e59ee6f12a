//! What a program can see of the names.

use std::time::Duration;

use rivermesh_proto::{
    Seq,
    named::{self, ConsumerName, Share},
};

/// How far behind a consumer with a name is, or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behind {
    /// The name.
    pub name: ConsumerName,
    /// Whether it is shared, and how.
    pub share: Share,
    /// Consumers that have it now.
    pub holders: usize,
    /// How long nobody has had it; `None` while somebody has.
    pub away_for: Option<Duration>,
    /// Everything before this is acknowledged, or was left out by the filter.
    pub committed: Seq,
    /// Items that were sent and are not acknowledged.
    pub in_flight: u64,
    /// Items from `committed` on, sent or not. Those that a filter will leave out are counted until
    /// it has.
    pub items: u64,
    /// Bytes of the batches that hold these, about.
    pub bytes: u64,
    /// How long ago the batch of the first of them was begun, of those that are in memory.
    pub age: Duration,
}

impl Behind {
    /// The same for a peer.
    pub(crate) fn to_wire(&self) -> named::Behind {
        named::Behind {
            name: self.name.clone(),
            share: self.share,
            holders: u32::try_from(self.holders).unwrap_or(u32::MAX),
            away_us: self.away_for.map(micros),
            committed: self.committed,
            in_flight: self.in_flight,
            items: self.items,
            bytes: self.bytes,
            age_us: micros(self.age),
        }
    }

    /// As a peer has said it.
    pub(crate) fn of_wire(behind: named::Behind) -> Self {
        Self {
            name: behind.name,
            share: behind.share,
            holders: behind.holders as usize,
            away_for: behind.away_us.map(Duration::from_micros),
            committed: behind.committed,
            in_flight: behind.in_flight,
            items: behind.items,
            bytes: behind.bytes,
            age: Duration::from_micros(behind.age_us),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
