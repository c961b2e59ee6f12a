//! The handle that a program holds.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::Sink;
use rivermesh_proto::{
    Epoch, Seq, StreamName,
    encode::{EncodeError, Encoder},
};
use rivermesh_store::{Recovered, WriteError};
use thiserror::Error;
use tokio::sync::watch;

use super::{
    core::Core,
    disk::{Disk, Durability},
    log::{Append, Log},
    named::Behind,
    registry::Producers,
    status::{Stats, Status, Subscriber},
};
use crate::{Condition, Datum, Filters, Key, admission::Verifier};

/// Bytes of items after which a task that only sends lets the others of its thread run. More makes
/// fuller batches, less makes the others wait less.
const TURN_BYTES: usize = 256 * 1024;
/// What an item counts as at least, because sending it takes time, too: at most 2,048 items a turn.
const TURN_LEAST: usize = 128;

/// Sends the items of one stream.
///
/// Clones send to the same stream; the stream ends when the last of them is dropped: consumers get
/// what the log still holds, then the end. Items of all clones are one sequence.
pub struct Producer<T: Datum> {
    inner: Arc<Handle<T>>,
    /// Bytes sent by this handle since it last let others run.
    turn: AtomicUsize,
    sink: SinkState<T>,
}

/// What all clones of a producer share.
pub(crate) struct Handle<T> {
    pub(super) core: Arc<Core>,
    pub(super) producers: Producers,
    pub(super) undelivered: Option<tokio::sync::mpsc::Sender<T>>,
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        self.core.close();
        self.producers.remove(&self.core);
    }
}

/// An item was not sent; it is handed back. Nothing of it was sent.
#[derive(Error)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The stream has ended, or its node has shut down.
    #[error("the stream has ended")]
    Closed(T),
    /// The log is full of what consumers with a name have not acknowledged, and the producer was set
    /// up with [`Overflow::Error`](super::Overflow::Error). Sending it again may work later.
    #[error("the log is full of what consumers with a name have not acknowledged")]
    Unacknowledged(T),
    /// The item cannot be encoded, or is too large. Sending it again fails again.
    #[error("the item cannot be sent")]
    Encode {
        /// The item.
        item: T,
        /// What was wrong with it.
        #[source]
        error: EncodeError,
    },
    /// The disk does not take the stream's log, and memory is full of what it has not taken. Items
    /// are taken again when it does; it is tried about once a second.
    #[error("the disk does not take the stream's log")]
    Disk {
        /// The item.
        item: T,
        /// What the disk said.
        #[source]
        error: Arc<WriteError>,
    },
}

/// An item was not saved as it was asked for.
#[derive(Error)]
#[non_exhaustive]
pub enum SaveError<T> {
    /// The item was not sent, and is handed back.
    #[error("the item was not sent")]
    NotSent(#[source] SendError<T>),
    /// The stream has no log on disk: see [`Builder::durable`](super::Builder::durable). The item was
    /// not sent, and is handed back.
    #[error("the stream has no log on disk")]
    NotDurable(T),
    /// The item has been sent, with this number, and the disk has not taken it. It is tried again, so
    /// the item may come to be stored; a crash before that loses it. Do not send it again.
    #[error("item {seq} was sent, and the disk has not taken it")]
    NotSaved {
        /// The item's number.
        seq: Seq,
        /// What the disk said; nothing where the stream has ended.
        #[source]
        error: Option<Arc<WriteError>>,
    },
}

impl<T> fmt::Debug for SaveError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => f.debug_tuple("NotSent").field(error).finish(),
            Self::NotDurable(_) => f.write_str("NotDurable"),
            Self::NotSaved { seq, error } => f
                .debug_struct("NotSaved")
                .field("seq", seq)
                .field("error", error)
                .finish(),
        }
    }
}

/// An item was not sent without waiting; it is handed back. Nothing of it was sent.
#[derive(Error)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// The condition of `online_when` is not met; by default: nobody is subscribed.
    #[error("the stream is offline")]
    Offline(T),
    /// The log is full and may not move past a consumer that asked for `Lag::Block`, or past what a
    /// consumer with a name has not acknowledged.
    #[error("the log is full and somebody that it waits for has not caught up")]
    Full(T),
    /// The stream has ended, or its node has shut down.
    #[error("the stream has ended")]
    Closed(T),
    /// The log is full of what consumers with a name have not acknowledged, and the producer was set
    /// up with [`Overflow::Error`](super::Overflow::Error). Sending it again may work later.
    #[error("the log is full of what consumers with a name have not acknowledged")]
    Unacknowledged(T),
    /// The item cannot be encoded, or is too large. Sending it again fails again.
    #[error("the item cannot be sent")]
    Encode {
        /// The item.
        item: T,
        /// What was wrong with it.
        #[source]
        error: EncodeError,
    },
    /// The disk does not take the stream's log, and memory is full of what it has not taken.
    #[error("the disk does not take the stream's log")]
    Disk {
        /// The item.
        item: T,
        /// What the disk said.
        #[source]
        error: Arc<WriteError>,
    },
}

impl<T> SendError<T> {
    /// The item that was not sent.
    pub fn into_item(self) -> T {
        match self {
            Self::Closed(item)
            | Self::Unacknowledged(item)
            | Self::Encode { item, .. }
            | Self::Disk { item, .. } => item,
        }
    }
}

impl<T> TrySendError<T> {
    /// The item that was not sent.
    pub fn into_item(self) -> T {
        match self {
            Self::Offline(item)
            | Self::Full(item)
            | Self::Closed(item)
            | Self::Unacknowledged(item)
            | Self::Encode { item, .. }
            | Self::Disk { item, .. } => item,
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("Closed"),
            Self::Unacknowledged(_) => f.write_str("Unacknowledged"),
            Self::Encode { error, .. } => f.debug_tuple("Encode").field(error).finish(),
            Self::Disk { error, .. } => f.debug_tuple("Disk").field(error).finish(),
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(_) => f.write_str("Offline"),
            Self::Full(_) => f.write_str("Full"),
            Self::Closed(_) => f.write_str("Closed"),
            Self::Unacknowledged(_) => f.write_str("Unacknowledged"),
            Self::Encode { error, .. } => f.debug_tuple("Encode").field(error).finish(),
            Self::Disk { error, .. } => f.debug_tuple("Disk").field(error).finish(),
        }
    }
}

impl<T: Datum> Producer<T> {
    pub(super) fn new(inner: Arc<Handle<T>>) -> Self {
        Self {
            inner,
            turn: AtomicUsize::new(0),
            sink: SinkState::default(),
        }
    }

    fn core(&self) -> &Core {
        &self.inner.core
    }

    /// Sends an item, waiting while the stream is offline or its log is full. Gives the item's
    /// sequence number.
    ///
    /// Sent means: encoded and in the log, from where each consumer's sender takes it. If this is
    /// cancelled, the item was not sent.
    ///
    /// With [`dedup`](super::Builder::dedup), an item whose key was sent within the window is
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
                Err(TrySendError::Closed(item)) => return Err(SendError::Closed(item)),
                Err(TrySendError::Unacknowledged(item)) => {
                    return Err(SendError::Unacknowledged(item));
                }
                Err(TrySendError::Encode { item, error }) => {
                    return Err(SendError::Encode { item, error });
                }
                Err(TrySendError::Disk { item, error }) => {
                    return Err(SendError::Disk { item, error });
                }
                Err(TrySendError::Offline(item) | TrySendError::Full(item)) => item,
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

    /// The stream's name.
    pub fn stream(&self) -> &StreamName {
        &self.core().name
    }

    /// The number that names this life of the stream.
    pub fn epoch(&self) -> Epoch {
        self.core().epoch
    }

    /// The stream's state, as a watch that can be waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.core().watch_status()
    }

    /// Whether items are taken now.
    pub fn is_online(&self) -> bool {
        self.core().is_online()
    }

    /// Waits until items are taken: the condition of `online_when` is met. Resolves also when the
    /// stream has ended, so that a send after it tells so.
    pub async fn online(&self) {
        // An error would mean that the core is gone, and `self` holds it.
        let _ = self
            .status()
            .wait_for(|status| status.online || status.closed)
            .await;
    }

    /// Waits until items are not taken.
    pub async fn offline(&self) {
        let _ = self.status().wait_for(|status| !status.online).await;
    }

    /// Whether a condition on the connected consumers is met now.
    pub fn meets(&self, condition: &Condition) -> bool {
        condition.is_met(self.status().borrow().peers.iter().map(|peer| &**peer))
    }

    /// Waits until a condition on the connected consumers is met, or the stream has ended.
    pub async fn when(&self, condition: Condition) {
        let met = |status: &Status| {
            status.closed || condition.is_met(status.peers.iter().map(|peer| &**peer))
        };
        let _ = self.status().wait_for(met).await;
    }

    /// Asks consumers for a ticket that this verifier accepts from now on, or for none; those
    /// included that are subscribed, which are cut within a second if they have shown none.
    pub fn require_ticket(&self, verifier: Option<Verifier>) {
        self.core().require_ticket(verifier);
    }

    /// Asks all requirements about the consumers again, because what they look at has changed. This
    /// happens by itself when a peer's entry or round-trip time changes.
    pub fn review(&self) {
        self.core().changed.notify_one();
    }

    /// The consumers that are subscribed now.
    pub fn consumers(&self) -> Vec<Subscriber> {
        self.core().subscribers()
    }

    /// How far behind the consumers with a name are, those included that are away. In the order of
    /// their names. The gauge `rivermesh_named_lag_items` is brought up to date by this, and once a
    /// second by itself.
    pub fn named(&self) -> Vec<Behind> {
        self.core().names.behind(self.core())
    }

    /// Forgets a consumer's name, or a group's, and everything that it has not acknowledged: the way
    /// out when one that will never come back keeps the log full. Who has the name is cut, and begins
    /// anew. False where the name is not known.
    pub fn forget(&self, name: &str) -> bool {
        self.core().forget(name)
    }

    /// Counters since the stream began.
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// Ends the stream for all clones: consumers get what the log still holds, then the end.
    pub fn close(&self) {
        self.core().close();
        self.inner.producers.remove(&self.inner.core);
    }
}

impl<T: Datum> Clone for Producer<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.inner))
    }
}

impl<T: Datum> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("stream", &self.core().name)
            .field("epoch", &self.core().epoch)
            .field("online", &self.is_online())
            .finish()
    }
}

/// Waits until a send is worth trying: the stream is online and has room, or has ended.
async fn ready_to_send(core: Arc<Core>) {
    let mut status = core.watch_status();
    loop {
        if status
            .wait_for(|status| status.online || status.closed)
            .await
            .is_err()
        {
            return;
        }
        let mut space = pin!(core.space.notified());
        // From here on a notification is kept for us, so looking before waiting loses none.
        space.as_mut().enable();
        if core.is_closed() || core.has_room() {
            return;
        }
        tokio::select! {
            () = space => {}
            _ = status.wait_for(|status| !status.online) => {}
        }
    }
}

type Ready = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a producer used as a [`Sink`] remembers between polls.
struct SinkState<T> {
    /// Only ever reached through a unique reference; the mutex is there because it makes the
    /// producer `Sync`, and is never locked.
    ready: Mutex<Option<Ready>>,
    /// An item that `start_send` took and that could not be sent since, because another handle
    /// was quicker.
    pending: Option<T>,
}

impl<T> Default for SinkState<T> {
    fn default() -> Self {
        Self {
            ready: Mutex::new(None),
            pending: None,
        }
    }
}

impl<T: Datum> Unpin for Producer<T> {}

impl<T: Datum> Producer<T> {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        loop {
            if let Some(item) = self.sink.pending.take() {
                match self.try_send(item) {
                    Ok(_) => {}
                    Err(TrySendError::Offline(item) | TrySendError::Full(item)) => {
                        self.sink.pending = Some(item);
                    }
                    Err(TrySendError::Closed(item)) => {
                        return Poll::Ready(Err(SendError::Closed(item)));
                    }
                    Err(TrySendError::Unacknowledged(item)) => {
                        return Poll::Ready(Err(SendError::Unacknowledged(item)));
                    }
                    Err(TrySendError::Encode { item, error }) => {
                        return Poll::Ready(Err(SendError::Encode { item, error }));
                    }
                    Err(TrySendError::Disk { item, error }) => {
                        return Poll::Ready(Err(SendError::Disk { item, error }));
                    }
                }
            }
            let slot = self.sink.ready.get_mut();
            let slot = slot.unwrap_or_else(PoisonError::into_inner);
            let core = &self.inner.core;
            if self.sink.pending.is_none()
                && (core.is_closed() || core.is_online() && core.has_room())
            {
                *slot = None;
                return Poll::Ready(Ok(()));
            }
            let ready = slot.get_or_insert_with(|| Box::pin(ready_to_send(Arc::clone(core))));
            ready!(ready.as_mut().poll(cx));
            *slot = None;
        }
    }
}

/// `poll_ready` waits while the stream is offline or full. `poll_flush` waits until what was taken
/// is in the log; it does not wait for consumers.
impl<T: Datum> Sink<T> for Producer<T> {
    type Error = SendError<T>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let this = self.get_mut();
        // As in `send`: a sink that never waits must not starve its thread.
        let mut budget = pin!(tokio::task::coop::consume_budget());
        ready!(budget.as_mut().poll(cx));
        this.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), SendError<T>> {
        let this = self.get_mut();
        match this.try_send(item) {
            Ok(_) => Ok(()),
            Err(TrySendError::Offline(item) | TrySendError::Full(item)) => {
                this.sink.pending = Some(item);
                Ok(())
            }
            Err(TrySendError::Closed(item)) => Err(SendError::Closed(item)),
            Err(TrySendError::Unacknowledged(item)) => Err(SendError::Unacknowledged(item)),
            Err(TrySendError::Encode { item, error }) => Err(SendError::Encode { item, error }),
            Err(TrySendError::Disk { item, error }) => Err(SendError::Disk { item, error }),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let this = self.get_mut();
        if this.sink.pending.is_none() {
            return Poll::Ready(Ok(()));
        }
        this.poll_room(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_flush(cx)
    }
}
