//! The newest item, every so often.

use std::time::Duration;

use tokio::time::Instant;

use crate::{operator::Operator, stats::Stats, time::timeout};

/// Emits the newest item at each multiple of a period since it was first asked, by tokio's clock, if
/// one has come since the last time; and at the end the one that has not been emitted.
///
/// Memory: one item. Cancelling a wait loses nothing; dropping it drops that item.
#[derive(Debug)]
pub struct Sample<T> {
    every: Duration,
    began: Option<Instant>,
    newest: Option<T>,
    /// When the newest item goes out.
    at: Option<Instant>,
    due: bool,
    stats: Stats,
}

impl<T> Sample<T> {
    /// A sample each `every`, at least 1 ms (tokio's timers are not finer).
    pub fn new(every: Duration) -> Self {
        Self {
            every: timeout(every.max(Duration::from_millis(1))),
            began: None,
            newest: None,
            at: None,
            due: false,
            stats: Stats::default(),
        }
    }

    /// The next multiple of the period after `now`.
    fn next(&self, now: Instant) -> Instant {
        let began = self.began.unwrap_or(now);
        let past = now.saturating_duration_since(began).as_nanos();
        let rest = self.every.as_nanos() - past % self.every.as_nanos();
        now + Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
    }
}

impl<T> Operator<T> for Sample<T> {
    type Out = T;

    fn start(&mut self, now: Instant) {
        self.began = Some(now);
    }

    fn push(&mut self, item: T, now: Instant) {
        self.stats.taken += 1;
        if self.newest.replace(item).is_some() {
            self.stats.dropped += 1;
        } else {
            self.at = Some(self.next(now));
        }
    }

    fn pull(&mut self) -> Option<T> {
        if !std::mem::take(&mut self.due) {
            return None;
        }
        let item = self.newest.take()?;
        self.at = None;
        self.stats.emitted += 1;
        Some(item)
    }

    fn end(&mut self) {
        self.due = true;
    }

    fn deadline(&self) -> Option<Instant> {
        self.at
    }

    fn tick(&mut self, now: Instant) {
        self.due = self.at.is_some_and(|at| at <= now);
    }

    fn stats(&self) -> Stats {
        Stats {
            buffered: u64::from(self.newest.is_some()),
            ..self.stats
        }
    }
}
