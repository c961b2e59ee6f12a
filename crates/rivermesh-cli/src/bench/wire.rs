//! What the producing and the consuming process of the bench tell each other.

use serde::{Deserialize, Serialize};

use crate::latency::Counts;

/// To the consumers. The end of their stdin means that they must exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(super) enum Order {
    /// Say what was received so far.
    Count,
    /// Begin to record latencies.
    Record,
    /// Hand in the latencies recorded, and stop recording.
    Latency,
}

/// From the consumers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(super) enum Report {
    /// All nodes are up.
    Up,
    /// What was received since the start.
    Count(Received),
    /// Latencies are recorded from now on.
    Recording,
    /// Latencies recorded.
    Latency { counts: Counts },
}

/// Sums over all consumers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Received {
    /// When this was counted, in microseconds since 1970.
    pub(super) at_us: u64,
    /// Items.
    pub(super) items: u64,
    /// Bytes of their payloads.
    pub(super) bytes: u64,
    /// Items reported missed.
    pub(super) missed: u64,
}
