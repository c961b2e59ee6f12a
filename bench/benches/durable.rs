//! What a durable send costs, beside what the disk does with the same bytes: prints two tables.
//!
//! `cargo bench --manifest-path bench/Cargo.toml --bench durable`; the folder to write in may be given as
//! an argument, the default is the system's for temporary files.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rivermesh::{
    Condition, Durability, Epoch, Fingerprint, Node, StreamName,
    discovery::Rendezvous,
    store::{Config, Identity, Persist, Sealed, Store},
};
use rivermesh_proto::batch::Builder;

/// How long each cell is measured.
const TIME: Duration = Duration::from_secs(2);
/// Bytes of an item.
const ITEM: usize = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(folder)?;
    println!(
        "| bytes at once | | plain file, MB/s | store, MB/s | plain file, writes/s | store, writes/s |"
    );
    println!("| ---: | --- | ---: | ---: | ---: | ---: |");
    for items in [1, 15, 60, 240] {
        for level in [Persist::Buffered, Persist::Synced] {
            let (frame, end) = frame(items);
            let plain = plain(dir.path(), &frame, level)?;
            let store = store(dir.path(), &frame, end, level)?;
            let rate = |count: f64| count * frame.len() as f64 / 1e6;
            println!(
                "| {} | {level:?} | {:.1} | {:.1} | {plain:.0} | {store:.0} |",
                frame.len(),
                rate(plain),
                rate(store)
            );
        }
    }
    println!();
    println!("| tasks | durability | items/s of {ITEM} B |");
    println!("| ---: | --- | ---: |");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(send(dir.path()))
}

/// A batch of so many items, and the number after its last.
fn frame(items: u64) -> (Bytes, u64) {
    let mut builder = Builder::new(64 * 1024);
    for _ in 0..items {
        let _ = builder.push(|out| {
            out.extend_from_slice(&[7; ITEM]);
            Ok::<_, ()>(())
        });
    }
    (builder.seal(0, 0).unwrap_or_default(), items)
}

/// How many times a second `step` runs.
fn rate(mut step: impl FnMut() -> std::io::Result<()>) -> std::io::Result<f64> {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < TIME {
        step()?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

/// Writes to a plain file, which begins anew after as many bytes as a segment has.
fn plain(dir: &Path, frame: &[u8], level: Persist) -> std::io::Result<f64> {
    let path = dir.join("plain");
    let mut file = File::create(&path)?;
    let mut bytes = 0;
    let rate = rate(|| {
        if bytes > 32 << 20 {
            bytes = 0;
            file = File::create(&path)?;
        }
        bytes += frame.len();
        file.write_all(frame)?;
        match level {
            Persist::Synced => file.sync_data(),
            Persist::Buffered => Ok(()),
        }
    });
    std::fs::remove_file(path)?;
    rate
}

fn store(
    dir: &Path,
    frame: &Bytes,
    items: u64,
    level: Persist,
) -> Result<f64, Box<dyn std::error::Error>> {
    let path = dir.join("store");
    let identity = Identity {
        name: StreamName::new("bench")?,
        fingerprint: Fingerprint([0; 8]),
        epoch: Epoch(1),
    };
    let config = Config::default().disk_bytes(128 << 20);
    let (mut store, _) = Store::open(&path, &identity, config)?;
    let rate = rate(|| {
        let first = store.next();
        let end = first + items;
        let batch = Sealed {
            first,
            end,
            frame: frame.clone(),
        };
        let done = store.append(&[batch]).and_then(|()| store.persist(level));
        done.map_err(std::io::Error::other)
    })?;
    drop(store);
    std::fs::remove_dir_all(path)?;
    Ok(rate)
}

async fn send(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("bench durable")
        .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
        .rendezvous(Rendezvous::Off)
        .spawn()
        .await?;
    for (tasks, durability) in [
        (1, None),
        (1, Some(Durability::Memory)),
        (1, Some(Durability::Buffered)),
        (64, Some(Durability::Buffered)),
        (1, Some(Durability::Synced)),
        (8, Some(Durability::Synced)),
        (64, Some(Durability::Synced)),
        (512, Some(Durability::Synced)),
        (4096, Some(Durability::Synced)),
    ] {
        let path = dir.join("stream");
        let name = format!("bench/{tasks}/{durability:?}");
        let builder = node
            .producer::<Bytes>()
            .stream(name.replace(['(', ')'], "-"));
        let builder = builder.online_when(Condition::always());
        let builder = match durability {
            Some(_) => builder.durable_within(&path, Config::default().disk_bytes(128 << 20)),
            None => builder,
        };
        let producer = builder.build()?;
        let begin = Instant::now();
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            let producer = producer.clone();
            set.spawn(async move {
                let mut count = 0u64;
                let item = Bytes::from_static(&[7; ITEM]);
                while begin.elapsed() < TIME {
                    let sent = match durability {
                        None => producer.send(item.clone()).await.is_ok(),
                        Some(level) => producer.send_with(item.clone(), level).await.is_ok(),
                    };
                    assert!(sent, "an item was not sent");
                    count += 1;
                }
                count
            });
        }
        let count: u64 = set.join_all().await.into_iter().sum();
        let rate = count as f64 / begin.elapsed().as_secs_f64();
        let kind = durability.map_or("no disk".to_owned(), |level| format!("{level:?}"));
        println!("| {tasks} | {kind} | {rate:.0} |");
        producer.close();
        drop(producer);
        // The writer closes the log behind the producer.
        while std::fs::remove_dir_all(&path).is_err() && path.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    node.shutdown().await;
    Ok(())
}
