//! The attacked process, its honest peer, and what both must have at the end.

use std::{cell::Cell, future::Future, path::Path, pin::Pin, time::Duration};

use bytes::Bytes;
use rivermesh::{EndpointAddr, Epoch, Node, NodeId};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{ConsumerJournal, Key, ProducerJournal, Rules, Run},
    peer::Process,
    process::Usage,
    recorder::{Driver, Goal, Recorder},
    seed::Seed,
    wait::eventually_async,
};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    attackers::Attackers,
    figures::{self, Figures, PREFIX, Rounds},
    victim::{Args, DOWN, RECEIVED, Report, SENT, Seen, Settings, UP},
};

/// Memory that an attack may cost the attacked process.
pub const MEMORY: u64 = 32 << 20;
/// Items in one step of an exchange.
const STEP: u64 = 200;
/// Items that must have flowed in each direction.
const ITEMS: u64 = 5000;
/// Steps before an attack whose time is measured: not looked at, and looked at.
const WARM: u64 = 50;
const QUIET: u64 = 300;
/// Between two steps, so that the exchange leaves the machine to the attack.
const PACE: Duration = Duration::from_millis(5);

/// A node under attack, in a process of its own, and an honest one, which exchange items.
#[derive(Debug)]
pub struct Arena {
    cluster: Cluster,
    honest: Node,
    victim: Process,
    id: NodeId,
    addr: EndpointAddr,
    key: Key,
    folder: TempDir,
    driver: Driver,
    recorder: Recorder,
    sent: u64,
    base: u64,
    peak: u64,
    quiet: Vec<Duration>,
    attacked: Vec<Duration>,
    attackers: Attackers,
    _seed: Seed,
}

impl Arena {
    /// Starts both and lets them exchange some items. `path` is that of the victim's program.
    ///
    /// # Panics
    /// When that fails.
    pub async fn new(path: &str, settings: Settings) -> Self {
        let seed = Seed::take();
        let key = Key::from_seed(seed.value());
        let mut cluster = Cluster::new();
        let honest = cluster.spawn().await;
        let up = good(honest.producer::<Bytes>().stream(UP).build());
        let driver = Driver::of(up, honest.id(), key);
        let down = good(honest.consumer::<Bytes>().stream(DOWN).build());
        let recorder = Recorder::of(down, "honest");
        let folder = good(tempfile::tempdir());
        let args = Args {
            invite: honest.invite().to_string(),
            seed: seed.value(),
            folder: folder.path().to_owned(),
            settings,
        };
        let mut victim = Process::start(path, &args);
        let ready = victim.line().await;
        let Some(addr) = ready.strip_prefix("ready ") else {
            panic!("the victim says {ready}");
        };
        let addr: EndpointAddr = good(serde_json::from_str(addr));
        let mut arena = Self {
            cluster,
            honest,
            victim,
            id: addr.id,
            addr,
            key,
            folder,
            driver,
            recorder,
            sent: 0,
            base: 0,
            peak: 0,
            quiet: Vec::new(),
            attacked: Vec::new(),
            attackers: good(Attackers::new()),
            _seed: seed,
        };
        arena.driver.subscribed(1).await;
        if figures::is_measuring() {
            // What has just been started is slower.
            arena.exchange(WARM * STEP).await;
            arena.attacked.clear();
            arena.exchange(QUIET * STEP).await;
        } else {
            arena.exchange(10 * STEP).await;
        }
        arena.quiet = std::mem::take(&mut arena.attacked);
        arena.base = arena.usage();
        arena.peak = arena.base;
        arena
    }

    /// Where the victim is.
    #[must_use]
    pub const fn addr(&self) -> &EndpointAddr {
        &self.addr
    }

    /// Who the victim is.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The name of the network.
    #[must_use]
    pub fn network(&self) -> &str {
        self.cluster.network()
    }

    /// The honest peer.
    #[must_use]
    pub const fn honest(&self) -> &Node {
        &self.honest
    }

    /// Another honest node, which joins through the honest peer and the victim.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn newcomer(&mut self) -> Node {
        let victim = self.addr.clone();
        self.cluster.spawn_with(|node| node.bootstrap(victim)).await
    }

    /// Lets items flow in both directions, about so many in each.
    ///
    /// # Panics
    /// When they do not arrive.
    pub async fn exchange(&mut self, items: u64) {
        for _ in 0..items.div_ceil(STEP) {
            let began = Instant::now();
            let sent = self.ask(&format!("send {STEP}")).await;
            let numbers: Vec<u64> = sent.split(' ').filter_map(|n| n.parse().ok()).collect();
            let [epoch, next] = numbers[..] else {
                panic!("the victim says {sent}");
            };
            let goal = Goal {
                producer: self.id,
                epoch: Epoch(epoch),
                next,
            };
            self.recorder.cover(&[goal]).await;
            self.driver.send(STEP).await;
            let Goal {
                producer,
                epoch,
                next,
            } = self.driver.goal();
            let covered = self
                .ask(&format!("cover {producer} {} {next}", epoch.0))
                .await;
            assert_eq!(covered, "covered");
            self.sent += STEP;
            self.attacked.push(began.elapsed());
            self.peak = self.peak.max(self.usage());
            sleep(PACE).await;
        }
    }

    /// Lets items flow for as long as the attack takes, at least once. What the attack spawns runs in a
    /// runtime of its own.
    pub fn during<'a, T: 'a>(
        &'a mut self,
        attack: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = T> + 'a>> {
        let attack = self.attackers.wrap(attack);
        Box::pin(async move {
            let over = Cell::new(false);
            let attack = async {
                let came = attack.await;
                over.set(true);
                came
            };
            let flow = async {
                loop {
                    self.exchange(STEP).await;
                    if over.get() {
                        return;
                    }
                }
            };
            tokio::join!(attack, flow).0
        })
    }

    /// What the victim says of itself.
    pub async fn report(&mut self) -> Report {
        read(&self.ask("report").await)
    }

    /// What the victim's catalog says of a peer.
    pub async fn seen(&mut self, peer: NodeId) -> Option<Seen> {
        read(&self.ask(&format!("peer {peer}")).await)
    }

    /// Lets the victim produce items of its guarded stream.
    pub async fn guarded(&mut self, items: u64) {
        let sent = self.ask(&format!("guarded {items}")).await;
        assert_eq!(sent, "sent");
    }

    /// Lets the victim produce items of its guarded stream until this time, in microseconds since 1970,
    /// and until nobody consumes them.
    pub async fn stream(&mut self, until_us: u64) {
        let answer = self.ask(&format!("stream {until_us}")).await;
        assert_eq!(answer, "streaming");
    }

    /// Stops the victim's process where it stands, until what this gives is dropped. A connection is
    /// lost after 5 s of that.
    pub async fn suspend(&self) -> Suspended<'_> {
        let suspended = Suspended(&self.victim);
        self.victim.suspend().await;
        suspended
    }

    /// Waits until the victim lists a peer.
    pub async fn lists(&mut self, peer: NodeId) -> Seen {
        eventually_async(DEADLINE, async || self.seen(peer).await).await
    }

    /// Waits until the victim's report is as it should be.
    pub async fn reports(&mut self, condition: impl Fn(&Report) -> bool) -> Report {
        eventually_async(DEADLINE, async || {
            let report = self.report().await;
            if condition(&report) {
                Ok(report)
            } else {
                Err(format!("{report:?}"))
            }
        })
        .await
    }

    async fn ask(&mut self, command: &str) -> String {
        self.victim.tell(command);
        self.victim.line().await
    }

    fn usage(&self) -> u64 {
        good(Usage::of(self.victim.id())).rss_bytes
    }

    /// How far the victim's memory has been above what it was before the attack, in bytes.
    #[must_use]
    pub fn growth(&mut self) -> u64 {
        self.peak = self.peak.max(self.usage());
        self.peak - self.base
    }

    /// Holds memory and delivery to what is promised.
    ///
    /// # Panics
    /// When that is broken.
    pub async fn finish(mut self) {
        let growth = self.growth();
        assert!(
            growth < MEMORY,
            "the victim's memory grew by {:.1} MiB",
            growth as f64 / f64::from(1 << 20)
        );
        self.judge().await;
    }

    /// Holds delivery alone to what is promised: for a victim whose memory is not defended.
    ///
    /// # Panics
    /// When that is broken.
    pub async fn judge(mut self) {
        self.print();
        self.exchange(ITEMS.saturating_sub(self.sent)).await;
        let mut run = Run::new(self.key);
        run.consumer(self.recorder.drained());
        self.victim.tell("end");
        assert_eq!(self.victim.line().await, "ended");
        let folder: &Path = self.folder.path();
        let received = good(ConsumerJournal::read(&folder.join(RECEIVED)));
        let sent = good(ProducerJournal::read(&folder.join(SENT)));
        run.consumer(received).producer(sent);
        run.producer(self.driver.finish());
        run.check(&Rules::sunny())
            .unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Tells what the attack cost, to whoever runs the test with `--nocapture`. Decides nothing.
    #[expect(clippy::print_stderr, reason = "a figure for who runs the test")]
    fn print(&mut self) {
        let figures = Figures {
            quiet: Rounds::of(std::mem::take(&mut self.quiet)),
            attacked: Rounds::of(std::mem::take(&mut self.attacked)),
            before_bytes: self.base,
            peak_bytes: self.peak,
        };
        if figures::is_measuring() {
            // Where no test's name stands before it.
            eprintln!("\n{PREFIX}{}", good(serde_json::to_string(&figures)));
        } else {
            eprintln!(
                "p99 of {STEP} items each way, ms, quiet | attacked | times | MiB quiet | attacked: {figures}"
            );
        }
    }
}

/// The victim's process, standing still.
#[derive(Debug)]
pub struct Suspended<'a>(&'a Process);

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        self.0.resume();
    }
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => panic!("the victim says {text}: {error}"),
    }
}

fn good<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}
