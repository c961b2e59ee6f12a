//! The cost per item of encoding, appending and decoding, without any network.

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rivermesh::{Datum, Encoder, Payload};
use rivermesh_bench::Reading;
use rivermesh_proto::batch::{Batch, Builder};

const ITEMS: u64 = 1000;

fn fill<T: Datum>(item: &T) -> Bytes {
    let mut builder = Builder::new(64 * 1024);
    for _ in 0..ITEMS {
        builder
            .push(|buf: &mut BytesMut| item.encode(&mut Encoder::new(buf, 1024 * 1024)))
            .expect("the item is small");
    }
    builder.seal(0, 0).expect("there are items")
}

fn drain<T: Datum>(batch: &Batch) -> u64 {
    let mut position = batch.start();
    let mut count = 0;
    while let Some((_, data)) = batch.next(&mut position) {
        let item = T::decode(Payload::new(batch.body(), data, None)).expect("it was encoded");
        std::hint::black_box(item);
        count += 1;
    }
    count
}

fn both<T: Datum>(criterion: &mut Criterion, name: &str, item: &T) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function(BenchmarkId::new("encode", name), |bencher| {
        bencher.iter(|| fill(item));
    });
    let frame = fill(item);
    group.bench_function(BenchmarkId::new("decode", name), |bencher| {
        bencher.iter_batched(
            || frame.clone(),
            |frame| drain::<T>(&Batch::of_frame(&frame).expect("it was sealed")),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    both(criterion, "bytes-32", &Bytes::from(vec![7; 32]));
    both(criterion, "bytes-256", &Bytes::from(vec![7; 256]));
    both(criterion, "text-32", &"x".repeat(32));
    both(criterion, "reading", &Reading::sample());
}

criterion_group!(codec, benches);
criterion_main!(codec);
