//! Putting items in event-time order, key by key.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, btree_map::Entry, hash_map},
    fmt,
    hash::Hash,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    aging::Aging,
    operator::Operator,
    side::Side,
    stats::Stats,
    time::{EventTime, timeout},
};

/// What happens when an item has come and there is no room for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest item of the key that has just come is emitted before its time; if that key has
    /// none, the oldest of all. Nothing is lost, but what is older and comes after it is late.
    /// The default.
    #[default]
    Release,
    /// The same item goes to the late output instead, and is counted as dropped.
    Evict,
    /// The input is left unread: for at most this long, or until a quiet key is flushed. Then an
    /// item is emitted, as with `Release`.
    Wait(Duration),
}

/// Settings of [`Reorder`].
#[derive(Clone, Debug)]
pub struct Config {
    lateness: Duration,
    idle: Option<Duration>,
    max_keys: usize,
    max_items: usize,
    max_items_per_key: usize,
    remember: usize,
    when_full: WhenFull,
}

impl Config {
    /// How far behind the newest item of its key an item may come and still be put in order. It is
    /// also how long, in event time, each item is held back.
    pub fn new(lateness: Duration) -> Self {
        Self {
            lateness,
            idle: None,
            max_keys: 4096,
            max_items: 65_536,
            max_items_per_key: 1024,
            remember: 64,
            when_full: WhenFull::default(),
        }
    }

    /// Emits what is held of a key of which nothing has come for this long, by tokio's clock.
    /// Default: never, so that the last items of a key wait for its next one or the end.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(timeout(idle));
        self
    }

    /// How many keys are known at once, at least 1. A new one beyond that takes the place of the
    /// one that has been quiet the longest: its items are emitted, and its past is forgotten.
    /// Default 4096.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys.max(1);
        self
    }

    /// How many items are held in all, at least 1. Default 65,536.
    pub fn max_items(mut self, items: usize) -> Self {
        self.max_items = items.max(1);
        self
    }

    /// How many items of one key are held, at least 1. Default 1024.
    pub fn max_items_per_key(mut self, items: usize) -> Self {
        self.max_items_per_key = items.max(1);
        self
    }

    /// How many times of emitted items are remembered per key, at least 1, to tell a duplicate from
    /// an item that is merely late. 8 bytes each. Default 64.
    pub fn remember(mut self, times: usize) -> Self {
        self.remember = times.max(1);
        self
    }

    /// What happens when a bound on items is reached.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = match when_full {
            WhenFull::Wait(at_most) => WhenFull::Wait(timeout(at_most)),
            other => other,
        };
        self
    }
}

/// Emits the items of each key in the order of their event time.
///
/// An item is held until one of the same key has come that is newer by the lateness, or the key has
/// been quiet, or the input ends. An item with the key and time of another is a duplicate, and the
/// first one counts. One that is older than the last emitted of its key is late: it goes to the
/// late output. Keys are independent of each other.
///
/// Memory: at most `max_items` items, `max_items_per_key` of one key, and `remember` times of each
/// of `max_keys` keys. Cancelling a wait loses nothing; dropping it drops the held items.
pub struct Reorder<T, K, FK, FT> {
    config: Config,
    key: FK,
    time: FT,
    lanes: HashMap<K, Lane<T>>,
    /// Items that are in order and not yet pulled.
    ready: VecDeque<T>,
    late: Side<T>,
    /// Items in lanes.
    held: usize,
    /// Counts items, for who has been quiet the longest.
    turn: u64,
    by_turn: Aging<K, u64>,
    /// Keys with held items, by the clock; only with `idle`.
    by_clock: Aging<K, Instant>,
    /// Full under `Wait`: the key at which that was seen, and until when the input waits.
    full: Option<(K, Instant)>,
    stats: Stats,
}

/// The items of one key.
#[derive(Debug)]
struct Lane<T> {
    held: BTreeMap<EventTime, T>,
    newest: EventTime,
    /// Times of the last emitted items, in order; the last of them is where emission stands.
    emitted: VecDeque<EventTime>,
    turn: u64,
    heard: Instant,
    /// Whether it stands in `by_clock`.
    aging: bool,
}

impl<T, K, FK, FT> Reorder<T, K, FK, FT>
where
    K: Hash + Eq + Clone,
    FK: Fn(&T) -> K,
    FT: Fn(&T) -> EventTime,
{
    /// Orders by `time` the items of each `key`.
    pub fn new(key: FK, time: FT, config: Config) -> Self {
        Self {
            config,
            key,
            time,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            late: Side::none(),
            held: 0,
            turn: 0,
            by_turn: Aging::new(),
            by_clock: Aging::new(),
            full: None,
            stats: Stats::default(),
        }
    }

    /// Sends late and evicted items there. Without it they are only counted.
    pub fn late_to(mut self, side: Side<T>) -> Self {
        self.late = side;
        self
    }

    fn retire_quietest(&mut self) {
        let lanes = &self.lanes;
        if self
            .by_turn
            .oldest(|key| Some(lanes.get(key)?.turn))
            .is_none()
        {
            return;
        }
        if let Some(mut lane) = self.by_turn.pop().and_then(|key| self.lanes.remove(&key)) {
            self.held -= lane.release(EventTime::MAX, self.config.remember, &mut self.ready);
        }
        // What retired lanes left there would else stay until its time has come.
        if self.by_clock.len() > 2 * self.config.max_keys {
            self.by_clock = Aging::new();
            for (key, lane) in self.lanes.iter().filter(|(_, lane)| lane.aging) {
                self.by_clock.add(key.clone(), lane.heard);
            }
        }
    }

    /// Makes room by one item, at `key` if it has any. Gives the item.
    fn oldest_at(&mut self, key: &K) -> Option<T> {
        let fullest = match self.lanes.get_mut(key) {
            Some(lane) if !lane.held.is_empty() => lane,
            _ => {
                let held = self.lanes.values_mut().filter(|lane| !lane.held.is_empty());
                held.min_by_key(|lane| lane.held.first_key_value().map(|(time, _)| *time))?
            }
        };
        let (time, item) = fullest.held.pop_first()?;
        fullest.remember(time, self.config.remember);
        self.held -= 1;
        Some(item)
    }

    fn is_full(&self, key: &K, room: usize) -> bool {
        let at_key = self.lanes.get(key).map_or(0, |lane| lane.held.len());
        self.held + room > self.config.max_items || at_key + room > self.config.max_items_per_key
    }

    fn make_room(&mut self, key: K, now: Instant) {
        match self.config.when_full {
            WhenFull::Release if self.is_full(&key, 0) => {
                let item = self.oldest_at(&key);
                self.ready.extend(item);
            }
            WhenFull::Evict if self.is_full(&key, 0) => {
                if let Some(item) = self.oldest_at(&key) {
                    self.stats.dropped += 1;
                    self.late.put(item);
                }
            }
            WhenFull::Wait(at_most) if self.is_full(&key, 1) => {
                self.full = Some((key, now + at_most));
            }
            _ => {}
        }
    }

    /// Emits what quiet keys hold.
    fn flush_quiet(&mut self, idle: Duration, now: Instant) {
        loop {
            let lanes = &self.lanes;
            let heard = |key: &K| {
                lanes
                    .get(key)
                    .filter(|lane| lane.aging)
                    .map(|lane| lane.heard)
            };
            match self.by_clock.oldest(heard) {
                Some((_, at)) if at + idle <= now => {}
                _ => return,
            }
            if let Some(lane) = self.by_clock.pop().and_then(|key| self.lanes.get_mut(&key)) {
                lane.aging = false;
                self.held -= lane.release(EventTime::MAX, self.config.remember, &mut self.ready);
            }
        }
    }
}

impl<T> Lane<T> {
    fn new(time: EventTime, now: Instant) -> Self {
        Self {
            held: BTreeMap::new(),
            newest: time,
            emitted: VecDeque::new(),
            turn: 0,
            heard: now,
            aging: false,
        }
    }

    /// Moves what is not newer than `until` to `ready`. Gives how many that were.
    fn release(&mut self, until: EventTime, remember: usize, ready: &mut VecDeque<T>) -> usize {
        let mut count = 0;
        while let Some(first) = self.held.first_entry()
            && *first.key() <= until
        {
            let (time, item) = first.remove_entry();
            self.remember(time, remember);
            ready.push_back(item);
            count += 1;
        }
        count
    }

    fn remember(&mut self, time: EventTime, at_most: usize) {
        if self.emitted.len() >= at_most {
            self.emitted.pop_front();
        }
        self.emitted.push_back(time);
    }

    /// Puts an item in its place, if it has one.
    fn insert(&mut self, time: EventTime, item: T) -> Inserted<T> {
        if self.emitted.back().is_some_and(|last| time <= *last) {
            return match self.emitted.binary_search(&time) {
                Ok(_) => Inserted::Duplicate,
                Err(_) => Inserted::Late(item),
            };
        }
        match self.held.entry(time) {
            Entry::Occupied(_) => return Inserted::Duplicate,
            Entry::Vacant(place) => place.insert(item),
        };
        self.newest = self.newest.max(time);
        Inserted::Held
    }
}

/// What became of an item.
enum Inserted<T> {
    Held,
    /// One of its time was emitted, or is held.
    Duplicate,
    /// A newer one was emitted.
    Late(T),
}

impl<T, K, FK, FT> Operator<T> for Reorder<T, K, FK, FT>
where
    K: Hash + Eq + Clone,
    FK: Fn(&T) -> K,
    FT: Fn(&T) -> EventTime,
{
    type Out = T;

    fn push(&mut self, item: T, now: Instant) {
        let (key, time) = ((self.key)(&item), (self.time)(&item));
        self.stats.taken += 1;
        self.turn += 1;
        if self.lanes.len() >= self.config.max_keys && !self.lanes.contains_key(&key) {
            self.retire_quietest();
        }
        let lane = match self.lanes.entry(key.clone()) {
            hash_map::Entry::Occupied(lane) => lane.into_mut(),
            hash_map::Entry::Vacant(place) => {
                self.by_turn.add(key.clone(), self.turn);
                place.insert(Lane::new(time, now))
            }
        };
        (lane.turn, lane.heard) = (self.turn, now);
        match lane.insert(time, item) {
            Inserted::Held => {}
            Inserted::Duplicate => {
                self.stats.duplicates += 1;
                return;
            }
            Inserted::Late(item) => {
                self.stats.late += 1;
                self.late.put(item);
                return;
            }
        }
        let until = lane.newest.minus(self.config.lateness);
        let released = lane.release(until, self.config.remember, &mut self.ready);
        if self.config.idle.is_some() && !lane.aging && !lane.held.is_empty() {
            lane.aging = true;
            self.by_clock.add(key.clone(), now);
        }
        self.held = self.held + 1 - released;
        // One more, so that an input that waits when it is full is looked at in time.
        if self.held + 1 > self.config.max_items
            || lane.held.len() + 1 > self.config.max_items_per_key
        {
            self.make_room(key, now);
        }
    }

    fn pull(&mut self) -> Option<T> {
        let item = self.ready.pop_front()?;
        self.stats.emitted += 1;
        Some(item)
    }

    /// What is held of all keys comes out in the order of time.
    fn end(&mut self) {
        let lanes = std::mem::take(&mut self.lanes);
        let mut rest: Vec<(EventTime, T)> =
            lanes.into_values().flat_map(|lane| lane.held).collect();
        rest.sort_by_key(|(time, _)| *time);
        self.ready.extend(rest.into_iter().map(|(_, item)| item));
        self.held = 0;
        self.full = None;
        // Nothing is late any more: the late output ends.
        self.late = Side::none();
        (self.by_turn, self.by_clock) = (Aging::new(), Aging::new());
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.full.is_some() {
            return Poll::Pending;
        }
        self.late.poll_room(cx)
    }

    fn deadline(&self) -> Option<Instant> {
        let quiet = self
            .config
            .idle
            .and_then(|idle| Some(self.by_clock.bound()? + idle));
        let full = self.full.as_ref().map(|(_, until)| *until);
        [quiet, full].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Instant) {
        if let Some(idle) = self.config.idle {
            self.flush_quiet(idle, now);
        }
        if let Some((key, until)) = self.full.take() {
            if self.is_full(&key, 1) && now < until {
                self.full = Some((key, until));
            } else if self.is_full(&key, 1) {
                let item = self.oldest_at(&key);
                self.ready.extend(item);
            }
        }
    }

    fn uses_clock(&self) -> bool {
        self.config.idle.is_some() || matches!(self.config.when_full, WhenFull::Wait(_))
    }

    fn stats(&self) -> Stats {
        let buffered = (self.held + self.ready.len()) as u64;
        Stats {
            buffered,
            ..self.stats
        }
    }
}

impl<T, K, FK, FT> fmt::Debug for Reorder<T, K, FK, FT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reorder")
            .field("config", &self.config)
            .field("keys", &self.lanes.len())
            .field("held", &self.held)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
