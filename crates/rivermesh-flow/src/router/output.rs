//! A sink with its queues and its task.

use std::{
    error::Error,
    fmt,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{FutureExt, Sink, task::AtomicWaker};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::table::said;
use crate::{
    queue::{Full, Queue},
    stats::Stats,
};

/// How many items are sent before other tasks get their turn.
const BURST: usize = 64;

/// The name of an output, never given twice in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputId(pub(super) u64);

impl OutputId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// The number.
impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Settings of an output.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    capacity: usize,
    full: Full,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: 1024,
            full: Full::default(),
        }
    }
}

impl Config {
    /// How many items wait for the output, at least 1, for each router that feeds it; memory is
    /// taken as they come. Default 1024.
    pub fn capacity(mut self, items: usize) -> Self {
        self.capacity = items.max(1);
        self
    }

    /// What happens when so many wait. The default is [`Full::SkipOldest`]. Under [`Full::Block`]
    /// the router waits, and with it everybody else whom it feeds.
    pub fn full(mut self, full: Full) -> Self {
        self.full = full;
        self
    }
}

/// How an output has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Its router's input has ended, or its owner was drained; it got everything, and was closed.
    Ended,
    /// It was detached; it got everything from before, and was closed.
    Detached,
    /// It was dropped with what was queued for it: aborted, or still busy when a drain was over, or
    /// its owner was dropped.
    Aborted,
    /// It was too slow, under [`Full::Detach`]; it got what was queued, and was dropped.
    Lagged,
    /// The sink gave this error.
    Failed(Arc<dyn Error + Send + Sync>),
    /// The sink, or the filter's predicate, panicked; this is what it said.
    Panicked(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("ended"),
            Self::Detached => f.write_str("detached"),
            Self::Aborted => f.write_str("aborted"),
            Self::Lagged => f.write_str("too slow"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(said) => write!(f, "panicked: {said}"),
        }
    }
}

/// A handle of an output. Dropping it changes nothing: the router or supervisor owns the output.
pub struct Output<T> {
    core: Arc<Core<T>>,
    owner: Weak<dyn Owner>,
}

/// Who owns an output.
pub(super) trait Owner: Send + Sync {
    /// No router feeds the output any more.
    fn unfeed(&self, id: OutputId);
}

impl<T> Output<T> {
    pub(super) fn new(core: Arc<Core<T>>, owner: Weak<dyn Owner>) -> Self {
        Self { core, owner }
    }

    /// Its name.
    pub fn id(&self) -> OutputId {
        self.core.id
    }

    /// Where the items went that it was given; `dropped` is what was skipped for want of room, or
    /// was with it when it ended.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// How it has ended, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.core.outcome.borrow().clone()
    }

    /// Waits until it has ended. If this is cancelled, nothing changes.
    pub async fn ended(&self) -> Outcome {
        let mut outcome = self.core.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await;
        // The core holds the sending end, so waiting does not fail.
        ended
            .ok()
            .and_then(|ended| ended.clone())
            .unwrap_or(Outcome::Aborted)
    }

    /// Detaches it gracefully: it is given no more, gets what is queued, and is closed. Waits for
    /// that.
    ///
    /// If this is cancelled, it is detached all the same.
    pub async fn detach(&self) -> Outcome {
        self.core.finish(Finish::Detached);
        if let Some(owner) = self.owner.upgrade() {
            owner.unfeed(self.core.id);
        }
        self.ended().await
    }

    /// Drops it with what is queued.
    pub fn abort(&self) {
        self.core.token.cancel();
    }

    pub(super) async fn outcomes(outputs: Vec<Self>) -> Vec<(OutputId, Outcome)> {
        let mut outcomes = Vec::with_capacity(outputs.len());
        for output in outputs {
            outcomes.push((output.id(), output.ended().await));
        }
        outcomes
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            owner: Weak::clone(&self.owner),
        }
    }
}

impl<T> fmt::Debug for Output<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("id", &self.core.id)
            .field("stats", &self.stats())
            .field("outcome", &self.outcome())
            .finish()
    }
}

/// The queue from one router to one output; nobody else takes its lock.
pub(super) type Feed<T> = Arc<Queue<T>>;

/// What an output's task, its handles and its routers share. No part of it is locked for an item
/// by two of them but the feed between both.
pub(super) struct Core<T> {
    id: OutputId,
    config: Config,
    feeds: Mutex<Feeds<T>>,
    /// There are feeds that the task has not seen.
    changed: AtomicBool,
    /// Why the output shall end once its feeds are empty; 0 while it shall not.
    finish: AtomicU8,
    task: AtomicWaker,
    sent: AtomicU64,
    /// An outcome that was decided elsewhere, before the token was cancelled.
    verdict: Mutex<Option<Outcome>>,
    token: CancellationToken,
    outcome: watch::Sender<Option<Outcome>>,
}

struct Feeds<T> {
    feeds: Vec<Feed<T>>,
    /// Of feeds that have ended: what was taken, and what was skipped of it.
    past_taken: u64,
    past_skipped: u64,
    ended: bool,
}

/// Why an output shall end once its feeds are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    Ended = 1,
    Detached = 2,
}

impl<T> Core<T> {
    pub(super) fn new(config: Config, token: CancellationToken) -> Self {
        Self {
            id: OutputId::next(),
            config,
            feeds: Mutex::new(Feeds {
                feeds: Vec::new(),
                past_taken: 0,
                past_skipped: 0,
                ended: false,
            }),
            changed: AtomicBool::new(false),
            finish: AtomicU8::new(0),
            task: AtomicWaker::new(),
            sent: AtomicU64::new(0),
            verdict: Mutex::new(None),
            token,
            outcome: watch::Sender::new(None),
        }
    }

    pub(super) fn id(&self) -> OutputId {
        self.id
    }

    fn lock(&self) -> MutexGuard<'_, Feeds<T>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A queue for one more router; nothing if the output has ended.
    pub(super) fn add_feed(&self) -> Option<Feed<T>> {
        let feed = Arc::new(Queue::new(self.config.capacity, self.config.full));
        let mut feeds = self.lock();
        if feeds.ended {
            return None;
        }
        feeds.feeds.push(Arc::clone(&feed));
        drop(feeds);
        self.changed.store(true, Ordering::Release);
        self.task.wake();
        Some(feed)
    }

    /// The output shall end once its feeds are empty. The first reason counts.
    pub(super) fn finish(&self, why: Finish) {
        let why = why as u8;
        let _ = self
            .finish
            .compare_exchange(0, why, Ordering::AcqRel, Ordering::Acquire);
        self.task.wake();
    }

    fn finishing(&self) -> Option<Outcome> {
        match self.finish.load(Ordering::Acquire) {
            0 => None,
            why if why == Finish::Detached as u8 => Some(Outcome::Detached),
            _ => Some(Outcome::Ended),
        }
    }

    /// Ends the output at once.
    pub(super) fn end_with(&self, outcome: Outcome) {
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        verdict.get_or_insert(outcome);
        drop(verdict);
        self.token.cancel();
    }

    fn stats(&self) -> Stats {
        // Read before the feeds' counts, so that no item seems sent that was not taken.
        let emitted = self.sent.load(Ordering::Acquire);
        let feeds = self.lock();
        let (mut taken, mut dropped) = (feeds.past_taken, feeds.past_skipped);
        for feed in &feeds.feeds {
            let counts = feed.counts();
            taken += counts.taken;
            dropped += counts.skipped;
        }
        let mut buffered = taken - emitted - dropped;
        if feeds.ended {
            // What the sink took and did not accept went down with it.
            dropped += std::mem::take(&mut buffered);
        }
        Stats {
            taken,
            emitted,
            dropped,
            buffered,
            ..Stats::default()
        }
    }

    /// Forgets a feed that has ended and is empty, but for its counts.
    fn retire(&self, feed: &Feed<T>) {
        let mut feeds = self.lock();
        let counts = feed.counts();
        feeds.past_taken += counts.taken;
        feeds.past_skipped += counts.skipped;
        feeds.feeds.retain(|other| !Arc::ptr_eq(other, feed));
    }

    fn end(&self, outcome: Outcome) {
        let mut feeds = self.lock();
        feeds.ended = true;
        let rest: Vec<_> = feeds.feeds.iter().map(|feed| feed.close()).collect();
        drop(feeds);
        // Items are dropped here, outside of the lock: their code is the program's.
        drop(rest);
        self.outcome.send_replace(Some(outcome));
    }
}

/// Runs an output to its end.
pub(super) async fn run<T, Si>(core: Arc<Core<T>>, sink: Si, owner: Weak<dyn Owner>)
where
    Si: Sink<T>,
    Si::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let sending = async {
        let mut task = Task::new(&core, sink);
        std::future::poll_fn(|cx| task.poll(cx)).await
    };
    // What a panic leaves behind in the sink is dropped with it.
    let guarded = AssertUnwindSafe(sending).catch_unwind();
    let outcome = match core.token.run_until_cancelled(guarded).await {
        Some(Ok(outcome)) => outcome,
        Some(Err(panic)) => Outcome::Panicked(said(&*panic)),
        None => {
            let mut verdict = core.verdict.lock().unwrap_or_else(PoisonError::into_inner);
            verdict.take().unwrap_or(Outcome::Aborted)
        }
    };
    if let Outcome::Failed(_) | Outcome::Panicked(_) | Outcome::Lagged = outcome {
        tracing::warn!(output = %core.id, %outcome, "an output has ended");
    }
    core.end(outcome);
    if let Some(owner) = owner.upgrade() {
        owner.unfeed(core.id);
    }
}

/// What the task of an output owns.
struct Task<'a, T, Si> {
    core: &'a Core<T>,
    sink: Pin<Box<Si>>,
    feeds: Vec<Feed<T>>,
    /// Where to look next, so that each feed gets its turn.
    turn: usize,
    /// The sink has items that it has not been asked to flush.
    dirty: bool,
}

impl<'a, T, Si> Task<'a, T, Si>
where
    Si: Sink<T>,
    Si::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn new(core: &'a Core<T>, sink: Si) -> Self {
        Self {
            core,
            sink: Box::pin(sink),
            feeds: Vec::new(),
            turn: 0,
            dirty: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.poll_sending(cx) {
            Poll::Ready(Ok(outcome)) => Poll::Ready(outcome),
            Poll::Ready(Err(error)) => Poll::Ready(Outcome::Failed(error.into().into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome, Si::Error>> {
        self.core.task.register(cx.waker());
        for _ in 0..BURST {
            // Looked at before the feeds: once it is said, no feed gets more than it has now.
            let finishing = self.core.finishing();
            if self.core.changed.swap(false, Ordering::AcqRel) {
                self.feeds = self.core.lock().feeds.clone();
            }
            match self.poll_feeds(cx) {
                Next::Item(at) => {
                    ready!(self.sink.as_mut().poll_ready(cx))?;
                    self.send(at, cx)?;
                }
                Next::Lagged => return Poll::Ready(Ok(Outcome::Lagged)),
                Next::Nothing => {
                    if let Some(outcome) = finishing.filter(|_| self.feeds.is_empty()) {
                        // Whether a feed was added in between is known only now.
                        if !self.core.changed.load(Ordering::Acquire) {
                            ready!(self.sink.as_mut().poll_close(cx))?;
                            return Poll::Ready(Ok(outcome));
                        }
                        continue;
                    }
                    if !self.dirty {
                        return Poll::Pending;
                    }
                    ready!(self.sink.as_mut().poll_flush(cx))?;
                    self.dirty = false;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Which feed has an item, in turn. Registers for all that have none.
    fn poll_feeds(&mut self, cx: &mut Context<'_>) -> Next {
        let mut left = self.feeds.len();
        while left > 0 {
            self.turn %= self.feeds.len().max(1);
            let Some(feed) = self.feeds.get(self.turn) else {
                break;
            };
            match feed.poll_any(cx) {
                Poll::Ready(Some(())) => return Next::Item(self.turn),
                Poll::Ready(None) if feed.is_detached() => return Next::Lagged,
                Poll::Ready(None) => {
                    let feed = self.feeds.swap_remove(self.turn);
                    self.core.retire(&feed);
                }
                Poll::Pending => self.turn += 1,
            }
            left -= 1;
        }
        Next::Nothing
    }

    fn send(&mut self, at: usize, cx: &mut Context<'_>) -> Result<(), Si::Error> {
        let Some(feed) = self.feeds.get(at) else {
            return Ok(());
        };
        // Only this task takes items out, so one that was there is still, or a newer one.
        if let Poll::Ready(Some(item)) = feed.poll_pop(cx) {
            self.dirty = true;
            self.sink.as_mut().start_send(item)?;
            self.core.sent.fetch_add(1, Ordering::AcqRel);
        }
        self.turn += 1;
        Ok(())
    }
}

enum Next {
    /// The feed of this number has an item.
    Item(usize),
    /// The output was too slow.
    Lagged,
    Nothing,
}
