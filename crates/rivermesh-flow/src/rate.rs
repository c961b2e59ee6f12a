//! Not more than so many: throttling and limiting rates by key.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{aging::Aging, operator::Operator, stats::Stats, time::timeout};

/// What happens to an item that comes too soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooSoon {
    /// It is dropped and counted. The default.
    #[default]
    Drop,
    /// It waits, and all items behind it too, whatever their key: the input is paced.
    Wait,
}

/// Settings of [`RateLimit`].
#[derive(Clone, Debug)]
pub struct Config {
    every: Duration,
    burst: u32,
    too_soon: TooSoon,
    max_keys: usize,
}

impl Config {
    /// One item of each key in this time (at least 1 ns), in the long run.
    pub fn every(every: Duration) -> Self {
        Self {
            every: timeout(every.max(Duration::from_nanos(1))),
            burst: 1,
            too_soon: TooSoon::default(),
            max_keys: 65_536,
        }
    }

    /// So many items of each key in a second (at least 1), in the long run.
    pub fn per_second(items: u32) -> Self {
        Self::every(Duration::from_secs(1) / items.max(1))
    }

    /// How many items of a key may come at once after it has been quiet, at least 1. Default 1.
    pub fn burst(mut self, items: u32) -> Self {
        self.burst = items.max(1);
        self
    }

    /// What happens to an item that comes too soon.
    pub fn too_soon(mut self, too_soon: TooSoon) -> Self {
        self.too_soon = too_soon;
        self
    }

    /// How many keys are known at once, at least 1. A key is forgotten once it could send a whole
    /// burst again, which changes nothing for it. While none can be forgotten, an item of a new key
    /// counts as too soon. Default 65,536.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys.max(1);
        self
    }
}

/// Lets through so many items of each key, by tokio's clock, and no more.
///
/// The generic cell rate algorithm: a bucket of `burst` tokens for each key, one more each `every`.
///
/// Memory: a time for each of `max_keys` keys, and one item that waits. Cancelling a wait loses
/// nothing; dropping it drops the item that waits.
pub struct RateLimit<T, K, FK> {
    config: Config,
    key: FK,
    /// When each key's bucket is full again.
    full_at: HashMap<K, Instant>,
    by_full_at: Aging<K, Instant>,
    /// An item that has been taken, and when it may go out.
    held: Option<Held<T, K>>,
    out: Option<T>,
    stats: Stats,
}

struct Held<T, K> {
    item: T,
    key: K,
    at: Instant,
}

impl<T, K: Hash + Eq + Clone, FK: Fn(&T) -> K> RateLimit<T, K, FK> {
    /// Limits the rate of each `key`.
    pub fn new(key: FK, config: Config) -> Self {
        Self {
            config,
            key,
            full_at: HashMap::new(),
            by_full_at: Aging::new(),
            held: None,
            out: None,
            stats: Stats::default(),
        }
    }

    /// Takes a token of the key, or says when there will be one.
    fn admit(&mut self, key: &K, now: Instant) -> Result<(), Instant> {
        let tolerance = timeout(self.config.every.saturating_mul(self.config.burst - 1));
        if let Some(full_at) = self.full_at.get_mut(key) {
            if *full_at > now + tolerance {
                return Err(*full_at - tolerance);
            }
            *full_at = (*full_at).max(now) + self.config.every;
            return Ok(());
        }
        while self.full_at.len() >= self.config.max_keys {
            let full_at = &self.full_at;
            match self.by_full_at.oldest(|key| full_at.get(key).copied()) {
                Some((_, at)) if at > now => return Err(at),
                Some(_) => {
                    let forgotten = self.by_full_at.pop();
                    forgotten.and_then(|key| self.full_at.remove(&key));
                }
                None => break,
            }
        }
        let at = now + self.config.every;
        self.full_at.insert(key.clone(), at);
        self.by_full_at.add(key.clone(), at);
        Ok(())
    }

    fn offer(&mut self, item: T, key: K, now: Instant) {
        match self.admit(&key, now) {
            Ok(()) => self.out = Some(item),
            Err(at) if self.config.too_soon == TooSoon::Wait => {
                self.held = Some(Held { item, key, at });
            }
            Err(_) => self.stats.dropped += 1,
        }
    }
}

impl<T, K: Hash + Eq + Clone, FK: Fn(&T) -> K> Operator<T> for RateLimit<T, K, FK> {
    type Out = T;

    fn push(&mut self, item: T, now: Instant) {
        self.stats.taken += 1;
        let key = (self.key)(&item);
        self.offer(item, key, now);
    }

    fn pull(&mut self) -> Option<T> {
        let item = self.out.take()?;
        self.stats.emitted += 1;
        Some(item)
    }

    /// The input is not read while an item waits, so none waits at its end.
    fn end(&mut self) {}

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        match self.held {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.at)
    }

    fn tick(&mut self, now: Instant) {
        if let Some(held) = self.held.take_if(|held| held.at <= now) {
            self.offer(held.item, held.key, now);
        }
    }

    fn stats(&self) -> Stats {
        let held = usize::from(self.held.is_some()) + usize::from(self.out.is_some());
        Stats {
            buffered: held as u64,
            ..self.stats
        }
    }
}

impl<T, K, FK> fmt::Debug for RateLimit<T, K, FK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("config", &self.config)
            .field("keys", &self.full_at.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
