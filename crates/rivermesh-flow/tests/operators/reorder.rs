use std::collections::BTreeMap;

use futures::FutureExt;
use proptest::prelude::*;
use rivermesh_flow::{
    Full, Operator, SideOutput,
    reorder::{Config, Reorder, WhenFull},
    side,
};

use crate::{Bench, Item, input, key, secs, time, us};

/// All that was ever held and emitted of a key.
#[derive(Default)]
struct Lane {
    held: Vec<Item>,
    emitted: Vec<u64>,
    heard: u64,
    turn: usize,
}

/// The definition, word for word.
struct Model {
    lateness: u64,
    idle: u64,
    max_items: usize,
    max_keys: usize,
    remember: usize,
    evict: bool,
    lanes: BTreeMap<u8, Lane>,
    out: Vec<Item>,
    late: Vec<Item>,
    duplicates: u64,
    evicted: u64,
}

impl Model {
    fn release(&mut self, key: u8, until: u64) {
        let lane = self.lanes.get_mut(&key).unwrap();
        lane.held.sort();
        while lane.held.first().is_some_and(|first| first.at <= until) {
            let item = lane.held.remove(0);
            lane.emitted.push(item.at);
            self.out.push(item);
        }
    }

    fn flush(&mut self, now: u64) {
        let quiet: Vec<u8> = self
            .lanes
            .iter()
            .filter(|(_, lane)| now >= lane.heard + self.idle)
            .map(|(key, _)| *key)
            .collect();
        for key in quiet {
            self.release(key, u64::MAX);
        }
    }

    fn push(&mut self, item: Item, now: u64, turn: usize) {
        if !self.lanes.contains_key(&item.key) && self.lanes.len() >= self.max_keys {
            let quietest = self.lanes.iter().min_by_key(|(_, lane)| lane.turn);
            let quietest = *quietest.unwrap().0;
            self.release(quietest, u64::MAX);
            self.lanes.remove(&quietest);
        }
        let lane = self.lanes.entry(item.key).or_default();
        (lane.heard, lane.turn) = (now, turn);
        let from = lane.emitted.len().saturating_sub(self.remember);
        let known = lane.emitted[from..].contains(&item.at);
        if known || lane.held.iter().any(|held| held.at == item.at) {
            self.duplicates += 1;
            return;
        }
        if lane.emitted.iter().any(|at| *at > item.at) {
            self.late.push(item);
            return;
        }
        lane.held.push(item);
        let newest = lane.held.iter().map(|held| held.at);
        let newest = newest.chain(lane.emitted.iter().copied()).max().unwrap();
        if let Some(until) = newest.checked_sub(self.lateness) {
            self.release(item.key, until);
        }
        if self
            .lanes
            .values()
            .map(|lane| lane.held.len())
            .sum::<usize>()
            > self.max_items
        {
            self.make_room(item.key);
        }
    }

    fn make_room(&mut self, key: u8) {
        // The newest of the key is in order with what was emitted, so the key has an item here.
        let lane = self.lanes.get_mut(&key).unwrap();
        lane.held.sort();
        let item = lane.held.remove(0);
        lane.emitted.push(item.at);
        if self.evict {
            self.evicted += 1;
            self.late.push(item);
        } else {
            self.out.push(item);
        }
    }
}

fn by_key(items: &[Item]) -> BTreeMap<u8, Vec<Item>> {
    let mut keys: BTreeMap<u8, Vec<Item>> = BTreeMap::new();
    for item in items {
        keys.entry(item.key).or_default().push(*item);
    }
    keys
}

fn drain(late: &mut SideOutput<Item>) -> Vec<Item> {
    use futures::StreamExt;
    let mut items = Vec::new();
    while let Some(Some(item)) = late.next().now_or_never() {
        items.push(item);
    }
    items
}

proptest! {
    #[test]
    fn equals_a_naive_model(
        input in input(4),
        lateness in 0_u64..25,
        idle in 5_u64..20,
        max_items in 1_usize..12,
        max_keys in 1_usize..6,
        remember in 1_usize..6,
        evict in any::<bool>(),
    ) {
        let config = Config::new(us(lateness)).idle(secs(idle)).max_items(max_items);
        let config = config.max_keys(max_keys).remember(remember);
        let config = config.when_full(if evict { WhenFull::Evict } else { WhenFull::Release });
        let (side, mut late) = side(1000, Full::Block);
        let mut bench = Bench::new(Reorder::new(key, time, config).late_to(side));
        let mut model = Model {
            lateness, idle, max_items, max_keys, remember, evict,
            lanes: BTreeMap::new(), out: Vec::new(), late: Vec::new(), duplicates: 0, evicted: 0,
        };
        let (mut now, mut all_late) = (0, Vec::new());
        for (turn, (item, seconds)) in input.iter().enumerate() {
            let mut out = bench.wait(secs(*seconds));
            now += seconds;
            // At each second, as the operator is told at its deadlines.
            for second in now - seconds..=now {
                model.flush(second);
            }
            out.extend(bench.push(*item));
            model.push(*item, now, turn);
            prop_assert_eq!(by_key(&out), by_key(&std::mem::take(&mut model.out)));
            all_late.extend(drain(&mut late));
            prop_assert_eq!(&all_late, &model.late);
            let stats = bench.operator.stats();
            prop_assert!(stats.buffered <= max_items as u64);
            prop_assert_eq!(stats.duplicates, model.duplicates);
            prop_assert_eq!(stats.dropped, model.evicted);
        }
        let out = bench.end();
        prop_assert!(out.is_sorted_by_key(|item| item.at));
        for key in model.lanes.keys().copied().collect::<Vec<_>>() {
            model.release(key, u64::MAX);
        }
        prop_assert_eq!(by_key(&out), by_key(&model.out));
        let stats = bench.operator.stats();
        prop_assert_eq!((stats.taken, stats.buffered), (input.len() as u64, 0));
        prop_assert!(stats.is_balanced());
    }

    /// Pushing back loses nothing: who waits until there is room finds everything in order, late or twice.
    #[test]
    fn pushing_back_loses_nothing(
        input in input(4), lateness in 0_u64..25, max_items in 1_usize..12, patience in 1_u64..6,
    ) {
        let config = Config::new(us(lateness)).max_items(max_items);
        let config = config.when_full(WhenFull::Wait(secs(patience)));
        let (side, mut late) = side(1000, Full::Block);
        let mut bench = Bench::new(Reorder::new(key, time, config).late_to(side));
        let (mut out, mut all_late) = (Vec::new(), Vec::new());
        for (item, seconds) in &input {
            out.extend(bench.wait(secs(*seconds)));
            let mut waited = 0;
            while !bench.is_ready() {
                prop_assert!(waited <= patience, "waits longer than it may");
                waited += 1;
                out.extend(bench.wait(secs(1)));
            }
            out.extend(bench.push(*item));
            prop_assert!(bench.operator.stats().buffered <= max_items as u64);
            all_late.extend(drain(&mut late));
        }
        out.extend(bench.end());
        let stats = bench.operator.stats();
        prop_assert_eq!((stats.dropped, stats.buffered), (0, 0));
        prop_assert_eq!((stats.emitted, stats.late), (out.len() as u64, all_late.len() as u64));
        prop_assert_eq!(stats.emitted + stats.late + stats.duplicates, input.len() as u64);
        for items in by_key(&out).values() {
            prop_assert!(items.windows(2).all(|pair| pair[0].at < pair[1].at));
        }
        out.extend(all_late);
        out.sort_by_key(|item| item.id);
        prop_assert!(out.windows(2).all(|pair| pair[0].id < pair[1].id), "none twice");
    }

    /// Whatever comes, each key's items come out in order and once.
    #[test]
    fn never_out_of_order(input in input(3), lateness in 0_u64..25) {
        let mut bench = Bench::new(Reorder::new(key, time, Config::new(us(lateness))));
        let mut out = Vec::new();
        for (item, _) in &input {
            out.extend(bench.push(*item));
        }
        out.extend(bench.end());
        for items in by_key(&out).values() {
            prop_assert!(items.windows(2).all(|pair| pair[0].at < pair[1].at));
        }
    }
}

#[test]
fn waits_when_full_and_then_lets_one_go() {
    let config = Config::new(us(100))
        .max_items(2)
        .when_full(WhenFull::Wait(secs(5)));
    let mut bench = Bench::new(Reorder::new(key, time, config));
    let item = |at, id| Item { at, key: 0, id };
    assert!(bench.push(item(3, 0)).is_empty() && bench.is_ready());
    assert!(bench.push(item(1, 1)).is_empty());
    assert!(!bench.is_ready(), "two are held, so the input must wait");
    assert!(bench.wait(secs(4)).is_empty());
    assert_eq!(bench.wait(secs(1)), [item(1, 1)]);
    assert!(bench.is_ready());
    assert_eq!(bench.operator.stats().dropped, 0);
}

#[test]
fn one_key_cannot_fill_the_buffer_alone() {
    let config = Config::new(us(1000)).max_items(100).max_items_per_key(3);
    let mut bench = Bench::new(Reorder::new(key, time, config));
    let mut out = Vec::new();
    for id in 0..50 {
        out.extend(bench.push(Item {
            at: id.into(),
            key: 0,
            id,
        }));
    }
    assert_eq!(bench.operator.stats().buffered, 3);
    assert_eq!(out.len(), 47);
}
