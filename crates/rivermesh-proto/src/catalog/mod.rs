//! Merging records into one view of the network; expiry, departures, suspicion.
//!
//! A [`Catalog`] is a plain state machine: records, findings about connections and the time come in,
//! [`Change`]s come out, and a [`Snapshot`] of the members can be had at any moment. It neither sends
//! nor signs.
//!
//! | file | story |
//! | --- | --- |
//! | `admit` | the one function that decides on every record from outside, and its reasons to refuse |
//! | `own` | what the local node says and finds: its own entry, connections, round-trip times |
//! | `expiry` | what happens when time passes |
//! | `exchange` | what [`sync`](crate::sync) needs to know |
//! | `tombstones` | what is remembered of nodes that are gone, for how long, and why so long |
//! | `reporters` | how often a member may suspect others |
//! | `digest`, `peer`, `snapshot` | the values a catalog hands out |
//!
//! # What a catalog converges to
//! Of each node the record with the highest revision counts, whichever way and in whichever order it
//! came; that makes merging commutative, associative and idempotent. Whether a node is
//! reachable is each node's own finding and not part of it.
//!
//! # A member's life
//! `Live` until the node departs, is suspected (and does not refute), or is silent for 3 of its own
//! refresh periods and [`Config::grace`]; then `Unreachable` until it is heard of again, or removed
//! after [`Config::forget_after`]. An entry of a node that the local node is connected to
//! neither expires nor can be suspected: a liar cannot take away a peer that we ourselves talk to.
//! Time of expiry is the monotonic clock's; the wall clock only bounds revisions.
//!
//! # Memory
//! At most [`Config::capacity`] places of 3 KiB (and about three times that decoded, if hostile), and
//! [`Config::tombstones`] tombstones within 8 MiB. An entry takes one place; one of a node with so
//! many streams that it is larger takes up to four.

mod admit;
mod digest;
mod exchange;
mod expiry;
mod own;
mod peer;
mod reporters;
mod snapshot;
#[cfg(test)]
mod tests;
mod tombstones;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use admit::{Admitted, Refused, Source, Verified};
pub(crate) use digest::bucket_of;
pub use digest::{BUCKETS, Digest};
pub(crate) use exchange::Offer;
pub use own::Lost;
pub use peer::{Peer, Reachability, Rtt};
pub use snapshot::Snapshot;

use crate::{
    NetworkId, NodeId,
    entry::{MAX_REFRESH_S, SignedRecord},
    limits,
};
use reporters::Reporters;
use tombstones::{Cause, Tombstone, Tombstones};

/// How far behind the local clock a revision may lie: the bound of clock skew and the longest time
/// for which an entry stands without being refreshed. Older records are refused.
pub const MAX_AGE: Duration = Duration::from_secs(
    limits::CLOCK_SKEW.as_secs() + MISSED_REFRESHES as u64 * MAX_REFRESH_S as u64 + 60,
);

/// Bytes of records that tombstones hold in all.
const TOMBSTONE_BYTES: usize = 8 * 1024 * 1024;
/// Refresh periods without news after which an entry has expired.
const MISSED_REFRESHES: u32 = 3;

/// The knobs of a catalog.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many entries are held, the local node's included, if none is over
    /// [`limits::ENTRY_PLACE`] bytes. Default and most: [`limits::CATALOG`].
    pub capacity: usize,
    /// How many tombstones are held. Default and most: [`limits::CATALOG`].
    pub tombstones: usize,
    /// How long an unreachable node stays listed. Default: 60 s.
    pub forget_after: Duration,
    /// What is added to 3 refresh periods before an entry expires. Default: 5 s.
    pub grace: Duration,
    /// How many suspicions of one reporter are taken at once. Default: 64.
    pub suspicion_burst: u32,
    /// How long it takes until a reporter may speak once more after that. Default: 1 s.
    pub suspicion_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: limits::CATALOG,
            tombstones: limits::CATALOG,
            forget_after: Duration::from_secs(60),
            grace: Duration::from_secs(5),
            suspicion_burst: 64,
            suspicion_every: Duration::from_secs(1),
        }
    }
}

/// The time, as the catalog is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Since any fixed moment, never going back: what expiry is measured by.
    pub mono: Duration,
    /// Microseconds since 1970: what revisions are compared with.
    pub wall_us: u64,
}

/// What became different in a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A node is listed that was not.
    Joined(Arc<Peer>),
    /// A listed node says something new of itself, or is live again.
    Updated(Arc<Peer>),
    /// A listed node said the same once more.
    Refreshed(Arc<Peer>),
    /// A listed node is not thought to be running any more.
    Unreachable(Arc<Peer>),
    /// A node is not listed any more: it departed, was unreachable for too long, or gave way.
    Left(Arc<Peer>),
}

impl Change {
    /// The peer as it is now, or as it was last.
    #[must_use]
    pub const fn peer(&self) -> &Arc<Peer> {
        match self {
            Self::Joined(peer)
            | Self::Updated(peer)
            | Self::Refreshed(peer)
            | Self::Unreachable(peer)
            | Self::Left(peer) => peer,
        }
    }
}

/// The members of a network as one node knows them.
#[derive(Debug)]
pub struct Catalog {
    local: NodeId,
    network: NetworkId,
    config: Config,
    slots: BTreeMap<NodeId, Slot>,
    /// The sum of [`Slot::places`].
    places: usize,
    tombstones: Tombstones,
    view: Snapshot,
    connected: BTreeSet<NodeId>,
    /// When to look at which slot next.
    due: BTreeSet<(Duration, NodeId)>,
    /// The unreachable ones, longest first.
    lost: BTreeSet<(Duration, NodeId)>,
    reporters: Reporters,
    digest: Digest,
}

/// What is known of a listed node besides its [`Peer`].
#[derive(Debug)]
struct Slot {
    record: SignedRecord,
    /// Whether the node itself has shown one of its entries here in a handshake. What others tell of
    /// nodes that never did may be made up.
    met: bool,
    /// Three refresh periods and the grace.
    lifetime: Duration,
    expires_at: Duration,
    /// Since when it is unreachable.
    lost: Option<Duration>,
    /// A verified suspicion of exactly this revision.
    suspicion: Option<SignedRecord>,
    /// The verified suspicion of the highest revision above this one: it overtook the entry.
    pending: Option<SignedRecord>,
    due: Option<Duration>,
}

impl Slot {
    /// How many entries of usual size this one counts for.
    fn places(&self) -> usize {
        places(&self.record)
    }
}

/// How many places of a catalog an entry takes.
fn places(record: &SignedRecord) -> usize {
    record.as_bytes().len().div_ceil(limits::ENTRY_PLACE)
}

impl Catalog {
    /// A catalog that knows nobody.
    #[must_use]
    pub fn new(local: NodeId, network: NetworkId, config: Config) -> Self {
        let config = Config {
            capacity: config.capacity.clamp(1, limits::CATALOG),
            tombstones: config.tombstones.min(limits::CATALOG),
            ..config
        };
        Self {
            local,
            network,
            slots: BTreeMap::new(),
            places: 0,
            tombstones: Tombstones::new(config.tombstones, TOMBSTONE_BYTES),
            view: Snapshot::default(),
            connected: BTreeSet::new(),
            due: BTreeSet::new(),
            lost: BTreeSet::new(),
            reporters: Reporters::new(config.suspicion_burst, config.suspicion_every),
            digest: Digest::default(),
            config,
        }
    }

    /// The node whose catalog this is.
    #[must_use]
    pub const fn local(&self) -> NodeId {
        self.local
    }

    /// The network whose members are listed.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// The members at this moment; takes constant time.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.view.clone()
    }

    /// The members at this moment, without cloning.
    #[must_use]
    pub const fn view(&self) -> &Snapshot {
        &self.view
    }

    /// The sum of what is known: entries, departures and recent evictions by (node, revision).
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The record with the highest revision that is known of a node, its departure or evicted entry
    /// included. Shown to the node itself, it makes a restarted node raise its revision.
    #[must_use]
    pub fn record(&self, node: &NodeId) -> Option<&SignedRecord> {
        let listed = self.slots.get(node).map(|slot| &slot.record);
        listed.or_else(|| self.tombstones.get(node).map(|tombstone| &tombstone.record))
    }

    /// How many tombstones are held, and the bytes of their records.
    #[must_use]
    pub fn tombstones(&self) -> (usize, usize) {
        (self.tombstones.len(), self.tombstones.bytes())
    }

    /// Sets when to look at a slot again.
    fn schedule(&mut self, node: &NodeId) {
        let Some(slot) = self.slots.get_mut(node) else {
            return;
        };
        if let Some(due) = slot.due.take() {
            self.due.remove(&(due, *node));
        }
        let due = match slot.lost {
            Some(since) => Some(since + self.config.forget_after),
            None if *node == self.local || self.connected.contains(node) => None,
            None => Some(slot.expires_at),
        };
        if let Some(due) = due {
            slot.due = Some(due);
            self.due.insert((due, *node));
        }
    }

    /// Changes what is known of a peer's reachability, and when to look at it next.
    fn set_lost(&mut self, node: &NodeId, lost: Option<Duration>) -> Option<Arc<Peer>> {
        let slot = self.slots.get_mut(node)?;
        if let Some(since) = slot.lost.take() {
            self.lost.remove(&(since, *node));
        }
        slot.lost = lost;
        if let Some(since) = lost {
            self.lost.insert((since, *node));
        } else {
            slot.suspicion = None;
        }
        let old = self.view.get(node)?;
        let peer = Peer {
            reachability: match lost {
                Some(since) => Reachability::Unreachable { since },
                None => Reachability::Live,
            },
            ..Peer::clone(old)
        };
        let peer = self.view.put(peer);
        self.schedule(node);
        Some(peer)
    }

    /// Takes a node off the list. The digest still counts it: the caller sets a tombstone or not.
    fn unlist(&mut self, node: &NodeId) -> Option<(Slot, Arc<Peer>)> {
        let slot = self.slots.remove(node)?;
        self.places -= slot.places();
        if let Some(due) = slot.due {
            self.due.remove(&(due, *node));
        }
        if let Some(since) = slot.lost {
            self.lost.remove(&(since, *node));
        }
        self.reporters.forget(node);
        self.view.take(node).map(|peer| (slot, peer))
    }

    /// Takes a node off the list and sets a tombstone for its entry.
    fn evict(&mut self, node: &NodeId, now: Clock) -> Option<Change> {
        let (slot, peer) = self.unlist(node)?;
        let counts_until = now.mono + slot.lifetime + self.config.forget_after;
        self.digest.remove(node, slot.record.revision());
        self.bury(*node, slot.record, Cause::Evicted, counts_until, now);
        Some(Change::Left(peer))
    }

    /// Sets a tombstone, and takes away those over the bound or past their time.
    fn bury(
        &mut self,
        node: NodeId,
        record: SignedRecord,
        cause: Cause,
        until: Duration,
        now: Clock,
    ) {
        self.unbury(&node);
        self.digest.add(&node, record.revision());
        let tombstone = Tombstone {
            record,
            cause,
            counts_until: Some(until),
        };
        self.tombstones.insert(node, tombstone);
        self.trim_tombstones(now);
    }

    fn unbury(&mut self, node: &NodeId) {
        if let Some(tombstone) = self.tombstones.remove(node) {
            self.uncount(node, &tombstone);
        }
    }

    fn trim_tombstones(&mut self, now: Clock) {
        let too_old = now.wall_us.saturating_sub(micros(MAX_AGE));
        while let Some((node, tombstone)) = self.tombstones.pop(too_old) {
            self.uncount(&node, &tombstone);
        }
    }

    fn uncount(&mut self, node: &NodeId, tombstone: &Tombstone) {
        if tombstone.counts_until.is_some() {
            self.digest.remove(node, tombstone.record.revision());
        }
    }
}

/// How often a node of a network of `members` announces itself when nothing changes.
///
/// A node hears `members / interval` announcements a second. With `interval = members × 1 s` that
/// is 1 a second in a network of any size (at about 300 bytes and 50 µs to verify: 300 B/s for each
/// link of the gossip tree, and 0.005 % of a core; the packets cost more). Below 30
/// members the interval is 30 s, so that a small network does not chatter; above 3,600 it is held at
/// an hour ([`MAX_REFRESH_S`]), and 10,000 members make 2.8 announcements a second.
///
/// A longer interval makes only silent death slower to notice. The peers of a node that dies notice
/// by their connections and tell by [`Suspicion`](crate::entry::Suspicion).
#[must_use]
pub fn announce_interval(members: usize) -> Duration {
    let most = u64::from(MAX_REFRESH_S) * 1000;
    let members = u64::try_from(members).unwrap_or(u64::MAX);
    Duration::from_millis(members.saturating_mul(1000).clamp(30_000, most))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
