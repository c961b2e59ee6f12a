//! Who may consume, and whom a consumer follows: decided at the start, and again when things change.

use std::time::Duration;

use bytes::Bytes;
use rivermesh::{
    Condition, Datum, Event, Lag, NetworkKey, Node, NodeId,
    consumer::{LeaveReason, SubscribeError},
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{Key, Rejoin, Revocation, Rules, Run},
    recorder::{ANY_LAG, Driver, Note, Recorder, STREAM, now_us},
    seed::Seed,
    wait::eventually,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

/// Within which a decision against a consumer must have cut it.
const CUT: Duration = Duration::from_secs(1);

fn sees(node: &Node, peer: NodeId, tag: &str) -> bool {
    node.catalog()
        .get(&peer)
        .is_some_and(|peer| peer.has_tag(tag))
}

/// The producer requires a tag, which the consumer loses and gets back several times while items
/// flow.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_loses_its_tag_is_cut_and_taken_up_again() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let b = cluster.spawn_with(|node| node.tag("vip")).await;
    let mut driver = Driver::new(&a, key, |producer| {
        producer
            .require(|peer| peer.has_tag("vip"))
            // Both hold.
            .require(|peer| !peer.has_tag("banned"))
            .online_when(Condition::always())
    });
    let mut recorder = Recorder::new(&b, "b", |consumer| consumer);
    let mut run = Run::new(key);
    for round in 0..4 {
        driver.subscribed(1).await;
        let joined = driver.goal().next;
        for _ in 0..30 {
            driver.send(100).await;
            recorder.cover(&[driver.goal()]).await;
        }
        let (removed, banned) = (round % 2 == 0, round % 2 == 1);
        let at = Instant::now();
        let from_us = now_us();
        if removed {
            b.remove_tag("vip").unwrap();
        }
        if banned {
            b.add_tag("banned").unwrap();
        }
        driver.subscribed(0).await;
        assert!(
            at.elapsed() < CUT,
            "round {round}: cut after {:?}",
            at.elapsed()
        );
        driver.send(200).await;
        recorder
            .until("it is told", |r| {
                matches!(
                    r.notes().last(),
                    Some(Note::Refused(_, SubscribeError::NotAdmitted))
                )
            })
            .await;
        assert!(recorder.notes().contains(&Note::Left(
            a.id(),
            driver.goal().epoch,
            LeaveReason::Revoked
        )));
        if removed {
            b.add_tag("vip").unwrap();
        }
        if banned {
            b.remove_tag("banned").unwrap();
        }
        let until_us = Some(now_us());
        run.revocation(Revocation {
            consumer: "b".into(),
            producer: a.id(),
            from_us,
            until_us,
        });
        recorder
            .until(
                "it is taken up again",
                |r| matches!(r.notes().last(), Some(Note::Joined(_, _, seq)) if *seq > joined),
            )
            .await;
    }
    driver.send(10).await;
    recorder.cover(&[driver.goal()]).await;
    run.consumer(recorder.drained());
    run.producer(driver.finish());
    let rules = Rules {
        rejoin: Rejoin::StartsAnew,
        may_miss: false,
        ..Rules::default()
    };
    run.check(&rules)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Cutting must not wait for the consumer, which may hold up the producer by not reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_read_is_cut_within_a_second() {
    for (lag, local) in [
        (Lag::Skip, false),
        (Lag::Block, false),
        (Lag::Skip, true),
        (Lag::Block, true),
    ] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let a = cluster.spawn_with(|node| node.tag("vip")).await;
        let b = if local {
            a.clone()
        } else {
            cluster.spawn_with(|node| node.tag("vip")).await
        };
        let mut driver = Driver::new(&a, key, |producer| {
            producer
                .require(|peer| peer.has_tag("vip"))
                .allow_lag(ANY_LAG)
                .log_bytes(64 << 10)
                .online_when(Condition::always())
        })
        .size(100);
        let recorder = Recorder::new(&b, "b", |consumer| consumer.lag(lag).buffer_bytes(64 << 10));
        driver.subscribed(1).await;
        // Until log, transport and inbox are full, or past that.
        for _ in 0..40_000 {
            if timeout(Duration::from_millis(500), driver.send_one())
                .await
                .is_err()
            {
                break;
            }
        }
        let at = Instant::now();
        b.remove_tag("vip").unwrap();
        eventually(DEADLINE, || driver.producer().consumers().is_empty()).await;
        let took = at.elapsed();
        assert!(took < CUT, "{lag} (local: {local}): cut after {took:?}");
        // Nobody holds up the producer any more.
        driver.send(1000).await;
        drop(recorder);
    }
}

/// As above, where what is full is not the buffer's bytes but its places.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_with_many_small_batches_is_cut_within_a_second() {
    let key = Key::from_seed(1);
    let mut cluster = Cluster::new();
    let a = cluster.spawn_with(|node| node.tag("vip")).await;
    let mut driver = Driver::new(&a, key, |producer| {
        producer
            .require(|peer| peer.has_tag("vip"))
            .allow_lag(ANY_LAG)
            .log_bytes(64 << 10)
            .online_when(Condition::always())
    })
    .size(32);
    let recorder = Recorder::new(&a, "b", |consumer| consumer.lag(Lag::Block));
    driver.subscribed(1).await;
    let lag = |driver: &Driver| {
        driver
            .producer()
            .consumers()
            .first()
            .map_or(0, |one| one.lag)
    };
    for _ in 0..1100 {
        driver.send(1).await;
        // Each item in a batch of its own, until no more is taken.
        let taken = async {
            while lag(&driver) > 0 {
                tokio::task::yield_now().await;
            }
        };
        if timeout(Duration::from_millis(200), taken).await.is_err() {
            break;
        }
    }
    assert!(lag(&driver) > 0, "the places are not full");
    let at = Instant::now();
    a.remove_tag("vip").unwrap();
    eventually(DEADLINE, || driver.producer().consumers().is_empty()).await;
    let took = at.elapsed();
    assert!(took < CUT, "cut after {took:?}");
    driver.send(3000).await;
    drop(recorder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_chooses_its_producers() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let good = cluster.spawn_with(|node| node.tags(["good", "eu"])).await;
    let bad = cluster.spawn_with(|node| node.tag("eu")).await;
    let b = cluster.spawn().await;
    let always = |node| {
        Driver::new(node, key, |producer| {
            producer.online_when(Condition::always())
        })
    };
    let (mut from_good, mut from_bad) = (always(&good), always(&bad));
    let mut recorder = Recorder::new(&b, "b", |consumer| {
        consumer
            .require(|peer| peer.has_tag("eu"))
            .require(|peer| peer.has_tag("good"))
    });
    from_good.subscribed(1).await;
    from_bad.send(10).await;
    for _ in 0..100 {
        from_good.send(100).await;
        recorder.cover(&[from_good.goal()]).await;
    }
    assert_eq!(from_bad.producer().consumers(), []);
    // The other way round now.
    good.remove_tag("good").unwrap();
    from_good.subscribed(0).await;
    let left = Note::Left(good.id(), from_good.goal().epoch, LeaveReason::NotEligible);
    recorder
        .until("it is told", |r| r.notes().last() == Some(&left))
        .await;
    bad.add_tag("good").unwrap();
    from_bad.subscribed(1).await;
    from_bad.send(100).await;
    recorder.cover(&[from_bad.goal()]).await;
    assert_eq!(recorder.notes().len(), 3, "{:?}", recorder.notes());
    assert_eq!(recorder.consumer().producers().len(), 1);
    // Back again, in the same epoch.
    good.add_tag("good").unwrap();
    from_good.subscribed(1).await;
    from_good.send(100).await;
    recorder.cover(&[from_good.goal(), from_bad.goal()]).await;
    let mut run = Run::new(key);
    run.consumer(recorder.drained());
    run.producer(from_good.finish()).producer(from_bad.finish());
    let rules = Rules {
        rejoin: Rejoin::StartsAnew,
        ..Rules::sunny()
    };
    run.check(&rules)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_frees_is_taken_by_one_that_was_refused() {
    let key = Key::from_seed(1);
    let mut cluster = Cluster::new();
    let (a, b, c) = (
        cluster.spawn().await,
        cluster.spawn().await,
        cluster.spawn().await,
    );
    let driver = Driver::new(&a, key, |producer| producer.max_consumers(1));
    let mut first = Recorder::new(&b, "first", |consumer| consumer);
    driver.subscribed(1).await;
    // Refused on the producer's own node as well.
    for (node, name) in [(&c, "remote"), (&a, "local")] {
        let mut second = Recorder::new(node, name, |consumer| consumer);
        second.until("the refusal", |r| !r.notes().is_empty()).await;
        let full = Note::Refused(a.id(), SubscribeError::Full { max: 1 });
        assert_eq!(second.notes(), [full]);
        drop(first);
        let freed = Instant::now();
        second
            .until("the seat", |r| {
                matches!(r.notes().last(), Some(Note::Joined(..)))
            })
            .await;
        let waited = freed.elapsed();
        assert!(waited < Duration::from_secs(3), "{name}: {waited:?}");
        driver.subscribed(1).await;
        first = second;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requirement_on_the_round_trip_time_works_both_ways() {
    let within = |max: Duration| {
        move |peer: &rivermesh::Peer| peer.rtt().is_some_and(|rtt| rtt.smoothed <= max)
    };
    let (far, near) = (Duration::from_secs(5), Duration::from_nanos(1));
    let key = Key::from_seed(1);
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let named = |name: &str, max| {
        let producer = a.producer::<Bytes>().stream(name).require(within(max));
        Driver::of(producer.build().unwrap(), a.id(), key)
    };
    let (lax, strict, open) = (named("lax", far), named("strict", near), {
        let producer = a.producer::<Bytes>().stream("open").build().unwrap();
        Driver::of(producer, a.id(), key)
    });
    let consume = |name: &str| b.consumer::<Bytes>().stream(name);
    let _lax = consume("lax").build().unwrap();
    lax.subscribed(1).await;
    let mut refused = Recorder::of(consume("strict").build().unwrap(), "refused");
    refused
        .until("the refusal", |r| !r.notes().is_empty())
        .await;
    assert_eq!(
        refused.notes(),
        [Note::Refused(a.id(), SubscribeError::NotAdmitted)]
    );
    let _choosy = consume("open").require(within(near)).build().unwrap();
    let _content = consume("open").require(within(far)).build().unwrap();
    open.subscribed(1).await;
    assert_eq!(strict.producer().consumers(), []);
    assert_eq!(open.producer().consumers().len(), 1);
}

mod other {
    use super::{Datum, Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, Datum)]
    #[datum(name = "reading")]
    pub(super) struct Reading {
        pub(super) origin: String,
        pub(super) temp: f64,
    }
}

#[derive(Debug, Serialize, Deserialize, Datum)]
#[datum(name = "reading")]
struct Reading {
    origin: String,
    temp: f32,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_of_another_shape_is_told_the_field_that_differs() {
    for local in [false, true] {
        let mut cluster = Cluster::new();
        let a = cluster.spawn().await;
        let b = if local {
            a.clone()
        } else {
            cluster.spawn().await
        };
        let producer = a
            .producer::<Reading>()
            .online_when(Condition::always())
            .build()
            .unwrap();
        let mut consumer = b.consume::<other::Reading>().unwrap();
        let item = || Reading {
            origin: "JFK".into(),
            temp: 21.5,
        };
        producer.send(item()).await.unwrap();
        let event = timeout(DEADLINE, consumer.next_event())
            .await
            .unwrap()
            .unwrap();
        let Event::Refused {
            producer: by,
            error,
            ..
        } = event
        else {
            panic!("{event:?}");
        };
        assert_eq!(by, a.id());
        assert_eq!(
            error.to_string(),
            "items of stream reading have another shape there: field \"temp\": here f64, there f32"
        );
        assert_eq!(producer.consumers(), []);
        // Who takes any shape is served.
        let mut any = b
            .consumer::<rivermesh::Dynamic>()
            .stream("reading")
            .build()
            .unwrap();
        timeout(DEADLINE, producer.when(Condition::at_least(1)))
            .await
            .unwrap();
        producer.send(item()).await.unwrap();
        let item = timeout(DEADLINE, any.recv()).await.unwrap().unwrap();
        assert_eq!(
            item.to_json().unwrap(),
            serde_json::json!({"origin": "JFK", "temp": 21.5})
        );
        let never = other::Reading {
            origin: String::new(),
            temp: 0.0,
        };
        assert!(never.origin.is_empty() && never.temp == 0.0);
    }
}

/// Nodes that are not of the network, or cannot prove it, get nowhere; those that can go on.
#[tokio::test(flavor = "multi_thread")]
async fn networks_and_their_keys_keep_others_out() {
    let mut cluster = Cluster::new();
    let secret = NetworkKey::from_bytes([7; 32]);
    let keyed = |key: NetworkKey| move |node: rivermesh::node::Builder| node.network_key(key);
    let a = cluster.spawn_with(keyed(secret.clone())).await;
    let b = cluster.spawn_with(keyed(secret)).await;
    let wrong = cluster
        .spawn_with(keyed(NetworkKey::from_bytes([8; 32])))
        .await;
    let without = cluster.spawn().await;
    let elsewhere = Cluster::new()
        .builder()
        .bootstrap(a.addr())
        .spawn()
        .await
        .unwrap();
    let producer = a
        .producer::<Bytes>()
        .stream(STREAM)
        .online_when(Condition::always())
        .build()
        .unwrap();
    let outsiders = [&wrong, &without, &elsewhere];
    let _consumers = outsiders.map(|node| node.consumer::<Bytes>().stream(STREAM).build().unwrap());
    let mut inside = b.consumer::<Bytes>().stream(STREAM).build().unwrap();
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    for node in outsiders {
        node.dial(a.addr());
        let error = node.sync_with(a.id()).await.unwrap_err();
        let text = format!("{error:?}");
        assert!(
            text.contains("Unauthorized") || text.contains("WrongNetwork"),
            "{text}"
        );
    }
    for n in 0..100u8 {
        producer.send(vec![n].into()).await.unwrap();
        let item = timeout(DEADLINE, inside.recv()).await.unwrap().unwrap();
        assert_eq!(item[..], [n]);
    }
    assert_eq!(a.catalog().len(), 2);
    for node in outsiders {
        assert_eq!(node.catalog().len(), 1, "{:?}", node.catalog());
    }
    assert_eq!(producer.consumers().len(), 1);
    assert!(!sees(&a, wrong.id(), "any"));
}
