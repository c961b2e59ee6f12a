//! One run: what an adapter is told, and what it tells of itself.

use serde::{Deserialize, Serialize};

/// Bytes of the smallest item: its number and the time it was due.
pub const MIN_SIZE: u32 = 16;
/// Bytes of the largest item.
pub const MAX_SIZE: u32 = 1024 * 1024;
/// Consumers that a run may have.
pub const MAX_CONSUMERS: u32 = 1024;

/// What one run of an adapter is made of. Both processes get the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Consumers, each with a node, endpoint or client of its own.
    pub consumers: u32,
    /// Bytes of an item, [`MIN_SIZE`] to [`MAX_SIZE`].
    pub size: u32,
    /// The name of one of the adapter's [`Variant`]s.
    pub variant: String,
    /// Worker threads of each process's runtime; nothing: one per core, tokio's default.
    pub workers: Option<usize>,
    /// Bytes at which an adapter that makes batches by hand seals one; nothing: its default.
    pub batch: Option<usize>,
    /// Batches that may wait for one consumer, where the adapter keeps such a queue.
    pub depth: Option<usize>,
    /// Settings of the transport.
    pub transport: Transport,
}

/// Settings of a QUIC transport. What is not set is as Rivermesh has it. An adapter names what it
/// cannot set when it starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transport {
    /// `throughput`, `latency` or `wan`: a profile of Rivermesh, with the other settings on top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// `cubic`, `newreno` or `bbr` (raw-quinn: all; iroh's QUIC: those it has).
    pub congestion: Option<String>,
    /// Bytes in flight before the first acknowledgement.
    pub initial_window: Option<u64>,
    /// Bytes in flight on one connection.
    pub send_window: Option<u32>,
    /// Bytes received on one connection and not yet read.
    pub receive_window: Option<u32>,
    /// Bytes received on one stream and not yet read.
    pub stream_receive_window: Option<u32>,
    /// Bytes of a UDP payload before discovery.
    pub initial_mtu: Option<u16>,
    /// Bytes of a UDP payload that every path is taken to carry.
    pub min_mtu: Option<u16>,
    /// Whether larger packets are probed for.
    pub mtu_discovery: Option<bool>,
    /// Bytes of the largest UDP payload that is probed for.
    pub mtu_upper: Option<u16>,
    /// Whether several packets are handed to the kernel at once (UDP GSO).
    pub gso: Option<bool>,
    /// Whether streams of one priority take turns.
    pub send_fairness: Option<bool>,
    /// Packets after which an acknowledgement is asked for (the ACK frequency extension).
    pub ack_threshold: Option<u32>,
    /// Milliseconds after which an acknowledgement is asked for at the latest.
    pub ack_delay_ms: Option<u64>,
    /// Microseconds that the round trip is taken to last at first.
    pub initial_rtt_us: Option<u64>,
    /// Packets out of order that are taken for a loss.
    pub packet_threshold: Option<u32>,
    /// `ring` or `aws-lc`, where the adapter was built with it.
    pub crypto: Option<String>,
    /// Whether endpoints have a thread of their own, apart from what uses them. One for all of a
    /// process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_thread: Option<bool>,
}

impl Transport {
    /// The names of the settings that are set.
    #[must_use]
    pub fn set(&self) -> Vec<String> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(all)) => all
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, _)| name)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Of the settings that are set, those that are not among `known`.
    #[must_use]
    pub fn beyond(&self, known: &[&str]) -> Vec<String> {
        let mut names = self.set();
        names.retain(|name| !known.contains(&name.as_str()));
        names
    }
}

/// What a peer does with an item that a consumer is too slow for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The producer waits.
    Block,
    /// The consumer does not get it.
    Drop,
}

/// One way of setting up a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name, as in `--only adapter:variant`.
    pub name: String,
    /// What it does under overload.
    pub delivery: Delivery,
    /// What is particular about it, in a line.
    pub about: String,
}

impl Variant {
    /// A variant.
    #[must_use]
    pub fn new(name: &str, delivery: Delivery, about: &str) -> Self {
        Self {
            name: name.to_owned(),
            delivery,
            about: about.to_owned(),
        }
    }
}

/// What an adapter tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// How the peer is set up, in a line.
    pub about: String,
    /// What it leaves out or does otherwise than Rivermesh, so that it can be faster in some cell.
    pub edge: Option<String>,
    /// Ways of setting it up, the first one first in the tables.
    pub variants: Vec<Variant>,
    /// Crates whose versions, from the lock file, name the peer's.
    pub crates: Vec<String>,
    /// The server's program and version, where there is one that the runner must start.
    pub server: Option<String>,
}
