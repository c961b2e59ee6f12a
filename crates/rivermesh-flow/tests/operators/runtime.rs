//! What runs an operator over a stream: cancelling, dropping, timers, fairness.

use std::{pin::pin, time::Duration};

use futures::{FutureExt, SinkExt, StreamExt, channel::mpsc, stream};
use rivermesh_flow::{EventTime, FlowExt, Full, reorder, side};

use crate::secs;

#[tokio::test(start_paused = true)]
async fn a_batch_comes_in_time_while_the_input_is_silent() {
    let (mut input, items) = mpsc::channel(10);
    let mut batches = items.batch(3, secs(2));
    input.send(1).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(batches.next().await, Some(vec![1]));
    assert!((secs(2)..secs(3)).contains(&began.elapsed()));
    for item in 2..6 {
        input.send(item).await.unwrap();
    }
    assert_eq!(batches.next().await, Some(vec![2, 3, 4]));
    drop(input);
    assert_eq!(batches.next().await, Some(vec![5]));
    assert_eq!(batches.next().await, None);
    assert_eq!(batches.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_loses_nothing() {
    let (mut input, items) = mpsc::channel(10);
    let mut batches = items.batch(3, secs(100));
    for item in 0..3 {
        input.send(item).await.unwrap();
        // Cancelled, but for the last, which completes the batch.
        let waited = tokio::time::timeout(Duration::from_secs(1), batches.next()).await;
        assert_eq!(waited.ok().flatten(), (item == 2).then(|| vec![0, 1, 2]));
    }
}

#[tokio::test]
async fn dropping_counts_what_was_held() {
    let items = stream::iter(0..10_u64).chain(stream::pending());
    let mut ordered = items.reorder(|at| EventTime::from_secs(*at), secs(3));
    let stats = ordered.stats();
    for at in 0..5 {
        assert_eq!(ordered.next().now_or_never().flatten(), Some(at));
    }
    let held = stats.get();
    assert!(held.is_balanced() && held.buffered == 3, "{held}");
    drop(ordered);
    let after = stats.get();
    assert_eq!((after.dropped, after.buffered), (3, 0));
    assert!(after.is_balanced());
}

#[tokio::test]
async fn a_stream_of_which_nothing_comes_lets_others_run() {
    let same = stream::repeat(7).dedup(|item| *item, secs(1000));
    let mut same = pin!(same);
    assert_eq!(same.next().await, Some(7));
    let other = tokio::spawn(async { 1 });
    tokio::select! {
        _ = same.next() => panic!("the same again"),
        done = other => assert_eq!(done.unwrap(), 1),
    }
}

#[tokio::test]
async fn a_full_side_output_holds_the_input() {
    let items = stream::iter([10_u64, 1, 2, 3, 20]);
    let (late, mut late_items) = side(1, Full::Block);
    let config = reorder::Config::new(Duration::ZERO);
    let time = |at: &u64| EventTime::from_secs(*at);
    let mut ordered =
        items.through(reorder::Reorder::new(|_: &u64| (), time, config).late_to(late));
    assert_eq!(ordered.next().await, Some(10));
    for at in 1..=3 {
        assert_eq!(
            ordered.next().now_or_never(),
            (at == 3).then_some(Some(20)).filter(|_| false)
        );
        assert_eq!(late_items.next().await, Some(at));
    }
    assert_eq!(ordered.next().await, Some(20));
    assert_eq!((late_items.lost(), ordered.stats().get().late), (0, 3));
    // It ends with the input, though the operator is still there.
    assert_eq!(ordered.next().await, None);
    assert_eq!(late_items.next().await, None);
    drop(ordered);
}

#[tokio::test(start_paused = true)]
async fn operators_compose_into_a_sink() {
    let (sink, out) = mpsc::channel(100);
    let (left, right) = (stream::iter([1, 2, 3]), stream::iter([10, 20]));
    let (pairs, rate) = left.zip_latest(right).inspect_rate(secs(1));
    let batches = pairs.batch(2, secs(1));
    batches.map(Ok).forward(sink).await.unwrap();
    let out: Vec<Vec<(i32, i32)>> = out.collect().await;
    assert_eq!(out.concat().last(), Some(&(3, 20)));
    assert!(out.iter().all(|batch| (1..=2).contains(&batch.len())));
    // In paused time everything comes at once, so there is no time over which to divide.
    assert_eq!(rate.per_second(), 0.0);
}
