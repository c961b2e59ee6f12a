//! What acknowledging costs: items/s to one consumer that does not, to one with a name, and to a group,
//! with the log in memory and on disk; over real QUIC on loopback, both nodes in one process. Prints a
//! table.
//!
//! `cargo bench --manifest-path bench/Cargo.toml --bench acknowledged`; the folder for the logs on disk may
//! be given as an argument, the default is the system's for temporary files.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use rivermesh::{Condition, Consumer, Lag, LagSet, Node, consumer, producer::Named, store::Config};
use rivermesh_bench::node;
use tokio::task::JoinSet;

/// How long each cell is measured, and how long it runs before that.
const TIME: Duration = Duration::from_millis(1500);
const WARM_UP: Duration = Duration::from_millis(500);
/// How often, by turns.
const TURNS: usize = 5;
/// Bytes of an item.
const ITEM: usize = 256;

/// How items are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// Nothing is lost, nothing is acknowledged.
    Live,
    /// Under a name, committed for each batch that is taken.
    Name,
    /// The same with so many items in flight at most.
    Bounded(u32),
    /// By so many members of a group.
    Group(usize),
}

impl Mode {
    fn takers(self) -> usize {
        match self {
            Self::Group(members) => members,
            _ => 1,
        }
    }

    fn consumer(self, node: &Node, stream: &str) -> Consumer<Bytes> {
        let builder: consumer::Builder<Bytes> = node.consumer().stream(stream);
        let builder = match self {
            Self::Live => builder.lag(Lag::Block),
            Self::Name => builder.durable_name("bench").auto_commit(),
            Self::Bounded(items) => {
                let builder = builder.durable_name("bench").auto_commit();
                builder.max_in_flight(items)
            }
            Self::Group(_) => builder.group("bench").auto_commit(),
        };
        builder.build().expect("the names are good")
    }
}

/// Items that come in a second.
async fn measure(home: &Node, away: &Node, mode: Mode, disk: Option<PathBuf>, turn: usize) -> f64 {
    let stream = format!("{mode:?}/{}/{turn}", disk.is_some()).replace(['(', ')'], "-");
    let builder = home
        .producer::<Bytes>()
        .stream(&stream)
        .allow_lag(LagSet::ALL.iter())
        .named(Named::default().max_per_member(65_536, 16 << 20))
        .online_when(Condition::at_least(mode.takers()));
    let builder = match &disk {
        Some(path) => builder.durable_within(path, Config::default().disk_bytes(256 << 20)),
        None => builder,
    };
    let producer = builder.build().expect("the stream is new");
    let count = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..mode.takers() {
        let (mut consumer, count) = (mode.consumer(away, &stream), Arc::clone(&count));
        tasks.spawn(async move {
            while let Some(batch) = consumer.recv_batch().await {
                let items = batch.iter().filter(Result::is_ok).count();
                count.fetch_add(items as u64, Ordering::Relaxed);
            }
        });
    }
    let sender = producer.clone();
    tasks.spawn(async move {
        let item = Bytes::from_static(&[7; ITEM]);
        while sender.send(item.clone()).await.is_ok() {}
    });
    producer.online().await;
    tokio::time::sleep(WARM_UP).await;
    let (begun, before) = (Instant::now(), count.load(Ordering::Relaxed));
    tokio::time::sleep(TIME).await;
    let taken = count.load(Ordering::Relaxed) - before;
    let rate = taken as f64 / begun.elapsed().as_secs_f64();
    producer.close();
    tasks.shutdown().await;
    rate
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let dir = tempfile::tempdir_in(folder.map_or_else(std::env::temp_dir, PathBuf::from))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let modes = [
        Mode::Live,
        Mode::Name,
        Mode::Bounded(64),
        Mode::Bounded(1),
        Mode::Group(1),
        Mode::Group(4),
    ];
    let cells: Vec<(Mode, bool)> = modes
        .iter()
        .flat_map(|mode| [(*mode, false), (*mode, true)])
        .collect();
    let mut rates = vec![Vec::new(); cells.len()];
    runtime.block_on(async {
        let name = format!("acknowledged-{}", std::process::id());
        let home = node(&name, &[]).await;
        let away = node(&name, &[&home]).await;
        for turn in 0..TURNS {
            for (cell, rates) in cells.iter().zip(&mut rates) {
                let (mode, is_durable) = *cell;
                let path = dir.path().join(format!("{turn}-{}", rates.len()));
                let path = path.join(format!("{mode:?}"));
                std::fs::create_dir_all(&path).expect("the folder can be written");
                let disk = is_durable.then(|| path.clone());
                rates.push(measure(&home, &away, mode, disk, turn).await);
            }
        }
        home.shutdown().await;
        away.shutdown().await;
    });
    println!("| consumers | log | items/s of {ITEM} B, middle of {TURNS} | lowest | highest |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for ((mode, is_durable), rates) in cells.iter().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let log = if *is_durable { "disk" } else { "memory" };
        let (low, middle, high) = (rates[0], rates[TURNS / 2], rates[TURNS - 1]);
        println!("| {mode:?} | {log} | {middle:.0} | {low:.0} | {high:.0} |");
    }
    Ok(())
}
