//! A produced stream's log on disk: what callers of `send_with` wait for, and the task that writes.
//!
//! The writer is one more cursor into the ring, and the ring does not move past it. So the ring is the
//! queue in front of the disk, bounded by `log_bytes`, and what has left the ring is in the store.
//! While the writer is at the disk, items gather, and the next write takes all of them: many callers
//! share one sync.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rivermesh_proto::{Epoch, Fingerprint, Seq, StreamName, batch::Batch};
use rivermesh_store::{
    Config, Identity, OpenError, Persist, Reader, Recovered, Sealed, Store, WriteError,
};
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::sleep,
};
use tracing::{error, warn};

use super::{
    core::Core,
    log::{Cursor, Pin, Read},
};

/// Bytes that are written at once, if no single batch is larger: memory for a copy of them.
const WRITE_BYTES: usize = 1024 * 1024;
/// How long a disk that has refused is left alone at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

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
    /// Positions to be stored; `None` for a name that is forgotten. Bounded like the names.
    commits: Mutex<BTreeMap<String, Option<Seq>>>,
    /// Tells the writer that something is to be synced, or committed.
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
            ended: false,
        };
        let disk = Self {
            reader: store.reader(),
            granted: AtomicU64::new(store.granted()),
            wanted: AtomicU64::new(0),
            commits: Mutex::default(),
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

    /// Notes how far a named consumer has come, or that it is forgotten.
    #[expect(dead_code, reason = "named consumers come with a change of their own")]
    pub(crate) fn commit(&self, name: &str, seq: Option<Seq>) {
        self.commits().insert(name.to_owned(), seq);
        self.wake.notify_one();
    }

    fn commits(&self) -> MutexGuard<'_, BTreeMap<String, Option<Seq>>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The task that writes. It ends when the stream has, and everything is on disk.
pub(super) struct Writer {
    core: Arc<Core>,
    /// Taken while it is at work on a thread of its own.
    store: Option<Store>,
    cursor: Cursor,
    pin: Pin,
    /// What was taken from the ring and is not stored yet.
    batches: Vec<Sealed>,
    failures: u32,
}

/// What is to be done in one go.
struct Work {
    store: Store,
    batches: Vec<Sealed>,
    commits: BTreeMap<String, Option<Seq>>,
    is_sync_wanted: bool,
}

impl Writer {
    /// Begins at the end of the log: nothing may have been appended yet.
    pub(super) fn new(core: Arc<Core>, store: Store) -> Self {
        let mut log = core.log();
        let next = log.next();
        let cursor = log.cursor(next);
        let pin = log.pin(next, None);
        drop(log);
        Self {
            core,
            store: Some(store),
            cursor,
            pin,
            batches: Vec::new(),
            failures: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let core = Arc::clone(&self.core);
        let Some(disk) = core.disk() else { return };
        loop {
            if core.tasks.token().is_cancelled() {
                // Nobody takes anything any more; what was taken is written.
                core.close();
            }
            // Looked at before the log: what was sent before the end is then certainly seen.
            let closed = core.is_closed();
            self.take();
            if !self.has_work(disk) {
                if closed {
                    break;
                }
                self.ready(disk).await;
                continue;
            }
            match self.write(disk).await {
                Some(Ok(())) => self.failures = 0,
                Some(Err(())) if closed => break,
                Some(Err(())) => self.pause().await,
                // It panicked, and the store with it.
                None => break,
            }
        }
        core.close();
        self.end().await;
        disk.progress.send_modify(|progress| progress.ended = true);
        let freed = core.log().unpin(self.pin);
        if freed {
            core.space.notify_waiters();
        }
    }

    /// Takes what the ring has, up to a bound.
    fn take(&mut self) {
        if !self.batches.is_empty() {
            return;
        }
        let mut frames: Vec<Bytes> = Vec::new();
        let read = self
            .core
            .log()
            .read(&mut self.cursor, WRITE_BYTES, &mut frames);
        debug_assert!(
            !matches!(read, Read::Lost { .. }),
            "the ring moved past the writer"
        );
        for frame in frames {
            // The log's own frames are whole batches.
            if let Some(Range { start: first, end }) = Batch::range_of(&frame) {
                self.batches.push(Sealed { first, end, frame });
            }
        }
    }

    fn has_work(&self, disk: &Disk) -> bool {
        if !self.batches.is_empty() || !disk.grants(self.core.log().next()) {
            return true;
        }
        {
            let progress = disk.progress.borrow();
            disk.wanted.load(Ordering::Acquire) > progress.synced
                || progress.failure.is_some()
                || !disk.commits().is_empty()
        }
    }

    /// Waits until there is work, or the stream has ended.
    async fn ready(&self, disk: &Disk) {
        let mut data = pin!(self.core.data.notified());
        let mut wake = pin!(disk.wake.notified());
        // From here on a notification is kept for us, so looking before waiting loses none.
        data.as_mut().enable();
        wake.as_mut().enable();
        let has_come = self.core.reaches(self.cursor.seq()) || self.has_work(disk);
        if has_come || self.core.is_closed() {
            return;
        }
        tokio::select! {
            () = data => {}
            () = wake => {}
            () = self.core.tasks.token().cancelled() => {}
        }
    }

    /// Leaves a disk alone that has refused.
    async fn pause(&mut self) {
        let (first, most) = PAUSE;
        let pause = (first * 2u32.saturating_pow(self.failures)).min(most);
        self.failures = self.failures.saturating_add(1);
        let jittered = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        tokio::select! {
            () = sleep(jittered) => {}
            () = self.core.tasks.token().cancelled() => {}
            () = self.closed() => {}
        }
    }

    async fn closed(&self) {
        let mut status = self.core.watch_status();
        let _ = status.wait_for(|status| status.closed).await;
    }

    /// Writes what was taken, and syncs where that is wanted. `None` if that panicked.
    async fn write(&mut self, disk: &Disk) -> Option<Result<(), ()>> {
        let wanted = disk.wanted.load(Ordering::Acquire);
        let work = Work {
            store: self.store.take()?,
            batches: std::mem::take(&mut self.batches),
            commits: std::mem::take(&mut *disk.commits()),
            is_sync_wanted: wanted > disk.progress.borrow().synced,
        };
        let (work, done) = match spawn_blocking(move || work.run()).await {
            Ok(outcome) => outcome,
            Err(panic) => {
                error!(stream = %self.core.name, %panic, "writing to the disk panicked");
                return None;
            }
        };
        let next = work.store.next();
        // A sync may fail after the batches were stored.
        self.batches = work.batches;
        self.batches.retain(|batch| batch.first >= next);
        disk.bytes.store(work.store.bytes(), Ordering::Relaxed);
        let grew = disk.granted.swap(work.store.granted(), Ordering::AcqRel) < work.store.granted();
        self.store = Some(work.store);
        let saved = self
            .batches
            .first()
            .map_or(self.cursor.seq(), |batch| batch.first);
        let freed = self.core.log().move_pin(self.pin, saved);
        let outcome = self.tell(disk, next, done);
        if freed || grew {
            self.core.space.notify_waiters();
        }
        Some(outcome)
    }

    /// Says how far it is, or why not.
    fn tell(&self, disk: &Disk, next: Seq, done: Result<Persist, WriteError>) -> Result<(), ()> {
        let (level, failure) = match done {
            Ok(level) => (Some(level), None),
            Err(error) => {
                let error = Arc::new(error);
                warn!(stream = %self.core.name, %error, "the disk does not take the stream's log");
                (None, Some(error))
            }
        };
        let outcome = if failure.is_some() { Err(()) } else { Ok(()) };
        disk.progress.send_modify(|progress| {
            progress.saved = next;
            if level == Some(Persist::Synced) {
                progress.synced = next;
            }
            progress.failures += u64::from(failure.is_some());
            progress.failure = failure;
        });
        outcome
    }

    /// Notes that the stream has stopped here, so that no number is skipped when it goes on.
    async fn end(&mut self) {
        let Some(store) = self.store.take() else {
            return;
        };
        if !self.batches.is_empty() {
            let (first, stream) = (self.batches[0].first, &self.core.name);
            error!(%stream, first, "the stream has ended, and the disk has not taken its last items");
            return;
        }
        let closed = spawn_blocking(move || store.close()).await;
        if let Ok(Err(error)) = closed {
            warn!(stream = %self.core.name, %error, "the stream's log was not closed");
        }
    }
}

impl Work {
    fn run(mut self) -> (Self, Result<Persist, WriteError>) {
        let done = self.steps();
        (self, done)
    }

    fn steps(&mut self) -> Result<Persist, WriteError> {
        for (name, seq) in std::mem::take(&mut self.commits) {
            let Some(seq) = seq else {
                self.store.forget(&name);
                continue;
            };
            if let Err(error) = self.store.commit(&name, seq) {
                warn!(name, %error, "a position cannot be stored");
            }
        }
        self.store.append(&self.batches)?;
        // A lease that is due counts when it is synced, and callers will soon wait for it.
        let is_lease_due =
            self.store.is_lease_waiting() || self.store.granted() <= self.store.next();
        let level = if self.is_sync_wanted || is_lease_due {
            Persist::Synced
        } else {
            Persist::Buffered
        };
        self.store.persist(level)?;
        Ok(level)
    }
}
