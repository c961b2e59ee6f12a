//! After a broken connection a consumer goes on where it was: nothing twice, and what the log has
//! lost is one exact gap.

use std::time::Duration;

use rivermesh::{Condition, Lag, SecretKey, Transport};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    host::Host,
    oracle::{Key, Rules, Run},
    recorder::{ANY_LAG, Driver, Note, Recorder},
    seed::Seed,
    wait::eventually,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Notices a silent peer after a second, so that tests need not wait for six.
fn impatient() -> Transport {
    Transport {
        idle_timeout: Duration::from_secs(1),
        keep_alive: Duration::from_millis(300),
        ..Transport::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_resumed_without_a_word() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let (tell, told) = watch::channel(None);
    let mut driver = Driver::new(&a, key, |producer| {
        // What is sent while the connection is down waits in the log.
        producer
            .online_when(Condition::always())
            .log_bytes(64 << 20)
    });
    let recorder = Recorder::new(&b, "b", |consumer| consumer).spawn(told);
    driver.subscribed(1).await;
    let mut run = Run::new(key);
    for round in 0..10 {
        driver.send(500).await;
        // In the middle of the stream, from either side.
        let cut = if round % 2 == 0 {
            a.disconnect(b.id())
        } else {
            b.disconnect(a.id())
        };
        assert!(cut, "round {round}: there was no connection to cut");
        let at = Instant::now();
        run.fault("the connection was cut");
        driver.send(500).await;
        eventually(DEADLINE, || {
            let subscribers = driver.producer().consumers();
            matches!(&subscribers[..], [one] if one.connected_for < at.elapsed())
        })
        .await;
    }
    driver.send(100).await;
    tell.send_replace(Some(vec![driver.goal()]));
    let recorder = recorder.await.unwrap();
    assert!(
        matches!(recorder.notes(), [Note::Joined(..)]),
        "{:?}",
        recorder.notes()
    );
    run.consumer(recorder.drained());
    run.producer(driver.finish());
    let rules = Rules {
        min_faults: 10,
        ..Rules::sunny()
    };
    run.check(&rules)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_is_noticed_and_what_the_log_lost_is_one_exact_gap() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let a = cluster.spawn_with(|node| node.transport(impatient())).await;
    let host = Host::new();
    let builder = cluster.builder().transport(impatient());
    let b = host.run(builder.spawn()).await.unwrap();
    let mut driver = Driver::new(&a, key, |producer| {
        producer
            .online_when(Condition::always())
            .log_bytes(64 << 10)
    });
    let there = b.clone();
    let mut recorder = host
        .run(async move { Recorder::new(&there, "b", |consumer| consumer) })
        .await;
    driver.subscribed(1).await;
    let mut run = Run::new(key);
    for _ in 0..3 {
        // Few enough at a time that nothing is lost while connected.
        for _ in 0..40 {
            driver.send(100).await;
            let goal = driver.goal();
            recorder.cover(&[goal]).await;
        }
        let frozen = host.freeze().await;
        run.fault("the consumer's node was frozen");
        let before = driver.goal().next;
        driver.subscribed(0).await;
        driver.send(3000).await;
        let oldest = driver.producer().stats().oldest;
        assert!(oldest > before, "the log did not move on");
        drop(frozen);
        let goal = driver.goal();
        recorder.cover(&[goal]).await;
        let Some(Note::Missed(_, _, from, to)) = recorder.notes().last().cloned() else {
            panic!("no gap: {:?}", recorder.notes());
        };
        assert_eq!((from, to), (before, oldest));
        driver.subscribed(1).await;
    }
    assert_eq!(recorder.notes().len(), 4, "{:?}", recorder.notes());
    run.consumer(recorder.drained());
    run.producer(driver.finish());
    let rules = Rules {
        min_faults: 3,
        ..Rules::default()
    };
    run.check(&rules)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_silence_costs_nothing() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let a = cluster.spawn_with(|node| node.transport(impatient())).await;
    let host = Host::new();
    let b = host
        .run(cluster.builder().transport(impatient()).spawn())
        .await
        .unwrap();
    let mut driver = Driver::new(&a, key, |producer| {
        producer
            .online_when(Condition::always())
            .allow_lag(ANY_LAG)
            .log_bytes(16 << 20)
    });
    let there = b.clone();
    let mut recorder = host
        .run(async move { Recorder::new(&there, "b", |consumer| consumer.lag(Lag::Skip)) })
        .await;
    driver.subscribed(1).await;
    let mut run = Run::new(key);
    for _ in 0..4 {
        let frozen = host.freeze().await;
        run.fault("the consumer's node was frozen");
        driver.send(3000).await;
        drop(frozen);
        recorder.cover(&[driver.goal()]).await;
    }
    run.consumer(recorder.drained());
    run.producer(driver.finish());
    let rules = Rules {
        min_faults: 4,
        ..Rules::sunny()
    };
    run.check(&rules)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// The node comes back under the same key on another port, after a silent death.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_comes_back_is_a_new_epoch_within_five_seconds() {
    let key = Key::from_seed(Seed::take().value());
    let identity = SecretKey::generate();
    let mut cluster = Cluster::new();
    let b = cluster.spawn().await;
    let (tell, told) = watch::channel(None);
    let recorder = Recorder::new(&b, "b", |consumer| consumer);
    let mut arrived = recorder.watch_items();
    let recorder = recorder.spawn(told);
    let mut run = Run::new(key);
    let mut goals = Vec::new();
    let mut sent = 0;
    for life in 0..4 {
        let host = Host::new();
        let builder = cluster.builder().secret_key(identity.clone());
        let a = host.run(builder.spawn()).await.unwrap();
        let there = a.clone();
        let mut driver = host
            .run(async move {
                Driver::new(&there, key, |producer| {
                    producer.online_when(Condition::always())
                })
            })
            .await;
        let up = Instant::now();
        // Sent before anybody has subscribed: a new epoch is owed from its start.
        if life > 0 {
            driver.send(100).await;
            sent += 100;
        }
        driver.subscribed(1).await;
        let taken_up = up.elapsed();
        assert!(
            taken_up < Duration::from_secs(5),
            "life {life}: {taken_up:?}"
        );
        driver.send(3000).await;
        sent += 3000;
        // Let it arrive: what is on its way when a producer dies is lost, and says nothing.
        let all = timeout(DEADLINE, arrived.wait_for(|items| *items >= sent)).await;
        all.unwrap().unwrap();
        if life == 3 {
            goals.push(driver.goal());
            tell.send_replace(Some(goals.clone()));
            run.producer(driver.finish());
            let recorder = recorder.await.unwrap();
            check_lives(&recorder, a.id());
            run.consumer(recorder.drained());
            let rules = Rules {
                min_faults: 3,
                may_miss: false,
                ..Rules::default()
            };
            let report = run
                .check(&rules)
                .unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(report.resets, 3, "{report}");
            return;
        }
        // Without a word: nothing of the node runs on when the program drops its handles.
        drop(host);
        run.producer(driver.killed());
    }
}

fn check_lives(recorder: &Recorder, producer: rivermesh::NodeId) {
    let mut resets = 0;
    let mut notes = recorder.notes().iter();
    while let Some(note) = notes.next() {
        if let Note::Reset(from, _, new) = note {
            resets += 1;
            assert_eq!(*from, producer);
            assert_eq!(notes.next(), Some(&Note::Joined(producer, *new, 0)));
        }
    }
    assert_eq!(resets, 3, "{:?}", recorder.notes());
}
