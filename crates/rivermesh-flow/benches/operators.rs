//! What an item costs in each operator, beside the nearest thing that does the like, in one run.
//!
//! `cargo bench -p rivermesh-flow` prints a table: nanoseconds per item, the median of five rounds with
//! the least and the greatest. Everything runs in one thread, but for the router.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use rivermesh_flow::{
    EventTime, Filter, FlowExt, Full, Router, demux, merge,
    merge::OrderedConfig,
    merge_ordered, reorder,
    router::Config,
    window::{self, Count},
};

const ITEMS: u64 = 200_000;
const ROUNDS: usize = 5;
const KEYS: u64 = 100;

/// An item of the size of a small reading.
#[derive(Clone, Copy)]
struct Item {
    at: u64,
    key: u64,
    _value: [u64; 2],
}

/// Times go forward by one, with every third item up to 15 late.
fn item(number: u64) -> Item {
    let late = if number.is_multiple_of(3) {
        number % 16
    } else {
        0
    };
    Item {
        at: (number + 100 - late) * 10 + number % 7,
        key: number % KEYS,
        _value: [number; 2],
    }
}

fn items(count: u64) -> impl Stream<Item = Item> {
    stream::iter((0..count).map(item))
}

fn time(item: &Item) -> EventTime {
    EventTime::from_micros(item.at)
}

async fn drain<S: Stream>(stream: S) {
    let mut stream = pin!(stream);
    while let Some(output) = stream.as_mut().next().await {
        black_box(output);
    }
}

/// Measures and prints one line.
async fn line<F: Future<Output = ()>>(name: &str, count: u64, run: impl Fn() -> F) {
    run().await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        run().await;
        rounds.push(began.elapsed().as_nanos() as f64 / count as f64);
    }
    rounds.sort_by(f64::total_cmp);
    let (median, least, most) = (rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
    println!("| {name} | {median:.0} | {least:.0} to {most:.0} |");
}

const HOUR: Duration = Duration::from_secs(3600);

async fn simple() {
    line("the input alone", ITEMS, || drain(items(ITEMS))).await;
    line("`inspect_rate`", ITEMS, || {
        drain(items(ITEMS).inspect_rate(HOUR).0)
    })
    .await;
    line("futures `inspect`, counting", ITEMS, || async {
        let mut count = 0_u64;
        drain(items(ITEMS).inspect(|_| count += 1)).await;
        black_box(count);
    })
    .await;
    line("`batch(64)`", ITEMS, || drain(items(ITEMS).batch(64, HOUR))).await;
    line("futures `chunks(64)`, no timeout", ITEMS, || {
        drain(items(ITEMS).chunks(64))
    })
    .await;
    line("tokio-stream `chunks_timeout(64)`", ITEMS, || {
        drain(tokio_stream::StreamExt::chunks_timeout(
            items(ITEMS),
            64,
            HOUR,
        ))
    })
    .await;
    line("`sample`", ITEMS, || drain(items(ITEMS).sample(HOUR))).await;
    line("`throttle`, 100 keys", ITEMS, || {
        drain(items(ITEMS).throttle(|i| i.key, HOUR))
    })
    .await;
    line("`dedup`, 100 keys", ITEMS, || {
        drain(items(ITEMS).dedup(|i| i.key, HOUR))
    })
    .await;
    line("futures `filter` with a `HashSet`", ITEMS, || async {
        let mut seen = HashSet::new();
        drain(items(ITEMS).filter(|i| std::future::ready(seen.insert(i.key)))).await;
    })
    .await;
}

async fn several() {
    let half = ITEMS / 2;
    line("`merge` of 8", ITEMS, || {
        drain(merge((0..8).map(|_| items(ITEMS / 8))))
    })
    .await;
    line("futures `select_all` of 8", ITEMS, || {
        drain(stream::select_all((0..8).map(|_| items(ITEMS / 8))))
    })
    .await;
    line("`merge_ordered` of 8", ITEMS, || {
        let streams = (0..8).map(|_| items(ITEMS / 8));
        drain(merge_ordered(streams, time, OrderedConfig::default()))
    })
    .await;
    line("`zip_latest`", ITEMS, || {
        drain(items(half).zip_latest(items(half)))
    })
    .await;
    line("futures `zip`", ITEMS, || {
        drain(items(half).zip(items(half)))
    })
    .await;
}

async fn grouping() {
    line("`reorder`", ITEMS, || {
        drain(items(ITEMS).reorder(time, Duration::from_micros(200)))
    })
    .await;
    line("`reorder_by`, 100 keys", ITEMS, || {
        let config = reorder::Config::new(Duration::from_micros(2000));
        drain(items(ITEMS).reorder_by(|i: &Item| i.key, time, config))
    })
    .await;
    line(
        "a `BTreeMap` by hand, no keys, no counters",
        ITEMS,
        || async {
            let mut held = BTreeMap::new();
            let mut items = pin!(items(ITEMS));
            while let Some(item) = items.next().await {
                held.insert(item.at, item);
                while let Some(first) = held.first_entry()
                    && *first.key() + 200 <= item.at
                {
                    black_box(first.remove());
                }
            }
        },
    )
    .await;
    let config = || window::Config::default().slack(Duration::from_micros(200));
    line("`tumbling`, count, 100 keys", ITEMS, || {
        let size = Duration::from_millis(10);
        drain(items(ITEMS).tumbling(size, config(), |i| i.key, time, Count))
    })
    .await;
    line("a `HashMap` by hand, no watermark", ITEMS, || async {
        let mut windows: BTreeMap<u64, HashMap<u64, u64>> = BTreeMap::new();
        let mut items = pin!(items(ITEMS));
        while let Some(item) = items.next().await {
            *windows
                .entry(item.at / 10_000)
                .or_default()
                .entry(item.key)
                .or_default() += 1;
            while windows.len() > 2 {
                black_box(windows.pop_first());
            }
        }
    })
    .await;
    line("`snapshots`, 100 keys", ITEMS, || {
        let every = Duration::from_millis(10);
        drain(items(ITEMS).snapshots(every, config(), |i| i.key, time))
    })
    .await;
    // The items of a key are a millisecond apart.
    for (name, gap) in [("of one item", 900), ("that do not end", 2000)] {
        line(&format!("`sessions` {name}, 100 keys"), ITEMS, || {
            let gap = Duration::from_micros(gap);
            drain(items(ITEMS).sessions(gap, config(), |i| i.key, time, Count))
        })
        .await;
    }
}

async fn splitting() {
    line("`demux_by`, 100 keys, a task each", ITEMS, || async {
        let mut streams = items(ITEMS).demux_by(|i| i.key, demux::Config::default());
        let mut readers = Vec::new();
        while let Some((_, stream)) = streams.next().await {
            readers.push(tokio::spawn(drain(stream)));
        }
        for reader in readers {
            reader.await.unwrap();
        }
    })
    .await;
    line(
        "a `HashMap` of tokio channels by hand, a task each",
        ITEMS,
        || async {
            let mut senders = HashMap::new();
            let mut readers = Vec::new();
            let mut items = pin!(items(ITEMS));
            while let Some(item) = items.next().await {
                let sender = senders.entry(item.key).or_insert_with(|| {
                    let (sender, mut receiver) = tokio::sync::mpsc::channel(1024);
                    readers.push(tokio::spawn(async move {
                        while let Some(item) = receiver.recv().await {
                            black_box::<Item>(item);
                        }
                    }));
                    sender
                });
                sender.send(item).await.unwrap();
            }
            drop(senders);
            for reader in readers {
                reader.await.unwrap();
            }
        },
    )
    .await;
}

/// What items go to, and whose they are.
#[derive(Clone, Copy)]
enum To {
    /// All go to one output; the others want other keys.
    One,
    /// They go to all outputs in turn.
    Each,
}

async fn route(outputs: u64, count: u64, to: To, indexed: bool) {
    let key = move |number: u64| match to {
        To::One => 0,
        To::Each => number % outputs,
    };
    // First one item for each output, so that all are there and have been woken once.
    let first = stream::iter((0..outputs).map(|number| Item {
        key: number,
        ..item(number)
    }));
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    let (start, started) = tokio::sync::oneshot::channel::<()>();
    let wait = |gate| stream::once(gate).filter_map(|_| async { None });
    let input = stream::iter((0..count).map(move |number| Item {
        key: key(number),
        ..item(number)
    }));
    // Without an end, so that what ends ten thousand outputs is not measured.
    let input = wait(gate)
        .chain(first)
        .chain(wait(started))
        .chain(input)
        .chain(stream::pending());
    let router = Router::spawn_keyed(input, |item: &Item| item.key);
    let (got, all) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(tokio::sync::Notify::new()),
    );
    for wanted in 0..outputs {
        let filter = match indexed {
            true => Filter::key(wanted),
            false => Filter::key_where(move |key| *key == wanted),
        };
        let (got, all) = (Arc::clone(&got), Arc::clone(&all));
        let sink = futures::sink::unfold((), move |(), item: Item| {
            black_box(item);
            let before = got.fetch_add(1, Ordering::Relaxed);
            if [outputs, outputs + count].contains(&(before + 1)) {
                all.notify_one();
            }
            std::future::ready(Ok::<_, std::io::Error>(()))
        });
        router
            .attach(filter, sink, Config::default().full(Full::Block))
            .unwrap();
    }
    open.send(()).unwrap();
    all.notified().await;
    let began = Instant::now();
    start.send(()).unwrap();
    all.notified().await;
    SPENT.store(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
    // Waited for, so that it does not run into the next round.
    router.drain(Duration::ZERO).await;
}

/// tokio's broadcast channel: each receiver sees every item and filters for itself.
async fn broadcast(outputs: u64, count: u64) {
    let (sender, _) = tokio::sync::broadcast::channel(1024);
    let got = Arc::new(AtomicU64::new(0));
    let receiving: Vec<_> = (0..outputs)
        .map(|wanted| {
            let (mut receiver, got) = (sender.subscribe(), Arc::clone(&got));
            tokio::spawn(async move {
                loop {
                    match receiver.recv().await {
                        Ok(item) => {
                            let item: Item = item;
                            got.fetch_add(u64::from(item.key == wanted), Ordering::Relaxed);
                        }
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                        Err(_) => {}
                    }
                }
            })
        })
        .collect();
    let began = Instant::now();
    for number in 0..count {
        let key = number % outputs;
        let _ = sender.send(Item {
            key,
            ..item(number)
        });
        // So that the receivers keep up: it has no way to wait for them.
        if number.is_multiple_of(512) {
            while sender.len() > 256 {
                tokio::task::yield_now().await;
            }
        }
    }
    drop(sender);
    for receiver in receiving {
        receiver.await.unwrap();
    }
    SPENT.store(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
}

/// How long the measured part of the last round took, without setting up outputs.
static SPENT: AtomicU64 = AtomicU64::new(0);

async fn routed<F: Future<Output = ()>>(name: &str, count: u64, run: impl Fn() -> F) {
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        run().await;
        rounds.push(SPENT.load(Ordering::Relaxed) as f64 / count as f64);
    }
    // The first warms up.
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    let (median, least, most) = (rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
    println!("| {name} | {median:.0} | {least:.0} to {most:.0} |");
}

async fn routing() {
    for outputs in [1, 100, 10_000] {
        let name = format!("router, {outputs} by key, all items to one");
        routed(&name, ITEMS, || route(outputs, ITEMS, To::One, true)).await;
    }
    for outputs in [100, 10_000] {
        let name = format!("router, {outputs} by key, items to each in turn");
        routed(&name, ITEMS, || route(outputs, ITEMS, To::Each, true)).await;
    }
    for (outputs, count) in [(1, ITEMS), (100, ITEMS / 10), (10_000, 2000)] {
        let name = format!("router, {outputs} by predicate");
        routed(&name, count, || route(outputs, count, To::One, false)).await;
    }
    for (outputs, count) in [(1, ITEMS), (100, ITEMS / 10), (10_000, 1000)] {
        let name = format!("tokio `broadcast`, {outputs} receivers that filter");
        routed(&name, count, || broadcast(outputs, count)).await;
    }
}

fn main() {
    println!("| what | ns per item | least and most of {ROUNDS} |");
    println!("| --- | ---: | ---: |");
    let single = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    single.block_on(async {
        simple().await;
        several().await;
        grouping().await;
        splitting().await;
    });
    let mut multi = tokio::runtime::Builder::new_multi_thread();
    let multi = multi.worker_threads(2).enable_time().build().unwrap();
    multi.block_on(async { tokio::spawn(routing()).await.unwrap() });
}
