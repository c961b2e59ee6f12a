//! When items are taken, who waits for it, and that nobody waits for ever.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream};
use rivermesh::{Condition, Consumer, Lag, Node, Producer, TrySendError};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    recorder::{ANY_LAG, STREAM},
    wait::eventually,
};
use tokio::{sync::mpsc, time::timeout};

/// Rounds of the races: enough that a wake-up lost once in a thousand times is seen.
const ROUNDS: u64 = 2000;

fn consume(node: &Node) -> Consumer<Bytes> {
    node.consumer().stream(STREAM).build().unwrap()
}

fn produce(node: &Node) -> Producer<Bytes> {
    node.producer().stream(STREAM).build().unwrap()
}

fn item(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_le_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_offline_until_somebody_consumes_it() {
    for local in [false, true] {
        let mut cluster = Cluster::new();
        let a = cluster.spawn().await;
        let b = if local {
            a.clone()
        } else {
            cluster.spawn().await
        };
        let producer = produce(&a);
        assert!(!producer.is_online());
        match producer.try_send(item(7)) {
            Err(TrySendError::Offline(back)) => assert_eq!(back, item(7)),
            other => panic!("{other:?}"),
        }
        let waiting = {
            let producer = producer.clone();
            tokio::spawn(async move { producer.send(item(1)).await })
        };
        timeout(DEADLINE, producer.offline()).await.unwrap();
        let mut consumer = consume(&b);
        assert!(consumer.is_online());
        timeout(DEADLINE, producer.online()).await.unwrap();
        assert_eq!(
            timeout(DEADLINE, waiting).await.unwrap().unwrap().unwrap(),
            0
        );
        assert_eq!(
            timeout(DEADLINE, consumer.recv()).await.unwrap(),
            Some(item(1))
        );
        assert!(consumer.try_recv().is_err());
        assert!(producer.meets(&Condition::at_least(1)));
        drop(consumer);
        timeout(DEADLINE, producer.offline()).await.unwrap();
        timeout(DEADLINE, producer.when(Condition::at_least(1).not()))
            .await
            .unwrap();
        eventually(DEADLINE, || producer.consumers().is_empty()).await;
        assert!(matches!(
            producer.try_send(item(7)),
            Err(TrySendError::Offline(_))
        ));
    }
}

/// A consumer comes and goes against senders that wait, over and over: each time both must wake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_online_and_offline() {
    let mut cluster = Cluster::new();
    let node = cluster.spawn().await;
    let producer = produce(&node);
    let sent = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..3)
        .map(|_| {
            let (producer, sent) = (producer.clone(), Arc::clone(&sent));
            tokio::spawn(async move {
                while producer.send(item(1)).await.is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 0..ROUNDS {
        let mut consumer = consume(&node);
        let got = timeout(DEADLINE, consumer.recv()).await;
        assert_eq!(got, Ok(Some(item(1))), "round {round}: {producer:?}");
        drop(consumer);
        if round % 3 == 0 {
            // Let it go offline for certain, so that the senders do wait.
            let offline = timeout(DEADLINE, producer.offline()).await;
            assert!(offline.is_ok(), "round {round}: still online");
        }
    }
    producer.close();
    for sender in senders {
        timeout(DEADLINE, sender).await.unwrap().unwrap();
    }
    assert!(sent.load(Ordering::Relaxed) >= ROUNDS);
}

/// A log that holds next to nothing, and a consumer that blocks it: each item that is taken must
/// wake the senders, each that is sent the consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_full_and_space() {
    for senders in [1u64, 3] {
        let mut cluster = Cluster::new();
        let node = cluster.spawn().await;
        let producer: Producer<Bytes> = node
            .producer()
            .stream(STREAM)
            .allow_lag(ANY_LAG)
            .log_bytes(64 << 10)
            .batch_bytes(1 << 10)
            .build()
            .unwrap();
        let mut consumer: Consumer<Bytes> = node
            .consumer()
            .stream(STREAM)
            .lag(Lag::Block)
            .buffer_bytes(64 << 10)
            .build()
            .unwrap();
        let full = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..senders)
            .map(|_| {
                let (producer, full) = (producer.clone(), Arc::clone(&full));
                tokio::spawn(async move {
                    for _ in 0..ROUNDS * 3 / senders {
                        let mut item = Bytes::from(vec![5; 9000]);
                        item = match producer.try_send(item) {
                            Ok(_) => continue,
                            Err(TrySendError::Full(item)) => {
                                full.fetch_add(1, Ordering::Relaxed);
                                item
                            }
                            Err(error) => error.into_item(),
                        };
                        timeout(DEADLINE, producer.send(item))
                            .await
                            .unwrap()
                            .unwrap();
                    }
                })
            })
            .collect();
        for n in 0..ROUNDS * 3 / senders * senders {
            let got = timeout(DEADLINE, consumer.recv()).await;
            assert!(
                matches!(got, Ok(Some(_))),
                "item {n}: {:?}",
                producer.consumers()
            );
        }
        for task in tasks {
            task.await.unwrap();
        }
        let full = full.load(Ordering::Relaxed);
        assert!(
            full > ROUNDS / 10,
            "only {full} times full: this shows nothing"
        );
        assert_eq!(consumer.stats().missed, 0);
    }
}

/// Sending races closing: what `send` took arrives before the end, whichever comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_a_close_arrives() {
    let mut cluster = Cluster::new();
    let node = cluster.spawn().await;
    for round in 0..500 {
        let producer = produce(&node);
        let mut consumer = consume(&node);
        timeout(DEADLINE, producer.online()).await.unwrap();
        let sender = {
            let producer = producer.clone();
            tokio::spawn(async move {
                let mut sent = 0;
                while producer.send(item(sent)).await.is_ok() {
                    sent += 1;
                }
                sent
            })
        };
        // Somewhere in the middle.
        timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        producer.close();
        let sent = timeout(DEADLINE, sender).await.unwrap().unwrap();
        let mut got = 1;
        loop {
            match timeout(DEADLINE, consumer.next_event())
                .await
                .unwrap()
                .unwrap()
            {
                rivermesh::Event::Item(_) => got += 1,
                rivermesh::Event::Missed { from, to, .. } => got += to - from,
                rivermesh::Event::Left { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(got, sent, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enough_consumers_of_the_right_kind() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let producer: Producer<Bytes> = a
        .producer()
        .stream(STREAM)
        .online_when(Condition::at_least(2).tagged("x"))
        .build()
        .unwrap();
    let plain = cluster.spawn().await;
    let one = cluster.spawn_with(|node| node.tag("x")).await;
    let two = cluster.spawn_with(|node| node.tags(["x", "y"])).await;
    let _plain = consume(&plain);
    let _one = consume(&one);
    timeout(DEADLINE, producer.when(Condition::at_least(2)))
        .await
        .unwrap();
    assert!(!producer.is_online(), "one of the two has no tag");
    let _two = consume(&two);
    timeout(DEADLINE, producer.online()).await.unwrap();
    assert!(producer.meets(&Condition::at_least(1).tagged("x").tagged("y")));
    assert!(!producer.meets(&Condition::at_least(2).tagged("x").tagged("y")));
    // A tag that goes takes the stream offline, though the subscription stays; and back.
    one.remove_tag("x").unwrap();
    timeout(DEADLINE, producer.offline()).await.unwrap();
    assert_eq!(producer.consumers().len(), 3);
    plain.add_tag("x").unwrap();
    timeout(DEADLINE, producer.online()).await.unwrap();
    // A node that is dropped is noticed at once, not by its silence.
    let gone = two.id();
    drop((two, _two));
    timeout(Duration::from_secs(2), producer.offline())
        .await
        .expect("a dropped node is noticed within 2 s");
    assert!(
        producer
            .consumers()
            .iter()
            .all(|consumer| consumer.peer != gone)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_has_conditions_too() {
    let mut cluster = Cluster::new();
    let b = cluster.spawn().await;
    let mut consumer: Consumer<Bytes> = b
        .consumer()
        .stream(STREAM)
        .online_when(Condition::at_least(2))
        .build()
        .unwrap();
    let (one, two) = (cluster.spawn().await, cluster.spawn().await);
    let first = produce(&one);
    timeout(DEADLINE, consumer.when(Condition::at_least(1)))
        .await
        .unwrap();
    assert!(!consumer.is_online());
    let second = produce(&two);
    timeout(DEADLINE, consumer.online()).await.unwrap();
    timeout(DEADLINE, second.send(item(5)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        timeout(DEADLINE, consumer.recv()).await.unwrap(),
        Some(item(5))
    );
    drop(second);
    timeout(DEADLINE, consumer.offline()).await.unwrap();
    drop(first);
    timeout(DEADLINE, consumer.when(Condition::at_least(1).not()))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_gets_goes_to_the_undelivered() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let (sink, mut undelivered) = mpsc::channel(4);
    let producer: Producer<Bytes> = a
        .producer()
        .stream(STREAM)
        .online_when(Condition::always())
        .undelivered(sink)
        .build()
        .unwrap();
    assert!(producer.is_online());
    for n in 0..6 {
        assert_eq!(producer.try_send(item(n)).unwrap(), n);
    }
    for n in 0..4 {
        assert_eq!(undelivered.recv().await, Some(item(n)));
    }
    let stats = producer.stats();
    assert_eq!((stats.undelivered, stats.undelivered_lost), (6, 2));
    let mut consumer = consume(&a);
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    producer.try_send(item(6)).unwrap();
    assert_eq!(
        timeout(DEADLINE, consumer.recv()).await.unwrap(),
        Some(item(6))
    );
    assert!(undelivered.try_recv().is_err());
    assert_eq!(producer.stats().undelivered, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_are_sinks_and_consumers_are_streams() {
    const ITEMS: u64 = 10_000;
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut producer: Producer<Bytes> = a
        .producer()
        .stream(STREAM)
        .allow_lag(ANY_LAG)
        .log_bytes(64 << 10)
        .build()
        .unwrap();
    // Waits for the consumer below.
    let sending = tokio::spawn(async move {
        let mut items = stream::iter((0..ITEMS).map(|n| Ok(item(n))));
        producer.send_all(&mut items).await.unwrap();
        SinkExt::close(&mut producer).await.unwrap();
    });
    let consumer: Consumer<Bytes> = b.consumer().stream(STREAM).lag(Lag::Block).build().unwrap();
    let all = consumer.take(ITEMS as usize).collect::<Vec<_>>();
    let all = timeout(DEADLINE, all).await.unwrap();
    assert!(all.iter().zip(0..).all(|(got, n)| *got == item(n)));
    timeout(DEADLINE, sending).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_taken_at_once() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let producer = produce(&a);
    let mut consumer = consume(&a);
    timeout(DEADLINE, producer.online()).await.unwrap();
    for n in 0..5000 {
        producer.send(item(n)).await.unwrap();
    }
    let (mut items, mut calls) = (Vec::new(), 0);
    while items.len() < 5000 {
        let most = 64.min(5000 - items.len());
        let before = items.len();
        let got = timeout(DEADLINE, consumer.recv_many(&mut items, most))
            .await
            .unwrap();
        assert!(got >= 1 && got <= most && items.len() == before + got);
        calls += 1;
    }
    assert!(items.iter().zip(0..).all(|(got, n)| *got == item(n)));
    assert!(calls < 2500, "{calls} calls");
    assert_eq!(consumer.recv_many(&mut items, 0).await, 0);
}
