//! Outputs as the program sees them: settings, handle, outcome.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use super::core::{Core, Finish};
use crate::{queue::Full, stats::Stats};

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
    pub(super) capacity: usize,
    pub(super) full: Full,
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
        self.core.id()
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
            owner.unfeed(self.core.id());
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
            .field("id", &self.core.id())
            .field("stats", &self.stats())
            .field("outcome", &self.outcome())
            .finish()
    }
}
