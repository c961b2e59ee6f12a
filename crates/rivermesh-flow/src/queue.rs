//! A bounded queue from one writer to one reader, with a policy for when it is full.
//!
//! It stands between a router and an output, before a sub-stream of a demultiplexer, and behind
//! the late side of an operator. Its lock is shared by these two parties and nobody else.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// What happens to an item for which a bounded queue has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Full {
    /// The oldest queued item is dropped for it, and counted. The default.
    #[default]
    SkipOldest,
    /// It is dropped itself, and counted.
    SkipNewest,
    /// The reader is cut off: it gets what is queued already, and then the end.
    Detach,
    /// The writer waits until there is room, and takes nothing from its own input meanwhile.
    Block,
}

/// What became of an item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Push<T> {
    /// It is queued.
    Done,
    /// It is queued, or not, and this item was dropped.
    Skipped(T),
    /// There is no room; wait for it with `poll_room`.
    Full(T),
    /// There was no room, and the reader is cut off for it.
    Detached(T),
    /// The reader does not want any more.
    Closed(T),
}

/// What went through a queue: `taken = popped + skipped + queued`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) taken: u64,
    pub(crate) popped: u64,
    pub(crate) skipped: u64,
    pub(crate) queued: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The writer writes no more.
    Finished,
    /// The reader was too slow, under `Full::Detach`; it still gets what is queued.
    Detached,
    /// The reader reads no more.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    capacity: usize,
    full: Full,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    state: State,
    taken: u64,
    popped: u64,
    skipped: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl<T> Queue<T> {
    /// A queue for `capacity` items, at least 1. Memory is taken as it fills.
    pub(crate) fn new(capacity: usize, full: Full) -> Self {
        Self {
            inner: Mutex::new(Inner {
                items: VecDeque::new(),
                state: State::Open,
                taken: 0,
                popped: 0,
                skipped: 0,
                reader: None,
                writer: None,
            }),
            capacity: capacity.max(1),
            full,
        }
    }

    /// No code of the program runs under this lock, so it cannot be poisoned with a broken state:
    /// items are moved, and dropped only after it is released.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, item: T) -> Push<T> {
        let mut inner = self.lock();
        if inner.state != State::Open {
            return Push::Closed(item);
        }
        let mut outcome = Push::Done;
        if inner.items.len() >= self.capacity {
            match self.full {
                Full::Block => return Push::Full(item),
                Full::Detach => {
                    inner.state = State::Detached;
                    wake(inner, |inner| &mut inner.reader);
                    return Push::Detached(item);
                }
                Full::SkipNewest => {
                    inner.taken += 1;
                    inner.skipped += 1;
                    return Push::Skipped(item);
                }
                Full::SkipOldest => {
                    inner.skipped += 1;
                    if let Some(oldest) = inner.items.pop_front() {
                        outcome = Push::Skipped(oldest);
                    }
                }
            }
        }
        inner.taken += 1;
        inner.items.push_back(item);
        wake(inner, |inner| &mut inner.reader);
        outcome
    }

    /// Ready when a push is worth trying: there is room, or nobody reads.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.state != State::Open || inner.items.len() < self.capacity {
            return Poll::Ready(());
        }
        register(&mut inner.writer, cx);
        Poll::Pending
    }

    /// The oldest item; `None` when there will be none any more.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.lock();
        if let Some(item) = inner.items.pop_front() {
            inner.popped += 1;
            wake(inner, |inner| &mut inner.writer);
            return Poll::Ready(Some(item));
        }
        if inner.state != State::Open {
            return Poll::Ready(None);
        }
        register(&mut inner.reader, cx);
        Poll::Pending
    }

    /// Whether an item can be popped now. Registers for the next one if not; `None` at the end.
    pub(crate) fn poll_any(&self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let mut inner = self.lock();
        if !inner.items.is_empty() {
            return Poll::Ready(Some(()));
        }
        if inner.state != State::Open {
            return Poll::Ready(None);
        }
        register(&mut inner.reader, cx);
        Poll::Pending
    }

    /// The oldest item out of turn, counted as skipped.
    pub(crate) fn skip_oldest(&self) -> Option<T> {
        let mut inner = self.lock();
        let item = inner.items.pop_front()?;
        inner.skipped += 1;
        Some(item)
    }

    /// Counts an item that the writer could not queue and dropped.
    pub(crate) fn count_lost(&self) {
        let mut inner = self.lock();
        inner.taken += 1;
        inner.skipped += 1;
    }

    /// The writer writes no more; the reader gets what is queued, then the end.
    pub(crate) fn finish(&self) {
        let mut inner = self.lock();
        if inner.state == State::Open {
            inner.state = State::Finished;
        }
        wake(inner, |inner| &mut inner.reader);
    }

    /// The reader reads no more. Gives what was queued, counted as skipped.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let mut inner = self.lock();
        inner.state = State::Closed;
        let items = std::mem::take(&mut inner.items);
        inner.skipped += items.len() as u64;
        wake(inner, |inner| &mut inner.writer);
        items
    }

    /// Whether the reader has been cut off for being too slow.
    pub(crate) fn is_detached(&self) -> bool {
        self.lock().state == State::Detached
    }

    /// Whether the reader has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().state == State::Closed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    pub(crate) fn counts(&self) -> Counts {
        let inner = self.lock();
        Counts {
            taken: inner.taken,
            popped: inner.popped,
            skipped: inner.skipped,
            queued: inner.items.len() as u64,
        }
    }
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// Wakes after the lock is released, so that whoever wakes does not run into it.
fn wake<T>(
    mut inner: MutexGuard<'_, Inner<T>>,
    slot: impl FnOnce(&mut Inner<T>) -> &mut Option<Waker>,
) {
    let waker = slot(&mut inner).take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
