//! The limit that Rivermesh is measured by: what the transport gives when nothing but the work that
//! cannot be left out is done. The same endpoints and QUIC settings as Rivermesh's, one connection
//! and one uni stream per consumer, batches made by hand once for all consumers; no discovery, no
//! admission, no resuming, no policy for consumers that lag.

mod endpoint;
mod stream;

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;
use harness::{
    Adapter, Delivery, Info, Sink, Spec, Variant,
    fanout::{self, Fanout},
};
use iroh::{Endpoint, EndpointAddr, endpoint::Connection};
use serde_json::Value;
use tokio::task::JoinHandle;

fn main() -> ExitCode {
    harness::run::<RawIroh>()
}

struct RawIroh;

/// One consumer: its endpoint, connection and the task that reads.
struct Reading {
    _endpoint: Endpoint,
    _connection: Connection,
    _task: JoinHandle<()>,
}

impl Adapter for RawIroh {
    type Sender = Fanout;
    type Consumer = Reading;

    fn info() -> Info {
        Info {
            about: "iroh endpoints with Rivermesh's QUIC settings, one connection and one uni \
                    stream per consumer, length-prefixed items in batches of 16 KiB that are made \
                    once for all consumers, a queue of a few batches for each"
                .into(),
            edge: None,
            variants: vec![Variant::new(
                "block",
                Delivery::Block,
                "waits for the slowest",
            )],
            crates: vec!["iroh".into(), "noq".into()],
            server: None,
        }
    }

    async fn produce(spec: &Spec, _server: Option<SocketAddr>) -> anyhow::Result<(Fanout, Value)> {
        let endpoint = endpoint::bind(&spec.transport).await?;
        let addr = serde_json::to_value(endpoint::loopback(&endpoint)?)?;
        let arriving = stream::accept(endpoint, spec.consumers, fanout::depth(spec));
        Ok((Fanout::new(spec, tokio::spawn(arriving)), addr))
    }

    async fn consume(
        spec: &Spec,
        _server: Option<SocketAddr>,
        addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<Reading> {
        let addr: EndpointAddr = serde_json::from_value(addr.clone())?;
        let endpoint = endpoint::bind(&spec.transport).await?;
        let connection = endpoint.connect(addr, endpoint::ALPN).await;
        let connection = connection.context("cannot connect")?;
        let mut incoming = connection.accept_uni().await.context("no stream came")?;
        incoming.read_exact(&mut [0; stream::HELLO.len()]).await?;
        Ok(Reading {
            _endpoint: endpoint,
            _connection: connection,
            _task: tokio::spawn(stream::read(incoming, sink)),
        })
    }

    fn knobs(_spec: &Spec) -> &'static [&'static str] {
        endpoint::KNOBS
    }
}
