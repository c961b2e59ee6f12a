//! What a program can see of its consumer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rivermesh_proto::{Epoch, NodeId, Seq, StreamName, batch::Batch, catalog::Peer};
use tokio::sync::Notify;

use super::{commit::Commits, pattern::Followee, receiver::Place};

/// The state of a consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Whether the condition of `online_when` is met; by default it always is.
    pub online: bool,
    /// Whether the node has shut down: no more items will come.
    pub closed: bool,
    /// The producers that are followed now, each once.
    pub producers: Vec<Arc<Peer>>,
    /// Of a consumer that takes all streams of a pattern: how many streams of producers follow it, and
    /// are not followed because there are more than
    /// [`max_streams`](super::Builder::max_streams).
    pub left_out: usize,
}

/// Counters of a consumer, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Items handed to the program.
    pub items: u64,
    /// Items that the filter left out, as far as the producers have told: at the latest a second
    /// after they were sent, while the connection takes anything.
    pub filtered: u64,
    /// Items reported as missed.
    pub missed: u64,
    /// Items that could not be decoded.
    pub undecodable: u64,
}

/// One producer that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Followed {
    /// The node.
    pub producer: NodeId,
    /// The stream.
    pub stream: StreamName,
    /// The life of its stream.
    pub epoch: Epoch,
    /// The number of the next item expected.
    pub next: Seq,
    /// How long it has been followed.
    pub connected_for: Duration,
    /// Items received, whether or not the program has taken them.
    pub items: u64,
    /// Items that the filter left out.
    pub filtered: u64,
    /// Bytes of frames received.
    pub bytes: u64,
    /// Items reported as missed.
    pub missed: u64,
}

/// Counters of one producer that is followed; its receiver writes, anybody reads.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) since: Instant,
    pub(super) epoch: AtomicU64,
    pub(super) next: AtomicU64,
    /// As `next`, of what has come to the program's queue.
    pub(super) settled: AtomicU64,
    pub(super) thinned: AtomicU64,
    pub(super) items: AtomicU64,
    pub(super) filtered: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) missed: AtomicU64,
    /// Whether the program was told that the producer is followed.
    pub(super) joined: AtomicBool,
    /// What is committed by, where the consumer has a name.
    commits: Mutex<Option<Arc<Commits>>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            epoch: AtomicU64::new(0),
            next: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            thinned: AtomicU64::new(0),
            items: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            joined: AtomicBool::new(false),
            commits: Mutex::default(),
        }
    }

    /// From here on items are committed by this.
    pub(super) fn commit_by(&self, commits: Option<&Arc<Commits>>) {
        *lock(&self.commits) = commits.map(Arc::clone);
    }

    /// Items that stand outside of the order have come.
    pub(super) fn took_again(&self, batch: &Batch) {
        self.items
            .fetch_add(u64::from(batch.count()), Ordering::Relaxed);
        self.bytes
            .fetch_add(batch.body().len() as u64, Ordering::Relaxed);
    }

    /// The next item expected is this one. From the first call on, the program knows that the
    /// producer is followed.
    pub(super) fn moved(&self, place: Place) {
        self.epoch.store(place.epoch.0, Ordering::Relaxed);
        self.next.store(place.next, Ordering::Relaxed);
        self.thinned.store(place.thinned, Ordering::Relaxed);
        self.joined.store(true, Ordering::Relaxed);
    }

    /// What comes before this is in the program's queue.
    pub(super) fn settled(&self, next: Seq) {
        self.settled.store(next, Ordering::Relaxed);
    }

    /// How far the producer was followed, if the program was told that it is.
    pub(super) fn place(&self) -> Option<Place> {
        self.joined.load(Ordering::Relaxed).then(|| Place {
            epoch: Epoch(self.epoch.load(Ordering::Relaxed)),
            next: self.settled.load(Ordering::Relaxed),
            thinned: self.thinned.load(Ordering::Relaxed),
        })
    }

    pub(super) fn took(&self, batch: &Batch) {
        self.items
            .fetch_add(u64::from(batch.count()), Ordering::Relaxed);
        self.filtered.fetch_add(batch.filtered(), Ordering::Relaxed);
        self.bytes
            .fetch_add(batch.body().len() as u64, Ordering::Relaxed);
    }

    pub(super) fn show(&self, (producer, stream): Followee) -> Followed {
        Followed {
            producer,
            stream,
            epoch: Epoch(self.epoch.load(Ordering::Relaxed)),
            next: self.next.load(Ordering::Relaxed),
            connected_for: self.since.elapsed(),
            items: self.items.load(Ordering::Relaxed),
            filtered: self.filtered.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }
}

/// Who of the producers is followed at this moment.
#[derive(Debug, Default)]
pub(super) struct Roster {
    followed: Mutex<BTreeMap<Followee, Arc<Progress>>>,
    connected: Mutex<BTreeSet<Followee>>,
    pub(super) changed: Notify,
}

impl Roster {
    /// Lists a producer that a receiver was started for.
    pub(super) fn enter(&self, followee: Followee, progress: Arc<Progress>) {
        lock(&self.followed).insert(followee, progress);
    }

    /// Takes a producer out.
    pub(super) fn leave(&self, followee: &Followee) -> Option<Arc<Progress>> {
        let progress = lock(&self.followed).remove(followee);
        self.set(followee, false);
        progress
    }

    /// Says whether a producer's items can come now.
    pub(super) fn set(&self, followee: &Followee, connected: bool) {
        let mut all = lock(&self.connected);
        let changed = if connected {
            all.insert(followee.clone())
        } else {
            all.remove(followee)
        };
        drop(all);
        if changed {
            self.changed.notify_one();
        }
    }

    /// Whether a producer's items can come now.
    pub(super) fn is_connected(&self, followee: &Followee) -> bool {
        lock(&self.connected).contains(followee)
    }

    /// The producers whose items can come now, each once.
    pub(super) fn connected(&self) -> Vec<NodeId> {
        let mut producers: Vec<_> = lock(&self.connected).iter().map(|(id, _)| *id).collect();
        // They are in the order of ids.
        producers.dedup();
        producers
    }

    /// What a producer's items are committed by; `None` also where more than one of its streams is
    /// followed, so that the producer does not say which.
    pub(super) fn commits(&self, producer: &NodeId) -> Option<Arc<Commits>> {
        let followed = lock(&self.followed);
        let mut streams = followed.iter().filter(|((id, _), _)| id == producer);
        let progress = Arc::clone(streams.next()?.1);
        let is_one = streams.next().is_none();
        drop(followed);
        is_one.then(|| lock(&progress.commits).clone()).flatten()
    }

    pub(super) fn show(&self) -> Vec<Followed> {
        let connected = lock(&self.connected).clone();
        let followed = lock(&self.followed);
        let current = followed
            .iter()
            .filter(|(followee, _)| connected.contains(followee));
        current
            .map(|(followee, progress)| progress.show(followee.clone()))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
