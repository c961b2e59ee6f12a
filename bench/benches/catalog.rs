//! The cost of taking entries into the catalog, signature check included.

use std::{collections::BTreeSet, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use iroh_base::SecretKey;
use rivermesh_proto::{
    NetworkId,
    catalog::{Catalog, Clock, Config, Source},
    entry::{Entry, SignedRecord},
};

const ENTRIES: usize = 100;
const WALL_US: u64 = 1_750_000_000_000_000;

fn records(network: NetworkId) -> Vec<SignedRecord> {
    let keys = (0..ENTRIES).map(|n| SecretKey::from_bytes(&[n as u8 + 1; 32]));
    keys.map(|key| {
        let entry = Entry {
            network,
            node: key.public(),
            name: "bench".into(),
            tags: BTreeSet::from(["eu".into(), "bench".into()]),
            addrs: Vec::new(),
            streams: Vec::new(),
            instance: 1,
            revision: WALL_US,
            refresh_s: 15,
        };
        entry.sign(&key).expect("the entry is small")
    })
    .collect()
}

fn benches(criterion: &mut Criterion) {
    let network = NetworkId::of("bench");
    let local = SecretKey::from_bytes(&[200; 32]).public();
    let records = records(network);
    let now = Clock {
        mono: Duration::ZERO,
        wall_us: WALL_US,
    };
    let empty = || Catalog::new(local, network, Config::default());
    let full = || {
        let mut catalog = empty();
        for record in &records {
            catalog
                .admit(record.clone(), Source::Gossip, now)
                .expect("a new entry is taken");
        }
        catalog
    };
    let mut group = criterion.benchmark_group("catalog");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    group.bench_function("admit-new", |bencher| bencher.iter(full));
    group.bench_function("admit-known", |bencher| {
        bencher.iter_batched_ref(
            full,
            |catalog| {
                for record in &records {
                    let known = catalog.admit(record.clone(), Source::Gossip, now);
                    assert!(known.is_err());
                }
            },
            BatchSize::SmallInput,
        );
    });
    let catalog = full();
    group.throughput(Throughput::Elements(1));
    group.bench_function("snapshot", |bencher| bencher.iter(|| catalog.snapshot()));
    group.finish();
}

criterion_group!(catalog, benches);
criterion_main!(catalog);
