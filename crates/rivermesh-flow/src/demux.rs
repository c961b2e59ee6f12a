//! One stream into many: a sub-stream for each key.

mod config;

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::{Stream, task::AtomicWaker};
use tokio::time::Instant;

pub use self::config::Config;
use crate::{
    aging::Aging,
    operator::{Alarm, Input},
    queue::{Full, Push, Queue},
    stats::{Reader, Tally},
};

/// How many items are handed to sub-streams before other tasks get their turn.
const BURST: usize = 64;

/// Splits a stream by key. It is itself the stream of the new sub-streams, each with its key, and
/// moves items only while it is polled:
///
/// ```
/// use futures::{StreamExt, stream};
/// use rivermesh_flow::{FlowExt, demux};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let input = stream::iter(["ape", "bee", "ant", "bat"]);
/// let by_letter = input.demux_by(|word| word.as_bytes()[0], demux::Config::default());
/// let words: Vec<(u8, Vec<&str>)> = by_letter
///     .map(|(letter, words)| async move { (letter, words.collect().await) })
///     .buffer_unordered(10)
///     .collect()
///     .await;
/// assert_eq!(words.len(), 2);
/// # }
/// ```
///
/// An item of a sub-stream that was dropped is dropped and counted, until that sub-stream is
/// retired.
///
/// In [`Stats`](crate::Stats), items that wait in a sub-stream are buffered, those taken from it are emitted.
///
/// Memory: `max_bytes` of items (one more where an item is larger), `max_keys` keys with their queues,
/// and one item that waits for room. Retired sub-streams that still hold items count against
/// `max_bytes` until they are read or dropped. Cancelling a wait loses nothing; dropping it ends the
/// sub-streams after what waits in them.
pub struct Demux<S: Stream, K, FK> {
    input: Input<S>,
    key: FK,
    size: Size<S::Item>,
    config: Config,
    lanes: HashMap<K, Lane<S::Item>>,
    /// Counts items, for which key has been quiet the longest.
    turn: u64,
    by_turn: Aging<K, u64>,
    shared: Arc<Shared>,
    /// An item that has been taken and not yet been placed.
    waiting: Option<(K, Weighed<S::Item>)>,
    alarm: Alarm,
}

/// What the demultiplexer and its sub-streams share, beside each one's queue.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    /// The demultiplexer, when it waits for room.
    room: AtomicWaker,
    tally: Tally,
}

impl Shared {
    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.room.wake();
    }
}

#[derive(Debug)]
struct Weighed<T> {
    item: T,
    bytes: usize,
}

type Size<T> = Box<dyn Fn(&T) -> usize + Send>;

type Items<T> = Arc<Queue<Weighed<T>>>;

/// The writing end of a sub-stream; dropping it ends that.
#[derive(Debug)]
struct Lane<T> {
    items: Items<T>,
    turn: u64,
    heard: Instant,
}

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        self.items.finish();
    }
}

/// The items of one key, in the order of the input. Made by [`Demux`].
///
/// Where a key was retired and has come back, the items of the earlier sub-stream come before those
/// of the later one.
///
/// It ends when the input has ended, or when it was retired for being idle, for another key, or
/// for being too slow. If a wait for an item is cancelled, nothing is lost. Dropping it drops what
/// waits in it, and counts that.
#[derive(Debug)]
pub struct SubStream<T> {
    items: Items<T>,
    shared: Arc<Shared>,
}

impl<T> Stream for SubStream<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let popped = self.items.poll_pop(cx);
        popped.map(|popped| {
            let Weighed { item, bytes } = popped?;
            self.shared.tally.emit(1);
            self.shared.release(bytes);
            Some(item)
        })
    }
}

impl<T> Drop for SubStream<T> {
    fn drop(&mut self) {
        let rest = self.items.close();
        self.shared.tally.drop(rest.len() as u64);
        self.shared
            .release(rest.iter().map(|item| item.bytes).sum());
    }
}

/// What became of an item.
enum Placed<T> {
    /// It is in its sub-stream, or was dropped.
    Done,
    /// It is the first of a new sub-stream.
    New(SubStream<T>),
    /// There is no room.
    Blocked(Weighed<T>),
}

impl<S, K, FK> Demux<S, K, FK>
where
    S: Stream,
    K: Hash + Eq + Clone,
    FK: Fn(&S::Item) -> K,
{
    pub(crate) fn new(input: S, key: FK, config: Config) -> Self {
        Self {
            input: Input::new(input),
            key,
            size: Box::new(|_| size_of::<S::Item>()),
            config,
            lanes: HashMap::new(),
            turn: 0,
            by_turn: Aging::new(),
            shared: Arc::default(),
            waiting: None,
            alarm: Alarm::default(),
        }
    }

    /// How many bytes an item takes, for [`Config::max_bytes`]; at least 1 is counted. Default: the
    /// size of its type, without what it owns elsewhere.
    pub fn sized_by(mut self, size: impl Fn(&S::Item) -> usize + Send + 'static) -> Self {
        self.size = Box::new(size);
        self
    }

    /// The counters, which can be read while this and its sub-streams run elsewhere.
    pub fn stats(&self) -> Reader {
        self.shared.tally.reader()
    }

    /// How many sub-streams are not retired.
    pub fn keys(&self) -> usize {
        self.lanes.len()
    }

    fn place(&mut self, key: &K, item: Weighed<S::Item>) -> Placed<S::Item> {
        let lane = self.lanes.get(key);
        if lane.is_some_and(|lane| lane.items.is_closed()) {
            self.shared.tally.drop(1);
            return Placed::Done;
        }
        let is_new = lane.is_none();
        if is_new && self.lanes.len() >= self.config.max_keys && !self.retire_quietest() {
            return self.refuse(item);
        }
        if !self.has_bytes(item.bytes) {
            if self.config.full == Full::SkipOldest {
                self.skip_oldest(key, item.bytes);
            }
            if !self.has_bytes(item.bytes) {
                if self.config.full == Full::Detach {
                    self.detach(key);
                }
                return self.refuse(item);
            }
        }
        if is_new {
            return Placed::New(self.open(key, item));
        }
        self.push(key, item)
    }

    /// There is no room for an item.
    fn refuse(&self, item: Weighed<S::Item>) -> Placed<S::Item> {
        if self.config.full == Full::Block {
            return Placed::Blocked(item);
        }
        self.shared.tally.drop(1);
        Placed::Done
    }

    fn has_bytes(&self, bytes: usize) -> bool {
        let held = self.shared.bytes.load(Ordering::Acquire);
        held == 0 || held.saturating_add(bytes) <= self.config.max_bytes
    }

    fn skip_oldest(&self, key: &K, bytes: usize) {
        let Some(lane) = self.lanes.get(key) else {
            return;
        };
        while !self.has_bytes(bytes)
            && let Some(skipped) = lane.items.skip_oldest()
        {
            self.shared.tally.drop(1);
            self.shared.release(skipped.bytes);
        }
    }

    fn open(&mut self, key: &K, item: Weighed<S::Item>) -> SubStream<S::Item> {
        let (at_most, full) = (self.config.max_items_per_key, self.config.full);
        let items = Arc::new(Queue::new(at_most, full));
        let lane = Lane {
            items: Arc::clone(&items),
            turn: self.turn,
            heard: Instant::now(),
        };
        self.lanes.insert(key.clone(), lane);
        self.by_turn.add(key.clone(), self.turn);
        self.shared.bytes.fetch_add(item.bytes, Ordering::AcqRel);
        // A new queue has room for one.
        items.push(item);
        let shared = Arc::clone(&self.shared);
        SubStream { items, shared }
    }

    fn push(&mut self, key: &K, item: Weighed<S::Item>) -> Placed<S::Item> {
        let Some(lane) = self.lanes.get_mut(key) else {
            return Placed::Blocked(item);
        };
        lane.turn = self.turn;
        if self.config.idle.is_some() {
            lane.heard = Instant::now();
        }
        // Counted before it can be taken out, so that the count never falls below zero.
        let bytes = item.bytes;
        self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        match lane.items.push(item) {
            Push::Done => return Placed::Done,
            Push::Full(item) => {
                self.shared.bytes.fetch_sub(bytes, Ordering::AcqRel);
                return Placed::Blocked(item);
            }
            Push::Skipped(skipped) => {
                self.shared.bytes.fetch_sub(skipped.bytes, Ordering::AcqRel);
            }
            Push::Detached(_) => {
                self.shared.bytes.fetch_sub(bytes, Ordering::AcqRel);
                self.detach(key);
            }
            Push::Closed(_) => {
                self.shared.bytes.fetch_sub(bytes, Ordering::AcqRel);
            }
        }
        self.shared.tally.drop(1);
        Placed::Done
    }

    /// The key's sub-stream ends after what waits in it.
    fn detach(&mut self, key: &K) {
        self.lanes.remove(key);
        // A place that is left behind comes up only when the quietest is asked for.
        if self.by_turn.len() > 2 * self.config.max_keys {
            self.by_turn = Aging::new();
            for (key, lane) in &self.lanes {
                self.by_turn.add(key.clone(), lane.turn);
            }
        }
    }

    /// Makes room for another key. Says whether that was possible.
    fn retire_quietest(&mut self) -> bool {
        let mut busy = Vec::new();
        let mut found = false;
        while !found {
            let lanes = &self.lanes;
            if self
                .by_turn
                .oldest(|key| Some(lanes.get(key)?.turn))
                .is_none()
            {
                break;
            }
            let Some(key) = self.by_turn.pop() else {
                break;
            };
            let Some(lane) = self.lanes.get(&key) else {
                continue;
            };
            if lane.items.is_empty() || self.config.full == Full::Detach {
                self.lanes.remove(&key);
                found = true;
            } else {
                busy.push((key, lane.turn));
            }
        }
        for (key, turn) in busy {
            self.by_turn.add(key, turn);
        }
        found
    }

    /// Retires sub-streams that have been idle. Pending until the next may be.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(idle) = self.config.idle else {
            return Poll::Pending;
        };
        loop {
            let lanes = &self.lanes;
            let Some((key, _)) = self.by_turn.oldest(|key| Some(lanes.get(key)?.turn)) else {
                return Poll::Pending;
            };
            // Who was heard first was heard longest ago, so one order serves turns and the clock.
            let Some(at) = lanes.get(key).map(|lane| lane.heard + idle) else {
                return Poll::Pending;
            };
            if at > Instant::now() {
                std::task::ready!(self.alarm.poll(at, cx));
                continue;
            }
            if let Some(key) = self.by_turn.pop() {
                self.lanes.remove(&key);
            }
        }
    }

    fn poll_new(&mut self, cx: &mut Context<'_>) -> Poll<Option<(K, SubStream<S::Item>)>> {
        for _ in 0..BURST {
            if let Some((key, item)) = self.waiting.take() {
                let placed = match self.place(&key, item) {
                    Placed::Blocked(item) => {
                        // Looked at again once it is registered, so that no room made in between
                        // is overlooked.
                        self.shared.room.register(cx.waker());
                        self.place(&key, item)
                    }
                    placed => placed,
                };
                match placed {
                    Placed::Done => {}
                    Placed::New(items) => return Poll::Ready(Some((key, items))),
                    Placed::Blocked(item) => {
                        self.waiting = Some((key, item));
                        let _ = self.poll_idle(cx);
                        return Poll::Pending;
                    }
                }
            }
            match self.input.poll_next(cx) {
                Poll::Ready(Some(item)) => {
                    let bytes = (self.size)(&item).max(1);
                    self.shared.tally.take();
                    self.turn += 1;
                    self.waiting = Some(((self.key)(&item), Weighed { item, bytes }));
                }
                Poll::Ready(None) => {
                    self.lanes.clear();
                    self.by_turn = Aging::new();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let _ = self.poll_idle(cx);
                    return Poll::Pending;
                }
            }
        }
        // The input is always ready: let the readers of the sub-streams run.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Stream, K, FK> Unpin for Demux<S, K, FK> {}

impl<S, K, FK> Stream for Demux<S, K, FK>
where
    S: Stream,
    K: Hash + Eq + Clone,
    FK: Fn(&S::Item) -> K,
{
    type Item = (K, SubStream<S::Item>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_new(cx)
    }
}

impl<S: Stream, K, FK> Drop for Demux<S, K, FK> {
    fn drop(&mut self) {
        if self.waiting.is_some() {
            self.shared.tally.drop(1);
        }
    }
}

impl<S: Stream, K, FK> fmt::Debug for Demux<S, K, FK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demux")
            .field("config", &self.config)
            .field("keys", &self.lanes.len())
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
