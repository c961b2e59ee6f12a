//! What the runner and the processes of an adapter tell each other: JSON lines down their stdin and
//! up their stdout. The end of a process's stdin means that it must exit.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{latency::Counts, spec::Spec};

/// The first line that a process gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The run.
    pub spec: Spec,
    /// Where the server listens, for peers that have one.
    pub server: Option<SocketAddr>,
    /// What the producer said in [`Report::Up`]; for the consumers only.
    pub addr: Option<Value>,
}

/// To a process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Producer: send an item that is not part of the sequence, to see who is there.
    Probe,
    /// Producer: send as fast as the peer takes items, until [`Stop`](Self::Stop).
    Saturate,
    /// Producer: send item k when `start_ns + k / rate` has come, or at once when that is past.
    Pace {
        /// When the first item is due, in nanoseconds of the shared clock.
        start_ns: u64,
        /// Items per second.
        rate: f64,
        /// When no item is due any more.
        end_ns: u64,
    },
    /// Producer: stop sending and hand over what is held back.
    Stop,
    /// Consumers: record latencies of items that were due in this time.
    Record {
        /// From then on, in nanoseconds of the shared clock.
        from_ns: u64,
        /// Until then.
        to_ns: u64,
    },
    /// Consumers: say what was received so far.
    Count,
    /// Consumers: hand in the latencies.
    Latency,
}

/// From a process: exactly one for the setup and for each order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// It is ready.
    Up {
        /// What consumers must know to find the producer.
        addr: Value,
        /// Settings of the transport that the adapter does not have.
        ignored: Vec<String>,
    },
    /// The order is being carried out.
    Going,
    /// Sending has stopped.
    Done(Sent),
    /// What was received so far.
    Counted(Received),
    /// The latencies.
    Latency {
        /// Of all consumers.
        counts: Counts,
    },
    /// Something cannot be done; the process is of no more use.
    Failed {
        /// Why.
        why: String,
    },
}

/// What a producer sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Items that the peer took.
    pub items: u64,
    /// Items of the schedule that were never sent, because there was no time left.
    pub unsent: u64,
    /// How far behind its schedule the producer was at the worst, in nanoseconds.
    pub behind_ns: u64,
}

/// Sums over all consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// When this was counted, in nanoseconds of the shared clock.
    pub at_ns: u64,
    /// Items received, duplicates too.
    pub items: u64,
    /// Items that had been received before.
    pub duplicates: u64,
    /// Items that came after one with a higher number.
    pub disordered: u64,
    /// Items of a wrong length or with another item's end.
    pub corrupt: u64,
    /// Consumers that got a probe.
    pub present: u32,
    /// Consumers that have ended.
    pub ended: u32,
}

impl Received {
    /// Items received at least once, summed over all consumers.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        self.items.saturating_sub(self.duplicates)
    }
}
