//! What a program can see of its producer.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rivermesh_proto::{NodeId, Seq, catalog::Peer, filter::FilterSource, subscribe::Lag};

use super::{core::Sub, log::Log};

/// The state of a produced stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Whether items are taken now: the condition of `online_when` is met.
    pub online: bool,
    /// Whether the stream has ended.
    pub closed: bool,
    /// Subscribed consumers.
    pub consumers: usize,
    /// The consumers that the catalog knows; several subscriptions of one node are listed each.
    pub peers: Vec<Arc<Peer>>,
}

/// Counters of a produced stream, since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Items taken; the next one has this sequence number.
    pub items: u64,
    /// The oldest item that the log still holds.
    pub oldest: Seq,
    /// Bytes that the log holds.
    pub log_bytes: usize,
    /// Bytes that its log has on disk; 0 without one.
    pub disk_bytes: u64,
    /// Distinct filters of the consumers that are subscribed.
    pub filters: usize,
    /// Keys that are known: where the newest item of each is kept, or a consumer conflates.
    pub keys: usize,
    /// Bytes of these, and of the items that are kept beyond the log, about.
    pub key_bytes: usize,
    /// Keys that were let go, and items whose key was not taken up, for want of room (`max_keys`,
    /// `key_bytes`).
    pub keys_forgotten: u64,
    /// Items that were dropped because their key was sent a short while before
    /// ([`dedup`](super::Builder::dedup)). They are not among `items`.
    pub duplicates: u64,
    /// Keys that were forgotten before the window was over, for want of room.
    pub duplicates_forgotten: u64,
    /// Items that were taken while nobody was subscribed who gets them: nobody at all, or only
    /// consumers whose filters leave them out.
    pub undelivered: u64,
    /// Of those, items that the undelivered sink had no room for.
    pub undelivered_lost: u64,
}

/// One subscribed consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscriber {
    /// The node that consumes.
    pub peer: NodeId,
    /// What happens when it falls behind.
    pub lag_policy: Lag,
    /// Which items it wants; `None` for all.
    pub filter: Option<FilterSource>,
    /// How long it has been subscribed.
    pub connected_for: Duration,
    /// Items handed to its connection.
    pub items: u64,
    /// Items that its filter left out, as far as it has been told.
    pub filtered: u64,
    /// Bytes of frames handed to its connection.
    pub bytes: u64,
    /// Items reported to it as missed.
    pub missed: u64,
    /// Items that the log holds for it and that have not been handed to its connection. With a
    /// filter those that it lets through, as far as they were sent since the filter came, and whole
    /// batches.
    pub lag: u64,
}

impl Subscriber {
    pub(super) fn of(sub: &Sub, log: &Log) -> Self {
        let (group, filter) = sub.filter().unzip();
        Self {
            peer: sub.peer,
            lag_policy: sub.lag,
            filter,
            connected_for: sub.since.elapsed(),
            items: sub.items.load(Ordering::Relaxed),
            filtered: sub.filtered.load(Ordering::Relaxed),
            bytes: sub.bytes.load(Ordering::Relaxed),
            missed: sub.missed.load(Ordering::Relaxed),
            lag: log.waiting(sub.position.load(Ordering::Relaxed), group),
        }
    }
}
