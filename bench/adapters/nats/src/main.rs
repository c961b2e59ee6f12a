//! NATS: `nats-server` between, core publish and subscribe with the project's own client.

use std::{
    net::SocketAddr,
    process::{Command, ExitCode},
};

use anyhow::Context;
use async_nats::{Client, ConnectOptions, Subscriber};
use futures::StreamExt;
use harness::{Adapter, Delivery, Info, Item, Sender, Sink, Slab, Spec, Variant};
use serde_json::Value;
use tokio::task::JoinHandle;

const SERVER: &str = "nats-server";
const SUBJECT: &str = "bench";

fn main() -> ExitCode {
    harness::run::<Nats>()
}

struct Nats;

/// The producing end.
struct Publishing {
    client: Client,
    slab: Slab,
}

impl Adapter for Nats {
    type Sender = Publishing;
    type Consumer = (Client, JoinHandle<()>);

    fn info() -> Info {
        let version = Command::new(SERVER).arg("--version").output().ok();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        Info {
            about: "nats-server of Debian over TCP without TLS, core publish and subscribe through \
                    async-nats, default settings"
                .into(),
            edge: Some("nothing is encrypted, the kernel does the transport, and the producer writes each item once, to the server".into()),
            variants: vec![Variant::new(
                "core",
                Delivery::Drop,
                "the server cuts a subscriber that is 64 MiB behind, the client drops what its \
                 program does not take",
            )],
            crates: vec!["async-nats".into()],
            server: Some(version.map_or_else(|| SERVER.into(), |text| text.trim().to_owned())),
        }
    }

    fn server(port: u16) -> Option<Command> {
        let mut command = Command::new(SERVER);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        Some(command)
    }

    async fn produce(
        _spec: &Spec,
        server: Option<SocketAddr>,
    ) -> anyhow::Result<(Publishing, Value)> {
        let sending = Publishing {
            client: connect(server).await?,
            slab: Slab::default(),
        };
        Ok((sending, Value::Null))
    }

    async fn consume(
        _spec: &Spec,
        server: Option<SocketAddr>,
        _addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<(Client, JoinHandle<()>)> {
        let client = connect(server).await?;
        let subscriber = client.subscribe(SUBJECT).await?;
        client.flush().await?;
        Ok((client, tokio::spawn(consume(subscriber, sink))))
    }
}

impl Sender for Publishing {
    async fn send(&mut self, item: &Item<'_>) -> anyhow::Result<()> {
        let payload = item.bytes(&mut self.slab);
        Ok(self.client.publish(SUBJECT, payload).await?)
    }
}

async fn connect(server: Option<SocketAddr>) -> anyhow::Result<Client> {
    let server = server.context("no server")?;
    let options = ConnectOptions::new();
    let connected = options.connect(format!("nats://{server}")).await;
    connected.context("cannot connect to the server")
}

async fn consume(mut subscriber: Subscriber, mut sink: Sink) {
    while let Some(message) = subscriber.next().await {
        sink.take(&message.payload);
    }
    sink.fail("the subscription ended");
}
