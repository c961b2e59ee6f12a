//! Snapshots of the world: the newest item of every known key, as of a time.

use std::{
    fmt,
    hash::Hash,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{Config, Fired, Newest, Windows};
use crate::{operator::Operator, stats::Stats, time::EventTime};

/// The newest item of every known key, as of a time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot<K, T> {
    /// The time as of which it holds.
    pub at: EventTime,
    /// The newest item of each key that is not newer than `at`, in the order in which keys became
    /// known.
    pub items: Vec<(K, T)>,
    /// The known keys that have none, or none that is recent enough.
    pub missing: Vec<K>,
    /// How many items came after the watermark had passed the time at which they would have been
    /// seen first.
    pub late: u64,
    /// How many snapshots were left out before this one, because nothing had come in between.
    pub gap: u64,
    /// Why it came now.
    pub fired: Fired,
}

/// Emits a snapshot of the world at each multiple of a distance in event time.
///
/// A snapshot is complete as far as the watermark knows. An item that comes after the snapshot in
/// which it belongs is in the next one, if it is still the newest of its key; so nothing is too
/// late here.
///
/// In [`Stats`], an item is emitted when the first snapshot is out that could have it; whether it
/// was shown depends on whether it was the newest.
///
/// Memory: an item for each of `max_keys` keys in each of at most `max_windows` snapshots that are
/// not over, and one more per key. Cancelling a wait loses nothing.
pub struct Snapshots<T: Clone, K> {
    ticks: Windows<T, K, Newest>,
    world: Vec<Option<(EventTime, T)>>,
    max_age: Option<Duration>,
}

impl<T: Clone, K: Hash + Eq + Clone> Snapshots<T, K> {
    /// A snapshot at each multiple of `every` (at least 1 µs).
    pub fn new<FK, FT>(every: Duration, config: Config, key: FK, time: FT) -> Self
    where
        FK: Fn(&T) -> K + Send + 'static,
        FT: Fn(&T) -> EventTime + Send + 'static,
    {
        // An item of the very time of a snapshot is in it, so windows end just after it.
        let ticks = Windows::tumbling(every, config, key, time, Newest);
        Self {
            ticks: ticks.offset(Duration::from_micros(1)).carry(),
            world: Vec::new(),
            max_age: None,
        }
    }

    /// Keys that are known before their first item; see [`Windows::known`].
    pub fn known(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.ticks = self.ticks.known(keys);
        self
    }

    /// All items come from one source. By default each key is a source of its own.
    pub fn one_source(mut self) -> Self {
        self.ticks = self.ticks.one_source();
        self
    }

    /// What tells sources apart; see [`Windows::sources`].
    pub fn sources<S, FS>(mut self, source: FS, known: impl IntoIterator<Item = S>) -> Self
    where
        S: Hash + Eq + Clone + Send + 'static,
        FS: Fn(&T) -> S + Send + 'static,
    {
        self.ticks = self.ticks.sources(source, known);
        self
    }

    /// A key whose newest item is older than this, as of the snapshot, is missing. Default: no
    /// bound.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

impl<T: Clone, K: Hash + Eq + Clone> Operator<T> for Snapshots<T, K> {
    type Out = Snapshot<K, T>;

    fn start(&mut self, now: Instant) {
        self.ticks.start(now);
    }

    fn push(&mut self, item: T, now: Instant) {
        self.ticks.push(item, now);
    }

    fn pull(&mut self) -> Option<Self::Out> {
        let closed = self.ticks.pull_closed()?;
        let at = closed.end.minus(Duration::from_micros(1));
        let keys = &self.ticks.intake().keys;
        self.world.resize_with(keys.len(), || None);
        for (number, newest) in closed.states {
            if let Some(seen) = self.world.get_mut(number)
                && seen.as_ref().map(|(time, _)| *time) <= newest.as_ref().map(|(time, _)| *time)
            {
                *seen = newest;
            }
        }
        let oldest = self.max_age.map_or(EventTime::MIN, |age| at.minus(age));
        let shown = |number: usize| {
            let seen = self.world.get(number)?.as_ref();
            seen.filter(|(time, _)| *time >= oldest)
        };
        let items = (0..keys.len())
            .filter_map(|number| Some((keys.get(number)?.clone(), shown(number)?.1.clone())));
        Some(Snapshot {
            at,
            items: items.collect(),
            missing: keys.without(|number| shown(number).is_some()),
            late: closed.late,
            gap: closed.gap,
            fired: closed.fired,
        })
    }

    fn end(&mut self) {
        self.ticks.end();
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ticks.poll_ready(cx)
    }

    fn deadline(&self) -> Option<Instant> {
        self.ticks.deadline()
    }

    fn tick(&mut self, now: Instant) {
        self.ticks.tick(now);
    }

    fn uses_clock(&self) -> bool {
        self.ticks.uses_clock()
    }

    fn stats(&self) -> Stats {
        self.ticks.stats()
    }
}

impl<T: Clone, K> fmt::Debug for Snapshots<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots")
            .field("ticks", &self.ticks)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}
