//! Consumers that take all streams whose names follow a pattern.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::collections::{BTreeMap, BTreeSet};

use rivermesh::{Condition, Consumer, Event, Node, Producer, consumer::Start};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    wait::eventually,
};
use tokio::time::timeout;

fn produce(node: &Node, stream: &str) -> Producer<String> {
    node.producer()
        .stream(stream)
        .online_when(Condition::always())
        .build()
        .unwrap()
}

async fn say(producer: &Producer<String>) {
    for n in 0..100 {
        let text = format!("{} {n}", producer.stream());
        producer.send(text).await.unwrap();
    }
}

/// Takes items until there are 100 of each of so many streams of producers.
async fn hear(consumer: &mut Consumer<String>, streams: usize) -> BTreeSet<String> {
    let mut heard = BTreeMap::new();
    while heard.len() < streams || heard.values().any(|next| *next < 100) {
        let event = timeout(DEADLINE, consumer.next_event()).await.unwrap();
        match event.unwrap() {
            Event::Item(delivery) => {
                let stream = delivery.stream.unwrap().to_string();
                let next = heard
                    .entry((stream.clone(), delivery.producer))
                    .or_insert(0);
                assert_eq!(delivery.item, format!("{stream} {next}"));
                assert_eq!(delivery.seq, *next);
                *next += 1;
            }
            Event::Joined { stream, seq, .. } => {
                assert!(stream.as_str().starts_with("weather/"));
                assert_eq!(seq, 0);
            }
            other => panic!("{other:?}"),
        }
    }
    heard.into_keys().map(|(stream, _)| stream).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_of_a_pattern_are_taken_and_those_that_appear_later() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut producers = vec![
        produce(&a, "weather/jfk"),
        produce(&a, "weather/lga"),
        produce(&b, "weather/jfk"),
        // Not meant.
        produce(&b, "weather"),
        produce(&b, "flights"),
    ];
    let other = a.producer::<serde_json::Value>().stream("weather/other");
    let _other = other.build().unwrap();
    let builder = || b.consumer::<String>().start(Start::Earliest);
    let mut consumer = builder().streams("weather/*").build().unwrap();
    assert_eq!(consumer.stream().as_str(), "weather/*");
    for producer in &producers {
        say(producer).await;
    }
    let heard = hear(&mut consumer, 3).await;
    assert_eq!(
        heard.into_iter().collect::<Vec<_>>(),
        ["weather/jfk", "weather/lga"]
    );
    let c = cluster.spawn().await;
    producers.push(produce(&c, "weather/ewr"));
    producers.push(produce(&a, "weather/late"));
    for late in &producers[5..] {
        say(late).await;
    }
    let heard = hear(&mut consumer, 2).await;
    assert_eq!(
        heard.into_iter().collect::<Vec<_>>(),
        ["weather/ewr", "weather/late"]
    );
    let followed: BTreeSet<_> = consumer
        .producers()
        .into_iter()
        .map(|followed| (followed.stream.to_string(), followed.items))
        .collect();
    assert_eq!(followed.len(), 4);
    assert!(followed.iter().all(|(_, items)| *items == 100));
    // Each once. The status follows the items, not at once.
    eventually(DEADLINE, || {
        match consumer.status().borrow().producers.len() {
            3 => Ok(()),
            peers => Err(format!("{peers} peers")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_streams_are_taken_and_others_when_there_is_room() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut producers: Vec<_> = (0..5).map(|n| produce(&a, &format!("many/{n}"))).collect();
    let consumer = b
        .consumer::<String>()
        .streams("many/?")
        .max_streams(3)
        .build()
        .unwrap();
    let count = |left_out: usize| {
        let status = consumer.status();
        let followed = consumer.producers().len();
        let now = status.borrow().left_out;
        if (followed, now) == (3, left_out) {
            return Ok(());
        }
        Err(format!("{followed} followed, {now} left out"))
    };
    eventually(DEADLINE, || count(2)).await;
    producers.swap_remove(0);
    eventually(DEADLINE, || count(1)).await;
}
