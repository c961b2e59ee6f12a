//! Deliveries over real QUIC on loopback, producer and consumers in one process: for comparing one
//! change with another. `rivermesh bench` measures with separate processes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rivermesh::{Condition, Consumer, Lag, LagSet, Producer};
use rivermesh_bench::node;
use tokio::runtime::Runtime;

async fn streams(
    consumers: usize,
) -> (Vec<rivermesh::Node>, Producer<Bytes>, Vec<Consumer<Bytes>>) {
    let name = format!("bench-{consumers}-{:?}", std::process::id());
    let first = node(&name, &[]).await;
    let producer = first
        .producer::<Bytes>()
        .allow_lag(LagSet::ALL.iter())
        .online_when(Condition::at_least(consumers))
        .build()
        .expect("the stream is new");
    let (mut nodes, mut receivers) = (vec![first], Vec::new());
    for _ in 0..consumers {
        let next = node(&name, &[&nodes[0]]).await;
        let consumer = next.consumer::<Bytes>().lag(Lag::Block).build();
        receivers.push(consumer.expect("the name is good"));
        nodes.push(next);
    }
    producer.online().await;
    (nodes, producer, receivers)
}

fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let mut group = criterion.benchmark_group("loopback");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for consumers in [1, 8] {
        let (_nodes, producer, mut receivers) = runtime.block_on(streams(consumers));
        for size in [32, 256, 4096] {
            let item = Bytes::from(vec![7; size]);
            group.throughput(Throughput::Elements(consumers as u64));
            let id = BenchmarkId::new(format!("{consumers}-consumers"), size);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|items| {
                    let begun = Instant::now();
                    runtime.block_on(deliver(&producer, &mut receivers, &item, items as usize));
                    begun.elapsed()
                });
            });
        }
    }
    group.finish();
}

/// Sends `items` items and waits until every consumer has them.
async fn deliver(
    producer: &Producer<Bytes>,
    receivers: &mut [Consumer<Bytes>],
    item: &Bytes,
    items: usize,
) {
    let (producer, item) = (producer.clone(), item.clone());
    let sending = tokio::spawn(async move {
        for _ in 0..items {
            producer
                .send(item.clone())
                .await
                .expect("the stream is open");
        }
    });
    let taking = receivers.iter_mut().map(|consumer| async move {
        let (mut taken, mut buffer) = (0, Vec::new());
        while taken < items {
            taken += consumer
                .recv_many(&mut buffer, 4096.min(items - taken))
                .await;
            buffer.clear();
        }
    });
    futures::future::join_all(taking).await;
    sending.await.expect("sending does not panic");
}

criterion_group!(loopback, benches);
criterion_main!(loopback);
