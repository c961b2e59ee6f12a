//! Sending an item, with and without waiting, and until the disk has it.

use std::sync::{Arc, atomic::Ordering};

use rivermesh_proto::{Seq, encode::Encoder};
use rivermesh_store::Recovered;

use super::{Producer, SaveError, SendError, TrySendError, sink::ready_to_send};
use crate::{
    Datum, Filters, Key,
    producer::{
        disk::{Disk, Durability},
        log::{Append, Log},
    },
};

/// Bytes of items after which a task that only sends lets the others of its thread run. More makes
/// fuller batches, less makes the others wait less.
const TURN_BYTES: usize = 256 * 1024;
/// What an item counts as at least, because sending it takes time, too: at most 2,048 items a turn.
const TURN_LEAST: usize = 128;

impl<T: Datum> Producer<T> {
    /// Sends an item, waiting while the stream is offline or its log is full. Gives the item's
    /// sequence number.
    ///
    /// Sent means: encoded and in the log, from where each consumer's sender takes it. If this is
    /// cancelled, the item was not sent.
    ///
    /// With [`dedup`](crate::producer::Builder::dedup), an item whose key was sent within the window is
    /// dropped, and the number is that of the item that was sent.
    ///
    /// # Errors
    /// When the stream has ended, the item cannot be encoded, or consumers with a name have not
    /// acknowledged too much and that is to be an error; the item is handed back.
    pub async fn send(&self, item: T) -> Result<Seq, SendError<T>> {
        // Sending never waits on a fast path; without this a loop of sends would starve the other
        // tasks of its thread. Before the item is in the log: what is cancelled was not sent.
        if self.turn.load(Ordering::Relaxed) >= TURN_BYTES {
            self.turn.store(0, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        let mut item = item;
        loop {
            item = match self.put(item) {
                Ok((seq, bytes)) => {
                    // Two tasks that share a handle may lose a count to each other: no harm.
                    let turn = self.turn.load(Ordering::Relaxed) + bytes.max(TURN_LEAST);
                    self.turn.store(turn, Ordering::Relaxed);
                    return Ok(seq);
                }
                Err(error) => error.waits()?,
            };
            ready_to_send(Arc::clone(&self.inner.core)).await;
        }
    }

    /// Sends an item if that is possible without waiting. Gives the item's sequence number.
    ///
    /// # Errors
    /// When the stream is offline, full or has ended, or the item cannot be encoded; the item is
    /// handed back.
    pub fn try_send(&self, item: T) -> Result<Seq, TrySendError<T>> {
        self.put(item).map(|(seq, _)| seq)
    }

    /// Sends an item if that is possible without waiting. Gives its number and its bytes.
    #[inline]
    fn put(&self, item: T) -> Result<(Seq, usize), TrySendError<T>> {
        let core = self.core();
        if !core.is_online() {
            let closed = core.is_closed();
            return Err(if closed {
                TrySendError::Closed(item)
            } else {
                TrySendError::Offline(item)
            });
        }
        if core.duplicates.are_dropped() {
            return self.put_once(item);
        }
        self.append(item)
    }

    /// Sends an item, unless its key was sent a short while ago.
    #[cold]
    fn put_once(&self, item: T) -> Result<(Seq, usize), TrySendError<T>> {
        match item.key().map(|key| key.as_bytes().to_vec()) {
            Some(key) => self.core().duplicates.send_once(&key, || self.append(item)),
            None => self.append(item),
        }
    }

    #[inline]
    fn append(&self, item: T) -> Result<(Seq, usize), TrySendError<T>> {
        let core = self.core();
        let mut bytes = 0;
        let encode = |out: &mut Encoder<'_>| {
            item.encode(out)?;
            bytes = out.len();
            Ok(())
        };
        let key = |log: &mut Log| log.key(item.key().as_ref().map(Key::as_bytes));
        match core.append(encode, |set| item.show(Filters::all(set)), key) {
            Ok(Append::Done { seq, unwanted, .. }) => {
                if unwanted {
                    self.undelivered(item);
                }
                Ok((seq, bytes))
            }
            Ok(Append::Held) if core.refuses_overflow() => Err(TrySendError::Unacknowledged(item)),
            Ok(Append::Full | Append::Held) => Err(self.full(item)),
            Ok(Append::Closed) => Err(TrySendError::Closed(item)),
            Err(error) => Err(TrySendError::Encode { item, error }),
        }
    }

    /// Why there is no room: the disk, if it is that, or a consumer that holds the log up, in memory or
    /// on disk.
    #[cold]
    fn full(&self, item: T) -> TrySendError<T> {
        let disk = self.core().disk();
        if disk.is_some_and(Disk::is_overfull) {
            return if self.core().refuses_overflow() {
                TrySendError::Unacknowledged(item)
            } else {
                TrySendError::Full(item)
            };
        }
        match disk.and_then(Disk::failure) {
            Some(error) => TrySendError::Disk { item, error },
            None => TrySendError::Full(item),
        }
    }

    /// Sends an item as [`send`](Self::send) does, and waits until it is where it is asked to be.
    /// Gives the item's sequence number. Callers that wait at the same time share a write and a sync,
    /// so many of them are as fast as the disk is with large batches, and one alone is as fast as
    /// single syncs are.
    ///
    /// If this is cancelled, the item may have been sent.
    ///
    /// # Errors
    /// When the item was not sent, or the disk has not taken it; see [`SaveError`].
    pub async fn send_with(&self, item: T, durability: Durability) -> Result<Seq, SaveError<T>> {
        if durability == Durability::Memory {
            return self.send(item).await.map_err(SaveError::NotSent);
        }
        let Some(disk) = self.core().disk() else {
            return Err(SaveError::NotDurable(item));
        };
        let saving = disk.watch();
        let seq = self.send(item).await.map_err(SaveError::NotSent)?;
        match saving.saved(disk, seq, durability).await {
            Ok(()) => Ok(seq),
            Err(error) => Err(SaveError::NotSaved { seq, error }),
        }
    }

    /// What was found in the stream's log on disk when it was opened: how far it goes, what a crash
    /// has cut off, what is corrupt. `None` without one.
    pub fn recovered(&self) -> Option<&Recovered> {
        self.core().disk().map(Disk::recovered)
    }

    #[cold]
    fn undelivered(&self, item: T) {
        let core = self.core();
        core.undelivered.fetch_add(1, Ordering::Relaxed);
        if let Some(sink) = &self.inner.undelivered
            && sink.try_send(item).is_err()
        {
            core.undelivered_lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
