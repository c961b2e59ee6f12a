//! Consumers in the producer's own process, beside `tokio::sync::broadcast` of `Arc`s. Both
//! lossless: `Lag::Block` here, and a sender that waits while the channel is full there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rivermesh::{Condition, Consumer, Datum, Lag, LagSet, Node, Producer};
use rivermesh_bench::node;
use serde::{Deserialize, Serialize};
use tokio::{runtime::Runtime, sync::broadcast, task::JoinSet};

/// Items that the channel holds.
const CAPACITY: usize = 16 * 1024;
/// Items between two looks at how full the channel is.
const STRIDE: usize = 64;

/// A small item without memory of its own.
#[derive(Clone, Debug, Serialize, Deserialize, Datum)]
struct Tick {
    time_us: i64,
    price: f64,
    volume: u32,
}

/// How consumers take items.
#[derive(Clone, Copy, Debug)]
enum Take {
    One,
    Batch,
}

async fn streams<T: Datum>(
    node: &Node,
    stream: &str,
    consumers: usize,
) -> (Producer<T>, Vec<Consumer<T>>) {
    let producer = node
        .producer::<T>()
        .stream(stream)
        .allow_lag(LagSet::ALL.iter())
        .online_when(Condition::at_least(consumers))
        .build()
        .expect("the stream is new");
    let receivers = (0..consumers).map(|_| {
        let consumer = node.consumer::<T>().stream(stream).lag(Lag::Block);
        consumer.build().expect("the name is good")
    });
    let receivers = receivers.collect();
    producer.online().await;
    (producer, receivers)
}

/// Sends `items` items and waits until every consumer has seen all; gives the consumers back.
async fn rivermesh<T: Datum + Clone>(
    producer: &Producer<T>,
    receivers: Vec<Consumer<T>>,
    take: Take,
    item: &T,
    items: usize,
) -> Vec<Consumer<T>> {
    let mut taking = JoinSet::new();
    for mut consumer in receivers {
        taking.spawn(async move {
            let mut taken = 0;
            while taken < items {
                match take {
                    Take::One => {
                        std::hint::black_box(consumer.recv().await.expect("the node is up"));
                        taken += 1;
                    }
                    Take::Batch => {
                        let batch = consumer.recv_batch().await.expect("the node is up");
                        for item in batch.iter() {
                            std::hint::black_box(item.expect("it was encoded"));
                            taken += 1;
                        }
                    }
                }
            }
            consumer
        });
    }
    for _ in 0..items {
        let sent = producer.send(item.clone()).await;
        assert!(sent.is_ok(), "the stream is open");
    }
    taking.join_all().await
}

/// The same with a channel.
async fn channel<T: Send + Sync + Clone + 'static>(
    sender: &broadcast::Sender<Arc<T>>,
    receivers: Vec<broadcast::Receiver<Arc<T>>>,
    item: &T,
    items: usize,
) -> Vec<broadcast::Receiver<Arc<T>>> {
    let mut taking = JoinSet::new();
    for mut receiver in receivers {
        taking.spawn(async move {
            for _ in 0..items {
                std::hint::black_box(receiver.recv().await.expect("nothing is lost"));
            }
            receiver
        });
    }
    for index in 0..items {
        while index % STRIDE == 0 && sender.len() + STRIDE > CAPACITY {
            tokio::task::yield_now().await;
        }
        assert!(sender.send(Arc::new(item.clone())).is_ok());
    }
    taking.join_all().await
}

fn compare<T: Datum + Clone>(criterion: &mut Criterion, what: &str, item: &T) {
    // All of it in one task of the runtime, as a program would: `block_on` is not a worker.
    let runtime = Runtime::new().expect("a runtime starts");
    let name = format!("local-{what}-{}", std::process::id());
    let home = runtime.block_on(node(&name, &[]));
    let mut group = criterion.benchmark_group(format!("local/{what}"));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(1));
    for consumers in [1, 8, 64] {
        group.throughput(Throughput::Elements(consumers as u64));
        for take in [Take::One, Take::Batch] {
            let stream = format!("{what}/{consumers}/{take:?}");
            let (producer, receivers) = runtime.block_on(streams::<T>(&home, &stream, consumers));
            let mut receivers = Some(receivers);
            let id = BenchmarkId::new(format!("rivermesh-{take:?}"), consumers);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|items| {
                    let (producer, item) = (producer.clone(), item.clone());
                    let given = receivers.take().expect("given back by the last run");
                    let (took, back) = runtime.block_on(async {
                        let running = tokio::spawn(async move {
                            let begun = Instant::now();
                            let items = items as usize;
                            let back = rivermesh(&producer, given, take, &item, items).await;
                            (begun.elapsed(), back)
                        });
                        running.await.expect("it does not panic")
                    });
                    receivers = Some(back);
                    took
                });
            });
        }
        let (sender, receiver) = broadcast::channel(CAPACITY);
        let mut receivers = Some(
            std::iter::once(receiver)
                .chain((1..consumers).map(|_| sender.subscribe()))
                .collect::<Vec<_>>(),
        );
        group.bench_function(BenchmarkId::new("broadcast", consumers), |bencher| {
            bencher.iter_custom(|items| {
                let (sender, item) = (sender.clone(), item.clone());
                let given = receivers.take().expect("given back by the last run");
                let (took, back) = runtime.block_on(async {
                    let running = tokio::spawn(async move {
                        let begun = Instant::now();
                        let back = channel(&sender, given, &item, items as usize).await;
                        (begun.elapsed(), back)
                    });
                    running.await.expect("it does not panic")
                });
                receivers = Some(back);
                took
            });
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let tick = Tick {
        time_us: 1_357_000_000_000_000,
        price: 39.02,
        volume: 100,
    };
    compare(criterion, "tick", &tick);
    compare(criterion, "256-bytes", &Bytes::from(vec![7; 256]));
}

criterion_group!(local, benches);
criterion_main!(local);
