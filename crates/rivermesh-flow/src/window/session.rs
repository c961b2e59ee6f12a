//! Sessions: items that are not far from each other.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    hash::Hash,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{Config, Fired, Fold, Window, intake::Intake};
use crate::{operator::Operator, side::Side, stats::Stats, time::EventTime};

/// Whose items make a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each key has sessions of its own. No key can be missing in another's.
    PerKey,
    /// All keys together; the known keys that were silent are missing.
    Together,
}

/// Groups items into sessions: each is less than the gap from another of its session, in event
/// time. A session lasts from its first item to the gap after its last.
///
/// A session that is over is emitted once, sessions that are over at the same time by their end. An
/// item goes to the late output if the session that it would be in is over already.
///
/// Memory: at most `max_windows` open sessions with their states, those that wait to be pulled, and
/// the names of the known keys. Cancelling a wait loses nothing; dropping it drops the open sessions.
pub struct Sessions<T, K, F: Fold<T>> {
    gap: Duration,
    scope: Scope,
    config: Config,
    intake: Intake<T, K>,
    fold: F,
    open: BTreeMap<Place, Open<F::State>>,
    by_end: BTreeSet<(EventTime, Place)>,
    ready: VecDeque<Window<K, F::State>>,
    held: u64,
}

/// A group of keys (one key, or all) and the time of a session's first item.
type Place = (usize, EventTime);

struct Open<A> {
    end: EventTime,
    states: BTreeMap<usize, A>,
    items: u64,
    late: u64,
}

impl<T, K: Hash + Eq + Clone, F: Fold<T>> Sessions<T, K, F> {
    /// Sessions with less than `gap` (at least 1 µs) between their items.
    pub fn new<FK, FT>(
        gap: Duration,
        scope: Scope,
        config: Config,
        key: FK,
        time: FT,
        fold: F,
    ) -> Self
    where
        FK: Fn(&T) -> K + Send + 'static,
        FT: Fn(&T) -> EventTime + Send + 'static,
    {
        let (slack, idle) = (config.slack, config.idle);
        Self {
            gap: gap.max(Duration::from_micros(1)),
            scope,
            intake: Intake::new(Box::new(key), Box::new(time), config.max_keys, slack, idle),
            config,
            fold,
            open: BTreeMap::new(),
            by_end: BTreeSet::new(),
            ready: VecDeque::new(),
            held: 0,
        }
    }

    /// Keys that are known before their first item; see [`Windows::known`](super::Windows::known).
    pub fn known(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.intake.know(keys);
        self
    }

    /// All items come from one source. By default each key is a source of its own.
    pub fn one_source(mut self) -> Self {
        self.intake.one_source();
        self
    }

    /// What tells sources apart; see [`Windows::sources`](super::Windows::sources).
    pub fn sources<S, FS>(mut self, source: FS, known: impl IntoIterator<Item = S>) -> Self
    where
        S: Hash + Eq + Clone + Send + 'static,
        FS: Fn(&T) -> S + Send + 'static,
    {
        self.intake.sources_by(source, known);
        self
    }

    /// Sends items there whose session is over. Without it they are only counted.
    pub fn late_to(mut self, side: Side<T>) -> Self {
        self.intake.late = side;
        self
    }

    fn is_over(&self, end: EventTime) -> bool {
        let mark = self.intake.marks.current();
        mark.is_some_and(|mark| end.plus(self.config.lateness) <= mark)
    }

    /// The sessions of a group that an item at `time` touches, the latest first.
    fn touched(&self, group: usize, time: EventTime) -> impl Iterator<Item = Place> {
        let before = self
            .open
            .range((group, EventTime::MIN)..(group, time.plus(self.gap)));
        let touched = before
            .rev()
            .take_while(move |(_, session)| time < session.end);
        touched.map(|(place, _)| *place)
    }

    /// Puts an item into its session, which may make one of two. Says whether there was one.
    fn place(&mut self, time: EventTime, key: usize, item: &T) -> bool {
        let group = match self.scope {
            Scope::PerKey => key,
            Scope::Together => 0,
        };
        // So that the end is after the start even for the last of all times.
        let time = time.min(EventTime::MAX.minus(self.gap));
        let end = time.plus(self.gap);
        let (first, more) = {
            let mut touched = self.touched(group, time);
            (touched.next(), touched.next())
        };
        let place = match (first, more) {
            // Nearly always: an open session, which begins no earlier by this.
            (Some(place), None) if place.1 <= time => place,
            (Some(_), _) => {
                let touched: Vec<Place> = self.touched(group, time).collect();
                self.join(group, time, &touched)
            }
            // An open session can always be joined; one that would be new may be over already.
            (None, _) if self.is_over(end) => return false,
            (None, _) => (group, time),
        };
        self.add(place, end, time, key, item);
        true
    }

    /// Adds an item to the session at a place, which is opened if there is none.
    fn add(&mut self, place: Place, end: EventTime, time: EventTime, key: usize, item: &T) {
        let mark = self.intake.marks.current();
        let session = self.open.entry(place).or_insert_with(|| Open {
            end: EventTime::MIN,
            states: BTreeMap::new(),
            items: 0,
            late: 0,
        });
        if end > session.end {
            self.by_end.remove(&(session.end, place));
            self.by_end.insert((end, place));
            session.end = end;
        }
        let state = session.states.entry(key);
        let state = state.or_insert_with(|| self.fold.start());
        self.fold.step(state, time, item);
        session.items += 1;
        session.late += u64::from(mark.is_some_and(|mark| end <= mark));
        self.held += 1;
    }

    /// Makes one session of several, which begins at `time` if none of them began before. Gives
    /// its place.
    fn join(&mut self, group: usize, time: EventTime, places: &[Place]) -> Place {
        let start = places.iter().map(|place| place.1).min();
        let start = start.map_or(time, |start| start.min(time));
        let mut joined: Option<Open<F::State>> = None;
        for place in places {
            if let Some(session) = self.open.remove(place) {
                self.by_end.remove(&(session.end, *place));
                joined = Some(match joined {
                    Some(later) => self.merge(session, later),
                    None => session,
                });
            }
        }
        if let Some(session) = joined {
            self.by_end.insert((session.end, (group, start)));
            self.open.insert((group, start), session);
        }
        (group, start)
    }

    fn merge(&self, mut one: Open<F::State>, other: Open<F::State>) -> Open<F::State> {
        for (key, state) in other.states {
            match one.states.get_mut(&key) {
                Some(into) => self.fold.merge(into, state),
                None => {
                    one.states.insert(key, state);
                }
            }
        }
        one.end = one.end.max(other.end);
        one.items += other.items;
        one.late += other.late;
        one
    }

    fn advance(&mut self) {
        while let Some((end, _)) = self.by_end.first()
            && self.is_over(*end)
        {
            let all = self.intake.marks.of_all();
            let passed = all.is_some_and(|all| end.plus(self.config.lateness) <= all);
            let timeout = if passed {
                Fired::Watermark
            } else {
                Fired::Timeout
            };
            self.fire_first(timeout);
        }
    }

    fn fire_first(&mut self, fired: Fired) {
        let Some((end, place)) = self.by_end.pop_first() else {
            return;
        };
        let Some(session) = self.open.remove(&place) else {
            return;
        };
        let keys = &self.intake.keys;
        let missing = match self.scope {
            Scope::PerKey => Vec::new(),
            Scope::Together => keys.without(|number| session.states.contains_key(&number)),
        };
        self.ready.push_back(Window {
            start: place.1,
            end,
            missing,
            values: keys.named(session.states),
            items: session.items,
            late: session.late,
            too_late: std::mem::take(&mut self.intake.too_late),
            gap: 0,
            fired,
        });
    }
}

impl<T, K: Hash + Eq + Clone, F: Fold<T>> Operator<T> for Sessions<T, K, F> {
    type Out = Window<K, F::State>;

    fn start(&mut self, now: Instant) {
        self.intake.start(now);
    }

    fn push(&mut self, item: T, now: Instant) {
        let Some(taken) = self.intake.take(&item) else {
            return;
        };
        self.intake.stats.taken += 1;
        if !self.place(taken.time, taken.key, &item) {
            self.intake.stats.late += 1;
            self.intake.too_late += 1;
            self.intake.late.put(item);
        }
        if self.intake.observe(&taken, now) {
            self.advance();
        }
        while self.open.len() > self.config.max_windows {
            self.fire_first(Fired::Full);
        }
    }

    fn pull(&mut self) -> Option<Self::Out> {
        let window = self.ready.pop_front()?;
        self.held -= window.items;
        self.intake.stats.emitted += window.items;
        Some(window)
    }

    fn end(&mut self) {
        while !self.open.is_empty() {
            self.fire_first(Fired::End);
        }
        // Nothing is late any more: the late output ends.
        self.intake.late = Side::none();
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.intake.late.poll_room(cx)
    }

    fn deadline(&self) -> Option<Instant> {
        self.intake.marks.deadline()
    }

    fn tick(&mut self, now: Instant) {
        if self.intake.marks.tick(now) {
            self.advance();
        }
    }

    fn uses_clock(&self) -> bool {
        self.config.idle.is_some()
    }

    fn stats(&self) -> Stats {
        Stats {
            buffered: self.held,
            ..self.intake.stats
        }
    }
}

impl<T, K, F: Fold<T>> fmt::Debug for Sessions<T, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("gap", &self.gap)
            .field("scope", &self.scope)
            .field("config", &self.config)
            .field("intake", &self.intake)
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}
