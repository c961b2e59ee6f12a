//! zenoh, peer to peer: the producer listens, each consumer is a session of its own that connects
//! to it; no router, no scouting.

mod config;

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, anyhow};
use harness::{Adapter, Delivery, Info, Item, Sender, Sink, Slab, Spec, Variant};
use serde_json::Value;
use zenoh::{Session, pubsub::Publisher, qos::CongestionControl};

use config::Link;

const KEY: &str = "bench";

fn main() -> ExitCode {
    harness::run::<Zenoh>()
}

struct Zenoh;

/// The producing end.
struct Publishing {
    publisher: Publisher<'static>,
    slab: Slab,
    _session: Session,
}

impl Adapter for Zenoh {
    type Sender = Publishing;
    type Consumer = Session;

    fn info() -> Info {
        let (block, drop) = (Delivery::Block, Delivery::Drop);
        Info {
            about: "sessions in peer mode on loopback without scouting, subscribers with a \
                    callback, its own runtimes and default batches of 64 KiB"
                .into(),
            edge: Some("over TCP it encrypts nothing, and the kernel acknowledges, resends and cuts into packets; items travel in batches of up to 64 KiB".into()),
            variants: vec![
                Variant::new("tcp-block", block, "TCP without TLS, `CongestionControl::Block`"),
                Variant::new("tcp-drop", drop, "TCP without TLS, `CongestionControl::Drop`"),
                Variant::new("quic-block", block, "QUIC, `CongestionControl::Block`"),
                Variant::new("quic-drop", drop, "QUIC, `CongestionControl::Drop`"),
            ],
            crates: vec!["zenoh".into()],
            server: None,
        }
    }

    async fn produce(
        spec: &Spec,
        _server: Option<SocketAddr>,
    ) -> anyhow::Result<(Publishing, Value)> {
        let (config, addr) = config::listening(link(spec)?)?;
        let session = zenoh::open(config).await.map_err(|error| anyhow!(error))?;
        let congestion = if spec.variant.ends_with("-drop") {
            CongestionControl::Drop
        } else {
            CongestionControl::Block
        };
        let publisher = session.declare_publisher(KEY);
        let publisher = publisher.congestion_control(congestion).await;
        let sending = Publishing {
            publisher: publisher.map_err(|error| anyhow!(error))?,
            slab: Slab::default(),
            _session: session,
        };
        Ok((sending, addr))
    }

    async fn consume(
        spec: &Spec,
        _server: Option<SocketAddr>,
        addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<Session> {
        let text = |key: &str| {
            addr[key]
                .as_str()
                .context("the producer's address lacks it")
        };
        let config = config::connecting(link(spec)?, text("locator")?, text("certificate")?)?;
        let session = zenoh::open(config).await.map_err(|error| anyhow!(error))?;
        // The callback may come from any thread, but from one at a time.
        let sink = Mutex::new(sink);
        let subscribed = session.declare_subscriber(KEY).callback(move |sample| {
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            sink.take(&sample.payload().to_bytes());
        });
        let subscribed = subscribed.background().await;
        subscribed.map_err(|error| anyhow!(error))?;
        Ok(session)
    }
}

impl Sender for Publishing {
    async fn send(&mut self, item: &Item<'_>) -> anyhow::Result<()> {
        tokio::task::coop::consume_budget().await;
        let put = self.publisher.put(item.bytes(&mut self.slab)).await;
        put.map_err(|error| anyhow!(error))
    }
}

fn link(spec: &Spec) -> anyhow::Result<Link> {
    let (link, _) = spec.variant.split_once('-').context("no such variant")?;
    match link {
        "tcp" => Ok(Link::Tcp),
        "quic" => Ok(Link::Quic),
        _ => Err(anyhow!("no such variant")),
    }
}
