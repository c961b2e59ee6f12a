//! Several items at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::{operator::Operator, stats::Stats};

/// Emits up to `n` items at once: when there are `n`, when the first of them has waited for `after`
/// by tokio's clock, or when the input ends.
///
/// Memory: `n` items. Cancelling a wait loses nothing; dropping it drops the unfinished batch.
#[derive(Debug)]
pub struct Batch<T> {
    n: usize,
    after: Duration,
    items: Vec<T>,
    at: Option<Instant>,
    due: bool,
    stats: Stats,
}

impl<T> Batch<T> {
    /// Batches of `n` (at least 1), or fewer if they would wait longer than `after`.
    pub fn new(n: usize, after: Duration) -> Self {
        Self {
            n: n.max(1),
            after,
            items: Vec::new(),
            at: None,
            due: false,
            stats: Stats::default(),
        }
    }
}

impl<T> Operator<T> for Batch<T> {
    type Out = Vec<T>;

    fn push(&mut self, item: T, now: Instant) {
        self.stats.taken += 1;
        self.items.push(item);
        if self.items.len() == 1 {
            self.at = now.checked_add(self.after);
        }
        self.due = self.items.len() >= self.n;
    }

    fn pull(&mut self) -> Option<Vec<T>> {
        if !std::mem::take(&mut self.due) || self.items.is_empty() {
            return None;
        }
        self.at = None;
        self.stats.emitted += self.items.len() as u64;
        // The next one is probably as large, so it need not grow step by step.
        let next = Vec::with_capacity(self.items.len());
        Some(std::mem::replace(&mut self.items, next))
    }

    fn end(&mut self) {
        self.due = true;
    }

    fn deadline(&self) -> Option<Instant> {
        self.at
    }

    fn tick(&mut self, now: Instant) {
        self.due |= self.at.is_some_and(|at| at <= now);
    }

    fn stats(&self) -> Stats {
        Stats {
            buffered: self.items.len() as u64,
            ..self.stats
        }
    }
}
