//! Leaving: gracefully, where everything arrives first, and not, where peers notice at once.

use std::time::Duration;

use bytes::Bytes;
use rivermesh::{
    Condition, Consumer, Event, Lag, SendError, TrySendError,
    consumer::{ConsumeError, LeaveReason, TryRecvError},
    discovery,
    producer::ProduceError,
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{Key, Rules, Run},
    recorder::{ANY_LAG, Driver, Note, Recorder, STREAM},
    seed::Seed,
    wait::eventually,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

fn item() -> Bytes {
    Bytes::from_static(b"an item")
}

/// What `send` took is delivered before the end, however it ends: the last handle dropped, closed,
/// or the node shut down.
#[tokio::test(flavor = "multi_thread")]
async fn everything_accepted_arrives_before_the_end() {
    for ending in 0..3 {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let (a, b) = (cluster.spawn().await, cluster.spawn().await);
        let mut driver = Driver::new(&a, key, |producer| producer.log_bytes(64 << 20)).size(1000);
        let remote = Recorder::new(&b, "remote", |consumer| consumer.buffer_bytes(64 << 10));
        let local = Recorder::new(&a, "local", |consumer| consumer.buffer_bytes(64 << 10));
        driver.subscribed(2).await;
        driver.send(6000).await;
        let goal = driver.goal();
        let (_tell, told) = watch::channel(Some(vec![goal]));
        let recorders = [remote.spawn(told.clone()), local.spawn(told)];
        let producer = driver.producer().clone();
        let journal = driver.finish();
        let mut kept = None;
        match ending {
            0 => drop(producer),
            1 => {
                producer.close();
                kept = Some(producer);
            }
            _ => {
                kept = Some(producer);
                timeout(DEADLINE, a.shutdown()).await.unwrap();
            }
        }
        let mut run = Run::new(key);
        for recorder in recorders {
            let mut recorder = recorder.await.unwrap();
            let ended = Note::Left(goal.producer, goal.epoch, LeaveReason::Ended);
            recorder
                .until("the end", |r| r.notes().last() == Some(&ended))
                .await;
            run.consumer(recorder.drained());
        }
        run.producer(journal);
        let rules = Rules {
            from_start: true,
            ..Rules::sunny()
        };
        run.check(&rules)
            .unwrap_or_else(|failure| panic!("{failure}"));
        if let Some(producer) = kept {
            match producer.send(item()).await {
                Err(SendError::Closed(back)) => assert_eq!(back, item()),
                other => panic!("{other:?}"),
            }
            assert!(matches!(
                producer.try_send(item()),
                Err(TrySendError::Closed(_))
            ));
            timeout(DEADLINE, producer.online()).await.unwrap();
            timeout(DEADLINE, producer.when(Condition::at_least(9)))
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_shut_down_says_so_everywhere() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut events = b.events();
    let producer = a.producer::<Bytes>().stream(STREAM).build().unwrap();
    let mut consumer: Consumer<Bytes> = a.consumer().stream("other").build().unwrap();
    // Waits while the stream is offline, and is woken by the end.
    let waiting = {
        let producer = producer.clone();
        tokio::spawn(async move { producer.send(item()).await })
    };
    let mut watching = b.consumer::<Bytes>().stream("other").build().unwrap();
    // Both have heard from each other by gossip.
    for (node, other) in [(&a, &b), (&b, &a)] {
        node.add_tag("settled").unwrap();
        let heard = || {
            other
                .catalog()
                .get(&node.id())
                .is_some_and(|peer| peer.has_tag("settled"))
        };
        eventually(DEADLINE, heard).await;
    }
    timeout(DEADLINE, a.shutdown()).await.unwrap();
    // Again, and on a handle that is left.
    timeout(DEADLINE, a.clone().shutdown()).await.unwrap();
    timeout(DEADLINE, a.closed()).await.unwrap();
    match timeout(DEADLINE, waiting).await.unwrap().unwrap() {
        Err(SendError::Closed(back)) => assert_eq!(back, item()),
        other => panic!("{other:?}"),
    }
    assert_eq!(timeout(DEADLINE, consumer.recv()).await.unwrap(), None);
    assert_eq!(consumer.try_recv(), Err(TryRecvError::Closed));
    assert!(consumer.next_event().await.is_none());
    assert!(consumer.status().borrow().closed);
    let produced = a.produce::<Bytes>();
    assert!(
        matches!(produced, Err(ProduceError::ShutDown)),
        "{produced:?}"
    );
    assert!(matches!(a.consume::<Bytes>(), Err(ConsumeError::ShutDown)));
    // It said goodbye: it is not listed any more, at once.
    let gone = async {
        while let Some(event) = events.next().await {
            match event {
                discovery::Event::Left(peer) => return assert_eq!(peer.id(), a.id()),
                discovery::Event::Unreachable(_) => panic!("left without a word"),
                _ => {}
            }
        }
    };
    timeout(Duration::from_secs(3), gone)
        .await
        .expect("a departure is told at once");
    assert!(b.catalog().get(&a.id()).is_none());
    assert!(watching.try_recv().is_err());
}

/// A consumer that does not read holds up a shutdown for no longer than the drain.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_read_does_not_hold_up_a_shutdown() {
    let key = Key::from_seed(1);
    let mut cluster = Cluster::new();
    let streams = rivermesh::stream::Config {
        drain: Duration::from_secs(1),
        ..Default::default()
    };
    let a = cluster.spawn_with(|node| node.streams(streams)).await;
    let b = cluster.spawn().await;
    let mut driver = Driver::new(&a, key, |producer| producer.allow_lag(ANY_LAG)).size(10_000);
    let _silent = [&a, &b].map(|node| {
        Recorder::new(node, "silent", |consumer| {
            consumer.lag(Lag::Skip).buffer_bytes(64 << 10)
        })
    });
    driver.subscribed(2).await;
    driver.send(2000).await;
    let start = Instant::now();
    timeout(DEADLINE, a.shutdown()).await.unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_node_is_noticed_at_once() {
    let key = Key::from_seed(1);
    let mut cluster = Cluster::new();
    let (a, b, c) = (
        cluster.spawn().await,
        cluster.spawn().await,
        cluster.spawn().await,
    );
    let mut driver = Driver::new(&a, key, |producer| producer);
    let mut kept = Recorder::new(&b, "kept", |consumer| consumer);
    let lost = Recorder::new(&c, "lost", |consumer| consumer);
    driver.subscribed(2).await;
    let start = Instant::now();
    // Its consumer is kept: handles do not keep a node running.
    drop(c);
    driver.subscribed(1).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "a consumer's node: {took:?}");
    driver.send(100).await;
    kept.cover(&[driver.goal()]).await;
    let mut events = b.events();
    let start = Instant::now();
    let goal = driver.goal();
    drop(a);
    match driver.send_one().await {
        Err(SendError::Closed(_)) => {}
        other => panic!("{other:?}"),
    }
    let noticed = async {
        loop {
            match events.next().await {
                Some(discovery::Event::Left(peer) | discovery::Event::Unreachable(peer))
                    if peer.id() == goal.producer =>
                {
                    return;
                }
                Some(_) => {}
                None => panic!("no more events"),
            }
        }
    };
    timeout(DEADLINE, noticed).await.unwrap();
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "a producer's node: {took:?}"
    );
    assert!(kept.consumer().producers().is_empty());
    let mut consumer = lost;
    while consumer.step().await {}
}

/// The stream is made anew on the same node: another epoch, and no reset, for the old one has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_can_end_and_begin_again() {
    for local in [false, true] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let a = cluster.spawn().await;
        let b = if local {
            a.clone()
        } else {
            cluster.spawn().await
        };
        let mut recorder = Recorder::new(&b, "b", |consumer| consumer);
        let mut run = Run::new(key);
        for _ in 0..20 {
            let mut driver = Driver::new(&a, key, |producer| producer);
            driver.subscribed(1).await;
            driver.send(500).await;
            let goal = driver.goal();
            run.producer(driver.finish());
            let ended = Note::Left(goal.producer, goal.epoch, LeaveReason::Ended);
            recorder
                .until("the end", |r| r.notes().last() == Some(&ended))
                .await;
        }
        run.consumer(recorder.drained());
        let rules = Rules {
            from_start: true,
            ..Rules::sunny()
        };
        let report = run
            .check(&rules)
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!((report.joins, report.resets), (20, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_handle_keeps_the_stream_and_another_type_is_refused() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let first = a.producer::<Bytes>().stream(STREAM).build().unwrap();
    let Err(ProduceError::AlreadyExists(second)) = a.producer::<Bytes>().stream(STREAM).build()
    else {
        panic!("the stream was produced twice");
    };
    assert_eq!(first.epoch(), second.epoch());
    let other = a.producer::<String>().stream(STREAM).build();
    assert!(
        matches!(other, Err(ProduceError::OtherType(_))),
        "{other:?}"
    );
    drop(first);
    let mut consumer = a.consumer::<Bytes>().stream(STREAM).build().unwrap();
    timeout(DEADLINE, second.send(item()))
        .await
        .unwrap()
        .unwrap();
    drop(second);
    let seen = async {
        loop {
            match consumer.next_event().await {
                Some(Event::Item(delivery)) => assert_eq!(delivery.item, item()),
                Some(Event::Left { reason, .. }) => return assert_eq!(reason, LeaveReason::Ended),
                Some(Event::Joined { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(DEADLINE, seen).await.unwrap();
    assert!(a.producer::<String>().stream(STREAM).build().is_ok());
}
