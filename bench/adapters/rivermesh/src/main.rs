//! Rivermesh: a producer on a node of its own, each consumer on a node of its own.

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, LazyLock},
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use harness::{Adapter, Delivery, Info, Item, Sender, Sink, Spec, Variant};
use rivermesh::{
    Acknowledge, Condition, Congestion, Consumer, Datum, DecodeError, EncodeError, Encoder,
    Filters, Invite, Lag, Node, Payload, Producer, Profile, Rendezvous, Schema, SchemaError,
    Transport,
};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, task::JoinHandle};

const STREAM: &str = "bench";

fn main() -> ExitCode {
    harness::run::<Rivermesh>()
}

struct Rivermesh;

/// The producing end.
struct Sending {
    producer: Producer<Own>,
    _node: Node,
}

impl Adapter for Rivermesh {
    type Sender = Sending;
    type Consumer = (Node, JoinHandle<()>);

    fn info() -> Info {
        Info {
            about: "items of a type that writes itself into the log, as one that derives `Datum` \
                    does; default settings, consumers take whole batches"
                .into(),
            edge: None,
            variants: vec![
                Variant::new("block", Delivery::Block, "`Lag::Block`"),
                Variant::new(
                    "skip",
                    Delivery::Drop,
                    "`Lag::Skip`: what is lost is reported",
                ),
            ],
            crates: vec!["rivermesh".into(), "iroh".into()],
            server: None,
        }
    }

    async fn produce(spec: &Spec, _server: Option<SocketAddr>) -> anyhow::Result<(Sending, Value)> {
        let network = format!(
            "compare-{}-{}",
            std::process::id(),
            harness::clock::now_ns()
        );
        let node = node(&network, spec, None).await?;
        let mut producer = node
            .producer::<Own>()
            .stream(STREAM)
            .online_when(Condition::at_least(spec.consumers as usize))
            .allow_lag(Lag::ALL);
        if let Some(bytes) = spec.batch {
            producer = producer.batch_bytes(bytes);
        }
        let producer = producer.build().context("cannot make the stream")?;
        let addr = json!({ "network": network, "invite": node.invite().to_string() });
        let sending = Sending {
            producer,
            _node: node,
        };
        Ok((sending, addr))
    }

    async fn consume(
        spec: &Spec,
        _server: Option<SocketAddr>,
        addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<(Node, JoinHandle<()>)> {
        let text = |key: &str| {
            addr[key]
                .as_str()
                .context("the producer's address lacks it")
        };
        let invite: Invite = text("invite")?.parse()?;
        let node = node(text("network")?, spec, Some(invite)).await?;
        let lag = match spec.variant.as_str() {
            "skip" => Lag::Skip,
            _ => Lag::Block,
        };
        let consumer = node.consumer::<Bytes>().stream(STREAM).lag(lag).build();
        let consumer = consumer.context("cannot subscribe")?;
        Ok((node, tokio::spawn(consume(consumer, sink))))
    }

    fn knobs(_spec: &Spec) -> &'static [&'static str] {
        &[
            "profile",
            "send_window",
            "receive_window",
            "stream_receive_window",
            "congestion",
            "initial_mtu",
            "mtu_discovery",
            "mtu_upper",
            "gso",
            "send_fairness",
            "ack_threshold",
            "ack_delay_ms",
            "own_thread",
        ]
    }
}

impl Sender for Sending {
    async fn send(&mut self, item: &Item<'static>) -> anyhow::Result<()> {
        let sent = self.producer.send(Own(*item)).await;
        ensure!(sent.is_ok(), "the stream has ended");
        Ok(())
    }
}

async fn node(network: &str, spec: &Spec, invite: Option<Invite>) -> anyhow::Result<Node> {
    let mut builder = Node::builder(network)
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .rendezvous(Rendezvous::Off)
        .transport(transport(&spec.transport)?);
    if let Some(invite) = invite {
        builder = builder.join(invite);
    }
    let starting = builder.spawn();
    let node = match spec.transport.own_thread {
        Some(true) => own_thread()?.spawn(starting).await?,
        _ => starting.await,
    };
    node.context("cannot start a node")
}

/// The runtime, of one thread, that all nodes of this process run on where they are apart from the
/// program that sends and takes.
static OWN_THREAD: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build()
});

fn own_thread() -> anyhow::Result<&'static Runtime> {
    let made = OWN_THREAD.as_ref();
    made.map_err(|error| anyhow!("cannot start a thread for the endpoint: {error}"))
}

fn transport(knobs: &harness::Transport) -> anyhow::Result<Transport> {
    let usual = Transport::from(match knobs.profile.as_deref() {
        None | Some("throughput") => Profile::Throughput,
        Some("latency") => Profile::Latency,
        Some("wan") => Profile::Wan,
        Some(other) => bail!("no such profile: {other}"),
    });
    let acknowledge = knobs.ack_threshold.map(|packets| Acknowledge {
        packets,
        delay: Duration::from_millis(knobs.ack_delay_ms.unwrap_or(25).into()),
    });
    Ok(Transport {
        send_window: knobs.send_window.unwrap_or(usual.send_window),
        receive_window: knobs.receive_window.unwrap_or(usual.receive_window),
        stream_receive_window: knobs
            .stream_receive_window
            .unwrap_or(usual.stream_receive_window),
        congestion: match knobs.congestion.as_deref() {
            Some("bbr") => Congestion::Bbr,
            Some("cubic") => Congestion::Cubic,
            _ => usual.congestion,
        },
        initial_mtu: knobs.initial_mtu.unwrap_or(usual.initial_mtu),
        max_mtu: match knobs.mtu_discovery {
            Some(false) => 0,
            _ => knobs.mtu_upper.unwrap_or(usual.max_mtu),
        },
        segmentation_offload: knobs.gso.unwrap_or(usual.segmentation_offload),
        fairness: knobs.send_fairness.unwrap_or(usual.fairness),
        acknowledge: acknowledge.or(usual.acknowledge),
        ..usual
    })
}

async fn consume(mut consumer: Consumer<Bytes>, mut sink: Sink) {
    while let Some(batch) = consumer.recv_batch().await {
        for (_, payload) in batch.payloads() {
            sink.take(payload.as_slice());
        }
    }
    sink.fail("the node has shut down");
}

/// The benchmark's own type of items, which writes itself into the log, as any type that derives
/// `Datum` does.
struct Own(Item<'static>);

impl Datum for Own {
    const NAME: &'static str = STREAM;

    fn schema() -> Result<Option<Arc<Schema>>, SchemaError> {
        Bytes::schema()
    }

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        self.0.write(|bytes| out.extend(bytes))
    }

    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError> {
        Err(DecodeError::Trailing {
            extra: payload.as_slice().len(),
        })
    }

    fn show(&self, filters: Filters<'_>) -> Result<(), EncodeError> {
        Bytes::from(self.0.vec()).show(filters)
    }
}
