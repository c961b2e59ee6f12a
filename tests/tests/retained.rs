//! Consumers that come late: where they begin, what is kept for them, and that nothing is lost or
//! told twice where what is kept meets what is sent.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use rivermesh::{
    Condition, Lag, Node, Producer,
    consumer::{LeaveReason, Start, SubscribeError},
    producer::{self, Retention},
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    wait::eventually,
    witness::{Fate, Number, Witness, produce, send, subscribed},
};

const HOUR: Duration = Duration::from_secs(3600);

/// A producer that takes items without consumers.
fn keep(
    node: &Node,
    setup: impl FnOnce(producer::Builder<Number>) -> producer::Builder<Number>,
) -> Producer<Number> {
    produce(node, |producer| {
        setup(
            producer
                .online_when(Condition::always())
                .log_bytes(32 << 20),
        )
    })
}

fn starts(start: Start) -> impl Fn(&Node) -> Witness {
    move |node| Witness::new(node, |consumer| consumer.start(start))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_begins_where_it_asks_near_and_far() {
    // More than a batch.
    const KEPT: u64 = 3000;
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = keep(&a, |producer| producer);
    send(&producer, 0, KEPT).await;
    let in_an_hour = SystemTime::now() + HOUR;
    let cases = [
        (Start::Earliest, 0..=0),
        (Start::At(300), 300..=300),
        (Start::At(2 * KEPT), KEPT..=KEPT),
        (Start::Ago(HOUR), 0..=0),
        (Start::Since(SystemTime::UNIX_EPOCH), 0..=0),
        // The last batch may go on until then.
        (Start::Since(in_an_hour), 1..=KEPT),
        (Start::Latest, KEPT..=KEPT),
    ];
    let mut witnesses = Vec::new();
    for node in [&a, &b] {
        for (start, first) in &cases {
            for filter in [None, Some("key == 'k3'")] {
                let witness = Witness::new(node, |mut consumer| {
                    if let Some(filter) = filter {
                        consumer = consumer.filter(filter);
                    }
                    consumer.start(*start).lag(Lag::Block)
                });
                witnesses.push((witness, filter.is_some(), first.clone()));
            }
        }
    }
    subscribed(&producer, witnesses.len()).await;
    send(&producer, KEPT, KEPT + 500).await;
    for (witness, is_filtered, first) in &mut witnesses {
        witness.until(KEPT + 500).await;
        let begun = witness.first.unwrap();
        assert!(first.contains(&begun), "{begun} of {first:?}");
        let wanted = |n: &u64| !*is_filtered || n % 10 == 3;
        let expected: Vec<u64> = (begun..KEPT + 500).filter(wanted).collect();
        assert_eq!(witness.of(Fate::Received), expected);
        assert!(witness.of(Fate::Missed).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_told_twice_where_what_is_kept_meets_what_is_sent() {
    const ITEMS: u64 = 30_000;
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = keep(&a, |producer| {
        producer.retain(Retention::new().newest_per_key())
    });
    let sender = {
        let producer = producer.clone();
        tokio::spawn(async move { send(&producer, 0, ITEMS).await })
    };
    let mut witnesses = Vec::new();
    for round in 0..12u64 {
        // Spread over the time in which items are sent.
        let come = eventually(DEADLINE, || producer.stats().items >= round * ITEMS / 14);
        come.await;
        let start = [Start::Earliest, Start::At(round * 100), Start::LastPerKey];
        let start = start[round as usize % 3];
        let node = if round % 2 == 0 { &a } else { &b };
        let filter = ["n >= 0", "key in ['k2', 'k5']"][round as usize / 6];
        let witness = Witness::new(node, |consumer| consumer.start(start).filter(filter));
        witnesses.push((witness, start, filter));
    }
    sender.await.unwrap();
    for (witness, start, filter) in &mut witnesses {
        witness.until(ITEMS).await;
        assert!(witness.of(Fate::Missed).is_empty());
        let wanted = |n: &u64| *filter == "n >= 0" || [2, 5].contains(&(n % 10));
        let received = witness.of(Fate::Received);
        if *start == Start::LastPerKey {
            // From the first that it got on: ten in a row have ten keys.
            let first = *received.first().unwrap();
            let expected: Vec<u64> = (first..ITEMS).filter(wanted).collect();
            assert_eq!(received, expected);
        } else {
            let first = witness.first.unwrap();
            let expected: Vec<u64> = (first..ITEMS).filter(wanted).collect();
            assert_eq!(received, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_items_are_kept_for_who_comes_late_and_all_for_who_resumes() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = keep(&a, |producer| producer.retain(Retention::new().items(10)));
    let mut early = Witness::new(&b, |consumer| consumer);
    subscribed(&producer, 1).await;
    send(&producer, 0, 100).await;
    early.until(100).await;
    assert!(a.disconnect(b.id()), "there was no connection to cut");
    send(&producer, 100, 1000).await;
    early.until(1000).await;
    assert_eq!(early.of(Fate::Received).len(), 1000, "the log has them");
    for node in [&a, &b] {
        let mut earliest = starts(Start::Earliest)(node);
        let mut at = starts(Start::At(700))(node);
        for witness in [&mut earliest, &mut at] {
            witness.until(1000).await;
            assert_eq!(witness.of(Fate::Received), (990..1000).collect::<Vec<_>>());
        }
        assert_eq!(earliest.first, Some(990));
        assert_eq!(at.of(Fate::Missed), (700..990).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_leaves_an_idle_stream() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let age = Duration::from_millis(50);
    let producer = keep(&a, |producer| producer.retain(Retention::new().age(age)));
    send(&producer, 0, 100).await;
    let gone = eventually(DEADLINE, || producer.stats().oldest == 100);
    gone.await;
    assert_eq!(producer.stats().log_bytes, 0);
    let mut at = starts(Start::At(0))(&a);
    at.until(100).await;
    assert_eq!(at.of(Fate::Missed).len(), 100);
}

/// Ten keys that are sent all the time, and some that are sent once.
async fn send_keyed(producer: &Producer<Number>, items: u64, once: impl Fn(u64) -> bool) {
    let from = producer.stats().items;
    for n in from..from + items {
        let mut number = Number::new(n);
        if once(n) {
            number.kind = format!("once {n}");
        }
        assert_eq!(producer.send(number).await.unwrap(), n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_item_of_each_key_outlives_the_log() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = produce(&a, |producer| {
        producer
            .online_when(Condition::always())
            .log_bytes(64 << 10)
            .retain(Retention::new().newest_per_key())
    });
    send_keyed(&producer, 20_000, |n| n < 5_000 && n % 7 == 0).await;
    let oldest = producer.stats().oldest;
    assert!(oldest > 10_000, "the log has moved on");
    assert_eq!(producer.stats().keys_forgotten, 0);
    let once = || (0..5000).filter(|n| n % 7 == 0);
    for node in [&a, &b] {
        let mut newest = starts(Start::LastPerKey)(node);
        newest.until(20_000).await;
        let expected: Vec<u64> = once().chain(19_990..20_000).collect();
        assert_eq!(newest.of(Fate::Received), expected);
        let mut earliest = starts(Start::Earliest)(node);
        earliest.until(20_000).await;
        let expected: Vec<u64> = once().chain(oldest..20_000).collect();
        assert_eq!(earliest.of(Fate::Received), expected);
        let mut some = Witness::new(node, |consumer| {
            consumer
                .start(Start::LastPerKey)
                .filter("n < 100 || key == 'k4'")
        });
        some.until(20_000).await;
        let expected: Vec<u64> = once().filter(|n| *n < 100).chain([19_994]).collect();
        assert_eq!(some.of(Fate::Received), expected);
        for witness in [newest, earliest, some] {
            assert!(witness.of(Fate::Missed).is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_the_kept_part_costs_nothing() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = produce(&a, |producer| {
        producer
            .online_when(Condition::always())
            .log_bytes(64 << 10)
            .retain(Retention::new().newest_per_key())
    });
    for n in 0..6000 {
        let number = Number {
            n,
            kind: format!("{n}"),
            pad: "x".repeat(1000),
        };
        producer.send(number).await.unwrap();
    }
    let mut witness = Witness::new(&b, |consumer| {
        consumer.start(Start::LastPerKey).buffer_bytes(64 << 10)
    });
    for round in 1..=4 {
        // Its queue is full by then, and the connection's, so that there is more to come.
        witness.until(round * 500).await;
        // The last cut may not be mended yet.
        eventually(DEADLINE, || a.disconnect(b.id())).await;
    }
    witness.until(6000).await;
    assert_eq!(witness.of(Fate::Received).len(), 6000);
    assert!(witness.left.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_is_left_and_followed_again_is_not_read_twice() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = keep(&a, |producer| producer);
    send(&producer, 0, 100).await;
    a.set_tags(["good"]).unwrap();
    let mut witness = Witness::new(&b, |consumer| {
        consumer
            .start(Start::Earliest)
            .require(|peer| peer.has_tag("good"))
    });
    witness.until(100).await;
    a.set_tags(["bad"]).unwrap();
    while witness.left.is_empty() {
        witness.step().await;
    }
    assert_eq!(witness.left, [LeaveReason::NotEligible]);
    send(&producer, 100, 200).await;
    a.set_tags(["good"]).unwrap();
    witness.until(200).await;
    assert_eq!(witness.of(Fate::Received).len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_items_of_keys_are_refused_where_they_are_not_kept() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let _producer = keep(&a, |producer| producer);
    for node in [&a, &b] {
        let mut witness = starts(Start::LastPerKey)(node);
        while witness.refused.is_empty() {
            witness.step().await;
        }
        assert_eq!(witness.refused, [SubscribeError::NotCompacted]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_conflates_and_is_behind_gets_the_newest_and_who_is_not_gets_all() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    for node in [&a, &b] {
        let producer = produce(&a, |producer| {
            producer
                .log_bytes(256 << 10)
                .retain(Retention::new().newest_per_key())
        });
        let mut witness = Witness::new(node, |consumer| consumer.conflate().buffer_bytes(64 << 10));
        subscribed(&producer, 1).await;
        for n in 0..200 {
            // Caught up each time.
            send(&producer, n, n + 1).await;
            witness.until(n + 1).await;
        }
        assert_eq!(witness.of(Fate::Received).len(), 200);
        // Nothing is read, so that queues and windows fill up.
        let mut sent = 200;
        while producer.consumers()[0].lag < 5000 {
            let pad = "x".repeat(100);
            let number = Number {
                pad,
                ..Number::new(sent)
            };
            producer.send(number).await.unwrap();
            sent += 1;
            assert!(sent < 5_000_000, "it takes all");
        }
        send(&producer, sent, sent + 5000).await;
        sent += 5000;
        witness.until(sent).await;
        assert!(witness.of(Fate::Missed).is_empty());
        assert!(
            !witness.of(Fate::Filtered).is_empty(),
            "it was never behind"
        );
        let mut newest = BTreeMap::new();
        for n in witness.of(Fate::Received) {
            newest.insert(n % 10, n);
        }
        let expected: BTreeMap<u64, u64> = (sent - 10..sent).map(|n| (n % 10, n)).collect();
        assert_eq!(newest, expected);
        producer.close();
        while witness.left.is_empty() {
            witness.step().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_whose_key_was_sent_is_dropped_and_counted() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let producer = keep(&a, |producer| producer.dedup(HOUR));
    for n in 0..10 {
        assert_eq!(producer.send(Number::new(n)).await.unwrap(), n);
    }
    // Its number is that of the item that was sent.
    assert_eq!(producer.send(Number::new(27)).await.unwrap(), 7);
    assert_eq!(producer.try_send(Number::new(13)).unwrap(), 3);
    let number = Number {
        kind: "new".to_owned(),
        ..Number::new(10)
    };
    assert_eq!(producer.send(number).await.unwrap(), 10);
    let stats = producer.stats();
    assert_eq!((stats.items, stats.duplicates), (11, 2));
    let mut witness = starts(Start::Earliest)(&a);
    witness.until(11).await;
    assert_eq!(witness.of(Fate::Received).len(), 11);
}
