//! Where every item went: the counters that all operators share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Where the items of an operator went. Nothing is lost without a counter:
/// `taken = emitted + late + duplicates + dropped + buffered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Items that came in.
    pub taken: u64,
    /// Items that went out. An operator that puts several items into one output (a batch, a window)
    /// counts the items.
    pub emitted: u64,
    /// Items that came too late to be put in their place; they went to the late output, if the
    /// operator has one.
    pub late: u64,
    /// Items that were there already.
    pub duplicates: u64,
    /// Items left out: by a policy, by a bound, or because the operator was dropped with them.
    pub dropped: u64,
    /// Items that the operator holds now.
    pub buffered: u64,
}

impl Stats {
    /// Whether every item that came in is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.taken == self.emitted + self.late + self.duplicates + self.dropped + self.buffered
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            taken,
            emitted,
            late,
            duplicates,
            dropped,
            buffered,
        } = self;
        write!(
            f,
            "{taken} in = {emitted} out + {late} late + {duplicates} duplicates + {dropped} \
             dropped + {buffered} buffered"
        )
    }
}

/// Reads the counters of an operator, also while it runs in another task and after it has ended.
///
/// A read while the operator is in the middle of a step may miss that step in part; the counters
/// are exact whenever it waits.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Cells>);

impl Reader {
    /// The counters now.
    pub fn get(&self) -> Stats {
        self.0.load()
    }
}

#[derive(Debug, Default)]
struct Cells {
    taken: AtomicU64,
    emitted: AtomicU64,
    late: AtomicU64,
    duplicates: AtomicU64,
    dropped: AtomicU64,
    buffered: AtomicU64,
}

impl Cells {
    fn load(&self) -> Stats {
        Stats {
            taken: self.taken.load(Ordering::Relaxed),
            emitted: self.emitted.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            buffered: self.buffered.load(Ordering::Relaxed),
        }
    }

    fn store(&self, stats: &Stats) {
        self.taken.store(stats.taken, Ordering::Relaxed);
        self.emitted.store(stats.emitted, Ordering::Relaxed);
        self.late.store(stats.late, Ordering::Relaxed);
        self.duplicates.store(stats.duplicates, Ordering::Relaxed);
        self.dropped.store(stats.dropped, Ordering::Relaxed);
        self.buffered.store(stats.buffered, Ordering::Relaxed);
    }
}

/// The writing end: one operator publishes its counters here. Dropping it counts what the
/// operator still held as dropped, because it is gone with it.
#[derive(Debug, Default)]
pub(crate) struct Published(Arc<Cells>);

impl Published {
    pub(crate) fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.0))
    }

    pub(crate) fn publish(&self, stats: &Stats) {
        self.0.store(stats);
    }
}

/// The writing end for an operator whose parts run in several tasks: each change is one atomic
/// operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Cells>);

impl Tally {
    pub(crate) fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.0))
    }

    pub(crate) fn take(&self) {
        self.0.taken.fetch_add(1, Ordering::Relaxed);
        self.0.buffered.fetch_add(1, Ordering::Relaxed);
    }

    /// Items that were buffered have gone out.
    pub(crate) fn emit(&self, items: u64) {
        self.0.buffered.fetch_sub(items, Ordering::Relaxed);
        self.0.emitted.fetch_add(items, Ordering::Relaxed);
    }

    /// Items that were buffered have been dropped.
    pub(crate) fn drop(&self, items: u64) {
        self.0.buffered.fetch_sub(items, Ordering::Relaxed);
        self.0.dropped.fetch_add(items, Ordering::Relaxed);
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let mut stats = self.0.load();
        stats.dropped += std::mem::take(&mut stats.buffered);
        self.0.store(&stats);
    }
}
