use std::collections::BTreeMap;

use futures::{FutureExt, SinkExt, StreamExt, channel::mpsc, stream};
use proptest::prelude::*;
use rivermesh_flow::{FlowExt, Full, demux::Config};

use crate::{Item, input, key, secs};

fn full() -> impl Strategy<Value = Full> {
    prop_oneof![
        Just(Full::SkipOldest),
        Just(Full::SkipNewest),
        Just(Full::Detach),
        Just(Full::Block)
    ]
}

proptest! {
    /// Whatever the bounds and the policy: each key's items come in order, at most once, those that
    /// do not are counted, and nothing is held beyond the bounds.
    #[test]
    fn loses_nothing_uncounted(
        input in input(5),
        full in full(),
        max_keys in 1_usize..6,
        per_key in 1_usize..5,
        max_bytes in 1_usize..12,
        read_after in 0_usize..4,
        drop_key in prop::option::of(0_u8..5),
    ) {
        let config = Config::default().max_keys(max_keys).max_items_per_key(per_key);
        let config = config.max_bytes(max_bytes).full(full);
        let items: Vec<Item> = input.iter().map(|(item, _)| *item).collect();
        let mut demux = stream::iter(items.clone()).demux_by(key, config).sized_by(|_| 1);
        let stats = demux.stats();
        let mut subs = Vec::new();
        // A key may be retired and begin anew, so order is that of each sub-stream.
        let mut out: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
        let mut begun = 0;
        let mut done = false;
        // A round that moves nothing, with everything read, would be a hang.
        for round in 0..10_000 {
            prop_assert!(round < 9_999, "hangs at {}", stats.get());
            match demux.next().now_or_never() {
                Some(Some((key, sub))) if Some(key) == drop_key => drop(sub),
                Some(Some((key, sub))) => {
                    begun += 1;
                    subs.push((key, sub, begun));
                }
                Some(None) => done = true,
                None => {}
            }
            prop_assert!(demux.keys() <= max_keys);
            prop_assert!(stats.get().is_balanced(), "{}", stats.get());
            // One more may wait to be placed.
            prop_assert!(stats.get().buffered <= max_bytes as u64 + 1);
            if round % (read_after + 1) == 0 {
                subs.retain_mut(|(key, sub, number)| match sub.next().now_or_never() {
                    Some(Some(item)) => {
                        assert_eq!(item.key, *key);
                        out.entry(*number).or_default().push(item);
                        true
                    }
                    Some(None) => false,
                    None => true,
                });
            }
            if done && subs.is_empty() {
                break;
            }
        }
        for got in out.values() {
            prop_assert!(got.is_sorted_by_key(|item| item.id), "{got:?}");
        }
        let count: usize = out.values().map(Vec::len).sum();
        let stats = stats.get();
        prop_assert_eq!((stats.taken, stats.emitted), (items.len() as u64, count as u64));
        prop_assert_eq!(stats.buffered, 0);
        if full == Full::Block && drop_key.is_none() {
            prop_assert_eq!(stats.dropped, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_key_is_retired_and_comes_back() {
    let (mut input, items) = mpsc::channel(10);
    let mut demux = items.demux_by(key, Config::default().idle(secs(10)));
    let item = |key, id| Item { at: 0, key, id };
    input.send(item(1, 0)).await.unwrap();
    let (_, mut one) = demux.next().await.unwrap();
    input.send(item(2, 1)).await.unwrap();
    let (_, _two) = demux.next().await.unwrap();
    assert!(tokio::time::timeout(secs(6), demux.next()).await.is_err());
    input.send(item(2, 2)).await.unwrap();
    assert!(tokio::time::timeout(secs(6), demux.next()).await.is_err());
    assert_eq!(demux.keys(), 1, "the other key has been heard since");
    assert_eq!(one.next().await, Some(item(1, 0)));
    assert_eq!(one.next().await, None, "retired");
    input.send(item(1, 3)).await.unwrap();
    let (key, mut again) = demux.next().await.unwrap();
    assert_eq!((key, again.next().await), (1, Some(item(1, 3))));
}

#[tokio::test(start_paused = true)]
async fn blocked_until_a_sub_stream_is_read() {
    let config = Config::default().max_items_per_key(2);
    let items = stream::iter((0..5).map(|id| Item { at: 0, key: 0, id }));
    let mut demux = items.demux_by(key, config);
    let stats = demux.stats();
    let (_, mut sub) = demux.next().await.unwrap();
    let reading = tokio::spawn(async move {
        assert!(demux.next().await.is_none());
        demux.keys()
    });
    tokio::task::yield_now().await;
    assert_eq!((stats.get().taken, stats.get().buffered), (3, 3));
    for id in 0..5 {
        assert_eq!(sub.next().await.map(|item| item.id), Some(id));
    }
    assert_eq!(sub.next().await, None);
    assert_eq!(reading.await.unwrap(), 0);
    assert_eq!(stats.get().emitted, 5);
}
