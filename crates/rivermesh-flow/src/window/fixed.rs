//! Tumbling and sliding windows.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    hash::Hash,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{Config, Fired, Fold, Window, intake::Intake};
use crate::{
    operator::Operator,
    side::Side,
    stats::Stats,
    time::{EventTime, micros},
};

/// An item falls into at most this many sliding windows.
const MAX_OVERLAP: u64 = 1000;

/// Groups items into windows of a fixed size, all keys together, one state per key.
///
/// A window that is over is emitted once, in the order of time. An item for a window that is over
/// goes to the late output.
///
/// In [`Stats`], an item counts once for each window that it falls into, and once as dropped if it
/// falls between windows.
///
/// Memory: at most `max_windows` open windows with a state for each of `max_keys` keys, the windows
/// that wait to be pulled (as many again, and the empty ones), and the names of the known keys.
/// Cancelling a wait loses nothing; dropping it drops the open windows.
pub struct Windows<T, K, F: Fold<T>> {
    grid: Grid,
    config: Config,
    intake: Intake<T, K>,
    fold: F,
    /// By number on the grid.
    open: BTreeMap<i128, Open<F::State>>,
    ready: VecDeque<Closed<F::State>>,
    /// The number after the last one that was fired or passed over.
    next: Option<i128>,
    /// Empty windows that were passed over since the last that was emitted.
    gap: u64,
    /// Places of items in open and ready windows.
    held: u64,
    /// An item that is too late goes into the first window that is not over.
    carry: bool,
}

struct Open<A> {
    states: BTreeMap<usize, A>,
    items: u64,
    late: u64,
}

impl<A> Default for Open<A> {
    fn default() -> Self {
        Self {
            states: BTreeMap::new(),
            items: 0,
            late: 0,
        }
    }
}

/// A window that is over, with its keys by number.
pub(super) struct Closed<A> {
    pub(super) start: EventTime,
    pub(super) end: EventTime,
    pub(super) states: BTreeMap<usize, A>,
    pub(super) items: u64,
    pub(super) late: u64,
    pub(super) too_late: u64,
    pub(super) gap: u64,
    pub(super) fired: Fired,
}

/// Where windows lie. Numbers and ends are wider than times, so that nothing overflows.
#[derive(Clone, Copy, Debug)]
struct Grid {
    size: i128,
    every: i128,
    offset: i128,
}

impl Grid {
    fn new(size: Duration, every: Duration, offset: Duration) -> Self {
        let size = micros(size).max(1);
        let every = micros(every).max(1).max(size.div_ceil(MAX_OVERLAP));
        Self {
            size: size.into(),
            every: every.into(),
            offset: (micros(offset) % every).into(),
        }
    }

    /// The numbers of the windows that a time falls into.
    fn windows(&self, time: EventTime) -> std::ops::RangeInclusive<i128> {
        let time = i128::from(time.as_micros()) - self.offset;
        let last = time.div_euclid(self.every);
        let first = (time - self.size).div_euclid(self.every) + 1;
        first..=last
    }

    fn end(&self, number: i128) -> i128 {
        number * self.every + self.offset + self.size
    }

    /// The number of the last window that ends at `time` or before.
    fn last_ended(&self, time: i128) -> i128 {
        (time - self.offset - self.size).div_euclid(self.every)
    }
}

fn event_time(micros: i128) -> EventTime {
    EventTime::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
}

impl<T, K: Hash + Eq + Clone, F: Fold<T>> Windows<T, K, F> {
    /// Windows of `size` (at least 1 µs), one after the other.
    pub fn tumbling<FK, FT>(size: Duration, config: Config, key: FK, time: FT, fold: F) -> Self
    where
        FK: Fn(&T) -> K + Send + 'static,
        FT: Fn(&T) -> EventTime + Send + 'static,
    {
        Self::sliding(size, size, config, key, time, fold)
    }

    /// Windows of `size` (at least 1 µs), one beginning `every` so often: they overlap where `every`
    /// is less than `size`, and leave gaps where it is more. `every` is at least a thousandth of
    /// `size`.
    pub fn sliding<FK, FT>(
        size: Duration,
        every: Duration,
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
            grid: Grid::new(size, every, Duration::ZERO),
            intake: Intake::new(Box::new(key), Box::new(time), config.max_keys, slack, idle),
            config,
            fold,
            open: BTreeMap::new(),
            ready: VecDeque::new(),
            next: None,
            gap: 0,
            held: 0,
            carry: false,
        }
    }

    /// Windows begin this much later than at the epoch and multiples of their distance.
    pub fn offset(mut self, offset: Duration) -> Self {
        self.grid.offset = i128::from(micros(offset)) % self.grid.every;
        self
    }

    /// Keys that are known before their first item, as far as there is room: they are named as
    /// missing from the first window on, and hold the watermark until they speak or are idle.
    pub fn known(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.intake.know(keys);
        self
    }

    /// All items come from one source. By default each key is a source of its own.
    pub fn one_source(mut self) -> Self {
        self.intake.one_source();
        self
    }

    /// What tells the sources apart whose items move the watermark, and those that are known
    /// already. By default each key is a source of its own.
    pub fn sources<S, FS>(mut self, source: FS, known: impl IntoIterator<Item = S>) -> Self
    where
        S: Hash + Eq + Clone + Send + 'static,
        FS: Fn(&T) -> S + Send + 'static,
    {
        self.intake.sources_by(source, known);
        self
    }

    /// Sends items there that came too late for every window they fall into. Without it they are
    /// only counted.
    pub fn late_to(mut self, side: Side<T>) -> Self {
        self.intake.late = side;
        self
    }

    /// How far event time has come; nothing until all sources have spoken or are idle.
    pub fn watermark(&self) -> Option<EventTime> {
        self.intake.marks.current()
    }

    /// Items that are too late are put into the first window that is not over.
    pub(super) fn carry(mut self) -> Self {
        self.carry = true;
        self
    }

    pub(super) fn intake(&self) -> &Intake<T, K> {
        &self.intake
    }

    fn lateness(&self) -> i128 {
        micros(self.config.lateness).into()
    }

    /// The number of the last window that is over by the watermark, lateness included.
    fn last_over(&self) -> Option<i128> {
        let mark = i128::from(self.intake.marks.current()?.as_micros());
        Some(self.grid.last_ended(mark - self.lateness()))
    }

    /// The number of the last window that takes no items any more.
    fn last_closed(&self) -> Option<i128> {
        self.last_over().max(self.next.map(|next| next - 1))
    }

    /// Puts an item into its windows. Says whether any of them took it.
    fn place(&mut self, time: EventTime, key: usize, item: &T) -> bool {
        let closed = self.last_closed();
        let mut numbers = self.grid.windows(time);
        if numbers.is_empty() {
            self.intake.stats.taken += 1;
            self.intake.stats.dropped += 1;
            return true;
        }
        if self.carry && closed.is_some_and(|closed| *numbers.end() <= closed) {
            let first = closed.map_or(0, |closed| closed + 1);
            numbers = first..=first;
        }
        let mark = self.intake.marks.current();
        let mut taken = false;
        for number in numbers {
            self.intake.stats.taken += 1;
            if closed.is_some_and(|closed| number <= closed) {
                self.intake.stats.late += 1;
                continue;
            }
            let late = mark.is_some_and(|mark| self.grid.end(number) <= mark.as_micros().into());
            let window = self.open.entry(number).or_default();
            let state = window.states.entry(key);
            let state = state.or_insert_with(|| self.fold.start());
            self.fold.step(state, time, item);
            window.items += 1;
            window.late += u64::from(late);
            self.held += 1;
            taken = true;
        }
        taken
    }

    /// Fires what is over, in order, with the empty windows in between.
    fn advance(&mut self) {
        let Some(over) = self.last_over() else {
            return;
        };
        while let Some((number, _)) = self.open.first_key_value()
            && *number <= over
        {
            self.fire_first(None);
        }
        if self.config.max_empty > 0 {
            self.pass_over(over + 1, None);
        }
    }

    /// Fires the first open window, for the reason that the watermark gives if there is no other.
    fn fire_first(&mut self, reason: Option<Fired>) {
        let Some((number, open)) = self.open.pop_first() else {
            return;
        };
        self.pass_over(number, reason);
        self.next = Some(number + 1);
        self.close(number, open, reason);
    }

    /// Emits or counts the empty windows before number `upto`.
    fn pass_over(&mut self, upto: i128, reason: Option<Fired>) {
        let Some(next) = self.next.filter(|next| *next < upto) else {
            return;
        };
        let empty = u64::try_from(upto - next).unwrap_or(u64::MAX);
        let emit = empty.min(self.config.max_empty);
        for number in next..next + i128::from(emit) {
            self.close(number, Open::default(), reason);
        }
        self.gap = self.gap.saturating_add(empty - emit);
        self.next = Some(upto);
    }

    fn close(&mut self, number: i128, open: Open<F::State>, reason: Option<Fired>) {
        let end = self.grid.end(number);
        let all = self
            .intake
            .marks
            .of_all()
            .map(|all| i128::from(all.as_micros()));
        let fired = reason.unwrap_or(if all.is_some_and(|all| end + self.lateness() <= all) {
            Fired::Watermark
        } else {
            Fired::Timeout
        });
        self.ready.push_back(Closed {
            start: event_time(end - self.grid.size),
            end: event_time(end),
            states: open.states,
            items: open.items,
            late: open.late,
            too_late: std::mem::take(&mut self.intake.too_late),
            gap: std::mem::take(&mut self.gap),
            fired,
        });
    }

    pub(super) fn pull_closed(&mut self) -> Option<Closed<F::State>> {
        let closed = self.ready.pop_front()?;
        self.held -= closed.items;
        self.intake.stats.emitted += closed.items;
        Some(closed)
    }
}

impl<T, K: Hash + Eq + Clone, F: Fold<T>> Operator<T> for Windows<T, K, F> {
    type Out = Window<K, F::State>;

    fn start(&mut self, now: Instant) {
        self.intake.start(now);
    }

    fn push(&mut self, item: T, now: Instant) {
        let Some(taken) = self.intake.take(&item) else {
            return;
        };
        if !self.place(taken.time, taken.key, &item) {
            self.intake.too_late += 1;
            self.intake.late.put(item);
        }
        if self.intake.observe(&taken, now) {
            self.advance();
        }
        while self.open.len() > self.config.max_windows {
            self.fire_first(Some(Fired::Full));
        }
    }

    fn pull(&mut self) -> Option<Self::Out> {
        let closed = self.pull_closed()?;
        let keys = &self.intake.keys;
        Some(Window {
            start: closed.start,
            end: closed.end,
            missing: keys.without(|number| closed.states.contains_key(&number)),
            values: keys.named(closed.states),
            items: closed.items,
            late: closed.late,
            too_late: closed.too_late,
            gap: closed.gap,
            fired: closed.fired,
        })
    }

    fn end(&mut self) {
        while !self.open.is_empty() {
            self.fire_first(Some(Fired::End));
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

impl<T, K, F: Fold<T>> fmt::Debug for Windows<T, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windows")
            .field("grid", &self.grid)
            .field("config", &self.config)
            .field("intake", &self.intake)
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}
