//! How far a producer's names are, as another node is told.

use rivermesh::{Condition, node::AskError, producer::Named};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::Key,
    recorder::{Commits, Driver, Recorder, STREAM},
    wait::eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn another_node_is_told_what_the_producer_knows() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut driver = Driver::new(&a, Key::from_seed(1), |producer| {
        producer
            .online_when(Condition::always())
            .named(Named::default())
    });
    assert_eq!(b.lag(a.id(), STREAM).await.unwrap(), []);
    let billing = Recorder::new(&b, "billing", |consumer| consumer.durable_name("billing"));
    let mut workers = Recorder::new(&b, "workers", |consumer| consumer.group("workers"))
        .committing(Commits::Each);
    driver.subscribed(2).await;
    driver.send(1000).await;
    workers.cover(&[driver.goal()]).await;
    eventually(DEADLINE, || driver.producer().named()[1].items == 0).await;
    eventually(DEADLINE, || driver.producer().named()[0].in_flight == 1000).await;
    drop(billing);
    driver.subscribed(1).await;
    // The ages go on between two looks; all else is the same, from here and from there.
    let own = driver.producer().named();
    for node in [&a, &b] {
        let mut told = node.lag(a.id(), STREAM).await.unwrap();
        for (told, own) in told.iter_mut().zip(&own) {
            assert!(told.age >= own.age && told.away_for >= own.away_for);
            told.age = own.age;
            told.away_for = own.away_for;
        }
        assert_eq!(told, own);
    }
    assert_eq!((own[0].items, own[0].holders), (1000, 0));
    assert_eq!(
        (own[1].items, own[1].holders, own[1].committed),
        (0, 1, 1000)
    );
    assert!(own[0].bytes > 64_000 && !own[0].age.is_zero());
}

/// Who may not subscribe is not told either, and no more of a stream that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_subscribe_is_not_told() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let b = cluster.spawn_with(|node| node.tag("trusted")).await;
    let c = cluster.spawn().await;
    let _driver = Driver::new(&a, Key::from_seed(1), |producer| {
        producer
            .named(Named::default())
            .require(|peer| peer.has_tag("trusted"))
    });
    assert!(b.lag(a.id(), STREAM).await.is_ok());
    for (node, stream) in [(&c, STREAM), (&b, "nothing"), (&a, "nothing")] {
        let told = node.lag(a.id(), stream).await;
        assert!(matches!(told, Err(AskError::Refused)), "{told:?}");
    }
    assert!(matches!(
        b.lag(a.id(), "two words").await,
        Err(AskError::Name(_))
    ));
}
