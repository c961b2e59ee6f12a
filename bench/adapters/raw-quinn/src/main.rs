//! quinn itself, used in the way of `raw-iroh`: what iroh's endpoints and the fork of quinn under
//! them cost or gain.

mod endpoint;
mod stream;

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;
use harness::{
    Adapter, Delivery, Info, Sink, Spec, Variant,
    fanout::{self, Fanout},
};
use quinn::{Connection, Endpoint};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

fn main() -> ExitCode {
    harness::run::<RawQuinn>()
}

struct RawQuinn;

/// One consumer: its endpoint, connection and the task that reads.
struct Reading {
    _endpoint: Endpoint,
    _connection: Connection,
    _task: JoinHandle<()>,
}

impl Adapter for RawQuinn {
    type Sender = Fanout;
    type Consumer = Reading;

    fn info() -> Info {
        Info {
            about: "quinn's endpoints with the QUIC settings, streams and batches of raw-iroh"
                .into(),
            edge: None,
            variants: vec![Variant::new(
                "block",
                Delivery::Block,
                "waits for the slowest",
            )],
            crates: vec!["quinn".into()],
            server: None,
        }
    }

    async fn produce(spec: &Spec, _server: Option<SocketAddr>) -> anyhow::Result<(Fanout, Value)> {
        let (endpoint, certificate) = endpoint::server(&spec.transport)?;
        let addr = json!({ "socket": endpoint.local_addr()?, "certificate": certificate });
        let arriving = stream::accept(endpoint, spec.consumers, fanout::depth(spec));
        Ok((Fanout::new(spec, tokio::spawn(arriving)), addr))
    }

    async fn consume(
        spec: &Spec,
        _server: Option<SocketAddr>,
        addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<Reading> {
        let socket: SocketAddr = serde_json::from_value(addr["socket"].clone())?;
        let certificate: Vec<u8> = serde_json::from_value(addr["certificate"].clone())?;
        let endpoint = endpoint::client(&spec.transport, certificate)?;
        let connection = endpoint.connect(socket, endpoint::NAME)?.await;
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
