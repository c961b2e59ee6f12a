//! What all kinds of windows do with an item first: whose it is, when it happened, how far that
//! brings the watermark.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::Hash,
    time::Duration,
};

use tokio::time::Instant;

use super::watermark::Watermarks;
use crate::{side::Side, stats::Stats, time::EventTime};

/// The keys that are known, each with a number, in the order in which they became known.
#[derive(Debug)]
pub(super) struct Keys<K> {
    numbers: HashMap<K, usize>,
    keys: Vec<K>,
    max: usize,
}

impl<K: Hash + Eq + Clone> Keys<K> {
    fn new(max: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            keys: Vec::new(),
            max: max.max(1),
        }
    }

    /// The key's number; `None` if it is new and there is no room.
    fn number(&mut self, key: K) -> Option<usize> {
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        if self.keys.len() >= self.max {
            return None;
        }
        let number = self.keys.len();
        self.keys.push(key.clone());
        self.numbers.insert(key, number);
        Some(number)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys by their names, in the order of their numbers.
    pub(super) fn named<A>(&self, states: BTreeMap<usize, A>) -> Vec<(K, A)> {
        let states = states.into_iter();
        let named = states.filter_map(|(number, state)| Some((self.get(number)?.clone(), state)));
        named.collect()
    }

    pub(super) fn get(&self, number: usize) -> Option<&K> {
        self.keys.get(number)
    }

    /// The known keys for which `has` says no.
    pub(super) fn without(&self, has: impl Fn(usize) -> bool) -> Vec<K> {
        let numbered = self.keys.iter().enumerate();
        let missing = numbered.filter(|(number, _)| !has(*number));
        missing.map(|(_, key)| key.clone()).collect()
    }
}

/// Whose items move the watermark.
enum Sources<T> {
    /// Each key is a source.
    Keys,
    /// All items come from one source.
    One,
    /// A function gives the number of the source; `None` if there are too many.
    By { number: Number<T>, declared: usize },
}

type Number<T> = Box<dyn FnMut(&T) -> Option<usize> + Send>;

type Of<T, A> = Box<dyn Fn(&T) -> A + Send>;

pub(super) struct Intake<T, K> {
    key: Of<T, K>,
    time: Of<T, EventTime>,
    sources: Sources<T>,
    pub(super) keys: Keys<K>,
    pub(super) marks: Watermarks,
    pub(super) late: Side<T>,
    /// Items that came too late since the last window.
    pub(super) too_late: u64,
    pub(super) stats: Stats,
}

/// What the intake says of an item.
pub(super) struct Taken {
    pub(super) time: EventTime,
    pub(super) key: usize,
    source: Option<usize>,
}

impl<T, K: Hash + Eq + Clone> Intake<T, K> {
    pub(super) fn new(
        key: Of<T, K>,
        time: Of<T, EventTime>,
        max_keys: usize,
        slack: Duration,
        idle: Option<Duration>,
    ) -> Self {
        Self {
            key,
            time,
            sources: Sources::Keys,
            keys: Keys::new(max_keys),
            marks: Watermarks::new(slack, idle),
            late: Side::none(),
            too_late: 0,
            stats: Stats::default(),
        }
    }

    /// Keys that are known from the beginning, as far as there is room.
    pub(super) fn know(&mut self, keys: impl IntoIterator<Item = K>) {
        for key in keys {
            self.keys.number(key);
        }
    }

    pub(super) fn one_source(&mut self) {
        self.sources = Sources::One;
    }

    pub(super) fn sources_by<S, F>(&mut self, source: F, declared: impl IntoIterator<Item = S>)
    where
        S: Hash + Eq + Clone + Send + 'static,
        F: Fn(&T) -> S + Send + 'static,
    {
        let mut sources = Keys::new(self.keys.max);
        for source in declared {
            sources.number(source);
        }
        self.sources = Sources::By {
            declared: sources.len(),
            number: Box::new(move |item| sources.number(source(item))),
        };
    }

    /// Sources that are known wait from now on for their first item.
    pub(super) fn start(&mut self, now: Instant) {
        let count = match &self.sources {
            Sources::Keys => self.keys.len(),
            Sources::One => 1,
            Sources::By { declared, .. } => *declared,
        };
        self.add_sources(count, now);
        self.marks.start(now);
    }

    fn add_sources(&mut self, count: usize, now: Instant) {
        while self.marks.len() < count {
            self.marks.add(now);
        }
    }

    /// `None` if the item's key is new and there is no room for it; it is counted as dropped.
    pub(super) fn take(&mut self, item: &T) -> Option<Taken> {
        let (key, time) = ((self.key)(item), (self.time)(item));
        let Some(key) = self.keys.number(key) else {
            self.stats.taken += 1;
            self.stats.dropped += 1;
            return None;
        };
        let source = match &mut self.sources {
            Sources::Keys => Some(key),
            Sources::One => Some(0),
            Sources::By { number, .. } => number(item),
        };
        Some(Taken { time, key, source })
    }

    /// The item has been put in its place; now it may move the watermark. Says whether it did.
    pub(super) fn observe(&mut self, taken: &Taken, now: Instant) -> bool {
        let Some(source) = taken.source else {
            return false;
        };
        self.add_sources(source + 1, now);
        self.marks.observe(source, taken.time, now)
    }
}

impl<T, K> fmt::Debug for Intake<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("marks", &self.marks)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
