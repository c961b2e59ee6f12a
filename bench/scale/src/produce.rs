//! The producer's process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use iroh::Endpoint;
use rivermesh::{Condition, Node, Producer, Rendezvous};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    endpoint,
    protocol::{Kind, Order, Report, Setup},
    role::{ITEM_BYTES, Orders, done, report, stream},
};

/// The protocol's name on bare connections.
pub(crate) const RAW: &[u8] = b"bench/scale/1";
/// Streams that one node can announce.
const STREAMS_A_NODE: usize = rivermesh_proto::limits::STREAMS;

/// Where the nodes of the producer's process are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Addr {
    pub(crate) network: String,
    pub(crate) nodes: Vec<iroh::EndpointAddr>,
}

/// The producing end.
enum Producing {
    /// Takes connections and holds them.
    Raw {
        arrived: Arc<AtomicUsize>,
        count: usize,
    },
    Nodes {
        nodes: Vec<Node>,
        producers: Vec<Producer<Bytes>>,
        setup: Setup,
    },
}

/// Runs until the runner is gone.
pub(crate) async fn run() -> Result<()> {
    let (setup, mut orders) = Orders::begin()?;
    let (mut producing, addr) = Producing::start(setup).await?;
    report(&Report::Up { addr })?;
    while let Some(order) = orders.next().await {
        let answer = match producing.obey(order).await {
            Ok(report) => report,
            Err(error) => Report::Failed {
                why: format!("{error:#}"),
            },
        };
        report(&answer)?;
    }
    Ok(())
}

impl Producing {
    async fn start(setup: Setup) -> Result<(Self, Value)> {
        if setup.kind == Kind::Raw {
            let endpoint = endpoint::bind(RAW).await?;
            let addr = serde_json::to_value(endpoint::addr(&endpoint)?)?;
            let arrived = Arc::new(AtomicUsize::new(0));
            tokio::spawn(hold(endpoint, Arc::clone(&arrived)));
            let count = setup.count;
            return Ok((Self::Raw { arrived, count }, addr));
        }
        let network = format!("scale-{}", std::process::id());
        let mut nodes: Vec<Node> = Vec::new();
        for _ in 0..setup.streams().div_ceil(STREAMS_A_NODE) {
            let builder = Node::builder(&network)
                .bind(endpoint::loopback())
                .rendezvous(Rendezvous::Off);
            let builder = match nodes.first() {
                Some(first) => builder.bootstrap(first.addr()),
                None => builder,
            };
            nodes.push(builder.spawn().await?);
        }
        let addr = Addr {
            network,
            nodes: nodes.iter().map(Node::addr).collect(),
        };
        let addr = serde_json::to_value(addr)?;
        let producers = Vec::new();
        Ok((
            Self::Nodes {
                nodes,
                producers,
                setup,
            },
            addr,
        ))
    }

    async fn obey(&mut self, order: Order) -> Result<Report> {
        match order {
            Order::Open => self.open()?,
            Order::Await => self.all_there().await,
            Order::Pace {
                per_second,
                seconds,
            } => return self.pace(per_second, seconds).await,
            Order::Join | Order::Count => bail!("an order for consumers"),
        }
        Ok(done())
    }

    fn open(&mut self) -> Result<()> {
        let Self::Nodes {
            nodes,
            producers,
            setup,
        } = self
        else {
            return Ok(());
        };
        for n in 0..setup.streams() {
            let builder = nodes[n / STREAMS_A_NODE]
                .producer::<Bytes>()
                .stream(stream(n))
                .online_when(Condition::at_least(1));
            producers.push(builder.build().context("cannot make a stream")?);
        }
        Ok(())
    }

    /// Waits until all consumers are there.
    async fn all_there(&self) {
        match self {
            Self::Raw { arrived, count } => {
                while arrived.load(Ordering::Relaxed) < *count {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            Self::Nodes {
                producers, setup, ..
            } => {
                let each = setup.count / setup.streams();
                for producer in producers {
                    let mut status = producer.status();
                    // The stream ends with this process.
                    let _ = status.wait_for(|status| status.consumers >= each).await;
                }
            }
        }
    }

    /// Sends on each stream at this rate; gives the items of all streams together.
    async fn pace(&self, per_second: f64, seconds: f64) -> Result<Report> {
        let Self::Nodes { producers, .. } = self else {
            bail!("nothing is sent on bare connections");
        };
        let item = Bytes::from(vec![7; ITEM_BYTES]);
        let mut ticks = interval(Duration::from_secs_f64(1.0 / per_second));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut items = 0;
        for _ in 0..(per_second * seconds) as u64 {
            ticks.tick().await;
            for producer in producers {
                let sent = producer.send(item.clone()).await;
                items += u64::from(sent.is_ok());
            }
        }
        Ok(Report::Items { items })
    }
}

async fn hold(endpoint: Endpoint, arrived: Arc<AtomicUsize>) {
    let mut held = Vec::new();
    while let Some(incoming) = endpoint.accept().await {
        // One at a time is enough: the clients' side of a handshake is as dear.
        if let Ok(connection) = incoming.await {
            held.push(connection);
            arrived.store(held.len(), Ordering::Relaxed);
        }
    }
}
