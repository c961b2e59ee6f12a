//! Every operator ends in a producer: what its consumer gets is what the operator gives.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::{fmt::Debug, time::Duration};

use futures::{Stream, StreamExt, stream};
use rivermesh::{
    Condition, Lag, Node, Producer,
    flow::{
        EventTime, Filter, FlowExt, Full, Router, Supervisor, demux, merge,
        merge::OrderedConfig,
        merge_ordered, rate, reorder, router,
        window::{self, Count, Windows},
    },
};
use rivermesh_examples::{Result, Room};
use rivermesh_weather::until_ended;

/// When it happened in seconds, whose it is, and a number.
type Item = (u64, u8, u64);

/// Items of three keys, out of order by up to two.
fn items() -> impl Stream<Item = Item> + Send {
    stream::iter((0..60).map(|id| (100 + (id ^ 2), (id % 3) as u8, id)))
}

fn at(item: &Item) -> EventTime {
    EventTime::from_secs(item.0)
}

fn key(item: &Item) -> u8 {
    item.1
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A stream's producer, which waits for its consumer, and what the consumer gets until the end.
fn stream_of(
    node: &Node,
    name: &str,
) -> Result<(Producer<String>, impl Future<Output = Vec<String>> + use<>)> {
    let name = format!("flow/{name}");
    let consumer = node.consumer::<String>().stream(&name).lag(Lag::Block);
    let got = until_ended(consumer.build()?, 1).collect();
    let producer = node
        .producer::<String>()
        .stream(&name)
        .online_when(Condition::at_least(1))
        .allow_lag([Lag::Block])
        .build()?;
    Ok((producer, got))
}

/// The same stream twice: once collected, once through a producer.
async fn check<S>(node: &Node, name: &str, make: impl Fn() -> S)
where
    S: Stream<Item: Debug> + Send,
{
    let expected: Vec<String> = make().map(|out| format!("{out:?}")).collect().await;
    assert!(!expected.is_empty(), "{name} gives nothing");
    let (producer, got) = stream_of(node, name).unwrap();
    let into = make().map(|out| Ok(format!("{out:?}"))).forward(producer);
    let both = async { tokio::join!(into, got) };
    let (into, got) = tokio::time::timeout(secs(60), both).await.unwrap();
    into.unwrap();
    assert_eq!(got, expected, "{name}");
}

#[tokio::test]
async fn every_operator_ends_in_a_producer() {
    let node = Room::new()
        .unwrap()
        .node("all")
        .unwrap()
        .spawn()
        .await
        .unwrap();
    let node = &node;
    check(node, "reorder", || items().reorder(at, secs(3))).await;
    let config = || reorder::Config::new(secs(3));
    check(node, "reorder_by", || items().reorder_by(key, at, config())).await;
    check(node, "merge", || items().merge(items())).await;
    check(node, "merge_all", || merge([items(), items(), items()])).await;
    let ordered = || [items().reorder(at, secs(3)), items().reorder(at, secs(3))];
    check(node, "merge_ordered", || {
        merge_ordered(ordered(), at, OrderedConfig::default())
    })
    .await;
    let config = || window::Config::default().slack(secs(3));
    check(node, "tumbling", || {
        items().tumbling(secs(10), config(), key, at, Count)
    })
    .await;
    check(node, "sliding", || {
        items().through(Windows::sliding(
            secs(10),
            secs(5),
            config(),
            key,
            at,
            Count,
        ))
    })
    .await;
    check(node, "sessions", || {
        items().sessions(secs(2), config(), key, at, Count)
    })
    .await;
    check(node, "snapshots", || {
        items().snapshots(secs(10), config(), key, at)
    })
    .await;
    check(node, "throttle", || items().throttle(key, secs(3600))).await;
    let limit = || rate::Config::every(secs(3600)).burst(2);
    check(node, "rate_limit", || items().rate_limit(key, limit())).await;
    check(node, "sample", || items().sample(secs(3600))).await;
    check(node, "batch", || items().batch(7, secs(3600))).await;
    check(node, "dedup", || items().dedup(key, secs(3600))).await;
    check(node, "zip_latest", || items().zip_latest(items())).await;
    check(node, "inspect_rate", || items().inspect_rate(secs(1)).0).await;
    node.shutdown().await;
}

#[tokio::test]
async fn sub_streams_end_in_producers() {
    let node = Room::new()
        .unwrap()
        .node("subs")
        .unwrap()
        .spawn()
        .await
        .unwrap();
    let mut by_key = items().demux_by(key, demux::Config::default());
    let mut running = Vec::new();
    let reading = async {
        while let Some((key, items)) = by_key.next().await {
            let (producer, got) = stream_of(&node, &format!("key-{key}")).unwrap();
            let into = items.map(|item| Ok(format!("{item:?}"))).forward(producer);
            running.push(tokio::spawn(into));
            running.push(tokio::spawn(async move {
                let got = got.await;
                assert_eq!(got.len(), 20, "of key {key}");
                let of_key = |item: &String| item.contains(&format!(", {key}, "));
                assert!(got.iter().all(of_key), "{got:?}");
                Ok(())
            }));
        }
        for task in running {
            task.await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(secs(60), reading).await.unwrap();
    assert_eq!(by_key.stats().get().emitted, 60);
    node.shutdown().await;
}

#[tokio::test]
async fn outputs_of_a_router_and_of_a_supervisor_are_producers() {
    let node = Room::new()
        .unwrap()
        .node("outs")
        .unwrap()
        .spawn()
        .await
        .unwrap();
    let texts = || items().map(|item| format!("{item:?}"));
    let expected: Vec<String> = texts().collect().await;
    let config = router::Config::default().full(Full::Block);

    let (feed, input) = futures::channel::mpsc::channel(1);
    let router = Router::spawn(input);
    let (producer, got) = stream_of(&node, "router").unwrap();
    let output = router.attach(Filter::all(), producer, config).unwrap();
    let feeding = async {
        texts().map(Ok).forward(feed).await.unwrap();
        output.ended().await
    };
    let (_, got) = tokio::time::timeout(secs(60), async { tokio::join!(feeding, got) })
        .await
        .unwrap();
    assert_eq!(got, expected);

    let supervisor = Supervisor::<String>::new();
    let (producer, got) = stream_of(&node, "supervisor").unwrap();
    supervisor.create(Filter::all(), producer, config).unwrap();
    let routers = [
        supervisor.route(texts(), |_| ()),
        supervisor.route(texts(), |_| ()),
    ];
    let draining = async {
        for router in &routers {
            router.ended().await;
        }
        supervisor.drain(secs(60)).await
    };
    let (ended, mut got) = tokio::time::timeout(secs(60), async { tokio::join!(draining, got) })
        .await
        .unwrap();
    assert_eq!(ended.len(), 1);
    let mut twice = [expected.clone(), expected].concat();
    got.sort();
    twice.sort();
    assert_eq!(got, twice, "all of both");
    node.shutdown().await;
}
