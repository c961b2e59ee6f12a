//! What is produced while connected arrives, in order and once, wherever the two sides run.

use bytes::Bytes;
use rivermesh::{Condition, Lag, LagSet};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{Key, Rules, Run},
    recorder::{ANY_LAG, Driver, Goal, Recorder, STREAM},
    seed::Seed,
};
use tokio::{sync::watch, time::timeout};

/// Waits until this many consumers are subscribed to each producer.
async fn all_have(drivers: &[Driver], consumers: usize) {
    for driver in drivers {
        driver.subscribed(consumers).await;
    }
}

async fn send_all(drivers: &mut [Driver], items: u64) {
    futures::future::join_all(drivers.iter_mut().map(|driver| driver.send(items))).await;
}

fn blocking(node: &rivermesh::Node, key: Key) -> Driver {
    // Nothing may be missed here, however slow this machine is.
    Driver::new(node, key, |producer| producer.allow_lag(ANY_LAG))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_consumer_gets_every_item_of_every_producer() {
    let seed = Seed::take();
    let key = Key::from_seed(seed.value());
    let mut cluster = Cluster::new();
    let (a, b, c) = (
        cluster.spawn().await,
        cluster.spawn().await,
        cluster.spawn().await,
    );
    let (tell, told) = watch::channel(None);
    // Two consumers on one node, and two nodes that are both sides at once.
    let recorders: Vec<_> = [(&a, "a"), (&b, "b"), (&c, "c1"), (&c, "c2")]
        .map(|(node, name)| Recorder::new(node, name, |consumer| consumer.lag(Lag::Block)))
        .map(|recorder| recorder.spawn(told.clone()))
        .into();
    let mut drivers: Vec<_> = [&a, &b].map(|node| blocking(node, key)).into();
    all_have(&drivers, 4).await;
    send_all(&mut drivers, 2000).await;

    // A producer and a consumer that come late.
    let (d, e) = (cluster.spawn().await, cluster.spawn().await);
    drivers.push(blocking(&d, key));
    all_have(&drivers[2..], 4).await;
    send_all(&mut drivers, 1000).await;
    let late = Recorder::new(&e, "late", |consumer| consumer.lag(Lag::Block));
    let late = late.spawn(told.clone());
    all_have(&drivers, 5).await;
    send_all(&mut drivers, 1000).await;

    let goals: Vec<Goal> = drivers.iter().map(Driver::goal).collect();
    tell.send_replace(Some(goals));
    let mut run = Run::new(key);
    for recorder in recorders {
        run.consumer(recorder.await.unwrap().drained());
    }
    run.consumer(late.await.unwrap().drained());
    for driver in drivers {
        run.producer(driver.finish());
    }
    let report = run
        .check(&Rules::sunny())
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.accepted, 10_000);
    assert_eq!((report.joins, report.rejoins), (15, 0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_on_the_producers_node_needs_no_network() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let node = cluster.spawn().await;
    let (tell, told) = watch::channel(None);
    // One that is there before the producer, and one that comes after it.
    let early = Recorder::new(&node, "early", |consumer| consumer.lag(Lag::Block));
    let mut driver = blocking(&node, key);
    let second = Recorder::new(&node, "second", |consumer| consumer.lag(Lag::Block));
    let consumers = [early.spawn(told.clone()), second.spawn(told)];
    all_have(std::slice::from_ref(&driver), 2).await;
    driver.send(10_000).await;
    tell.send_replace(Some(vec![driver.goal()]));
    let mut run = Run::new(key);
    for consumer in consumers {
        run.consumer(consumer.await.unwrap().drained());
    }
    run.producer(driver.finish());
    let rules = Rules {
        from_start: true,
        ..Rules::sunny()
    };
    run.check(&rules)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Payloads from an empty one to several batches' worth, and bursts between pauses.
#[tokio::test(flavor = "multi_thread")]
async fn items_of_all_sizes_and_paces_keep_their_order() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let (tell, told) = watch::channel(None);
    let recorder = Recorder::new(&b, "b", |consumer| consumer.lag(Lag::Block));
    let recorder = recorder.spawn(told);
    let mut driver = blocking(&a, key);
    for (size, items) in [
        (32, 6000),
        (1000, 3000),
        (20_000, 900),
        (200_000, 100),
        (64, 1000),
    ] {
        driver = driver.size(size);
        driver.send(items).await;
        tokio::task::yield_now().await;
    }
    tell.send_replace(Some(vec![driver.goal()]));
    let mut run = Run::new(key);
    run.consumer(recorder.await.unwrap().drained());
    run.producer(driver.finish());
    run.check(&Rules::sunny())
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_handles_are_one_sequence() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut consumer = b
        .consumer::<Bytes>()
        .stream(STREAM)
        .lag(Lag::Block)
        .build()
        .unwrap();
    let producer = a
        .producer::<Bytes>()
        .stream(STREAM)
        .allow_lag(ANY_LAG)
        .build()
        .unwrap();
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    const EACH: u64 = 2500;
    let tasks: Vec<_> = (0..4u8)
        .map(|handle| {
            let producer = producer.clone();
            tokio::spawn(async move {
                let mut last = None;
                for n in 0..EACH {
                    let mut item = vec![handle];
                    item.extend(n.to_le_bytes());
                    let seq = producer.send(item.into()).await.unwrap();
                    assert!(last < Some(seq), "{last:?} then {seq}");
                    last = Some(seq);
                }
            })
        })
        .collect();
    drop(producer);
    let work = async {
        let (mut next, mut due) = (0, [0u64; 4]);
        while let Some(event) = consumer.next_event().await {
            match event {
                rivermesh::Event::Item(delivery) => {
                    assert_eq!(delivery.seq, next);
                    next += 1;
                    let handle = usize::from(delivery.item[0]);
                    assert_eq!(delivery.item[1..], due[handle].to_le_bytes());
                    due[handle] += 1;
                }
                rivermesh::Event::Left { .. } => break,
                rivermesh::Event::Joined { seq, .. } => assert_eq!(seq, 0),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(due, [EACH; 4]);
    };
    timeout(DEADLINE, work).await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(!LagSet::default().contains(Lag::Block));
}
