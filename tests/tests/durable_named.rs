//! Consumers with a name at a producer whose log is also on disk: what they have committed is there after
//! a restart, and what they have not comes from there.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use rivermesh::{
    Condition, Consumer, Datum, Delivery, Event, Node, Producer, SendError,
    consumer::{Start, SubscribeError},
    producer::{Named, Overflow},
    store::Config,
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    wait::eventually,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

#[derive(Clone, Debug, Serialize, Deserialize, Datum)]
#[datum(name = "numbered")]
struct Numbered {
    number: u64,
    mark: bool,
    text: String,
}

fn numbered(number: u64) -> Numbered {
    Numbered {
        number,
        mark: number.is_multiple_of(3),
        text: "x".repeat(200),
    }
}

/// A stream of which memory keeps little.
fn produce(node: &Node, path: &Path, bounds: Named, disk: Config) -> Producer<Numbered> {
    node.producer::<Numbered>()
        .online_when(Condition::always())
        .log_bytes(64 << 10)
        .named(bounds)
        .durable_within(path, disk)
        .build()
        .unwrap()
}

fn plain(node: &Node, path: &Path) -> Producer<Numbered> {
    produce(node, path, Named::default(), Config::default())
}

fn consume(node: &Node, group: bool, filter: Option<&str>) -> Consumer<Numbered> {
    let consumer = node.consumer::<Numbered>();
    let consumer = if group {
        consumer.group("billing")
    } else {
        consumer.durable_name("billing")
    };
    match filter {
        Some(filter) => consumer.filter(filter),
        None => consumer,
    }
    .build()
    .unwrap()
}

async fn send(producer: &Producer<Numbered>, count: u64) {
    for _ in 0..count {
        let number = producer.stats().items;
        let sent = timeout(DEADLINE, producer.send(numbered(number)));
        assert_eq!(sent.await.unwrap().unwrap(), number);
    }
}

async fn event(consumer: &mut Consumer<Numbered>) -> Event<Numbered> {
    let event = timeout(DEADLINE, consumer.next_event()).await;
    event.unwrap().unwrap()
}

async fn item(consumer: &mut Consumer<Numbered>) -> Delivery<Numbered> {
    loop {
        match event(consumer).await {
            Event::Item(item) => return item,
            Event::Missed { from, to, .. } => panic!("missed {from}..{to}"),
            _ => {}
        }
    }
}

/// For one with the name and for a group, with and without a filter.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_name_goes_on_at_its_commit_from_disk() {
    for (group, filter) in [
        (false, None),
        (false, Some("mark")),
        (true, None),
        (true, Some("mark")),
    ] {
        let step = if filter.is_some() { 3 } else { 1 };
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::new();
        let b = cluster.spawn().await;
        let a = cluster.spawn().await;
        let producer = plain(&a, dir.path());
        let mut first = consume(&b, group, filter);
        let met = producer.when(Condition::at_least(1));
        timeout(DEADLINE, met).await.unwrap();
        send(&producer, 3000).await;
        for n in 0..150 {
            let item = item(&mut first).await;
            assert_eq!((item.seq, item.redelivered), (n * step, false));
            if n < 100 {
                item.commit().unwrap();
            }
        }
        let committed = || producer.named()[0].committed;
        // The item of the hundredth commit, or up to the next one that the filter lets through.
        let is_there = |at: u64| (99 * step + 1..=100 * step).contains(&at);
        eventually(DEADLINE, || is_there(committed())).await;
        let at = committed();
        drop(first);
        a.shutdown().await;

        let a = cluster.spawn().await;
        let producer = produce(&a, dir.path(), Named::default().names(1), Config::default());
        let behind = producer.named().remove(0);
        assert_eq!((behind.committed, behind.holders), (at, 0));
        assert_eq!(behind.items, 3000 - at);
        assert!(behind.bytes > 200 * behind.items, "{behind:?}");
        assert_eq!(producer.stats().oldest, 3000, "memory has lost all");
        send(&producer, 99).await;
        let mut second = consume(&b, group, filter);
        for n in (100 * step..3099).step_by(step as usize) {
            let item = item(&mut second).await;
            assert_eq!((item.seq, item.item.number), (n, n));
            assert_eq!(item.redelivered, n < 3000, "{n}");
            item.commit().unwrap();
        }
        eventually(DEADLINE, || producer.named()[0].items == 0).await;
        // What was recovered counts against the bound.
        let other = b.consumer::<Numbered>().durable_name("other");
        let mut other = other.build().unwrap();
        let error = loop {
            if let Event::Refused { error, .. } = event(&mut other).await {
                break error;
            }
        };
        assert!(
            matches!(error, SubscribeError::NamesFull { .. }),
            "{error:?}"
        );
        drop((second, other));
        a.shutdown().await;
    }
}

/// What a crash of the process would leave: the folder as it is now.
fn crashed(path: &Path, into: &Path) {
    fs::create_dir(into).unwrap();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), into.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_finds_a_name_its_commit_and_that_it_was_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut cluster = Cluster::new();
    let (a, b, c) = (
        cluster.spawn().await,
        cluster.spawn().await,
        cluster.spawn().await,
    );
    let producer = plain(&a, &path);
    let mut copies = 0;
    let mut found = || {
        copies += 1;
        let copy = dir.path().join(format!("copy {copies}"));
        crashed(&path, &copy);
        let other = plain(&c, &copy);
        assert_eq!(other.epoch(), producer.epoch());
        let names = other.named();
        other.close();
        names.first().map(|name| name.committed)
    };
    let mut consumer = consume(&b, false, None);
    // Who knows that it has the name finds it after a crash, at once.
    loop {
        if let Event::Joined { .. } = event(&mut consumer).await {
            break;
        }
        send(&producer, 1).await;
    }
    assert_eq!(found(), Some(0));
    send(&producer, 500).await;
    for _ in 0..200 {
        item(&mut consumer).await.commit().unwrap();
    }
    eventually(DEADLINE, || found() == Some(200)).await;
    drop(consumer);
    assert!(producer.forget("billing"));
    eventually(DEADLINE, || found().is_none()).await;
}

/// The bound is that of the disk: beyond it the publisher waits, or is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_fills_the_disk_and_no_more() {
    let disk = Config::default()
        .disk_bytes(1 << 20)
        .segment_bytes(128 << 10);
    for overflow in [Overflow::Wait, Overflow::Error] {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::new();
        let (a, b) = (cluster.spawn().await, cluster.spawn().await);
        let bounds = Named::default().overflow(overflow);
        let producer = produce(&a, dir.path(), bounds, disk);
        let mut consumer = consume(&b, false, None);
        let met = producer.when(Condition::at_least(1));
        timeout(DEADLINE, met).await.unwrap();
        send(&producer, 10).await;
        for _ in 0..10 {
            item(&mut consumer).await.commit().unwrap();
        }
        eventually(DEADLINE, || producer.named()[0].committed == 10).await;
        drop(consumer);
        let sender = producer.clone();
        let total = 20_000;
        let refused = Arc::new(AtomicU64::new(0));
        let refusing = Arc::clone(&refused);
        let sending = tokio::spawn(async move {
            for number in 10..total {
                let mut item = numbered(number);
                loop {
                    match sender.send(item).await {
                        Ok(seq) => break assert_eq!(seq, number),
                        Err(SendError::Unacknowledged(back)) => {
                            item = back;
                            refusing.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        });
        // Full: as much as the disk and the memory before it may take.
        let is_refusing = || refused.load(Ordering::Relaxed) > 0 || overflow == Overflow::Wait;
        let is_full = || {
            let stats = producer.stats();
            let full = stats.disk_bytes > 800 << 10 && stats.log_bytes >= 64 << 10;
            let refused = refused.load(Ordering::Relaxed);
            (full && is_refusing()).then_some(()).ok_or_else(|| {
                let (disk, log, items) = (stats.disk_bytes, stats.log_bytes, stats.items);
                format!("{overflow:?}: {items} items, {disk} B on disk, {log} B in memory, {refused} refused")
            })
        };
        eventually(DEADLINE, is_full).await;
        assert!(producer.stats().disk_bytes <= (1 << 20) + (64 << 10));
        assert!(producer.stats().items < 10_000 && !sending.is_finished());
        assert_eq!(producer.named()[0].committed, 10);
        let mut consumer = consume(&b, false, None);
        let mut taken = 10;
        while taken < total {
            let item = item(&mut consumer).await;
            assert_eq!(item.seq, taken);
            item.commit().unwrap();
            taken += 1;
        }
        timeout(DEADLINE, sending).await.unwrap().unwrap();
        let refused = refused.load(Ordering::Relaxed);
        assert_eq!(refused > 0, overflow == Overflow::Error);
        a.shutdown().await;
    }
}

/// What a name has not acknowledged is kept after a restart, too, before anybody has acknowledged anything.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_nothing_is_let_go_that_a_name_waits_for() {
    let disk = Config::default()
        .disk_bytes(1 << 20)
        .segment_bytes(128 << 10);
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let (b, a) = (cluster.spawn().await, cluster.spawn().await);
    let bounds = Named::default().overflow(Overflow::Error);
    let producer = produce(&a, dir.path(), bounds, disk);
    let consumer = consume(&b, false, None);
    let met = producer.when(Condition::at_least(1));
    timeout(DEADLINE, met).await.unwrap();
    drop(consumer);
    send(&producer, 100).await;
    a.shutdown().await;

    let a = cluster.spawn().await;
    let producer = produce(&a, dir.path(), bounds, disk);
    let refused = async {
        loop {
            let number = producer.stats().items;
            match producer.send(numbered(number)).await {
                Ok(_) => assert!(number < 20_000, "there is room for everything"),
                Err(SendError::Unacknowledged(_)) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    timeout(DEADLINE, refused).await.unwrap();
    let mut consumer = consume(&b, false, None);
    for seq in 0..producer.stats().items {
        let item = item(&mut consumer).await;
        assert_eq!((item.seq, item.item.number), (seq, seq));
        item.commit().unwrap();
    }
}

/// A stream that has ended waits for what its consumers still acknowledge.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_after_the_end_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let (b, a) = (cluster.spawn().await, cluster.spawn().await);
    let producer = plain(&a, dir.path());
    let mut consumer = consume(&b, true, None);
    let met = producer.when(Condition::at_least(1));
    timeout(DEADLINE, met).await.unwrap();
    send(&producer, 100).await;
    let mut items = Vec::new();
    for _ in 0..100 {
        items.push(item(&mut consumer).await);
    }
    producer.close();
    // In some steps, each of which takes a while.
    for (n, item) in (1..).zip(items) {
        item.commit().unwrap();
        if n % 20 == 0 {
            eventually(DEADLINE, || producer.named()[0].committed == n).await;
        }
    }
    drop(consumer);
    a.shutdown().await;

    let a = cluster.spawn().await;
    let producer = plain(&a, dir.path());
    assert_eq!(producer.named()[0].committed, 100);
}

/// The members of a group are told what is gone, each of them, and get the rest once between them.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_to_every_member() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = plain(&a, dir.path());
    let first = consume(&b, true, None);
    let met = producer.when(Condition::at_least(1));
    timeout(DEADLINE, met).await.unwrap();
    drop(first);
    send(&producer, 1000).await;
    a.shutdown().await;
    let files = fs::read_dir(dir.path()).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let longest = files.max_by_key(|path| fs::metadata(path).unwrap().len());
    let longest = longest.unwrap();
    let mut bytes = fs::read(&longest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&longest, bytes).unwrap();

    let a = cluster.spawn().await;
    let producer = plain(&a, dir.path());
    let corrupt = producer.recovered().unwrap().corrupt.clone();
    assert_eq!(corrupt.len(), 1);
    let mut members = [consume(&b, true, None), consume(&a, true, None)];
    let met = producer.when(Condition::at_least(2));
    timeout(DEADLINE, met).await.unwrap();
    send(&producer, 1000).await;
    let (mut seen, mut missed) = (vec![0; 2000], [vec![], vec![]]);
    let [one, two] = &mut members;
    let gone = corrupt[0].end - corrupt[0].start;
    while seen.iter().sum::<u64>() + gone < 2000 || missed.iter().any(Vec::is_empty) {
        let (member, event) = tokio::select! {
            event = event(one) => (0, event),
            event = event(two) => (1, event),
        };
        match event {
            Event::Item(item) => {
                assert_eq!(item.item.number, item.seq);
                seen[item.seq as usize] += 1;
                item.commit().unwrap();
            }
            Event::Missed { from, to, .. } => missed[member].push(from..to),
            _ => {}
        }
    }
    assert_eq!(missed, [corrupt.clone(), corrupt.clone()]);
    eventually(DEADLINE, || producer.named()[0].items == 0).await;
    for (seq, count) in seen.iter().enumerate() {
        let is_gone = corrupt[0].contains(&(seq as u64));
        assert_eq!(*count, u64::from(!is_gone), "item {seq}");
    }
    a.shutdown().await;
}

/// Memory has lost what was sent at that time, the disk has not.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_by_time_begins_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = plain(&a, dir.path());
    send(&producer, 5000).await;
    let (time, before) = (SystemTime::now(), producer.stats().items);
    send(&producer, 5000).await;
    assert!(producer.stats().oldest > before);
    for node in [&a, &b] {
        for name in [None, Some(format!("late-{}", node.id().fmt_short()))] {
            let late = node.consumer::<Numbered>().start(Start::Since(time));
            let late = match name {
                Some(name) => late.durable_name(name),
                None => late,
            };
            let mut late = late.build().unwrap();
            // One batch before it at most, which is begun while nobody reads: 16 KiB.
            let first = item(&mut late).await.seq;
            assert!(first <= before && first > before - 200, "{first}, {before}");
            for seq in first + 1..10_000 {
                assert_eq!(item(&mut late).await.seq, seq);
            }
        }
    }
    let mut all = b
        .consumer::<Numbered>()
        .start(Start::Ago(std::time::Duration::from_secs(86_400)))
        .build()
        .unwrap();
    for seq in 0..10_000 {
        assert_eq!(item(&mut all).await.seq, seq);
    }
    a.shutdown().await;
}
