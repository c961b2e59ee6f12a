//! What happens to a consumer that is slower than its producer: what it asked for, and it is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::time::Duration;

use rivermesh::{
    Condition, Lag, LagSet, Node, TrySendError,
    consumer::{LeaveReason, SubscribeError},
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{Key, Rejoin, Rules, Run},
    recorder::{ANY_LAG, Driver, Note, Recorder},
    seed::Seed,
};
use tokio::{sync::watch, time::timeout};

/// Bytes of an item, and how many of them are more than log, transport and inbox can hold.
const SIZE: usize = 4 << 10;
const FLOOD: u64 = 4000;

fn small_log(node: &Node, key: Key) -> Driver {
    let driver = Driver::new(node, key, |producer| {
        producer
            .allow_lag(ANY_LAG)
            .log_bytes(256 << 10)
            .online_when(Condition::always())
    });
    driver.size(SIZE)
}

fn rules() -> Rules {
    Rules {
        min_items: 100,
        min_faults: 0,
        ..Rules::default()
    }
}

/// A consumer that did not read while a flood went by, on another node or on the producer's own.
async fn flooded(lag: Lag, local: bool) -> (Run, Driver, Recorder, Vec<Node>) {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let b = if local {
        a.clone()
    } else {
        cluster.spawn().await
    };
    let mut driver = small_log(&a, key);
    let recorder = Recorder::new(&b, "slow", |consumer| {
        consumer.lag(lag).buffer_bytes(64 << 10)
    });
    driver.subscribed(1).await;
    // Sending never waits for a consumer that does not block.
    timeout(DEADLINE, driver.send(FLOOD)).await.unwrap();
    (Run::new(key), driver, recorder, vec![a, b])
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_tells_an_exact_gap() {
    for local in [false, true] {
        let (mut run, mut driver, mut recorder, _nodes) = flooded(Lag::Skip, local).await;
        recorder.cover(&[driver.goal()]).await;
        driver.send(500).await;
        recorder.cover(&[driver.goal()]).await;
        let [subscriber] = &driver.producer().consumers()[..] else {
            panic!("not one consumer");
        };
        let stats = recorder.consumer().stats();
        assert!(stats.missed > FLOOD / 4, "{stats:?}");
        assert_eq!(stats.items + stats.missed, FLOOD + 500);
        assert_eq!(stats.missed, recorder.consumer().producers()[0].missed);
        assert_eq!(
            (subscriber.missed, subscriber.items),
            (stats.missed, stats.items)
        );
        run.consumer(recorder.drained());
        run.producer(driver.finish());
        let rules = Rules {
            from_start: true,
            ..rules()
        };
        let report = run
            .check(&rules)
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.gaps >= 1, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_goes_on_at_the_newest() {
    for local in [false, true] {
        let (mut run, driver, mut recorder, _nodes) = flooded(Lag::Newest, local).await;
        let oldest = driver.producer().stats().oldest;
        recorder.cover(&[driver.goal()]).await;
        let last = recorder.notes().iter().rev().find_map(|note| match note {
            Note::Missed(_, _, _, to) => Some(*to),
            _ => None,
        });
        let last = last.expect("a gap");
        assert!(
            last > oldest,
            "{last} is not beyond the oldest one held, {oldest}"
        );
        assert!(FLOOD - last < 20, "{last} is not the newest");
        run.consumer(recorder.drained());
        run.producer(driver.finish());
        run.check(&Rules {
            min_items: 10,
            ..rules()
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_says_so_and_subscribes_anew() {
    for local in [false, true] {
        let (mut run, mut driver, mut recorder, _nodes) = flooded(Lag::Disconnect, local).await;
        let left = |note: &Note| matches!(note, Note::Left(_, _, LeaveReason::Lagged));
        recorder
            .until("it is told that it lagged", |r| r.notes().iter().any(left))
            .await;
        // It may lag and come back several times while the flood goes by; it is back for good when
        // it has what was sent last.
        loop {
            driver.send(20).await;
            recorder.cover(&[driver.goal()]).await;
            if recorder.items() >= 100 {
                break;
            }
        }
        run.consumer(recorder.drained());
        run.producer(driver.finish());
        let rules = Rules {
            rejoin: Rejoin::StartsAnew,
            may_miss: false,
            ..rules()
        };
        let report = run
            .check(&rules)
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.losses >= 1 && report.rejoins >= 1, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn block_misses_nothing_and_the_producer_waits() {
    for local in [false, true] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let a = cluster.spawn().await;
        let b = if local {
            a.clone()
        } else {
            cluster.spawn().await
        };
        let mut driver = small_log(&a, key).size(1 << 10);
        let slow = Recorder::new(&b, "slow", |consumer| {
            consumer.lag(Lag::Block).buffer_bytes(64 << 10)
        });
        let quick = Recorder::new(&b, "quick", |consumer| consumer.lag(Lag::Block));
        let (tell, told) = watch::channel(None);
        let quick = quick.spawn(told.clone());
        driver.subscribed(2).await;
        // Fills log, transport and inbox.
        let full = loop {
            match driver.try_send_one() {
                Ok(_) => tokio::task::yield_now().await,
                Err(TrySendError::Full(item)) => break item,
                Err(error) => panic!("{error:?}"),
            }
            if driver.goal().next > 200_000 {
                panic!("never full: {:?}", driver.producer().consumers());
            }
        };
        assert!(full.len() >= 1 << 10, "the item was not handed back");
        // The rest of the transport's buffers may fill yet; then a send waits.
        let waits = async {
            loop {
                if timeout(Duration::from_millis(500), driver.send_one())
                    .await
                    .is_err()
                {
                    return;
                }
            }
        };
        timeout(DEADLINE, waits).await.unwrap();
        // The slow one wakes up, and with it the producer.
        let slow = slow.spawn(told);
        driver.send(12_000).await;
        tell.send_replace(Some(vec![driver.goal()]));
        let mut run = Run::new(key);
        run.consumer(slow.await.unwrap().drained());
        run.consumer(quick.await.unwrap().drained());
        run.producer(driver.finish());
        let rules = Rules {
            from_start: true,
            ..Rules::sunny()
        };
        run.check(&rules)
            .unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// A blocking consumer that goes away frees the producer that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_consumer_that_goes_away_frees_the_producer() {
    for local in [false, true] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let a = cluster.spawn().await;
        let b = if local {
            a.clone()
        } else {
            cluster.spawn().await
        };
        let mut driver = Driver::new(&a, key, |producer| {
            producer
                .allow_lag(ANY_LAG)
                .log_bytes(64 << 10)
                .online_when(Condition::always())
        })
        .size(SIZE);
        let stuck = Recorder::new(&b, "stuck", |consumer| consumer.lag(Lag::Block));
        driver.subscribed(1).await;
        let waits = async {
            loop {
                if timeout(Duration::from_millis(500), driver.send_one())
                    .await
                    .is_err()
                {
                    return;
                }
            }
        };
        timeout(DEADLINE, waits).await.unwrap();
        drop(stuck);
        driver.send(100).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn block_is_refused_where_it_is_not_allowed() {
    for local in [false, true] {
        let key = Key::from_seed(1);
        let mut cluster = Cluster::new();
        let a = cluster.spawn().await;
        let b = if local {
            a.clone()
        } else {
            cluster.spawn().await
        };
        let driver = Driver::new(&a, key, |producer| producer);
        let mut recorder = Recorder::new(&b, "b", |consumer| consumer.lag(Lag::Block));
        recorder
            .until("the refusal", |r| !r.notes().is_empty())
            .await;
        let allowed = LagSet::default();
        let error = SubscribeError::LagNotAllowed { allowed };
        assert_eq!(recorder.notes(), [Note::Refused(a.id(), error)]);
        assert_eq!(driver.producer().consumers(), []);
    }
}
