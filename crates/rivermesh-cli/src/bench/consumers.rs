//! The consuming process of the bench: any number of consumers, each on a node of its own.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use bytes::{Buf, Bytes};
use color_eyre::eyre::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use rivermesh::{Consumer, Lag, Node};

use super::{
    run::STREAM,
    wire::{Order, Received, Report},
};
use crate::{
    args::BenchConsumersArgs,
    family::{orders, say},
    join,
    latency::{Latency, now_us},
};

/// Nodes that start at the same time.
const AT_ONCE: usize = 8;

/// Items that are taken in one go.
const BATCH: usize = 4096;

/// What one consumer counts.
#[derive(Debug, Default)]
struct Counters {
    items: AtomicU64,
    bytes: AtomicU64,
    missed: AtomicU64,
    recording: AtomicBool,
    latency: Mutex<Latency>,
}

/// Runs the consumers until the parent is gone.
///
/// # Errors
/// When a node cannot start, or the parent is gone.
pub(crate) async fn run(args: &BenchConsumersArgs) -> Result<bool> {
    let mut orders = orders::<Order>();
    let started = stream::iter(0..args.consumers).map(|_| start(args));
    let all: Vec<(Node, Arc<Counters>)> = started.buffer_unordered(AT_ONCE).try_collect().await?;
    let stuck = stream::iter(0..args.stalled).map(|_| start_stalled(args));
    let _stuck: Vec<(Node, Consumer<Bytes>)> =
        stuck.buffer_unordered(AT_ONCE).try_collect().await?;
    say(&Report::Up)?;
    let counters = || all.iter().map(|(_, counters)| counters);
    while let Some(order) = orders.recv().await {
        say(&match order {
            Order::Count => Report::Count(sum(counters())),
            Order::Record => {
                counters().for_each(|one| one.recording.store(true, Relaxed));
                Report::Recording
            }
            Order::Latency => {
                let mut all = Latency::default();
                for one in counters() {
                    one.recording.store(false, Relaxed);
                    let mut latency = one.latency.lock().unwrap_or_else(PoisonError::into_inner);
                    all.merge(&latency.counts());
                    latency.clear();
                }
                Report::Latency {
                    counts: all.counts(),
                }
            }
        })?;
    }
    Ok(true)
}

async fn start(args: &BenchConsumersArgs) -> Result<(Node, Arc<Counters>)> {
    let node = join::start(&args.net).await?;
    let consumer = node
        .consumer::<Bytes>()
        .stream(STREAM)
        .lag(join::lag(args.lag))
        .build();
    let consumer = consumer.wrap_err("cannot subscribe")?;
    let counters = Arc::new(Counters::default());
    tokio::spawn(consume(consumer, counters.clone()));
    Ok((node, counters))
}

/// A consumer that nobody reads from: it lags for as long as it is held.
async fn start_stalled(args: &BenchConsumersArgs) -> Result<(Node, Consumer<Bytes>)> {
    let node = join::start(&args.net).await?;
    let consumer = node.consumer::<Bytes>().stream(STREAM).lag(Lag::Skip);
    let consumer = consumer.build().wrap_err("cannot subscribe")?;
    Ok((node, consumer))
}

async fn consume(mut consumer: Consumer<Bytes>, counters: Arc<Counters>) {
    let mut batch = Vec::with_capacity(BATCH);
    while consumer.recv_many(&mut batch, BATCH).await > 0 {
        counters.items.fetch_add(batch.len() as u64, Relaxed);
        let bytes: usize = batch.iter().map(Bytes::len).sum();
        counters.bytes.fetch_add(bytes as u64, Relaxed);
        counters.missed.store(consumer.stats().missed, Relaxed);
        if counters.recording.load(Relaxed) {
            let now = now_us();
            let mut latency = counters
                .latency
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for item in &batch {
                latency.record(now.saturating_sub(item.as_ref().get_u64_le()));
            }
        }
        batch.clear();
    }
}

fn sum<'a>(counters: impl Iterator<Item = &'a Arc<Counters>>) -> Received {
    let mut all = Received {
        at_us: now_us(),
        ..Received::default()
    };
    for one in counters {
        all.items += one.items.load(Relaxed);
        all.bytes += one.bytes.load(Relaxed);
        all.missed += one.missed.load(Relaxed);
    }
    all
}
