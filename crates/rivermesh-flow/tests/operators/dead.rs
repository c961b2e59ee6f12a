//! An endless input of which one source is dead: what is held stays within its bounds.

use std::{pin::pin, sync::Arc};

use futures::{FutureExt, SinkExt, StreamExt, channel::mpsc, future::Either, stream};
use rivermesh_flow::{
    Filter, FlowExt, Full, Operator, Router, demux,
    reorder::{self, Reorder},
    router,
    window::{Config, Count, Scope, Sessions, Snapshots},
    zip::ZipLatest,
};

use crate::{Bench, Item, key, secs, time, us};

const ITEMS: u32 = 100_000;

/// An item of the source that lives, one each microsecond.
fn alive(id: u32) -> Item {
    let at = u64::from(id);
    Item { at, key: 0, id }
}

#[test]
fn snapshots_are_bounded() {
    // Each item holds the token, so its holders are the items that are in memory.
    let token = Arc::new(());
    let key = |(item, _): &(Item, Arc<()>)| item.key;
    let time = |(item, _): &(Item, Arc<()>)| time(item);
    let config = Config::default().max_windows(10);
    let snapshots = Snapshots::new(us(5), config, key, time).known([0_u8, 1]);
    let mut bench = Bench::new(snapshots);
    let mut fired = 0;
    for id in 0..ITEMS {
        let out = bench.push((alive(id), Arc::clone(&token)));
        assert!(out.iter().all(|snapshot| snapshot.missing == [1]));
        fired += out.len();
        drop(out);
        // An item of the one key in each of ten snapshots, the newest, and this test's own.
        assert!(Arc::strong_count(&token) <= 12);
        assert!(bench.operator.stats().buffered <= 55);
    }
    assert!(fired > 19_900, "{fired}: it goes on without the dead one");
}

#[test]
fn sessions_are_bounded() {
    let config = Config::default().max_windows(10);
    let sessions = Sessions::new(us(2), Scope::PerKey, config, key, time, Count);
    let mut bench = Bench::new(sessions.known([0_u8, 1]));
    let mut fired = 0;
    for id in 0..ITEMS {
        // Each is a session of its own.
        let item = Item {
            at: u64::from(id) * 5,
            ..alive(id)
        };
        fired += bench.push(item).len();
        assert!(bench.operator.stats().buffered <= 11);
    }
    assert!(fired > 99_900, "{fired}: it goes on without the dead one");
}

#[test]
fn reordering_is_bounded_and_a_dead_key_holds_nobody_up() {
    let config = reorder::Config::new(us(10)).max_items(50);
    let mut bench = Bench::new(Reorder::new(key, time, config));
    assert!(
        bench
            .push(Item {
                key: 1,
                ..alive(100)
            })
            .is_empty()
    );
    let mut out = 0;
    for id in 100..100 + ITEMS {
        out += bench.push(alive(id)).len();
        // Those that may still be overtaken, and the last words of the dead one.
        assert!(bench.operator.stats().buffered <= 12);
    }
    assert_eq!(out, ITEMS as usize - 10);
}

#[test]
fn zipping_with_a_dead_side_holds_one() {
    let mut bench = Bench::new(ZipLatest::<u32, u32>::default());
    for id in 0..ITEMS {
        assert!(bench.push(Either::Left(id)).is_empty());
        let stats = Operator::<Either<u32, u32>>::stats(&bench.operator);
        assert_eq!((stats.buffered, stats.dropped), (1, u64::from(id)));
    }
}

#[tokio::test]
async fn a_sub_stream_that_nobody_reads_is_bounded() {
    for full in [Full::SkipOldest, Full::SkipNewest, Full::Detach] {
        let config = demux::Config::default().max_items_per_key(7).full(full);
        let items = stream::iter((0..ITEMS).map(alive));
        let mut demux = items.demux_by(key, config);
        let stats = demux.stats();
        let (_, unread) = demux.next().await.unwrap();
        let mut rest = pin!(demux.collect::<Vec<_>>());
        while rest.as_mut().now_or_never().is_none() {
            assert!(stats.get().buffered <= 8, "{full:?}: {}", stats.get());
        }
        let stats = stats.get();
        assert!(stats.is_balanced() && stats.taken == u64::from(ITEMS));
        assert!(stats.dropped >= u64::from(ITEMS) - 8, "{full:?}: {stats}");
        drop(unread);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_output_of_a_router_is_bounded() {
    let router = Router::spawn(stream::iter((0..ITEMS).map(alive)));
    let (mut sink, _stuck) = mpsc::channel(0);
    // The place that each sender of a channel has is taken.
    assert!(sink.feed(alive(0)).now_or_never().is_some());
    let config = router::Config::default().capacity(9).full(Full::SkipOldest);
    let output = router.attach(Filter::all(), sink, config).unwrap();
    while router.ended().now_or_never().is_none() {
        assert!(output.stats().buffered <= 10, "{}", output.stats());
        tokio::task::yield_now().await;
    }
    let stats = output.stats();
    assert!(stats.is_balanced() && stats.buffered <= 10, "{stats}");
    assert!(stats.dropped >= u64::from(ITEMS) - 10, "{stats}");
    router.drain(secs(1)).await;
}
