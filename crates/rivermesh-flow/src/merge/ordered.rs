//! Several streams, each in event-time order, as one that is in order too.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    Stream, StreamExt,
    stream::{FuturesUnordered, StreamFuture},
};
use tokio::time::Instant;

use crate::{
    operator::Alarm,
    side::Side,
    stats::{Published, Reader, Stats},
    time::{EventTime, timeout},
};

/// How many answers of streams are taken before other tasks get their turn.
const BURST: usize = 64;

/// Settings of [`merge_ordered`].
pub struct Config<T> {
    idle: Option<Duration>,
    late: Side<T>,
}

impl<T> Default for Config<T> {
    fn default() -> Self {
        Self {
            idle: None,
            late: Side::none(),
        }
    }
}

impl<T> Config<T> {
    /// How long a stream may be silent, by tokio's clock, before the others go on without it.
    /// Default: for ever.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(timeout(idle));
        self
    }

    /// Sends late items there. Without it they are only counted.
    pub fn late_to(mut self, side: Side<T>) -> Self {
        self.late = side;
        self
    }
}

impl<T> fmt::Debug for Config<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

/// Merges streams that are each in event-time order into one that is, too; items of equal time in
/// the order of their streams.
///
/// The next item is known when every stream has one, has ended, or has been silent for the idle
/// timeout. An item that is older than what was emitted before (its stream was not in order, or had
/// been silent) is late.
///
/// Memory: one item of each stream; a stream that is ahead is not asked for more. Cancelling a wait
/// loses nothing; dropping it drops the items that it holds.
pub fn merge_ordered<S, F>(
    streams: impl IntoIterator<Item = S>,
    time: F,
    config: Config<S::Item>,
) -> MergeOrdered<S, F>
where
    S: Stream,
    F: Fn(&S::Item) -> EventTime,
{
    let asked: FuturesUnordered<_> = streams
        .into_iter()
        .enumerate()
        .map(|(number, stream)| Numbered::new(number, Box::pin(stream)).into_future())
        .collect();
    let silent = asked.iter().map(|_| Silence::default()).collect();
    MergeOrdered {
        time,
        config,
        asked,
        silent,
        heads: BinaryHeap::new(),
        reached: EventTime::MIN,
        idle_heads: 0,
        alarm: Alarm::default(),
        stats: Stats::default(),
        published: Published::default(),
    }
}

/// Streams merged in event-time order. Made by [`merge_ordered`].
pub struct MergeOrdered<S: Stream, F> {
    time: F,
    config: Config<S::Item>,
    /// The streams of which no item is held.
    asked: FuturesUnordered<StreamFuture<Numbered<S>>>,
    /// By the number of the stream.
    silent: Vec<Silence>,
    heads: BinaryHeap<Reverse<Head<S>>>,
    /// The time of the last item emitted.
    reached: EventTime,
    /// How many of the asked streams are not waited for.
    idle_heads: usize,
    alarm: Alarm,
    stats: Stats,
    published: Published,
}

/// Since when a stream has been asked without an answer, and whether that is too long.
#[derive(Clone, Copy, Debug, Default)]
struct Silence {
    since: Option<Instant>,
    idle: bool,
}

struct Head<S: Stream> {
    time: EventTime,
    item: S::Item,
    stream: Numbered<S>,
}

/// A stream that knows its place.
struct Numbered<S> {
    number: usize,
    stream: Pin<Box<S>>,
}

impl<S> Numbered<S> {
    fn new(number: usize, stream: Pin<Box<S>>) -> Self {
        Self { number, stream }
    }
}

impl<S: Stream> Stream for Numbered<S> {
    type Item = (usize, S::Item);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let number = self.number;
        let item = self.stream.as_mut().poll_next(cx);
        item.map(|item| item.map(|item| (number, item)))
    }
}

impl<S: Stream, F: Fn(&S::Item) -> EventTime> MergeOrdered<S, F> {
    /// The counters, which can be read while this runs elsewhere.
    pub fn stats(&self) -> Reader {
        self.published.reader()
    }

    /// Takes what the asked streams have. Pending while one is waited for.
    fn poll_heads(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..BURST {
            if self.config.late.poll_room(cx).is_pending() {
                return Poll::Pending;
            }
            match self.asked.poll_next_unpin(cx) {
                Poll::Ready(Some((Some((number, item)), stream))) => {
                    self.wake(number);
                    self.take(item, stream);
                }
                Poll::Ready(Some((None, ended))) => self.wake(ended.number),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if self.asked.len() == self.idle_heads => return Poll::Ready(()),
                Poll::Pending => match self.poll_silence(cx) {
                    Poll::Ready(()) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
        // More may be ready, and nothing may come of it: let other tasks run.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A stream has answered.
    fn wake(&mut self, number: usize) {
        if let Some(silence) = self.silent.get_mut(number) {
            silence.since = None;
            if std::mem::take(&mut silence.idle) {
                self.idle_heads -= 1;
            }
        }
    }

    fn take(&mut self, item: S::Item, stream: Numbered<S>) {
        self.stats.taken += 1;
        let time = (self.time)(&item);
        if time < self.reached {
            self.stats.late += 1;
            self.config.late.put(item);
            self.asked.push(stream.into_future());
            return;
        }
        self.heads.push(Reverse(Head { time, item, stream }));
    }

    /// Ready when a stream has just been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(idle) = self.config.idle else {
            return Poll::Pending;
        };
        let now = Instant::now();
        let mut next = None;
        let mut any = false;
        for asked in self.asked.iter().filter_map(StreamFuture::get_ref) {
            let Some(silence) = self.silent.get_mut(asked.number) else {
                continue;
            };
            let until = *silence.since.get_or_insert(now) + idle;
            if silence.idle {
                continue;
            }
            if until <= now {
                silence.idle = true;
                self.idle_heads += 1;
                any = true;
            } else {
                next = Some(next.map_or(until, |next: Instant| next.min(until)));
            }
        }
        match next {
            _ if any => Poll::Ready(()),
            Some(at) => self.alarm.poll(at, cx),
            None => Poll::Pending,
        }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.poll_heads(cx).is_pending() {
            return Poll::Pending;
        }
        match self.heads.pop() {
            Some(Reverse(head)) => {
                self.reached = head.time;
                self.stats.emitted += 1;
                self.asked.push(head.stream.into_future());
                Poll::Ready(Some(head.item))
            }
            None if self.asked.is_empty() => {
                // Nothing is late any more: the late output ends.
                self.config.late = Side::none();
                Poll::Ready(None)
            }
            None => Poll::Pending,
        }
    }
}

impl<S: Stream, F> Unpin for MergeOrdered<S, F> {}

impl<S: Stream, F: Fn(&S::Item) -> EventTime> Stream for MergeOrdered<S, F> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.get_mut();
        let item = this.poll_item(cx);
        this.stats.buffered = this.heads.len() as u64;
        this.published.publish(&this.stats);
        item
    }
}

impl<S: Stream, F> fmt::Debug for MergeOrdered<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergeOrdered")
            .field("asked", &self.asked.len())
            .field("held", &self.heads.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl<S: Stream> Ord for Head<S> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.stream.number).cmp(&(other.time, other.stream.number))
    }
}

impl<S: Stream> PartialOrd for Head<S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S: Stream> PartialEq for Head<S> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<S: Stream> Eq for Head<S> {}
