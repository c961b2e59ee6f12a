//! mosaik's streams: a producer on a network instance of its own, each consumer on one of its own.
//! It starts only with a relay that answers, so one is served on loopback; items go directly.

use std::{convert::Infallible, net::SocketAddr, process::ExitCode};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use harness::{Adapter, Delivery, Info, Item, Sender, Sink, Slab, Spec, Variant};
use iroh::{EndpointAddr, RelayMode, RelayUrl, TransportAddr};
use iroh_relay::server::{RelayConfig, Server, ServerConfig};
use mosaik::{
    Datum, Network, NetworkId, discovery,
    streams::{Producer, producer::Error},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

fn main() -> ExitCode {
    harness::run::<Mosaik>()
}

struct Mosaik;

/// An item without an encoding of its own, which is the cheapest that its streams can carry.
#[derive(Clone, Debug)]
struct Raw(Bytes);

impl Datum for Raw {
    type EncodeError = Infallible;
    type DecodeError = Infallible;

    fn encode(&self) -> Result<Bytes, Infallible> {
        Ok(self.0.clone())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Infallible> {
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }
}

/// The producing end.
struct Producing {
    producer: Producer<Raw>,
    slab: Slab,
    _network: Network,
    _relay: Server,
}

impl Adapter for Mosaik {
    type Sender = Producing;
    type Consumer = (Network, JoinHandle<()>);

    fn info() -> Info {
        Info {
            about: "streams of raw bytes between network instances on loopback, tokio-util held \
                    at 0.7.18, a relay on loopback that carries no items"
                .into(),
            edge: None,
            variants: vec![
                Variant::new(
                    "disconnect",
                    Delivery::Drop,
                    "cuts a consumer that lags by its buffer, the default; it subscribes again",
                ),
                Variant::new(
                    "skip",
                    Delivery::Drop,
                    "`disconnect_lagging(false)`: silently drops for a consumer that lags",
                ),
            ],
            crates: vec!["mosaik".into(), "iroh".into(), "tokio-util".into()],
            server: None,
        }
    }

    async fn produce(
        spec: &Spec,
        _server: Option<SocketAddr>,
    ) -> anyhow::Result<(Producing, Value)> {
        let (relay, url) = relay().await?;
        let name = format!(
            "compare-{}-{}",
            std::process::id(),
            harness::clock::now_ns()
        );
        let network = network(&name, &url, None).await?;
        let mut builder = network.streams().producer::<Raw>();
        if spec.variant == "skip" {
            builder = builder.disconnect_lagging(false);
        }
        let producer = builder.build().map_err(|error| anyhow!("{error}"))?;
        let endpoint = network.local().endpoint();
        let sockets = endpoint.bound_sockets();
        let direct = sockets.iter().find(|socket| socket.is_ipv4());
        let direct = TransportAddr::Ip(*direct.context("the node is not bound")?);
        let addr = EndpointAddr::from_parts(endpoint.id(), [direct]);
        let addr = json!({ "name": name, "relay": url.to_string(), "peer": addr });
        let producing = Producing {
            producer,
            slab: Slab::default(),
            _network: network,
            _relay: relay,
        };
        Ok((producing, addr))
    }

    async fn consume(
        _spec: &Spec,
        _server: Option<SocketAddr>,
        addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<(Network, JoinHandle<()>)> {
        let text = |key: &str| {
            addr[key]
                .as_str()
                .context("the producer's address lacks it")
        };
        let peer: EndpointAddr = serde_json::from_value(addr["peer"].clone())?;
        let url = text("relay")?.parse()?;
        let network = network(text("name")?, &url, Some(peer.clone())).await?;
        let known = network.discovery().sync_with(peer).await;
        known.map_err(|error| anyhow!("cannot sync with the producer: {error}"))?;
        let mut consumer = network.streams().consume::<Raw>();
        let mut sink = sink;
        let task = tokio::spawn(async move {
            while let Some(Raw(item)) = consumer.recv().await {
                sink.take(&item);
            }
            sink.fail("the network has ended");
        });
        Ok((network, task))
    }
}

impl Sender for Producing {
    async fn send(&mut self, item: &Item<'_>) -> anyhow::Result<()> {
        // Not through its sink: that fails as full where it should wait, because the place that
        // `poll_ready` reserved is not the one that `start_send` takes; and it drops the waker
        // when it finds the stream offline, so that a program which waits there waits for ever.
        tokio::task::coop::consume_budget().await;
        let mut item = Raw(item.bytes(&mut self.slab));
        loop {
            item = match self.producer.try_send(item) {
                Ok(()) => return Ok(()),
                Err(Error::Full(item)) => {
                    tokio::task::yield_now().await;
                    item
                }
                Err(Error::Offline(item)) => {
                    self.producer.when().online().await;
                    item
                }
                Err(error) => return Err(anyhow!("{error}")),
            };
        }
    }
}

async fn network(
    name: &str,
    relay: &RelayUrl,
    join: Option<EndpointAddr>,
) -> anyhow::Result<Network> {
    // Without this it looks for others in the public DHT, and tells that it is there.
    let mut discovery = discovery::Config::builder().no_dht_bootstrap();
    if let Some(peer) = join {
        discovery = discovery.with_bootstrap(peer);
    }
    let built = Network::builder(NetworkId::from(name))
        .with_relay_mode(RelayMode::custom([relay.clone()]))
        .with_addresses([SocketAddr::from(([127, 0, 0, 1], 0))])
        .with_discovery(discovery)
        .build();
    built.await.map_err(|error| anyhow!("{error}"))
}

async fn relay() -> anyhow::Result<(Server, RelayUrl)> {
    let mut config = ServerConfig::default();
    config.relay = Some(RelayConfig::new(([127, 0, 0, 1], 0)));
    let server = Server::spawn(config)
        .await
        .context("cannot serve a relay")?;
    let addr = server.http_addr().context("the relay does not listen")?;
    let url = format!("http://{addr}").parse()?;
    Ok((server, url))
}
