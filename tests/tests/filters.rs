//! Filters that travel to the producer: who gets what, what is told of the rest, and how a filter
//! changes while items flow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers may panic"
)]

use rivermesh::{
    Condition, Consumer, Datum, Dynamic, Event, Lag,
    consumer::{self, ConsumeError, FilterError, LeaveReason, SubscribeError},
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    wait::eventually,
    witness::{Fate, Number, Witness, produce, send, subscribed},
};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn each_number_is_received_or_left_out_near_and_far() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = produce(&a, |producer| producer.online_when(Condition::at_least(6)));
    let wish = |source: &'static str| {
        move |consumer: consumer::Builder<Number>| consumer.filter(source).lag(Lag::Block)
    };
    // Both nodes have one that shares its filter with the other node's, in another spelling.
    let mut witnesses = Vec::new();
    for node in [&a, &b] {
        witnesses.push(Witness::new(node, wish("key in ['k1', 'k7']")));
        witnesses.push(Witness::new(node, wish("n >= 500")));
        witnesses.push(Witness::new(node, |consumer| consumer.lag(Lag::Block)));
    }
    witnesses.push(Witness::new(&b, wish("key in [\"k7\", 'k1', 'k7']")));
    subscribed(&producer, 7).await;
    assert_eq!(producer.stats().filters, 2);
    send(&producer, 0, 1000).await;
    for (place, witness) in witnesses.iter_mut().enumerate() {
        witness.until(1000).await;
        let wanted = |n: &u64| match place % 3 {
            0 => n % 10 == 1 || n % 10 == 7,
            1 => *n >= 500,
            _ => true,
        };
        let expected: Vec<u64> = (0..1000).filter(wanted).collect();
        assert_eq!(witness.of(Fate::Received), expected, "{place}");
        assert!(witness.of(Fate::Missed).is_empty());
        let stats = witness.consumer.stats();
        assert_eq!(stats.items, expected.len() as u64);
        assert_eq!(stats.filtered, 1000 - stats.items);
        let followed = witness.consumer.producers();
        assert_eq!(
            (followed[0].items, followed[0].filtered),
            (stats.items, stats.filtered)
        );
    }
    let by_filter = |filter: &str| {
        let subscribers = producer.consumers().into_iter();
        let own = subscribers.filter(|s| s.filter.as_ref().is_some_and(|f| f.as_str() == filter));
        own.map(|s| (s.items, s.filtered, s.missed, s.lag))
            .collect::<Vec<_>>()
    };
    assert_eq!(by_filter("n >= 500"), [(500, 500, 0, 0); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_changes_without_a_gap_near_and_far() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    for node in [&a, &b] {
        let producer = produce(&a, |producer| producer);
        let wish =
            |consumer: consumer::Builder<Number>| consumer.filter("key == 'k3'").lag(Lag::Block);
        let mut witness = Witness::new(node, wish);
        subscribed(&producer, 1).await;
        let filters = [
            Some("key == 'k4'"),
            None,
            Some("n < 0"),
            Some("key == 'k3'"),
        ];
        let mut sent = 0;
        for (round, filter) in filters.into_iter().enumerate() {
            send(&producer, sent, sent + 500).await;
            sent += 500;
            // Some rounds change it with items on their way, some when all have come.
            if round % 2 == 0 {
                witness.until(sent).await;
            }
            witness.consumer.set_filter(filter).unwrap();
            assert_eq!(witness.consumer.filter().as_deref(), filter);
            while witness.changes.len() <= round {
                witness.step().await;
            }
        }
        send(&producer, sent, sent + 500).await;
        sent += 500;
        witness.until(sent).await;
        assert!(witness.of(Fate::Missed).is_empty());
        let rules: [fn(u64) -> bool; 5] = [
            |n| n % 10 == 3,
            |n| n % 10 == 4,
            |_| true,
            |_| false,
            |n| n % 10 == 3,
        ];
        let rule = |n: u64| rules[witness.changes.partition_point(|from| *from <= n)];
        let expected: Vec<u64> = (0..sent).filter(|n| rule(*n)(*n)).collect();
        assert_eq!(
            witness.of(Fate::Received),
            expected,
            "{:?}",
            witness.changes
        );
        assert!(witness.changes.is_sorted() && witness.changes[0] == 500);
        assert_eq!(
            (witness.left.len(), witness.first),
            (0, Some(0)),
            "it stayed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_resumed_with_the_filter_of_the_moment() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = produce(&a, |producer| {
        producer
            .online_when(Condition::always())
            .log_bytes(16 << 20)
    });
    let mut witness = Witness::new(&b, |consumer| consumer.filter("key == 'k3'"));
    subscribed(&producer, 1).await;
    let mut sent = 0;
    for round in 1..=6u64 {
        send(&producer, sent, sent + 300).await;
        assert!(a.disconnect(b.id()), "there was no connection to cut");
        // Sent when nobody has the filter: it is held against it later.
        send(&producer, sent + 300, sent + 600).await;
        sent += 600;
        if round == 4 {
            witness.consumer.set_filter("key == 'k5'").unwrap();
        }
        witness.until(sent).await;
    }
    let from = witness.changes[0];
    assert_eq!(witness.changes.len(), 1);
    assert!((1800..=2400).contains(&from), "{from}");
    let kept = |n: &u64| n % 10 == if *n < from { 3 } else { 5 };
    let expected: Vec<u64> = (0..sent).filter(kept).collect();
    assert_eq!(witness.of(Fate::Received), expected);
    assert!(witness.of(Fate::Missed).is_empty() && witness.left.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_does_not_fit_is_refused_in_words_and_another_one_is_taken() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let builder = || b.consumer::<Number>();
    let Err(ConsumeError::Filter(FilterError::Parse(error))) = builder().filter("n >").build()
    else {
        panic!("half a filter was taken");
    };
    assert_eq!(error.place().unwrap().column(), 4);
    let Err(ConsumeError::Filter(error)) = builder().filter("m > 1 && n > 1").build() else {
        panic!("a field that does not exist was taken");
    };
    assert_eq!(
        error.report(),
        "line 1, column 1: `Number` has no field `m`; there are `n`, `pad`, `key`, `kind`\n\
         m > 1 && n > 1\n^"
    );
    // The same from the producer, for who does not know the type. Near and far.
    for node in [&a, &b] {
        let producer = produce(&a, |producer| producer.online_when(Condition::always()));
        let mut consumer = node
            .consumer::<Dynamic>()
            .stream("numbers")
            .filter("n > 1 && m > 1")
            .build()
            .unwrap();
        let Some(Event::Refused { error, .. }) = next(&mut consumer).await else {
            panic!("not refused");
        };
        let SubscribeError::Filter { place, exists, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(
            (place.offset(), place.excerpt()),
            (9, "n > 1 && m > 1\n         ^")
        );
        assert_eq!(exists, &["n", "pad", "key", "kind"]);
        assert!(
            error.report().ends_with(place.excerpt()),
            "{}",
            error.report()
        );
        assert!(consumer.set_filter("n > ").is_err());
        assert_eq!(consumer.filter().as_deref(), Some("n > 1 && m > 1"));
        consumer.set_filter("n > 1").unwrap();
        joined(&mut consumer).await;
        subscribed(&producer, 1).await;
        producer.send(Number::new(7)).await.unwrap();
        match next(&mut consumer).await {
            Some(Event::Item(delivery)) => assert_eq!(delivery.seq, 0),
            other => panic!("{other:?}"),
        }
        // One that is changed to and does not fit ends the subscription there.
        consumer.set_filter("m > 1").unwrap();
        let mut refused = false;
        loop {
            match next(&mut consumer).await {
                Some(Event::Refused { error, .. }) => {
                    assert!(matches!(error, SubscribeError::Filter { .. }), "{error:?}");
                    refused = true;
                }
                Some(Event::Left { reason, .. }) => break assert_eq!(reason, LeaveReason::Refused),
                other => panic!("{other:?}"),
            }
        }
        assert!(refused);
        subscribed(&producer, 0).await;
        consumer.set_filter(None).unwrap();
        joined(&mut consumer).await;
    }
}

/// Waits until a producer is followed. One whose new epoch is heard of late is asked twice, and
/// refuses twice.
async fn joined<T: Datum + std::fmt::Debug>(consumer: &mut Consumer<T>) {
    loop {
        match next(consumer).await {
            Some(Event::Joined { .. }) => return,
            Some(Event::Refused { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn next<T: Datum>(consumer: &mut Consumer<T>) -> Option<Event<T>> {
    timeout(DEADLINE, consumer.next_event())
        .await
        .expect("an event in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_admitted_learns_nothing_of_his_filter() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let _producer = produce(&a, |producer| producer.require(|_| false));
    for filter in ["n > 1", "no_such_field > 1"] {
        let consumer = b.consumer::<Dynamic>().stream("numbers").filter(filter);
        let mut consumer = consumer.build().unwrap();
        let Some(Event::Refused { error, .. }) = next(&mut consumer).await else {
            panic!("not refused");
        };
        assert_eq!(error, SubscribeError::NotAdmitted, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_gets_little_holds_nobody_up_and_misses_nothing() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = produce(&a, |producer| {
        producer.log_bytes(64 * 1024).batch_bytes(1024)
    });
    // It never reads while items are sent; with `Block` it would stop the producer if anything were
    // for it.
    let quiet =
        |consumer: consumer::Builder<Number>| consumer.filter("n >= 100000").lag(Lag::Block);
    let mut far = Witness::new(&b, quiet);
    let mut near = Witness::new(&a, quiet);
    let mut skips = Witness::new(&b, |consumer| consumer.filter("n in [7, 19999]"));
    subscribed(&producer, 3).await;
    send(&producer, 0, 20_000).await;
    assert!(producer.stats().oldest > 10_000, "the log has moved on");
    for witness in [&mut far, &mut near, &mut skips] {
        witness.until(20_000).await;
        assert!(witness.of(Fate::Missed).is_empty());
    }
    assert_eq!(skips.of(Fate::Received), [7, 19_999]);
    assert!(far.of(Fate::Received).is_empty() && near.of(Fate::Received).is_empty());
    assert_eq!(producer.stats().undelivered, 19_998);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_falls_behind_misses_up_to_an_item_that_was_for_it() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let producer = produce(&a, |producer| {
        producer.log_bytes(64 * 1024).batch_bytes(1024)
    });
    let mut witness = Witness::new(&a, |consumer| {
        consumer.filter("key == 'k3'").buffer_bytes(64 * 1024)
    });
    subscribed(&producer, 1).await;
    let mut sent = 0;
    // Nothing of it is read, so its queue fills up, and the log moves past it.
    let is_behind = || {
        let one = &producer.consumers()[0];
        let told = one.items + one.filtered + one.missed;
        producer.stats().oldest > told + 3000
    };
    while !is_behind() {
        for n in sent..sent + 5000 {
            let pad = "x".repeat(50);
            let number = Number {
                pad,
                ..Number::new(n)
            };
            producer.send(number).await.unwrap();
        }
        sent += 5000;
        assert!(sent < 5_000_000, "it takes all");
    }
    send(&producer, sent, sent + 20_000).await;
    sent += 20_000;
    witness.until(sent).await;
    let missed = witness.of(Fate::Missed);
    assert!(missed.len() > 1000, "{}", missed.len());
    let ends = missed.iter().filter(|seq| !missed.contains(&(**seq + 1)));
    assert!(ends.into_iter().all(|seq| seq % 10 == 3));
    assert!(witness.of(Fate::Received).iter().all(|seq| seq % 10 == 3));
    assert!(witness.of(Fate::Filtered).iter().all(|seq| seq % 10 != 3));
    let stats = witness.consumer.stats();
    assert_eq!(stats.items + stats.filtered + stats.missed, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_gets_goes_to_the_sink() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let (sink, mut unwanted) = tokio::sync::mpsc::channel(64);
    let producer = produce(&a, |producer| producer.undelivered(sink));
    let mut one = Witness::new(&a, |consumer| consumer.filter("key == 'k1'"));
    let mut two = Witness::new(&a, |consumer| consumer.filter("n < 5"));
    subscribed(&producer, 2).await;
    send(&producer, 0, 50).await;
    one.until(50).await;
    two.until(50).await;
    let mut found = Vec::new();
    while let Ok(number) = unwanted.try_recv() {
        found.push(number.n);
    }
    let expected: Vec<u64> = (5..50).filter(|n| n % 10 != 1).collect();
    assert_eq!(found, expected);
    assert_eq!(producer.stats().undelivered, expected.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_room_for_so_many_filters() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = produce(&a, |producer| producer.max_filters(1));
    let first = Witness::new(&b, |consumer| consumer.filter("n > 1"));
    subscribed(&producer, 1).await;
    // The same one has room, and so have those that are looked up.
    let _same = Witness::new(&b, |consumer| consumer.filter("1 < n"));
    let _free = Witness::new(&b, |consumer| consumer.filter("n == 1"));
    subscribed(&producer, 3).await;
    let mut late = Witness::new(&b, |consumer| consumer.filter("n > 2"));
    while late.refused.is_empty() {
        late.step().await;
    }
    assert_eq!(late.refused, [SubscribeError::FiltersFull]);
    first.consumer.set_filter("n == 1").unwrap();
    _same.consumer.set_filter("n == 1").unwrap();
    // It asks again.
    subscribed(&producer, 4).await;
    assert_eq!(producer.stats().filters, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_in_a_row_end_with_the_last() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = produce(&a, |producer| producer);
    let mut witness = Witness::new(&b, |consumer| consumer.lag(Lag::Block));
    subscribed(&producer, 1).await;
    for n in 0..200 {
        witness
            .consumer
            .set_filter(format!("n == {n}").as_str())
            .unwrap();
    }
    eventually(DEADLINE, || {
        let subscribers = producer.consumers();
        let filter = subscribers[0].filter.as_ref();
        filter.is_some_and(|filter| filter.as_str() == "n == 199")
    })
    .await;
    send(&producer, 0, 300).await;
    witness.until(300).await;
    assert_eq!(witness.of(Fate::Received), [199]);
    assert!(witness.changes.len() <= 200);
    assert_eq!(producer.stats().filters, 1);
}
