//! The node under attack, see [`rivermesh_attacker::victim`].

use std::{
    future::poll_fn,
    io::{BufRead, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use rivermesh::{
    Condition, ConnectionConfig, Consumer, Event, Invite, Node, NodeId, Producer,
    admission::Verifier, discovery, discovery::Rendezvous, stream::Retry,
};
use rivermesh_attacker::{
    bait::Bait,
    victim::{Appetite, Args, Counts, DOWN, GUARDED, RECEIVED, Report, SENT, Seen, Settings, UP},
};
use rivermesh_tests::{
    oracle::{ConsumerJournal, Key, ProducerJournal},
    recorder::{ANY_LAG, Driver, Goal, Recorder, now_us},
};
use tokio::sync::mpsc;

/// Tasks that stream at the same time, and how long each of them computes between two items.
const STREAMERS: usize = 2;
const STREAM_US: u64 = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let args: Args = serde_json::from_str(&std::env::args().nth(1).ok_or("one argument")?)?;
    let node = spawn(&args).await?;
    let mut victim = Victim::new(&args, node)?;
    say(&format!(
        "ready {}",
        serde_json::to_string(&victim.node.addr())?
    ));
    let mut commands = commands();
    while let Some(command) = commands.recv().await {
        let answer = victim.obey(&command).await?;
        say(&answer);
        if answer == "ended" {
            break;
        }
    }
    Ok(())
}

async fn spawn(args: &Args) -> Result<Node, Failure> {
    let invite: Invite = args.invite.parse()?;
    let settings = &args.settings;
    let usual = ConnectionConfig::default();
    let handshakes = settings.max_handshakes;
    let connections = ConnectionConfig {
        max_connections: settings.max_connections.unwrap_or(usual.max_connections),
        max_handshakes: handshakes.unwrap_or(usual.max_handshakes),
        max_handshakes_per_address: handshakes.unwrap_or(usual.max_handshakes_per_address),
        max_dials: settings.max_dials.unwrap_or(usual.max_dials),
        ..usual
    };
    let usual = discovery::Config::default();
    let (rate, burst) = (usual.gossip_rate, usual.gossip_burst);
    let (gossip_rate, gossip_burst) = settings.gossip.unwrap_or((rate, burst));
    let discovery = discovery::Config {
        gossip_rate,
        gossip_burst,
        capacity: settings.capacity.unwrap_or(usual.capacity),
        rtt_interval: settings
            .rtt_interval_ms
            .map_or(usual.rtt_interval, Duration::from_millis),
        ..usual
    };
    let node = Node::builder(invite.network())
        .join(invite)
        .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
        .connections(connections)
        .discovery(discovery)
        .rendezvous(Rendezvous::Off)
        .spawn()
        .await?;
    Ok(node)
}

struct Victim {
    node: Node,
    driver: Option<Driver>,
    recorder: Option<Recorder>,
    guarded: Producer<Bytes>,
    counts: Arc<Mutex<Counts>>,
    /// When the last item was streamed.
    streamed: Arc<AtomicU64>,
    /// Consumed, and never read.
    _stuck: Option<Consumer<Bait>>,
}

impl Victim {
    fn new(args: &Args, node: Node) -> Result<Self, Failure> {
        let key = Key::from_seed(args.seed);
        let down = node.producer::<Bytes>().stream(DOWN).allow_lag(ANY_LAG);
        let down = down.build().map_err(|error| error.to_string())?;
        let name = down.stream().clone();
        let path = args.folder.join(SENT);
        let journal = ProducerJournal::create(&path, node.id(), down.epoch(), name)?;
        let driver = Driver::with_journal(down, journal, key);
        let up = node.consumer::<Bytes>().stream(UP).build()?;
        let path = args.folder.join(RECEIVED);
        let journal = ConsumerJournal::create(&path, "victim", up.stream().clone())?;
        let recorder = Recorder::with_journal(up, journal);
        let guarded = guarded(&node, &args.settings)?;
        let counts = Arc::new(Mutex::new(Counts::default()));
        let mut stuck = None;
        if args.settings.bait != Appetite::None {
            // Asked again soon, so that many answers can be tried in one test.
            let retry = Retry {
                min: Duration::from_millis(10),
                max: Duration::from_millis(100),
            };
            let mut consumer = node.consumer::<Bait>().retry(retry);
            if let Some(authority) = args.settings.bait_authority {
                consumer = consumer.require_ticket(Verifier::new().trust(authority));
            }
            if let Some(bytes) = args.settings.bait_bytes {
                consumer = consumer.buffer_bytes(bytes);
            }
            let consumer = consumer.build()?;
            if args.settings.bait == Appetite::Reads {
                tokio::spawn(count(consumer, Arc::clone(&counts)));
            } else {
                stuck = Some(consumer);
            }
        }
        Ok(Self {
            node,
            driver: Some(driver),
            recorder: Some(recorder),
            guarded,
            counts,
            streamed: Arc::default(),
            _stuck: stuck,
        })
    }

    async fn obey(&mut self, command: &str) -> Result<String, Failure> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        Ok(match verb {
            "send" => {
                let driver = self.driver.as_mut().ok_or("closed")?;
                driver.send(rest.parse()?).await;
                let goal = driver.goal();
                format!("{} {}", goal.epoch.0, goal.next)
            }
            "cover" => {
                let recorder = self.recorder.as_mut().ok_or("closed")?;
                let words: Vec<&str> = rest.split(' ').collect();
                let [producer, epoch, next] = words[..] else {
                    return Err("three words".into());
                };
                let goal = Goal {
                    producer: producer.parse()?,
                    epoch: rivermesh::Epoch(epoch.parse()?),
                    next: next.parse()?,
                };
                recorder.cover(&[goal]).await;
                "covered".to_owned()
            }
            "guarded" => {
                for n in 0..rest.parse::<u64>()? {
                    let item = Bytes::from(n.to_le_bytes().repeat(125));
                    self.guarded.send(item).await?;
                }
                "sent".to_owned()
            }
            "stream" => {
                for _ in 0..STREAMERS {
                    let (guarded, streamed) = (self.guarded.clone(), Arc::clone(&self.streamed));
                    tokio::spawn(stream(guarded, rest.parse()?, streamed));
                }
                "streaming".to_owned()
            }
            "report" => serde_json::to_string(&self.report())?,
            "peer" => serde_json::to_string(&self.seen(rest.parse()?))?,
            "end" => {
                self.recorder.take().map(Recorder::drained);
                self.driver.take().map(Driver::finish);
                "ended".to_owned()
            }
            other => return Err(format!("what is {other}?").into()),
        })
    }

    fn report(&self) -> Report {
        let consumers = self.guarded.consumers();
        Report {
            catalog: self.node.catalog().len(),
            guarded: consumers.iter().map(|one| one.peer).collect(),
            streamed_us: self.streamed.load(Ordering::Relaxed),
            bait: *self.counts.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn seen(&self, peer: NodeId) -> Option<Seen> {
        let catalog = self.node.catalog();
        let peer = catalog.get(&peer)?;
        Some(Seen {
            revision: peer.revision(),
            live: peer.is_live(),
            tags: peer.tags().clone(),
            rtt_us: peer
                .rtt()
                .and_then(|rtt| u64::try_from(rtt.smoothed.as_micros()).ok()),
        })
    }
}

fn guarded(node: &Node, settings: &Settings) -> Result<Producer<Bytes>, Failure> {
    let mut guarded = node
        .producer::<Bytes>()
        .stream(GUARDED)
        .online_when(Condition::always());
    if let Some(tag) = settings.tag.clone() {
        guarded = guarded.require(move |peer| peer.has_tag(&tag));
    }
    if let Some(rtt_ms) = settings.rtt_ms {
        let max = Duration::from_millis(rtt_ms);
        guarded = guarded.require(move |peer| peer.rtt().is_some_and(|rtt| rtt.smoothed <= max));
    }
    if let Some(authority) = settings.authority {
        guarded = guarded.require_ticket(Verifier::new().trust(authority));
    }
    Ok(guarded.build().map_err(|error| error.to_string())?)
}

/// Sends what the time is, and rests no moment. It gives way to other tasks without looking at timers, as a
/// program does that has much to do: so whoever sleeps is late.
async fn stream(guarded: Producer<Bytes>, until_us: u64, streamed_us: Arc<AtomicU64>) {
    let mut last_us = 0;
    while last_us < until_us || !guarded.consumers().is_empty() {
        let begun_us = now_us();
        while now_us() < begun_us + STREAM_US {
            std::hint::spin_loop();
        }
        last_us = now_us();
        let item = Bytes::copy_from_slice(&last_us.to_le_bytes());
        if guarded.send(item).await.is_err() {
            return;
        }
        streamed_us.fetch_max(last_us, Ordering::Relaxed);
        let mut gave_way = false;
        let give_way = poll_fn(|context| {
            if std::mem::replace(&mut gave_way, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        give_way.await;
    }
}

async fn count(mut consumer: Consumer<Bait>, counts: Arc<Mutex<Counts>>) {
    while let Some(event) = consumer.next_event().await {
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Item(_) => counts.items += 1,
            Event::Missed { from, to, .. } => {
                counts.missed = counts.missed.saturating_add(to - from);
            }
            Event::Undecodable { .. } => counts.undecodable += 1,
            Event::Joined { .. } => counts.joined += 1,
            Event::Refused { .. } => counts.refused += 1,
            _ => {}
        }
    }
}

/// What the test says, line by line; none when it is gone.
fn commands() -> mpsc::Receiver<String> {
    let (command, commands) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if command.blocking_send(line).is_err() {
                return;
            }
        }
    });
    commands
}

#[expect(clippy::print_stdout, reason = "the test reads it")]
fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}
