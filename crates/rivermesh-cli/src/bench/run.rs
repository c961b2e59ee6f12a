//! The producing process of the bench, which also leads the consuming one.

use std::{
    process,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use color_eyre::eyre::{Context, OptionExt, Result, bail, ensure};
use rivermesh::{Condition, Lag, Node, Producer, Rendezvous};
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    cpu,
    report::{self, Case, Load, Paced},
    wire::{Order, Received, Report},
};
use crate::{
    args::{BenchArgs, LagPolicy},
    family::{self, Kid, Said},
    latency::{Latency, now_us},
    text::plural,
};

/// The stream.
pub(super) const STREAM: &str = "bench";

/// Full load before the measurement begins.
const WARM_UP: Duration = Duration::from_millis(500);

/// The longest that starting, draining or an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs all cases.
///
/// # Errors
/// When a process or node cannot start, or something does not come to its end in time.
pub(crate) async fn run(args: &BenchArgs) -> Result<bool> {
    tokio::select! {
        done = cases(args) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn cases(args: &BenchArgs) -> Result<bool> {
    let mut cases = Vec::new();
    if !args.json {
        println!("{}", report::head());
    }
    for &consumers in &args.consumers {
        let mut pair = Pair::start(consumers, args).await?;
        for &size in &args.size {
            let case = pair.case(size, args).await?;
            if !args.json {
                println!("{}", report::row(&case));
            }
            cases.push(case);
        }
        pair.stop().await;
    }
    let lossless = args.lag != LagPolicy::Block || cases.iter().all(|case| case.load.missed == 0);
    if args.json {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let (version, seconds) = (env!("CARGO_PKG_VERSION"), args.seconds);
        let all = json!({ "version": version, "cores": cores, "seconds": seconds, "cases": cases });
        println!("{all}");
    }
    Ok(lossless)
}

/// A producing node here, and consuming nodes in another process.
struct Pair {
    consumers: u32,
    node: Node,
    producer: Producer<Bytes>,
    kid: Kid,
    said: mpsc::Receiver<Said<Report>>,
}

impl Pair {
    async fn start(consumers: u32, args: &BenchArgs) -> Result<Self> {
        let network = format!("bench-{:016x}", rand::random::<u64>());
        let node = Node::builder(&network)
            .name("producer")
            .bind("127.0.0.1:0".parse()?)
            .rendezvous(Rendezvous::Off)
            .spawn()
            .await
            .wrap_err("cannot start the producing node")?;
        let subscribed = consumers.saturating_add(args.stalled);
        let all = || Condition::at_least(subscribed as usize);
        let producer = node
            .producer::<Bytes>()
            .stream(STREAM)
            .online_when(all())
            .allow_lag(Lag::ALL)
            .build()
            .wrap_err("cannot make the stream")?;
        let (send, said) = family::reports();
        let mut words = vec![
            "bench-consumers".to_owned(),
            format!("--consumers={consumers}"),
            format!("--stalled={}", args.stalled),
            format!("--lag={}", args.lag),
            format!("--network={network}"),
            "--bind=127.0.0.1:0".to_owned(),
            "--no-rendezvous".to_owned(),
            format!("--join={}", node.invite()),
        ];
        words.extend(args.threads.map(|threads| format!("--threads={threads}")));
        let kid = Kid::spawn("consumers", &words, send)?;
        let mut pair = Self {
            consumers,
            node,
            producer,
            kid,
            said,
        };
        let up = pair.answer().await?;
        ensure!(up == Report::Up, "the consumers do not start with being up");
        tokio::time::timeout(PATIENCE, pair.producer.when(all()))
            .await
            .wrap_err_with(|| {
                format!(
                    "{} did not subscribe in time",
                    plural(subscribed.into(), "consumer")
                )
            })?;
        Ok(pair)
    }

    async fn case(&mut self, size: u32, args: &BenchArgs) -> Result<Case> {
        let seconds = Duration::from_secs_f64(args.seconds);
        let load = self.saturated(size, seconds).await?;
        self.drained().await?;
        let latency = if args.only_throughput {
            None
        } else {
            let rate = load.paced_rate(args.rate, self.consumers);
            self.paced(size, rate, seconds).await?
        };
        let (consumers, item_bytes) = (self.consumers, size);
        Ok(Case {
            consumers,
            item_bytes,
            load,
            latency,
        })
    }

    /// As fast as the slowest consumer allows.
    async fn saturated(&mut self, size: u32, time: Duration) -> Result<Load> {
        let payload = Bytes::from(vec![0x5a; size as usize]);
        let producer = self.producer.clone();
        let load =
            tokio::spawn(async move { while producer.send(payload.clone()).await.is_ok() {} });
        tokio::time::sleep(WARM_UP).await;
        let begin = self.count().await?;
        let cpu_begin = self.cpu();
        tokio::time::sleep(time).await;
        let cpu_end = self.cpu();
        let end = self.count().await?;
        ensure!(!load.is_finished(), "the stream closed under load");
        load.abort();
        let _ = load.await;
        let cpu = cpu_end
            .zip(cpu_begin)
            .map(|(end, begin)| end.saturating_sub(begin));
        Ok(Load::between(begin, end, cpu))
    }

    /// At a fixed rate; each item says when it was due.
    async fn paced(&mut self, size: u32, rate: f64, time: Duration) -> Result<Option<Paced>> {
        self.kid.order(&Order::Record).await?;
        ensure!(
            self.answer().await? == Report::Recording,
            "the consumers do not record"
        );
        let producer = self.producer.clone();
        let runtime = tokio::runtime::Handle::current();
        // The runtime's timer has a grain of 1 ms, which would be measured as latency; a thread's sleep is finer.
        let pacer = tokio::task::spawn_blocking(move || -> Result<()> {
            let (start, start_us) = (Instant::now(), now_us());
            for number in 0..(rate * time.as_secs_f64()) as u64 {
                let due = Duration::from_secs_f64(number as f64 / rate);
                let ahead = due.saturating_sub(start.elapsed());
                if !ahead.is_zero() {
                    std::thread::sleep(ahead);
                }
                let mut payload = BytesMut::zeroed(size as usize);
                (&mut payload[..8]).put_u64_le(start_us + due.as_micros() as u64);
                runtime
                    .block_on(producer.send(payload.freeze()))
                    .wrap_err("an item was refused")?;
            }
            Ok(())
        });
        pacer.await.wrap_err("the pacing thread died")??;
        self.drained().await?;
        self.kid.order(&Order::Latency).await?;
        let Report::Latency { counts } = self.answer().await? else {
            bail!("the consumers have no latencies");
        };
        let mut latency = Latency::default();
        latency.merge(&counts);
        let quantiles = latency.quantiles();
        Ok(quantiles.map(|latency_us| Paced {
            items_per_s: rate,
            latency_us,
        }))
    }

    /// Waits until nothing is under way any more: everything sent since the start, when all
    /// consumers were there already, is received or reported missed.
    async fn drained(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let due = self.producer.stats().items * u64::from(self.consumers);
        loop {
            let now = self.count().await?;
            if now.items + now.missed >= due {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the consumers do not come to the end: {} of {due} items came, {} were missed",
                now.items,
                now.missed
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn count(&mut self) -> Result<Received> {
        self.kid.order(&Order::Count).await?;
        match self.answer().await? {
            Report::Count(received) => Ok(received),
            other => bail!("the consumers answer {other:?} to the wish for counts"),
        }
    }

    async fn answer(&mut self) -> Result<Report> {
        let said = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        let said = said.wrap_err("the consumers do not answer")?;
        said.and_then(|said| said.what)
            .ok_or_eyre("the consuming process ended")?
    }

    /// CPU time of both processes.
    fn cpu(&self) -> Option<Duration> {
        Some(cpu::used(process::id())? + cpu::used(self.kid.pid()?)?)
    }

    async fn stop(mut self) {
        drop(self.producer);
        self.kid.dismiss(Duration::from_secs(5)).await;
        self.node.shutdown().await;
    }
}
