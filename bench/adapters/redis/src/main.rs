//! Redis: `redis-server` between, `PUBLISH` in pipelines and `SUBSCRIBE`.

use std::{
    net::SocketAddr,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::Context;
use futures::StreamExt;
use harness::{Adapter, Delivery, Info, Item, Sender, Sink, Spec, Variant};
use redis::{
    Client, Pipeline,
    aio::{MultiplexedConnection, PubSub},
};
use serde_json::Value;
use tokio::task::JoinHandle;

const SERVER: &str = "redis-server";
const CHANNEL: &str = "bench";
/// Bytes of items that go out in one pipeline.
const BATCH: usize = 64 * 1024;
/// Before a consumer that the server cut connects again.
const AGAIN: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    harness::run::<Redis>()
}

struct Redis;

/// The producing end.
struct Publishing {
    connection: MultiplexedConnection,
    pipeline: Pipeline,
    bytes: usize,
    batch: usize,
}

impl Adapter for Redis {
    type Sender = Publishing;
    type Consumer = JoinHandle<()>;

    fn info() -> Info {
        let version = Command::new(SERVER).arg("--version").output().ok();
        let version = version.map(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let words = text.split_whitespace().take(3);
            words.collect::<Vec<_>>().join(" ")
        });
        Info {
            about: "redis-server of Debian over TCP without TLS, nothing saved to disk, PUBLISH in \
                    pipelines of up to 64 KiB, default limits of output buffers"
                .into(),
            edge: Some("nothing is encrypted, the kernel does the transport, and the producer writes each item once, to the server".into()),
            variants: vec![Variant::new(
                "pubsub",
                Delivery::Drop,
                "the server cuts a subscriber that is 32 MiB behind, which then connects again",
            )],
            crates: vec!["redis".into()],
            server: Some(version.unwrap_or_else(|| SERVER.into())),
        }
    }

    fn server(port: u16) -> Option<Command> {
        let mut command = Command::new(SERVER);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        Some(command)
    }

    async fn produce(
        spec: &Spec,
        server: Option<SocketAddr>,
    ) -> anyhow::Result<(Publishing, Value)> {
        let connection = client(server)?.get_multiplexed_async_connection().await;
        let sending = Publishing {
            connection: connection.context("cannot connect to the server")?,
            pipeline: Pipeline::new(),
            bytes: 0,
            batch: spec.batch.unwrap_or(BATCH),
        };
        Ok((sending, Value::Null))
    }

    async fn consume(
        _spec: &Spec,
        server: Option<SocketAddr>,
        _addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<JoinHandle<()>> {
        let client = client(server)?;
        let subscribed = subscribe(&client).await?;
        Ok(tokio::spawn(consume(client, subscribed, sink)))
    }
}

impl Sender for Publishing {
    async fn send(&mut self, item: &Item<'_>) -> anyhow::Result<()> {
        self.pipeline
            .cmd("PUBLISH")
            .arg(CHANNEL)
            .arg(item.vec())
            .ignore();
        self.bytes += item.len();
        if self.bytes >= self.batch {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let sent = self.pipeline.query_async::<()>(&mut self.connection).await;
        self.pipeline.clear();
        self.bytes = 0;
        Ok(sent?)
    }
}

fn client(server: Option<SocketAddr>) -> anyhow::Result<Client> {
    let server = server.context("no server")?;
    Ok(Client::open(format!("redis://{server}"))?)
}

async fn subscribe(client: &Client) -> anyhow::Result<PubSub> {
    let mut subscribed = client.get_async_pubsub().await?;
    subscribed.subscribe(CHANNEL).await?;
    Ok(subscribed)
}

/// Takes items, and subscribes again for as long as the server cuts us.
async fn consume(client: Client, mut subscribed: PubSub, mut sink: Sink) {
    loop {
        let mut messages = subscribed.into_on_message();
        while let Some(message) = messages.next().await {
            sink.take(message.get_payload_bytes());
        }
        tokio::time::sleep(AGAIN).await;
        subscribed = match subscribe(&client).await {
            Ok(again) => again,
            Err(error) => return sink.fail(format!("cannot subscribe again: {error:#}")),
        };
    }
}
