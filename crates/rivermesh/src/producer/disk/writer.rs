//! The task that writes a stream's log to disk, and how far its names are.

use std::{
    collections::BTreeMap,
    ops::Range,
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use rivermesh_proto::{Seq, batch::Batch};
use rivermesh_store::{Persist, Sealed, Store, WriteError};
use tokio::{
    task::spawn_blocking,
    time::{Duration, Instant, sleep, sleep_until},
};
use tracing::{error, warn};

use super::Disk;
use crate::producer::{
    core::Core,
    log::{Cursor, Pin, Read},
};

/// Bytes that are written at once, if no single batch is larger: memory for a copy of them.
const WRITE_BYTES: usize = 1024 * 1024;
/// How long a disk that has refused is left alone at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How soon after the positions of names were written they are written again: a crash of the process
/// takes back what was committed within it at most.
const NOTE_PAUSE: Duration = Duration::from_millis(50);

/// The task that writes. It ends when the stream has, and everything is on disk.
pub(in crate::producer) struct Writer {
    core: Arc<Core>,
    /// Taken while it is at work on a thread of its own.
    store: Option<Store>,
    cursor: Cursor,
    pin: Pin,
    /// What was taken from the ring and is not stored yet.
    batches: Vec<Sealed>,
    failures: u32,
    /// When the positions of names may be written again.
    note_from: Instant,
}

/// What is to be done in one go.
struct Work {
    store: Store,
    batches: Vec<Sealed>,
    /// Where all names are, if that is to be noted.
    names: Option<BTreeMap<String, Seq>>,
    is_sync_wanted: bool,
}

impl Writer {
    /// Begins at the end of the log: nothing may have been appended yet.
    pub(in crate::producer) fn new(core: Arc<Core>, mut store: Store) -> Self {
        store.hold(core.names.lowest());
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
            note_from: Instant::now(),
        }
    }

    pub(in crate::producer) async fn run(mut self) {
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
                if closed && !self.is_waited_for() {
                    break;
                }
                self.ready(disk).await;
                continue;
            }
            match self.write(disk).await {
                Some(Ok(())) => self.failures = 0,
                Some(Err(())) if closed && !(disk.is_overfull() && self.is_waited_for()) => break,
                Some(Err(())) => self.pause(disk).await,
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
        let progress = disk.progress.borrow();
        disk.wanted.load(Ordering::Acquire) > progress.synced
            || progress.failure.is_some()
            || disk.is_news() && self.may_note()
    }

    fn may_note(&self) -> bool {
        self.core.is_closed() || self.note_from <= Instant::now()
    }

    /// Whether consumers with a name may still acknowledge what they get of a stream that has ended.
    fn is_waited_for(&self) -> bool {
        let core = &self.core;
        core.names.is_used() && !core.is_deserted() && !core.tasks.token().is_cancelled()
    }

    /// Waits until there is work, or the stream has ended.
    async fn ready(&self, disk: &Disk) {
        let mut data = pin!(self.core.data.notified());
        let mut wake = pin!(disk.wake.notified());
        // From here on a notification is kept for us, so looking before waiting loses none.
        data.as_mut().enable();
        wake.as_mut().enable();
        let has_come = self.core.reaches(self.cursor.seq()) || self.has_work(disk);
        let closed = self.core.is_closed();
        if has_come || closed && !self.is_waited_for() {
            return;
        }
        let rest = if closed {
            // Nobody says when the last consumer has gone.
            Some(Instant::now() + NOTE_PAUSE)
        } else {
            disk.is_news().then_some(self.note_from)
        };
        tokio::select! {
            () = data, if !closed => {}
            () = wake => {}
            () = sleep_until(rest.unwrap_or_else(Instant::now)), if rest.is_some() => {}
            () = self.core.tasks.token().cancelled() => {}
        }
    }

    /// Leaves a disk alone that has refused.
    async fn pause(&mut self, disk: &Disk) {
        let (first, most) = PAUSE;
        let is_overfull = disk.is_overfull();
        if is_overfull {
            // It is names that are waited for, and looking costs no write.
            self.failures = 0;
        }
        let pause = (first * 2u32.saturating_pow(self.failures)).min(most);
        self.failures = self.failures.saturating_add(1);
        let jittered = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        tokio::select! {
            () = sleep(jittered) => {}
            () = disk.wake.notified(), if is_overfull => {}
            () = self.core.tasks.token().cancelled() => {}
            () = self.closed(), if !is_overfull => {}
        }
    }

    async fn closed(&self) {
        let mut status = self.core.watch_status();
        let _ = status.wait_for(|status| status.closed).await;
    }

    /// Writes what was taken, and syncs where that is wanted. `None` if that panicked.
    async fn write(&mut self, disk: &Disk) -> Option<Result<(), ()>> {
        let wanted = disk.wanted.load(Ordering::Acquire);
        let change = disk.changes.load(Ordering::Acquire);
        let is_news = disk.is_news() && self.may_note();
        if is_news {
            // What changes from here on is news again.
            disk.collected.store(change, Ordering::Release);
            self.note_from = Instant::now() + NOTE_PAUSE;
        }
        let work = Work {
            store: self.store.take()?,
            batches: std::mem::take(&mut self.batches),
            names: is_news.then(|| self.core.names.positions()),
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
        let noted = (is_news && work.names.is_none()).then_some(change);
        if is_news && noted.is_none() {
            disk.note();
        }
        let outcome = self.tell(disk, (next, noted), done);
        // A publisher that waits for room is to hear of an error, too.
        if freed || grew || outcome.is_err() {
            self.core.space.notify_waiters();
        }
        Some(outcome)
    }

    /// Says how far it is, or why not.
    fn tell(
        &self,
        disk: &Disk,
        (next, noted): (Seq, Option<u64>),
        done: Result<Persist, WriteError>,
    ) -> Result<(), ()> {
        let (level, failure) = match done {
            Ok(level) => (Some(level), None),
            Err(error) => {
                let error = Arc::new(error);
                if disk.failure().is_none() {
                    let stream = &self.core.name;
                    warn!(%stream, %error, "the disk does not take the stream's log");
                }
                (None, Some(error))
            }
        };
        let outcome = if failure.is_some() { Err(()) } else { Ok(()) };
        disk.progress.send_modify(|progress| {
            progress.saved = next;
            progress.noted = noted.unwrap_or(progress.noted);
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
        if let Some(names) = &self.names {
            note(&mut self.store, names)?;
            self.names = None;
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

/// Notes where names are, and lets the store keep what is behind them. Only what is noted may be let go:
/// after a crash a name must find what follows its position.
fn note(store: &mut Store, names: &BTreeMap<String, Seq>) -> Result<(), WriteError> {
    let gone = store.commits().keys();
    let gone: Vec<String> = gone
        .filter(|name| !names.contains_key(*name))
        .cloned()
        .collect();
    for name in gone {
        store.forget(&name);
    }
    for (name, seq) in names {
        if let Err(error) = store.commit(name, *seq) {
            warn!(name, %error, "a position cannot be stored");
        }
    }
    store.persist(Persist::Buffered)?;
    store.hold(names.values().copied().min().unwrap_or(Seq::MAX));
    Ok(())
}
