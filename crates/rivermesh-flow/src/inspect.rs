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

/// The lower half of a counter.
const LOWER: u64 = u32::MAX as u64;

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
        let items: u64 = (first..=current).map(|number| self.0.counted(number)).sum();
        // The slots before this one are whole, this one has just begun.
        let before = u128::from(first) * self.0.slot.as_nanos();
        let over = past.as_nanos().saturating_sub(before);
        if over == 0 {
            return 0.0;
        }
        items as f64 * 1e9 / over as f64
    }
}

impl Shared {
    fn number(&self, past: Duration) -> u64 {
        let number = past.as_nanos() / self.slot.as_nanos();
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    fn cell(&self, number: u64) -> Option<&AtomicU64> {
        self.counts.get((number % SLOTS) as usize)
    }

    /// How many items came in a slot, as far as its counter is not used for another by now.
    fn counted(&self, number: u64) -> u64 {
        let count = self
            .cell(number)
            .map_or(0, |cell| cell.load(Ordering::Relaxed));
        let same = count >> 32 == number & LOWER;
        if same { count & LOWER } else { 0 }
    }

    /// Only the operator writes, so nothing comes between reading a count and writing it.
    fn count(&self, now: Instant) {
        let Some(began) = self.began.get() else {
            return;
        };
        let number = self.number(now.saturating_duration_since(*began));
        let Some(cell) = self.cell(number) else {
            return;
        };
        let count = self.counted(number).saturating_add(1).min(LOWER);
        cell.store((number & LOWER) << 32 | count, Ordering::Relaxed);
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
