use std::collections::BTreeMap;

use proptest::prelude::*;
use rivermesh_flow::{
    Operator,
    window::{Config, Snapshots},
};

use crate::{Bench, Item, input, key, time, us};

const SLACK: u64 = 4;

/// The newest item of each key that is not newer than `at`; of equals the last that came.
fn world(history: &[Item], at: u64, max_age: u64) -> BTreeMap<u8, Item> {
    let mut world: BTreeMap<u8, Item> = BTreeMap::new();
    for item in history.iter().filter(|item| item.at <= at) {
        let newest = world.entry(item.key).or_insert(*item);
        if newest.at <= item.at {
            *newest = *item;
        }
    }
    world.retain(|_, item| item.at + max_age >= at);
    world
}

proptest! {
    /// Each snapshot equals the search through everything that had come before it was taken.
    #[test]
    fn equal_a_search_through_the_history(
        input in input(3), every in 1_u64..20, max_age in 5_u64..80,
    ) {
        let config = Config::default().slack(us(SLACK)).max_windows(1000);
        let snapshots = Snapshots::new(us(every), config, key, time).max_age(us(max_age));
        let mut bench = Bench::new(snapshots.one_source().known([9_u8]));
        let mut history = Vec::new();
        let mut at_before = None;
        for step in 0..=input.len() {
            let out = match input.get(step) {
                Some((item, _)) => {
                    history.push(*item);
                    bench.push(*item)
                }
                None => bench.end(),
            };
            for snapshot in out {
                let at = snapshot.at.as_micros();
                prop_assert_eq!(at % every, 0);
                prop_assert!(at_before < Some(at));
                at_before = Some(at);
                let expected = world(&history, at, max_age);
                let mut missing: Vec<u8> = history.iter().map(|item| item.key).collect();
                missing.push(9);
                missing.sort_unstable();
                missing.dedup();
                missing.retain(|key| !expected.contains_key(key));
                let mut named = snapshot.missing;
                named.sort_unstable();
                prop_assert_eq!(named, missing);
                prop_assert_eq!(snapshot.items.into_iter().collect::<BTreeMap<_, _>>(), expected);
            }
        }
        let stats = bench.operator.stats();
        prop_assert_eq!((stats.taken, stats.late), (input.len() as u64, 0));
        prop_assert!(stats.is_balanced() && stats.buffered == 0);
    }
}
