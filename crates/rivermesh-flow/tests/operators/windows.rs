use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rivermesh_flow::{
    EventTime, Operator,
    window::{Config, Fired, Window, Windows, fold},
};

use crate::{Bench, Item, input, key, secs, time, us};

const SLACK: u64 = 6;
const IDLE: u64 = 10;

/// What a window was made of: keys with the numbers of their items.
type Contents = BTreeMap<u8, Vec<u32>>;

#[derive(Debug, PartialEq)]
struct Seen {
    start: u64,
    contents: Contents,
    missing: Vec<u8>,
    late: u64,
    gap: u64,
    fired: Fired,
}

fn seen(window: Window<u8, Vec<u32>>) -> Seen {
    let items: usize = window.values.iter().map(|(_, items)| items.len()).sum();
    assert_eq!(window.items, items as u64);
    Seen {
        start: window.start.as_micros(),
        contents: window.values.into_iter().collect(),
        missing: window.missing,
        late: window.late,
        gap: window.gap,
        fired: window.fired,
    }
}

/// The definition, computed from the whole history at each step.
#[derive(Clone)]
struct Model {
    size: u64,
    every: u64,
    lateness: u64,
    max_windows: usize,
    max_empty: u64,
    /// Per key: newest time, and when it was heard.
    sources: BTreeMap<u8, (Option<u64>, u64)>,
    order: Vec<u8>,
    mark: Option<u64>,
    open: BTreeMap<u64, (Contents, u64)>,
    /// The start after the last window that was fired or passed over.
    next: Option<u64>,
    gap: u64,
    late: u64,
}

impl Model {
    fn judge(&mut self, now: u64) {
        let active: Vec<_> = self
            .sources
            .values()
            .filter(|(_, heard)| now < heard + IDLE)
            .collect();
        let newest = if active.is_empty() {
            self.sources
                .values()
                .filter_map(|(newest, _)| *newest)
                .max()
        } else {
            active.iter().map(|(newest, _)| *newest).min().flatten()
        };
        self.mark = self
            .mark
            .max(newest.map(|newest| newest.saturating_sub(SLACK)));
    }

    /// Whether a window that starts there takes nothing any more.
    fn is_over(&self, start: u64) -> bool {
        self.mark
            .is_some_and(|mark| start + self.size + self.lateness <= mark)
    }

    fn is_closed(&self, start: u64) -> bool {
        self.is_over(start) || self.next.is_some_and(|next| start < next)
    }

    fn push(&mut self, item: Item, now: u64, out: &mut Vec<Seen>) {
        if !self.order.contains(&item.key) {
            self.order.push(item.key);
            self.sources.insert(item.key, (None, now));
        }
        // All starts are multiples of the distance from 0 on; items are late enough for that.
        for start in (0..=item.at).filter(|start| start % self.every == 0) {
            if start + self.size <= item.at {
                continue;
            }
            if self.is_closed(start) {
                self.late += 1;
                continue;
            }
            let passed = self.mark.is_some_and(|mark| start + self.size <= mark);
            let window = self.open.entry(start).or_default();
            window.0.entry(item.key).or_default().push(item.id);
            window.1 += u64::from(passed);
        }
        let source = self.sources.get_mut(&item.key).unwrap();
        *source = (source.0.max(Some(item.at)), now);
        self.judge(now);
        self.advance(out);
        while self.open.len() > self.max_windows {
            self.fire(Some(Fired::Full), out);
        }
    }

    fn advance(&mut self, out: &mut Vec<Seen>) {
        while self
            .open
            .keys()
            .next()
            .is_some_and(|start| self.is_over(*start))
        {
            self.fire(None, out);
        }
        if self.max_empty > 0
            && let Some(mut upto) = self.next
        {
            while self.is_over(upto) {
                upto += self.every;
            }
            self.pass(upto, None, out);
        }
    }

    fn fire(&mut self, reason: Option<Fired>, out: &mut Vec<Seen>) {
        let (start, (contents, late)) = self.open.pop_first().unwrap();
        self.pass(start, reason, out);
        self.next = Some(start + self.every);
        self.emit(start, contents, late, reason, out);
    }

    fn pass(&mut self, upto: u64, reason: Option<Fired>, out: &mut Vec<Seen>) {
        let mut left = self.max_empty;
        while let Some(next) = self.next.filter(|next| *next < upto) {
            if left > 0 {
                self.emit(next, Contents::new(), 0, reason, out);
                left -= 1;
            } else {
                self.gap += 1;
            }
            self.next = Some(next + self.every);
        }
    }

    fn emit(
        &mut self,
        start: u64,
        contents: Contents,
        late: u64,
        reason: Option<Fired>,
        out: &mut Vec<Seen>,
    ) {
        let all = self
            .sources
            .values()
            .map(|(newest, _)| *newest)
            .min()
            .flatten();
        let all = all.map(|newest| newest.saturating_sub(SLACK));
        let passed = all.is_some_and(|all| start + self.size + self.lateness <= all);
        let missing = self.order.iter().filter(|key| !contents.contains_key(key));
        out.push(Seen {
            start,
            missing: missing.copied().collect(),
            contents,
            late,
            gap: std::mem::take(&mut self.gap),
            fired: reason.unwrap_or(if passed {
                Fired::Watermark
            } else {
                Fired::Timeout
            }),
        });
    }
}

fn ids() -> impl rivermesh_flow::window::Fold<Item, State = Vec<u32>> {
    fold(
        Vec::new,
        |ids: &mut Vec<u32>, _, item: &Item| ids.push(item.id),
        |ids: &mut Vec<u32>, more: Vec<u32>| ids.extend(more),
    )
}

proptest! {
    #[test]
    fn equals_a_naive_model(
        input in input(3),
        size in 5_u64..20,
        every in 4_u64..24,
        lateness in 0_u64..12,
        max_windows in 1_usize..6,
        max_empty in 0_u64..4,
        known in any::<bool>(),
    ) {
        let config = Config::default().slack(us(SLACK)).lateness(us(lateness)).idle(secs(IDLE));
        let config = config.max_windows(max_windows).emit_empty(max_empty);
        let windows = Windows::sliding(us(size), us(every), config, key, time, ids());
        // A key that never says anything is named as missing, and waited for until it is idle.
        let mut bench = Bench::new(windows.known(known.then_some(9_u8)));
        let mut model = Model {
            size, every, lateness, max_windows, max_empty,
            sources: BTreeMap::from_iter(known.then_some((9, (None, 0)))),
            order: known.then_some(9).into_iter().collect(), mark: None,
            open: BTreeMap::new(), next: None, gap: 0, late: 0,
        };
        let mut now = 0;
        for (item, seconds) in &input {
            let (mut out, mut expected) = (bench.wait(secs(*seconds)), Vec::new());
            for second in now..=now + seconds {
                model.judge(second);
                model.advance(&mut expected);
            }
            now += seconds;
            out.extend(bench.push(*item));
            model.push(*item, now, &mut expected);
            prop_assert_eq!(out.into_iter().map(seen).collect::<Vec<_>>(), expected);
            prop_assert_eq!(bench.operator.stats().late, model.late);
        }
        let mut expected = Vec::new();
        while !model.open.is_empty() {
            model.fire(Some(Fired::End), &mut expected);
        }
        prop_assert_eq!(bench.end().into_iter().map(seen).collect::<Vec<_>>(), expected);
        let stats = bench.operator.stats();
        prop_assert_eq!(stats.buffered, 0);
        prop_assert!(stats.is_balanced());
    }

    /// Without anything too late, the windows are those of grouping the whole input at once.
    #[test]
    fn equals_grouping_offline(input in input(3), size in 1_u64..20) {
        let config = Config::default().slack(us(1000));
        let mut bench = Bench::new(Windows::tumbling(us(size), config, key, time, ids()));
        let mut out: Vec<_> = input.iter().flat_map(|(item, _)| bench.push(*item)).collect();
        out.extend(bench.end());
        let mut offline: BTreeMap<u64, Contents> = BTreeMap::new();
        for (item, _) in &input {
            let window = offline.entry(item.at / size * size).or_default();
            window.entry(item.key).or_default().push(item.id);
        }
        let keys: BTreeSet<u8> = input.iter().map(|(item, _)| item.key).collect();
        for window in &out {
            let have: BTreeSet<u8> = window.values.iter().map(|(key, _)| *key).collect();
            let missing: BTreeSet<u8> = window.missing.iter().copied().collect();
            prop_assert_eq!(&have | &missing, keys.clone());
            prop_assert!(have.is_disjoint(&missing));
        }
        let online = out.into_iter().map(seen).map(|seen| (seen.start, seen.contents));
        prop_assert_eq!(online.collect::<BTreeMap<_, _>>(), offline);
    }
}

fn count() -> rivermesh_flow::window::Count {
    rivermesh_flow::window::Count
}

#[test]
fn a_dead_source_holds_windows_up_to_the_bound_only() {
    let config = Config::default().max_windows(10);
    let windows = Windows::tumbling(us(10), config, key, time, count()).known([0_u8, 1]);
    let mut bench = Bench::new(windows);
    let mut fired = 0;
    for id in 0..10_000_u32 {
        let out = bench.push(Item {
            at: u64::from(id),
            key: 0,
            id,
        });
        assert!(
            out.iter()
                .all(|window| window.fired == Fired::Full && window.missing == [1])
        );
        fired += out.len();
        assert!(bench.operator.stats().buffered <= 110);
    }
    assert_eq!(fired, 990);
}

#[test]
fn a_silent_source_stops_the_rest_only_for_the_timeout() {
    let config = Config::default().idle(secs(5));
    let windows = Windows::tumbling(us(10), config, key, time, count()).known([0_u8, 1]);
    let mut bench = Bench::new(windows);
    let item = |at, key| Item { at, key, id: 0 };
    assert!(bench.push(item(1, 0)).is_empty() && bench.push(item(2, 1)).is_empty());
    assert!(
        bench.push(item(25, 0)).is_empty(),
        "the other has not passed the first window"
    );
    assert!(bench.wait(secs(4)).is_empty());
    assert!(bench.push(item(26, 0)).is_empty());
    let out = bench.wait(secs(1));
    assert_eq!(out.len(), 1);
    assert_eq!(
        (out[0].fired, out[0].items, out[0].get(&1)),
        (Fired::Timeout, 2, Some(&1))
    );
    // It comes back with an item for a window that is still open, and is waited for again.
    assert!(bench.push(item(22, 1)).is_empty());
    assert!(bench.push(item(45, 0)).is_empty());
    let out = bench.push(item(31, 1));
    assert_eq!((out.len(), out[0].fired), (1, Fired::Watermark));
    assert_eq!((out[0].start, out[0].gap), (EventTime::from_micros(20), 1));
}

#[test]
fn a_time_from_a_far_future_costs_no_memory() {
    let config = Config::default().emit_empty(100);
    let mut bench = Bench::new(Windows::tumbling(us(1), config, key, time, count()));
    bench.push(Item {
        at: 0,
        key: 0,
        id: 0,
    });
    let out = bench.push(Item {
        at: u64::MAX,
        key: 0,
        id: 1,
    });
    assert_eq!(
        out.len(),
        101,
        "the first window, and as many empty ones as asked for"
    );
    let out = bench.end();
    assert_eq!((out.len(), out[0].items), (1, 1));
    assert_eq!(out[0].gap, u64::MAX - 1 - 100);
    assert!(bench.operator.stats().is_balanced());
}
