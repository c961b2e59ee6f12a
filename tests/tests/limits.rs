//! What is too large, too much or not a name is an error to whoever asked, and harms nobody else.

use std::error::Error;

use bytes::Bytes;
use rivermesh::{
    Condition, Lag, Node, SendError, TrySendError, consumer::ConsumeError, node::SpawnError,
    producer::ProduceError,
};
use rivermesh_proto::limits;
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    recorder::{ANY_LAG, STREAM},
    wait::eventually,
};
use tokio::time::timeout;

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_over_the_limit_is_an_error_to_its_sender_alone() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    for (name, limit) in [("largest", None), ("small", Some(1000))] {
        let mut producer = a.producer::<Bytes>().stream(name).allow_lag(ANY_LAG);
        if let Some(limit) = limit {
            producer = producer.item_bytes(limit);
        }
        let producer = producer.build().unwrap();
        let consume = |node: &rivermesh::Node| {
            node.consumer::<Bytes>()
                .stream(name)
                .lag(Lag::Block)
                .build()
                .unwrap()
        };
        let mut consumers = [consume(&a), consume(&b)];
        let two = rivermesh::Condition::at_least(2);
        timeout(DEADLINE, producer.when(two)).await.unwrap();
        let limit = limit.unwrap_or(limits::ITEM);
        for round in 0..5u8 {
            let over = Bytes::from(vec![round; limit + 1]);
            match timeout(DEADLINE, producer.send(over.clone()))
                .await
                .unwrap()
            {
                Err(error @ SendError::Encode { .. }) => {
                    let text = chain(&error);
                    assert!(text.contains(&limit.to_string()), "{text}");
                    assert!(error.into_item() == over, "the item was not handed back");
                }
                other => panic!("{other:?}"),
            }
            match producer.try_send(over.clone()) {
                Err(error @ TrySendError::Encode { .. }) => assert!(error.into_item() == over),
                other => panic!("{other:?}"),
            }
            // Exactly the limit passes, and it has the number that the one before did not take.
            let largest = Bytes::from(vec![round; limit]);
            let sent = timeout(DEADLINE, producer.send(largest.clone()))
                .await
                .unwrap();
            assert_eq!(sent.unwrap(), u64::from(round) * 2);
            let sent = producer.send(Bytes::new()).await.unwrap();
            assert_eq!(sent, u64::from(round) * 2 + 1);
            for consumer in &mut consumers {
                let got = timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
                assert!(got == largest, "round {round}: {} bytes", got.len());
                let empty = timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
                assert!(empty.is_empty());
            }
        }
        assert_eq!(producer.stats().items, 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_has_as_many_streams_as_its_entry_holds() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let build = |n: usize| a.producer::<Bytes>().stream(format!("s{n}")).build();
    let mut producers = (0..limits::STREAMS)
        .map(|n| build(n).unwrap())
        .collect::<Vec<_>>();
    let error = build(limits::STREAMS).unwrap_err();
    assert!(matches!(error, ProduceError::Limit(_)), "{error:?}");
    let text = chain(&error);
    assert!(text.contains(&limits::STREAMS.to_string()), "{text}");
    // One that ends makes room.
    producers.pop();
    producers.push(build(limits::STREAMS).unwrap());
    let me = a.catalog().get(&a.id()).cloned().unwrap();
    assert_eq!(me.streams().len(), limits::STREAMS);

    // Others hear of all of them, and of one more or less while they are connected.
    let b = cluster.spawn().await;
    let listed = |node: &Node| node.catalog().get(&a.id()).map(|a| a.streams().len());
    eventually(DEADLINE, || listed(&b) == Some(limits::STREAMS)).await;
    producers.pop();
    eventually(DEADLINE, || listed(&b) == Some(limits::STREAMS - 1)).await;
    let last = format!("s{}", limits::STREAMS - 2);
    let mut consumer = b.consumer::<Bytes>().stream(last).build().unwrap();
    let producer = producers.last().unwrap();
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    producer.send(Bytes::from_static(b"item")).await.unwrap();
    let item = timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
    assert_eq!(item, b"item"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none_are_refused() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let long = "x".repeat(limits::STREAM_NAME + 1);
    for name in ["", "two words", "line\nbreak", "\u{7}", &long] {
        let produced = a.producer::<Bytes>().stream(name).build();
        assert!(matches!(produced, Err(ProduceError::Name(_))), "{name:?}");
        let consumed = a.consumer::<Bytes>().stream(name).build();
        assert!(matches!(consumed, Err(ConsumeError::Name(_))), "{name:?}");
    }
    let longest = "ü".repeat(limits::STREAM_NAME / 2);
    let producer = a.producer::<Bytes>().stream(&longest).build().unwrap();
    assert_eq!(producer.stream().as_str(), longest);
    let dynamic = a.producer::<rivermesh::Dynamic>().stream(STREAM).build();
    assert!(
        matches!(dynamic, Err(ProduceError::ConsumerOnly)),
        "{dynamic:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_own_words_have_limits() {
    let cluster = Cluster::new();
    let too_long = "x".repeat(limits::TAG + 1);
    let tags = |n: usize| (0..n).map(|n| format!("tag-{n}"));
    for builder in [
        cluster.builder().tag(&too_long),
        cluster.builder().tags(tags(limits::TAGS + 1)),
        cluster.builder().name("x".repeat(limits::NODE_NAME + 1)),
    ] {
        let error = builder.spawn().await.unwrap_err();
        assert!(matches!(error, SpawnError::Entry(_)), "{error:?}");
    }
    let name = rivermesh::Node::builder("x".repeat(limits::NETWORK_NAME + 1));
    assert!(matches!(name.spawn().await, Err(SpawnError::Name(_))));
    let node = cluster
        .builder()
        .tags(tags(limits::TAGS))
        .spawn()
        .await
        .unwrap();
    assert!(node.add_tag("one-more").is_err());
    assert!(node.set_tags([too_long]).is_err());
    let me = node.catalog().get(&node.id()).cloned().unwrap();
    assert_eq!(
        me.tags().len(),
        limits::TAGS,
        "a refused change changed something"
    );
}
