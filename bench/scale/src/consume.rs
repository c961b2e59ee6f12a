//! The consumers' process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use iroh::{Endpoint, EndpointAddr, endpoint::Connection};
use rivermesh::{Consumer, NetworkId, Node, Rendezvous};
use rivermesh_proto::wire;
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    client::Client,
    endpoint,
    produce::{Addr, RAW},
    protocol::{Kind, Order, Report, Setup},
    role::{Orders, done, report, stream},
};

/// Longest until the nodes that consumers share know all producers.
const MEET: Duration = Duration::from_secs(30);
/// Items that are taken in one go.
const MANY: usize = 256;

/// All consumers.
struct Consuming {
    setup: Setup,
    items: Arc<AtomicU64>,
    endpoints: Vec<Endpoint>,
    nodes: Vec<Node>,
    connections: Vec<Connection>,
    counting: JoinSet<()>,
}

/// Runs until the runner is gone.
pub(crate) async fn run() -> Result<()> {
    let (setup, mut orders) = Orders::begin()?;
    let mut consuming = Consuming::start(setup).await?;
    report(&Report::Up { addr: Value::Null })?;
    while let Some(order) = orders.next().await {
        let answer = match consuming.obey(order).await {
            Ok(report) => report,
            Err(error) => Report::Failed {
                why: format!("{error:#}"),
            },
        };
        report(&answer)?;
    }
    Ok(())
}

impl Consuming {
    /// Everything that is there before the first consumer asks.
    async fn start(setup: Setup) -> Result<Self> {
        let mut consuming = Self {
            items: Arc::default(),
            endpoints: Vec::new(),
            nodes: Vec::new(),
            connections: Vec::new(),
            counting: JoinSet::new(),
            setup,
        };
        match consuming.setup.kind {
            Kind::Raw => consuming.bind(RAW).await?,
            Kind::Own => consuming.bind(wire::ALPN).await?,
            Kind::Shared | Kind::Streams => {
                let addr = consuming.addr()?;
                for _ in 0..consuming.setup.nodes() {
                    consuming.nodes.push(node(&addr).await?);
                }
                timeout(MEET, met(&consuming.nodes, &addr))
                    .await
                    .context("the nodes do not find the producers")?;
            }
            Kind::Nodes => {}
        }
        Ok(consuming)
    }

    async fn bind(&mut self, alpn: &[u8]) -> Result<()> {
        for _ in 0..self.setup.count {
            self.endpoints.push(endpoint::bind(alpn).await?);
        }
        Ok(())
    }

    fn addr(&self) -> Result<Addr> {
        serde_json::from_value(self.setup.addr.clone()).context("not an address")
    }

    async fn obey(&mut self, order: Order) -> Result<Report> {
        match order {
            Order::Join => {
                self.join().await?;
                Ok(done())
            }
            Order::Count => Ok(Report::Items {
                items: self.items.load(Ordering::Relaxed),
            }),
            _ => bail!("an order for the producer"),
        }
    }

    async fn join(&mut self) -> Result<()> {
        match self.setup.kind {
            Kind::Raw => self.connect().await,
            Kind::Own => self.join_by_hand().await,
            Kind::Shared => {
                for n in 0..self.setup.count {
                    self.consume(n % self.nodes.len(), 0)?;
                }
                Ok(())
            }
            Kind::Streams => (0..self.setup.count).try_for_each(|n| self.consume(0, n)),
            Kind::Nodes => self.join_by_nodes().await,
        }
    }

    fn consume(&mut self, on: usize, number: usize) -> Result<()> {
        let consumer = self.nodes[on]
            .consumer::<Bytes>()
            .stream(stream(number))
            .build()
            .context("cannot subscribe")?;
        self.counting
            .spawn(count(consumer, Arc::clone(&self.items)));
        Ok(())
    }

    async fn connect(&mut self) -> Result<()> {
        let addr: EndpointAddr = serde_json::from_value(self.setup.addr.clone())?;
        let connecting = self.endpoints.iter().map(|endpoint| {
            let (endpoint, addr) = (endpoint.clone(), addr.clone());
            async move { Ok(endpoint.connect(addr, RAW).await?) }
        });
        self.connections = some_at_once(connecting, self.setup.in_flight).await?;
        Ok(())
    }

    async fn join_by_hand(&mut self) -> Result<()> {
        let addr = self.addr()?;
        let network = NetworkId::of(&addr.network);
        let to = addr.nodes.first().context("no node")?;
        let joining = std::mem::take(&mut self.endpoints)
            .into_iter()
            .map(|endpoint| {
                let to = to.clone();
                async move { Client::join(endpoint, to, network, &stream(0)).await }
            });
        for client in some_at_once(joining, self.setup.in_flight).await? {
            let items = Arc::clone(&self.items);
            self.counting.spawn(async move {
                // Lost items tell of one that fails.
                let _ = client.count(&items).await;
            });
        }
        Ok(())
    }

    async fn join_by_nodes(&mut self) -> Result<()> {
        let addr = Arc::new(self.addr()?);
        let starting = (0..self.setup.count).map(|_| {
            let addr = Arc::clone(&addr);
            async move { node(&addr).await }
        });
        self.nodes = some_at_once(starting, self.setup.in_flight).await?;
        (0..self.setup.count).try_for_each(|n| self.consume(n, 0))
    }
}

async fn node(addr: &Addr) -> Result<Node> {
    let builder = Node::builder(&addr.network)
        .bind(endpoint::loopback())
        .rendezvous(Rendezvous::Off);
    let builder = addr
        .nodes
        .iter()
        .fold(builder, |builder, node| builder.bootstrap(node.clone()));
    builder.spawn().await.context("cannot start a node")
}

/// Resolves when all nodes know all producers.
async fn met(nodes: &[Node], addr: &Addr) {
    for node in nodes {
        while !addr
            .nodes
            .iter()
            .all(|p| node.catalog().get(&p.id).is_some())
        {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn count(mut consumer: Consumer<Bytes>, items: Arc<AtomicU64>) {
    let mut taken = Vec::with_capacity(MANY);
    loop {
        let count = consumer.recv_many(&mut taken, MANY).await;
        if count == 0 {
            return;
        }
        items.fetch_add(count as u64, Ordering::Relaxed);
        taken.clear();
    }
}

/// Does all, so many at once. The first error ends it.
async fn some_at_once<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = Result<T>> + Send + 'static>,
    at_once: usize,
) -> Result<Vec<T>> {
    let (places, mut all) = (Arc::new(Semaphore::new(at_once.max(1))), JoinSet::new());
    for one in work {
        let places = Arc::clone(&places);
        all.spawn(async move {
            let _place = places.acquire().await?;
            one.await
        });
    }
    let mut done = Vec::new();
    while let Some(one) = all.join_next().await {
        done.push(one??);
    }
    Ok(done)
}
