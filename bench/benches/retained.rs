//! Consumers with filters of their own, and consumers that come late and take what was kept; over
//! real QUIC on loopback, both nodes in one process.

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rivermesh::{
    Condition, Consumer, Datum, Lag, LagSet, Node, Producer, consumer::Start, producer::Retention,
};
use rivermesh_bench::node;
use serde::{Deserialize, Serialize};
use tokio::{runtime::Runtime, task::JoinSet};

/// Bytes that are replayed, about.
const KEPT: usize = 32 * 1024 * 1024;

/// A small item of which one consumer in many wants the next.
#[derive(Clone, Debug, Serialize, Deserialize, Datum)]
#[datum(key = "key")]
struct Tick {
    key: u32,
    price: f64,
    note: String,
}

impl Tick {
    fn new(key: usize) -> Self {
        Self {
            key: key as u32,
            price: 39.02,
            note: "x".repeat(100),
        }
    }
}

async fn pair(what: &str) -> (Node, Node) {
    let name = format!("retained-{what}-{}", std::process::id());
    let first = node(&name, &[]).await;
    let second = node(&name, &[&first]).await;
    (first, second)
}

/// Sends items of `keys` keys in turn and waits until each consumer has those that are for it.
async fn deliver(
    producer: &Producer<Tick>,
    receivers: Vec<Consumer<Tick>>,
    keys: usize,
    rounds: usize,
) -> Vec<Consumer<Tick>> {
    let mut taking = JoinSet::new();
    for mut consumer in receivers {
        taking.spawn(async move {
            let (mut taken, mut buffer) = (0, Vec::new());
            while taken < rounds {
                taken += consumer.recv_many(&mut buffer, rounds - taken).await;
                buffer.clear();
            }
            consumer
        });
    }
    for _ in 0..rounds {
        for key in 0..keys {
            let sent = producer.send(Tick::new(key)).await;
            assert!(sent.is_ok(), "the stream is open");
        }
    }
    taking.join_all().await
}

/// Each item is for one consumer. Filters that are looked up, and filters that are evaluated.
fn filtered(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    // Streams begin tasks.
    let _guard = runtime.enter();
    let mut group = criterion.benchmark_group("filtered");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    for (form, ours) in [("looked-up", true), ("evaluated", false)] {
        for filters in [1, 10, 1000] {
            let (home, away) = runtime.block_on(pair(&format!("{form}-{filters}")));
            let producer = home
                .producer::<Tick>()
                .allow_lag(LagSet::ALL.iter())
                .online_when(Condition::at_least(filters))
                .build()
                .expect("the stream is new");
            let consumers = (0..filters).map(|key| {
                let filter = match ours {
                    true => format!("key == {key}"),
                    false => format!("key >= {key} && key < {}", key + 1),
                };
                let consumer = away.consumer::<Tick>().filter(filter).lag(Lag::Block);
                consumer.build().expect("the filter fits")
            });
            let mut receivers = Some(consumers.collect::<Vec<_>>());
            runtime.block_on(producer.online());
            // An iteration is one item of each key.
            group.throughput(Throughput::Elements(filters as u64));
            let id = BenchmarkId::new(form, filters);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|rounds| {
                    let given = receivers.take().expect("given back by the last run");
                    let begun = Instant::now();
                    let done = deliver(&producer, given, filters, rounds as usize);
                    receivers = Some(runtime.block_on(done));
                    begun.elapsed()
                });
            });
        }
    }
    group.finish();
}

async fn fill<T: Datum + Clone>(
    producer: &Producer<T>,
    item: impl Fn(usize) -> T,
    size: usize,
) -> usize {
    let items = KEPT / size;
    for n in 0..items {
        assert!(producer.send(item(n)).await.is_ok(), "the stream is open");
    }
    items
}

/// Replays `items` items to a consumer that comes now.
async fn replay<T: Datum>(mut consumer: Consumer<T>, items: usize) -> Duration {
    let begun = Instant::now();
    let mut taken = 0;
    while taken < items {
        taken += consumer.recv_batch().await.expect("the node is up").len();
    }
    begun.elapsed()
}

fn measure<T: Datum>(
    criterion: &mut Criterion,
    runtime: &Runtime,
    name: &str,
    (bytes, items): (usize, usize),
    consumer: impl Fn() -> Consumer<T>,
) {
    let mut group = criterion.benchmark_group("replay");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3))
        .throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let replayed = (0..rounds).map(|_| {
                let consumer = consumer();
                runtime.block_on(replay(consumer, items))
            });
            replayed.sum()
        });
    });
    group.finish();
}

/// What was kept, to one consumer that comes late: from its subscription to the last item.
fn replayed(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let _guard = runtime.enter();
    for size in [256, 4096] {
        let (home, away) = runtime.block_on(pair(&format!("{size}")));
        let producer = home
            .producer::<Bytes>()
            .online_when(Condition::always())
            .retain(Retention::new().bytes(2 * KEPT))
            .build()
            .expect("the stream is new");
        let filling = fill(&producer, |_| Bytes::from(vec![7; size]), size);
        let items = runtime.block_on(filling);
        let name = format!("earliest/{size}-bytes");
        measure(criterion, &runtime, &name, (KEPT, items), || {
            let consumer = away.consumer::<Bytes>().start(Start::Earliest);
            consumer.build().expect("the name is good")
        });
    }
    let (home, away) = runtime.block_on(pair("disk"));
    let folder = tempfile::tempdir().expect("there is room");
    let producer = home
        .producer::<Bytes>()
        .online_when(Condition::always())
        .log_bytes(64 << 10)
        .durable(folder.path())
        .build()
        .expect("the stream is new");
    let filling = fill(&producer, |_| Bytes::from(vec![7; 256]), 256);
    let items = runtime.block_on(filling);
    let name = "earliest-from-disk/256-bytes";
    measure(criterion, &runtime, name, (KEPT, items), || {
        let consumer = away.consumer::<Bytes>().start(Start::Earliest);
        consumer.build().expect("the name is good")
    });
    let (home, away) = runtime.block_on(pair("keys"));
    let kept = Retention::new().bytes(2 * KEPT).newest_per_key();
    let producer = home
        .producer::<Tick>()
        .online_when(Condition::always())
        .retain(kept.max_keys(1 << 20).key_bytes(4 * KEPT))
        .build()
        .expect("the stream is new");
    let size = 112;
    // As many keys as items, so that all are the newest.
    let items = runtime.block_on(fill(&producer, Tick::new, size));
    let builder = || away.consumer::<Tick>();
    let bytes = items * size;
    measure(
        criterion,
        &runtime,
        "last-per-key/112-bytes",
        (bytes, items),
        || {
            let consumer = builder().start(Start::LastPerKey).build();
            consumer.expect("the name is good")
        },
    );
    measure(
        criterion,
        &runtime,
        "earliest-filtered/112-bytes",
        (bytes, items),
        || {
            let consumer = builder().start(Start::Earliest).filter("price < 40");
            consumer.build().expect("the filter fits")
        },
    );
}

criterion_group!(retained, filtered, replayed);
criterion_main!(retained);
