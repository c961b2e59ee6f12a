//! What the runner and its two processes tell each other, in lines of JSON. Each order is answered
//! by one report.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What grows, and how consumers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "lower")]
pub(crate) enum Kind {
    /// Connections of iroh, idle, each from an endpoint of its own.
    Raw,
    /// Consumers, each with an endpoint and a connection of its own, that speak the protocol and
    /// take no part in discovery.
    Own,
    /// Consumers that share nodes, and so connections.
    Shared,
    /// Consumers, each on a full node of its own.
    Nodes,
    /// Streams, each with one consumer, all on one node.
    Streams,
}

/// What a process is told first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    /// Consumers, or streams.
    pub(crate) count: usize,
    /// Consumers that are on their way at once.
    pub(crate) in_flight: usize,
    /// Where the producer is, for the consumers.
    pub(crate) addr: Value,
}

/// What a process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Producer: open the streams.
    Open,
    /// Producer: answer when all consumers are there.
    Await,
    /// Producer: send items of 256 B on each stream.
    Pace { per_second: f64, seconds: f64 },
    /// Consumers: subscribe.
    Join,
    /// Consumers: say how many items came.
    Count,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The process is ready.
    Up { addr: Value },
    /// It is done.
    Done {
        /// When, by the clock that all processes share.
        at_ns: u64,
    },
    /// Items sent, or received by all consumers together.
    Items { items: u64 },
    /// It cannot go on.
    Failed { why: String },
}

impl Setup {
    /// Streams that are produced.
    pub(crate) fn streams(&self) -> usize {
        match self.kind {
            Kind::Streams => self.count,
            _ => 1,
        }
    }

    /// Nodes that consumers are on.
    pub(crate) fn nodes(&self) -> usize {
        match self.kind {
            Kind::Raw | Kind::Own => 0,
            Kind::Shared => self.count.min(SHARED_NODES),
            Kind::Nodes => self.count,
            Kind::Streams => 1,
        }
    }
}

/// Nodes that consumers share, at most.
pub(crate) const SHARED_NODES: usize = 10;
