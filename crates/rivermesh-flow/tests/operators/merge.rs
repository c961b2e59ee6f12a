use std::{collections::VecDeque, time::Duration};

use futures::{FutureExt, SinkExt, StreamExt, channel::mpsc, stream};
use proptest::prelude::*;
use rivermesh_flow::{FlowExt, Full, merge, merge::OrderedConfig, merge_ordered, side};

use crate::{Item, secs, time};

fn lists() -> impl Strategy<Value = Vec<Vec<Item>>> {
    let list = prop::collection::vec(0_u64..6, 0..20);
    prop::collection::vec(list, 0..5).prop_map(|lists| {
        let mut id = 0;
        lists
            .into_iter()
            .enumerate()
            .map(|(key, steps)| {
                let mut at = 0;
                steps
                    .into_iter()
                    .map(|step| {
                        at += step;
                        id += 1;
                        Item {
                            at,
                            key: key as u8,
                            id,
                        }
                    })
                    .collect()
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn ordered_equals_sorting(lists in lists(), rough in any::<bool>()) {
        let mut lists = lists;
        if rough {
            // Not in order themselves: what goes back is late, and the rest still in order.
            lists.iter_mut().for_each(|list| list.reverse());
        }
        let count: usize = lists.iter().map(Vec::len).sum();
        let (expected, expected_late) = least_of_the_heads(&lists);
        let (side, late) = side(1000, Full::Block);
        let streams: Vec<_> = lists.into_iter().map(stream::iter).collect();
        let merged = merge_ordered(streams, time, OrderedConfig::default().late_to(side));
        let stats = merged.stats();
        let out: Vec<Item> = merged.collect().now_or_never().unwrap();
        let mut late: Vec<Item> = late.collect().now_or_never().unwrap();
        prop_assert!(out.is_sorted_by_key(|item| item.at));
        let stats = stats.get();
        prop_assert!(stats.is_balanced() && stats.buffered == 0);
        prop_assert_eq!((stats.emitted, stats.late), (out.len() as u64, late.len() as u64));
        prop_assert_eq!(stats.taken, count as u64);
        if !rough {
            let mut sorted: Vec<Item> = out.clone();
            sorted.sort_by_key(|item| (item.at, item.key));
            prop_assert_eq!((&out, late.len()), (&sorted, 0));
        }
        prop_assert_eq!(out, expected);
        late.sort();
        prop_assert_eq!(late, expected_late);
    }

    #[test]
    fn merge_gives_all_of_each_in_order(lists in lists()) {
        let streams: Vec<_> = lists.iter().cloned().map(stream::iter).collect();
        let merged = merge(streams);
        let stats = merged.stats();
        let out: Vec<Item> = merged.collect().now_or_never().unwrap();
        for (key, list) in lists.iter().enumerate() {
            let of: Vec<Item> = out.iter().filter(|item| item.key == key as u8).copied().collect();
            prop_assert_eq!(&of, list);
        }
        prop_assert_eq!(stats.get().emitted, out.len() as u64);
        prop_assert!(stats.get().is_balanced());
    }
}

/// The definition: the oldest of the first items is next; what is older than that was too late.
fn least_of_the_heads(lists: &[Vec<Item>]) -> (Vec<Item>, Vec<Item>) {
    let mut lists: Vec<VecDeque<Item>> = lists.iter().cloned().map(VecDeque::from).collect();
    let (mut out, mut late) = (Vec::<Item>::new(), Vec::new());
    loop {
        let last = out.last().map_or(0, |item| item.at);
        for list in &mut lists {
            while list.front().is_some_and(|item| item.at < last) {
                late.extend(list.pop_front());
            }
        }
        let oldest = lists
            .iter_mut()
            .filter(|list| !list.is_empty())
            .min_by_key(|list| (list[0].at, list[0].key));
        match oldest.and_then(VecDeque::pop_front) {
            Some(item) => out.push(item),
            None => break,
        }
    }
    late.sort();
    (out, late)
}

fn item(at: u64, key: u8) -> Item {
    Item { at, key, id: 0 }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_waited_for_only_so_long() {
    let (mut busy, one) = mpsc::channel(10);
    let (mut silent, two) = mpsc::channel(10);
    let config = OrderedConfig::default().idle(secs(3));
    let (side, mut late) = side(10, Full::Block);
    let mut merged = merge_ordered([one, two], time, config.late_to(side));
    busy.send(item(5, 0)).await.unwrap();
    busy.send(item(6, 0)).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(merged.next().await, Some(item(5, 0)));
    assert!((secs(3)..secs(4)).contains(&began.elapsed()));
    // From now on nobody waits for it.
    assert_eq!(merged.next().await, Some(item(6, 0)));
    assert!(began.elapsed() < secs(4));
    silent.send(item(1, 1)).await.unwrap();
    silent.send(item(9, 1)).await.unwrap();
    busy.send(item(8, 0)).await.unwrap();
    assert_eq!(merged.next().await, Some(item(8, 0)));
    assert_eq!(late.next().await, Some(item(1, 1)));
    drop(busy);
    assert_eq!(merged.next().await, Some(item(9, 1)));
    drop(silent);
    assert_eq!(merged.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_dead_stream_costs_one_item_of_each_other() {
    let (_dead, dead) = mpsc::channel(1);
    let endless = stream::iter((0..).map(|at| item(at, 0)));
    let streams = [dead.boxed(), endless.boxed()];
    let mut merged = merge_ordered(streams, time, OrderedConfig::default());
    let waited = tokio::time::timeout(Duration::from_secs(60), merged.next()).await;
    assert!(waited.is_err());
    assert_eq!(
        (merged.stats().get().taken, merged.stats().get().buffered),
        (1, 1)
    );
    let stats = merged.stats();
    drop(merged);
    assert_eq!((stats.get().dropped, stats.get().buffered), (1, 0));
}

#[tokio::test]
async fn two_streams_merge() {
    let merged = stream::iter([1, 3]).merge(stream::iter([2, 4]));
    let mut out: Vec<i32> = merged.collect().await;
    out.sort_unstable();
    assert_eq!(out, [1, 2, 3, 4]);
}
