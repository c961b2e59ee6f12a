//! libp2p's gossipsub over QUIC: all consumers dial the producer.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Context, anyhow};
use futures::StreamExt;
use harness::{Adapter, Delivery, Info, Item, Sender, Sink, Spec, Variant};
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    gossipsub::{
        Behaviour, ConfigBuilder, Event, IdentTopic, MessageAuthenticity, PublishError,
        ValidationMode,
    },
    swarm::SwarmEvent,
};
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle};

/// Items that wait for the swarm's task.
const WAITING: usize = 256;
/// Bytes that a message may have by default, and room for its header where items are larger.
const MESSAGE: usize = 64 * 1024;
const HEADER: usize = 1024;

fn main() -> ExitCode {
    harness::run::<Libp2p>()
}

struct Libp2p;

/// The producing end.
struct Publishing {
    items: mpsc::Sender<Vec<u8>>,
    _task: JoinHandle<()>,
}

impl Adapter for Libp2p {
    type Sender = Publishing;
    type Consumer = JoinHandle<()>;

    fn info() -> Info {
        let drops = "what does not fit a peer's queue of 5,000 messages is dropped";
        Info {
            about: "gossipsub over QUIC, all consumers dial the producer, which sends to all of \
                    them (flood publishing, the default)"
                .into(),
            edge: None,
            variants: vec![
                Variant::new(
                    "signed",
                    Delivery::Drop,
                    &format!("each message signed and checked, the default; {drops}"),
                ),
                Variant::new(
                    "unsigned",
                    Delivery::Drop,
                    &format!("messages with author and number but without signature; {drops}"),
                ),
            ],
            crates: vec!["libp2p".into(), "libp2p-gossipsub".into()],
            server: None,
        }
    }

    async fn produce(
        spec: &Spec,
        _server: Option<SocketAddr>,
    ) -> anyhow::Result<(Publishing, Value)> {
        let mut swarm = swarm(spec)?;
        swarm.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse()?)?;
        let addr = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let (items, taken) = mpsc::channel(WAITING);
        let sending = Publishing {
            items,
            _task: tokio::spawn(publish(swarm, taken)),
        };
        Ok((sending, Value::String(addr.to_string())))
    }

    async fn consume(
        spec: &Spec,
        _server: Option<SocketAddr>,
        addr: &Value,
        sink: Sink,
    ) -> anyhow::Result<JoinHandle<()>> {
        let addr: Multiaddr = addr.as_str().context("no address")?.parse()?;
        let mut swarm = swarm(spec)?;
        swarm.behaviour_mut().subscribe(&topic())?;
        swarm.dial(addr)?;
        Ok(tokio::spawn(consume(swarm, sink)))
    }
}

impl Sender for Publishing {
    async fn send(&mut self, item: &Item<'_>) -> anyhow::Result<()> {
        let sent = self.items.send(item.vec()).await;
        sent.map_err(|_| anyhow!("the swarm has ended"))
    }
}

fn topic() -> IdentTopic {
    IdentTopic::new("bench")
}

fn swarm(spec: &Spec) -> anyhow::Result<Swarm<Behaviour>> {
    let signed = spec.variant == "signed";
    let mut config = ConfigBuilder::default();
    config.max_transmit_size((spec.size as usize + HEADER).max(MESSAGE));
    if !signed {
        config.validation_mode(ValidationMode::Permissive);
    }
    let config = config.build()?;
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_quic()
        .with_behaviour(|key| {
            let author = if signed {
                MessageAuthenticity::Signed(key.clone())
            } else {
                MessageAuthenticity::Author(key.public().to_peer_id())
            };
            Ok(Behaviour::new(author, config)?)
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    Ok(swarm)
}

async fn publish(mut swarm: Swarm<Behaviour>, mut items: mpsc::Receiver<Vec<u8>>) {
    let topic = topic();
    loop {
        tokio::select! {
            item = items.recv() => {
                let Some(item) = item else { return };
                match swarm.behaviour_mut().publish(topic.clone(), item) {
                    // Full queues are its way of dropping; without peers only a probe is lost.
                    Ok(_)
                    | Err(PublishError::AllQueuesFull(_) | PublishError::NoPeersSubscribedToTopic) => {}
                    // The producer finds the channel closed.
                    Err(_) => return,
                }
            }
            _ = swarm.select_next_some() => {}
        }
    }
}

async fn consume(mut swarm: Swarm<Behaviour>, mut sink: Sink) {
    loop {
        if let SwarmEvent::Behaviour(Event::Message { message, .. }) =
            swarm.select_next_some().await
        {
            sink.take(&message.data);
        }
    }
}
