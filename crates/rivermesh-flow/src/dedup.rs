//! Leaving out what was there already.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    hash::Hash,
    time::Duration,
};

use tokio::time::Instant;

use crate::{operator::Operator, stats::Stats};

/// Settings of [`Dedup`].
#[derive(Clone, Debug)]
pub struct Config {
    window: Duration,
    max_keys: usize,
}

impl Config {
    /// How long a key is remembered after it was let through, by tokio's clock.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            max_keys: 65_536,
        }
    }

    /// How many keys are remembered, at least 1. Beyond that the oldest is forgotten early, and
    /// counted in [`Dedup::forgotten`]. Default 65,536.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys.max(1);
        self
    }
}

/// Leaves out items with a key that was let through within the window before.
///
/// Memory: `max_keys` keys, twice. Cancelling a wait loses nothing.
pub struct Dedup<T, K, FK> {
    config: Config,
    key: FK,
    seen: HashSet<K>,
    /// The same keys with when they were let through, in this order.
    order: VecDeque<(Instant, K)>,
    forgotten: u64,
    out: Option<T>,
    stats: Stats,
}

impl<T, K: Hash + Eq + Clone, FK: Fn(&T) -> K> Dedup<T, K, FK> {
    /// Leaves out repetitions of a `key`.
    pub fn new(key: FK, config: Config) -> Self {
        Self {
            config,
            key,
            seen: HashSet::new(),
            order: VecDeque::new(),
            forgotten: 0,
            out: None,
            stats: Stats::default(),
        }
    }

    /// How many keys were forgotten before their time, for want of room. Repetitions of those were
    /// not seen as such.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.order.front()
            && now.saturating_duration_since(*at) >= self.config.window
        {
            if let Some((_, key)) = self.order.pop_front() {
                self.seen.remove(&key);
            }
        }
    }
}

impl<T, K: Hash + Eq + Clone, FK: Fn(&T) -> K> Operator<T> for Dedup<T, K, FK> {
    type Out = T;

    fn push(&mut self, item: T, now: Instant) {
        self.stats.taken += 1;
        self.forget(now);
        let key = (self.key)(&item);
        if self.seen.contains(&key) {
            self.stats.duplicates += 1;
            return;
        }
        if self.order.len() >= self.config.max_keys
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
            self.forgotten += 1;
        }
        self.seen.insert(key.clone());
        self.order.push_back((now, key));
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

impl<T, K, FK> fmt::Debug for Dedup<T, K, FK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedup")
            .field("config", &self.config)
            .field("keys", &self.seen.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
