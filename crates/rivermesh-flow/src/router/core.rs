//! What the task of an output, its handles and its routers share.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};

use futures::task::AtomicWaker;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Config, Outcome, OutputId};
use crate::{queue::Queue, stats::Stats};

/// The queue from one router to one output; nobody else takes its lock.
pub(super) type Feed<T> = Arc<Queue<T>>;

/// What an output's task, its handles and its routers share. No part of it is locked for an item
/// by two of them but the feed between both.
pub(super) struct Core<T> {
    id: OutputId,
    config: Config,
    feeds: Mutex<Feeds<T>>,
    /// There are feeds that the task has not seen.
    pub(super) changed: AtomicBool,
    /// Why the output shall end once its feeds are empty; 0 while it shall not.
    finish: AtomicU8,
    pub(super) task: AtomicWaker,
    pub(super) sent: AtomicU64,
    /// An outcome that was decided elsewhere, before the token was cancelled.
    pub(super) verdict: Mutex<Option<Outcome>>,
    pub(super) token: CancellationToken,
    pub(super) outcome: watch::Sender<Option<Outcome>>,
}

pub(super) struct Feeds<T> {
    pub(super) feeds: Vec<Feed<T>>,
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Feeds<T>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A queue for one more router; nothing if the output has ended, or shall end.
    pub(super) fn add_feed(&self) -> Option<Feed<T>> {
        let feed = Arc::new(Queue::new(self.config.capacity, self.config.full));
        let mut feeds = self.lock();
        if feeds.ended || self.finish.load(Ordering::Acquire) != 0 {
            return None;
        }
        feeds.feeds.push(Arc::clone(&feed));
        self.changed.store(true, Ordering::Release);
        drop(feeds);
        self.task.wake();
        Some(feed)
    }

    /// The output shall end once its feeds are empty. The first reason counts.
    pub(super) fn finish(&self, why: Finish) {
        let why = why as u8;
        // Under the lock, so that every feed was added before this is seen, or is not added.
        let feeds = self.lock();
        let _ = self
            .finish
            .compare_exchange(0, why, Ordering::AcqRel, Ordering::Acquire);
        drop(feeds);
        self.task.wake();
    }

    pub(super) fn finishing(&self) -> Option<Outcome> {
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

    pub(super) fn stats(&self) -> Stats {
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
    pub(super) fn retire(&self, feed: &Feed<T>) {
        let mut feeds = self.lock();
        let counts = feed.counts();
        feeds.past_taken += counts.taken;
        feeds.past_skipped += counts.skipped;
        feeds.feeds.retain(|other| !Arc::ptr_eq(other, feed));
    }

    pub(super) fn end(&self, outcome: Outcome) {
        let mut feeds = self.lock();
        feeds.ended = true;
        let rest: Vec<_> = feeds.feeds.iter().map(|feed| feed.close()).collect();
        drop(feeds);
        // Items are dropped here, outside of the lock: their code is the program's.
        drop(rest);
        self.outcome.send_replace(Some(outcome));
    }
}
