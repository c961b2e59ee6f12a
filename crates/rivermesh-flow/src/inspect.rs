//! How fast items come, seen while they pass.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{operator::Operator, stats::Stats};

/// The window is counted in so many slots.
const SLOTS: u64 = 10;

/// Passes items through and measures their rate, by tokio's clock.
///
/// Memory: ten counters. Cancelling a wait loses nothing.
#[derive(Debug)]
pub struct InspectRate<T> {
    shared: Arc<Shared>,
    out: Option<T>,
    stats: Stats,
}

/// Reads the rate of an [`InspectRate`], also while it runs in another task.
#[derive(Clone, Debug)]
pub struct RateReader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slot: Duration,
    began: OnceLock<Instant>,
    /// Each the number of a slot in the upper half, and how many items came in it in the lower.
    counts: [AtomicU64; SLOTS as usize],
}

impl<T> InspectRate<T> {
    /// Measures over the last `window`, at least 10 ms.
    pub fn new(window: Duration) -> Self {
        let slot = window.max(Duration::from_millis(10)) / SLOTS as u32;
        Self {
            shared: Arc::new(Shared {
                slot,
                began: OnceLock::new(),
                counts: Default::default(),
            }),
            out: None,
            stats: Stats::default(),
        }
    }

    /// What reads the rate.
    pub fn reader(&self) -> RateReader {
        RateReader(Arc::clone(&self.shared))
    }
}

impl RateReader {
    /// Items per second over the window until now; over less if it began later.
    pub fn per_second(&self) -> f64 {
        let Some(began) = self.0.began.get() else {
            return 0.0;
        };
        let past = Instant::now().saturating_duration_since(*began);
        let current = self.0.number(past);
        let first = current.saturating_sub(SLOTS - 1);
        let counts = self
            .0
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let recent = counts.filter(|count| (first..=current).contains(&(count >> 32)));
        let items: u64 = recent.map(|count| count & u64::from(u32::MAX)).sum();
        // The slots before this one are whole, this one has just begun.
        let over = past.saturating_sub(self.0.slot * u32::try_from(first).unwrap_or(u32::MAX));
        if over.is_zero() {
            return 0.0;
        }
        items as f64 / over.as_secs_f64()
    }
}

impl Shared {
    fn number(&self, past: Duration) -> u64 {
        let number = past.as_nanos() / self.slot.as_nanos();
        u64::try_from(number).unwrap_or(u64::MAX) & u64::from(u32::MAX)
    }

    /// Only the operator writes, so nothing comes between reading a count and writing it.
    fn count(&self, now: Instant) {
        let Some(began) = self.began.get() else {
            return;
        };
        let number = self.number(now.saturating_duration_since(*began));
        let Some(cell) = self.counts.get((number % SLOTS) as usize) else {
            return;
        };
        let before = cell.load(Ordering::Relaxed);
        let fresh = before >> 32 == number && before & u64::from(u32::MAX) < u64::from(u32::MAX);
        let after = if fresh { before + 1 } else { number << 32 | 1 };
        cell.store(after, Ordering::Relaxed);
    }
}

impl<T> Operator<T> for InspectRate<T> {
    type Out = T;

    fn start(&mut self, now: Instant) {
        // Started once only; a second start would change nothing.
        let _ = self.shared.began.set(now);
    }

    fn push(&mut self, item: T, now: Instant) {
        self.stats.taken += 1;
        self.shared.count(now);
        self.out = Some(item);
    }

    fn pull(&mut self) -> Option<T> {
        let item = self.out.take()?;
        self.stats.emitted += 1;
        Some(item)
    }

    fn end(&mut self) {}

    fn stats(&self) -> Stats {
        Stats {
            buffered: u64::from(self.out.is_some()),
            ..self.stats
        }
    }
}
