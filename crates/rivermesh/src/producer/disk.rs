//! A produced stream's log on disk: what callers of `send_with` wait for, and the task that writes.
//!
//! The writer is one more cursor into the ring, and the ring does not move past it. So the ring is the
//! queue in front of the disk, bounded by `log_bytes`, and what has left the ring is in the store.
//! While the writer is at the disk, items gather, and the next write takes all of them: many callers
//! share one sync.
//!
//! How far consumers with a name are is noted by the same task. Who acknowledges only says that there is
//! something new; the task collects the positions of all names, some times a second, and lets the store
//! keep what is behind them.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rivermesh_proto::{Epoch, Fingerprint, Seq, StreamName};
use rivermesh_store::{Config, Identity, OpenError, Persist, Reader, Recovered, Store, WriteError};
use tokio::sync::{Notify, watch};
use tracing::{error, warn};

mod writer;

pub(super) use self::writer::Writer;

/// What must have happened to an item for [`Producer::send_with`](super::Producer::send_with) to
/// return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// It is in memory; the disk follows as fast as it can. A crash of the process may lose it.
    #[default]
    Memory,
    /// The system has it: it outlives a crash of the process, and not of the machine.
    Buffered,
    /// The disk has it: it outlives a crash of the machine.
    Synced,
}

/// Where a stream's log lies on disk, and what it may take there.
#[derive(Clone, Debug)]
pub(crate) struct Durable {
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
}

/// How far the writer is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Items before this outlive the process.
    saved: Seq,
    /// Items before this outlive the machine.
    synced: Seq,
    /// Why the last write failed, if it did.
    failure: Option<Arc<WriteError>>,
    /// How many have failed.
    failures: u64,
    /// Changes of names before this one outlive the process.
    noted: u64,
    /// Nothing more will be written.
    ended: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Disk {
    reader: Reader,
    recovered: Recovered,
    /// Numbers below this may be given out.
    granted: AtomicU64,
    /// Items before this are to be synced.
    wanted: AtomicU64,
    /// How often a name has got on, come, or was forgotten.
    changes: AtomicU64,
    /// Up to which of these changes the writer has collected what there is.
    collected: AtomicU64,
    /// Tells the writer that something is to be synced, or noted.
    wake: Notify,
    progress: watch::Sender<Progress>,
    bytes: AtomicU64,
}

impl Disk {
    /// Opens the log, which reads all of it: blocks. On a full disk this succeeds, and what is there
    /// can be read.
    pub(crate) fn open(
        durable: &Durable,
        name: &StreamName,
        fingerprint: Fingerprint,
        fresh: Epoch,
    ) -> Result<(Self, Store), OpenError> {
        let asked = Identity {
            name: name.clone(),
            fingerprint,
            epoch: fresh,
        };
        let (mut store, recovered) = Store::open(&durable.path, &asked, durable.config)?;
        report(&durable.path, &recovered);
        // Numbers can be given out once this is done. If it fails, the writer does it later, and
        // `send` says why it waits.
        let failure = store.persist(Persist::Synced).err().map(Arc::new);
        let progress = Progress {
            saved: store.next(),
            synced: store.next(),
            failures: u64::from(failure.is_some()),
            failure,
            noted: 0,
            ended: false,
        };
        let disk = Self {
            reader: store.reader(),
            granted: AtomicU64::new(store.granted()),
            wanted: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            collected: AtomicU64::new(0),
            wake: Notify::new(),
            progress: watch::Sender::new(progress),
            bytes: AtomicU64::new(store.bytes()),
            recovered,
        };
        Ok((disk, store))
    }

    /// What was found when the log was opened.
    pub(crate) fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Reads what the ring holds no more.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the next item's number may be given out. If not, the writer is on it.
    pub(crate) fn grants(&self, seq: Seq) -> bool {
        seq < self.granted.load(Ordering::Acquire)
    }

    /// Why the disk takes nothing at present, if it does not.
    pub(crate) fn failure(&self) -> Option<Arc<WriteError>> {
        self.progress.borrow().failure.clone()
    }

    /// Whether the disk takes nothing because of what names have not acknowledged.
    pub(crate) fn is_overfull(&self) -> bool {
        let progress = self.progress.borrow();
        matches!(progress.failure.as_deref(), Some(WriteError::Full { .. }))
    }

    /// Says that a name has got on, or has come, or is forgotten. Gives what to [wait](Self::noted)
    /// for where that matters. Costs little: it does not wait, and wakes the writer only if nothing
    /// was said since that looked.
    pub(crate) fn note(&self) -> u64 {
        let before = self.changes.fetch_add(1, Ordering::AcqRel);
        if before == self.collected.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
        before + 1
    }

    /// Whether something was said of the names that the writer has not collected.
    fn is_news(&self) -> bool {
        self.changes.load(Ordering::Acquire) != self.collected.load(Ordering::Acquire)
    }

    /// Waits until a change of the names outlives the process, or nothing more will be written.
    pub(crate) async fn noted(&self, change: u64) {
        let mut progress = self.progress.subscribe();
        let _ = progress
            .wait_for(|progress| progress.noted >= change || progress.ended)
            .await;
    }

    /// A place from which to wait for an item that is sent after this call.
    pub(crate) fn watch(&self) -> Saving {
        let progress = self.progress.subscribe();
        let failures = progress.borrow().failures;
        Saving { progress, failures }
    }
}

/// A wait for the disk.
pub(crate) struct Saving {
    progress: watch::Receiver<Progress>,
    /// How many writes had failed before the item was sent.
    failures: u64,
}

impl Saving {
    /// Waits until an item is where it was asked to be. An error is that of a write that failed since
    /// the wait began; the item is written again, and may come to be stored. `None` as an error:
    /// nothing more will be written.
    pub(crate) async fn saved(
        mut self,
        disk: &Disk,
        seq: Seq,
        durability: Durability,
    ) -> Result<(), Option<Arc<WriteError>>> {
        let end = seq + 1;
        if durability == Durability::Synced && disk.wanted.fetch_max(end, Ordering::AcqRel) < end {
            disk.wake.notify_one();
        }
        let failures = self.failures;
        let is_saved = |progress: &Progress| match durability {
            Durability::Memory => true,
            Durability::Buffered => progress.saved >= end,
            Durability::Synced => progress.synced >= end,
        };
        let done = |progress: &Progress| {
            is_saved(progress) || progress.failures > failures || progress.ended
        };
        let Ok(progress) = self.progress.wait_for(|progress| done(progress)).await else {
            return Err(None);
        };
        if is_saved(&progress) {
            Ok(())
        } else {
            Err(progress.failure.clone())
        }
    }
}

fn report(path: &Path, recovered: &Recovered) {
    if let Some(torn) = recovered.torn {
        warn!(path = %path.display(), bytes = torn.bytes, "cut off what a crash has left unfinished");
    }
    for range in &recovered.corrupt {
        error!(path = %path.display(), from = range.start, to = range.end, "stored items are corrupt");
    }
    if !recovered.commits_intact {
        error!(path = %path.display(), "positions of named consumers may be older than committed");
    }
}
