//! iroh-gossip: one topic that all nodes join through the producer.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context, anyhow};
use futures::StreamExt;
use harness::{Adapter, Delivery, Info, Item, Sender, Sink, Slab, Spec, Variant};
use iroh::{
    Endpoint, EndpointAddr, EndpointId, RelayMode, TransportAddr,
    address_lookup::memory::MemoryLookup,
    endpoint::{PortmapperConfig, presets},
    protocol::Router,
};
use iroh_gossip::{
    Gossip, TopicId,
    api::{Event, GossipReceiver, GossipSender},
};
use serde_json::Value;
use tokio::task::JoinHandle;

const TOPIC: TopicId = TopicId::from_bytes([7; 32]);
/// Bytes that a message may have by default, and room for its header where items are larger.
const MESSAGE: usize = 4096;
const HEADER: usize = 1024;

fn main() -> ExitCode {
    harness::run::<IrohGossip>()
}

struct IrohGossip;

/// A node that gossips.
struct Node {
    router: Router,
    gossip: Gossip,
}

/// The producing end.
struct Broadcasting {
    sender: GossipSender,
    slab: Slab,
    _receiving: JoinHandle<()>,
    _node: Node,
}

impl Adapter for IrohGossip {
    type Sender = Broadcasting;
    type Consumer = JoinHandle<()>;

    fn info() -> Info {
        Info {
            about: "one topic, all join through the producer, default settings but for the size \
                    of a message; nodes pass items on, so most come over several hops"
                .into(),
            edge: Some(
                "the producer sends to a few neighbours only, consumers pass items on".into(),
            ),
            variants: vec![Variant::new(
                "topic",
                Delivery::Drop,
                "a subscriber that lags is closed and subscribes again",
            )],
            crates: vec!["iroh-gossip".into(), "iroh".into()],
            server: None,
        }
    }

    async fn produce(
        spec: &Spec,
        _server: Option<SocketAddr>,
    ) -> anyhow::Result<(Broadcasting, Value)> {
        let node = Node::start(spec, None).await?;
        let endpoint = node.router.endpoint();
        let sockets = endpoint.bound_sockets();
        let socket = TransportAddr::Ip(*sockets.first().context("not bound")?);
        let addr = EndpointAddr::from_parts(endpoint.id(), [socket]);
        let (sender, mut receiver) = node.gossip.subscribe(TOPIC, Vec::new()).await?.split();
        // Nobody else reads its events, and a topic whose events nobody reads is closed.
        let receiving = tokio::spawn(async move { while receiver.next().await.is_some() {} });
        let sending = Broadcasting {
            sender,
            slab: Slab::default(),
            _receiving: receiving,
            _node: node,
        };
        Ok((sending, serde_json::to_value(addr)?))
    }

    async fn consume(
        spec: &Spec,
        _server: Option<SocketAddr>,
        addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<JoinHandle<()>> {
        let addr: EndpointAddr = serde_json::from_value(addr.clone())?;
        let producer = addr.id;
        let node = Node::start(spec, Some(addr)).await?;
        let topic = node
            .gossip
            .subscribe_and_join(TOPIC, vec![producer])
            .await?;
        Ok(tokio::spawn(consume(node, producer, topic.split(), sink)))
    }
}

impl Node {
    async fn start(spec: &Spec, known: Option<EndpointAddr>) -> anyhow::Result<Self> {
        let lookup = MemoryLookup::new();
        if let Some(known) = known {
            lookup.add_endpoint_info(known);
        }
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .portmapper_config(PortmapperConfig::Disabled)
            .address_lookup(lookup)
            .clear_ip_transports()
            .bind_addr(SocketAddr::from(([127, 0, 0, 1], 0)))?
            .bind()
            .await
            .map_err(|error| anyhow!(error))?;
        let size = (spec.size as usize + HEADER).max(MESSAGE);
        let gossip = Gossip::builder()
            .max_message_size(size)
            .spawn(endpoint.clone());
        let router = Router::builder(endpoint)
            .accept(iroh_gossip::ALPN, gossip.clone())
            .spawn();
        Ok(Self { router, gossip })
    }
}

impl Sender for Broadcasting {
    async fn send(&mut self, item: &Item<'_>) -> anyhow::Result<()> {
        tokio::task::coop::consume_budget().await;
        let sent = self.sender.broadcast(item.bytes(&mut self.slab)).await;
        sent.map_err(|error| anyhow!(error))
    }
}

/// Takes items, and subscribes again for as long as it lags.
async fn consume(
    node: Node,
    producer: EndpointId,
    mut topic: (GossipSender, GossipReceiver),
    mut sink: Sink,
) {
    loop {
        while let Some(Ok(event)) = topic.1.next().await {
            match event {
                Event::Received(message) => sink.take(&message.content),
                Event::Lagged => break,
                Event::NeighborUp(_) | Event::NeighborDown(_) => {}
            }
        }
        let again = node.gossip.subscribe(TOPIC, vec![producer]).await;
        topic = match again {
            Ok(again) => again.split(),
            Err(error) => return sink.fail(format!("cannot subscribe again: {error}")),
        };
    }
}
