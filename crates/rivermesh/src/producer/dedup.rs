//! Which keys were sent a short while ago.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rivermesh_proto::Seq;

/// Bytes that a key costs beside its own: its places in the map and in the queue, the room
/// that these keep free, and what allocating costs; about, and rather too many.
const KEY_BYTES: usize = 160;

/// Drops items whose key was sent a short while ago. See
/// [`Builder::dedup`](super::Builder::dedup).
#[derive(Clone, Debug)]
#[must_use]
pub struct Dedup {
    window: Duration,
    max_keys: usize,
    key_bytes: usize,
}

impl Dedup {
    /// Drops an item whose key was sent within this time before it. What is dropped does not make
    /// the time longer.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            max_keys: 65_536,
            key_bytes: 16 * 1024 * 1024,
        }
    }

    /// Keys that are remembered, at least 1. Beyond that the oldest is forgotten early, and counted
    /// in [`Stats::duplicates_forgotten`](super::Stats::duplicates_forgotten). Default 65,536.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys.max(1);
        self
    }

    /// Bytes that the keys may take, about 160 beside its own for each; at that bound as at the
    /// other. Default 16 MiB. One key is always remembered.
    pub fn key_bytes(mut self, bytes: usize) -> Self {
        self.key_bytes = bytes;
        self
    }
}

impl From<Duration> for Dedup {
    fn from(window: Duration) -> Self {
        Self::new(window)
    }
}

/// What a stream knows of duplicates.
#[derive(Debug)]
pub(super) struct Duplicates {
    /// `None` where none are dropped.
    recent: Option<Mutex<Recent>>,
    begun: Instant,
    dropped: AtomicU64,
    metric: metrics::Counter,
}

impl Duplicates {
    pub(super) fn new(config: Option<Dedup>, stream: &str) -> Self {
        let stream = stream.to_owned();
        Self {
            recent: config.map(Recent::new).map(Mutex::new),
            begun: Instant::now(),
            dropped: AtomicU64::new(0),
            metric: metrics::counter!("rivermesh_items_duplicate_total", "stream" => stream),
        }
    }

    /// Whether items are dropped whose key was sent a short while ago.
    #[inline]
    pub(super) fn are_dropped(&self) -> bool {
        self.recent.is_some()
    }

    /// Sends an item of this key, unless one was sent a short while ago. Gives its number and its
    /// bytes; the number of the one that was sent, and none, where it is dropped.
    pub(super) fn send_once<E>(
        &self,
        key: &[u8],
        send: impl FnOnce() -> Result<(Seq, usize), E>,
    ) -> Result<(Seq, usize), E> {
        let Some(recent) = &self.recent else {
            return send();
        };
        // Held while the item is sent: another handle may be sending the same key.
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: it must not fall.
        let now = self.begun.elapsed();
        if let Some(seq) = recent.find(key, now) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.metric.increment(1);
            return Ok((seq, 0));
        }
        let (seq, bytes) = send()?;
        recent.note(key, seq, now);
        Ok((seq, bytes))
    }

    /// How many items were dropped, and how many keys forgotten before their time.
    pub(super) fn count(&self) -> (u64, u64) {
        let recent = self.recent.as_ref();
        let forgotten = recent.map_or(0, |recent| {
            let recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.forgotten
        });
        (self.dropped.load(Ordering::Relaxed), forgotten)
    }
}

/// The keys that were sent within the window. Time comes in as an argument, and does not fall.
#[derive(Debug)]
struct Recent {
    config: Dedup,
    sent: HashMap<Arc<[u8]>, Seq>,
    /// The same keys with when they were sent, in this order.
    order: VecDeque<(Duration, Arc<[u8]>)>,
    bytes: usize,
    forgotten: u64,
}

impl Recent {
    fn new(config: Dedup) -> Self {
        Self {
            config,
            sent: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            forgotten: 0,
        }
    }

    /// The number of the item with this key that was sent within the window.
    fn find(&mut self, key: &[u8], now: Duration) -> Option<Seq> {
        while let Some((at, _)) = self.order.front()
            && now.saturating_sub(*at) >= self.config.window
        {
            self.pop();
        }
        self.sent.get(key).copied()
    }

    /// Notes that an item was sent whose key [`find`](Self::find) has just not found.
    fn note(&mut self, key: &[u8], seq: Seq, now: Duration) {
        let cost = key.len() + KEY_BYTES;
        while !self.order.is_empty()
            && (self.order.len() >= self.config.max_keys
                || self.bytes + cost > self.config.key_bytes)
        {
            self.pop();
            self.forgotten += 1;
        }
        let key: Arc<[u8]> = key.into();
        self.bytes += cost;
        self.order.push_back((now, Arc::clone(&key)));
        self.sent.insert(key, seq);
    }

    fn pop(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.bytes -= key.len() + KEY_BYTES;
            self.sent.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: u64 = 10;

    fn recent(max_keys: usize, key_bytes: usize) -> Recent {
        let window = Duration::from_millis(WINDOW);
        Recent::new(Dedup::new(window).max_keys(max_keys).key_bytes(key_bytes))
    }

    proptest! {
        /// What is dropped is what a list of all that was sent says, as long as there is room.
        #[test]
        fn equals_a_naive_model(
            ops in prop::collection::vec((0u8..6, 0u64..6), 1..200),
            max_keys in 1usize..8,
        ) {
            let mut recent = recent(max_keys, 1 << 20);
            let mut sent: Vec<(u64, u8, Seq)> = Vec::new();
            let mut now = 0;
            for (key, wait) in ops {
                now += wait;
                let at = Duration::from_millis(now);
                let known = |(when, other, _): &&(u64, u8, Seq)| *other == key && now - when < WINDOW;
                // Only the newest keys are remembered.
                let expected = sent.iter().rev().take(max_keys).find(known).map(|found| found.2);
                let found = recent.find(&[key], at);
                prop_assert_eq!(found, expected);
                if found.is_none() {
                    let seq = sent.len() as Seq;
                    recent.note(&[key], seq, at);
                    sent.push((now, key, seq));
                }
                prop_assert!(recent.order.len() <= max_keys);
                prop_assert_eq!(recent.order.len(), recent.sent.len());
            }
        }
    }

    #[test]
    fn bytes_are_bounded_and_what_is_forgotten_is_counted() {
        let mut recent = recent(1000, 10 * (KEY_BYTES + 2));
        for n in 0..100u16 {
            assert_eq!(recent.find(&n.to_le_bytes(), Duration::ZERO), None);
            recent.note(&n.to_le_bytes(), n.into(), Duration::ZERO);
            assert!(recent.bytes <= 10 * (KEY_BYTES + 2));
        }
        assert_eq!((recent.order.len(), recent.forgotten), (10, 90));
        // One that alone is over the bound is remembered.
        recent.note(&[7; 5000], 100, Duration::ZERO);
        assert_eq!(recent.find(&[7; 5000], Duration::ZERO), Some(100));
        assert_eq!(recent.order.len(), 1);
        let later = Duration::from_millis(WINDOW);
        assert_eq!(recent.find(&[7; 5000], later), None);
        assert_eq!(recent.bytes, 0);
    }
}
