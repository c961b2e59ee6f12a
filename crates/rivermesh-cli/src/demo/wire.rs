//! What the processes of the demo tell each other: JSON lines on stdin and stdout.

use color_eyre::eyre::Result;
use serde::{Deserialize, Serialize};

use super::{forecast::wire::Word, ranges::Ranges};
use crate::{
    family::say,
    latency::{Counts, Quantiles},
};

/// From the parent to a child. The end of its stdin means to the child that it must exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(super) enum Order {
    /// To a consumer: report everything, then leave. To a station: leave.
    Finish,
    /// To a station: send the hours again, out of order and late.
    SendAgain,
}

/// From a child to the parent. Times are microseconds since 1970, nodes are ids in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(super) enum Report {
    /// The node is up.
    Up { node: String, at_us: u64 },
    /// Another node is in this node's catalog.
    Found { name: String, at_us: u64 },
    /// Round-trip times to other nodes, in microseconds.
    Rtt { peers: Vec<(String, u64)> },
    /// A station opened its stream; its items are numbered from 0 in this epoch.
    Started { node: String, epoch: String },
    /// A station has all the consumers that it waits for.
    Online { at_us: u64 },
    /// The stream took this many items of this life of the station.
    Accepted { count: u64, done: bool },
    /// A consumer got the first item of an epoch.
    First {
        node: String,
        epoch: String,
        at_us: u64,
    },
    /// A consumer was told that it missed items.
    Missed {
        node: String,
        epoch: String,
        from: u64,
        to: u64,
    },
    /// Where a consumer stands, a few times a second.
    Tick {
        sources: Vec<Position>,
        /// When the last item came; 0 before the first one.
        last_us: u64,
        latency: Option<Quantiles>,
    },
    /// All that a consumer got.
    Final {
        sources: Vec<Source>,
        latency: Counts,
    },
    /// Of the second half.
    Forecast { about: Word },
}

/// Reports something of the second half to the parent.
///
/// # Errors
/// When the parent is gone.
pub(super) fn tell(about: Word) -> Result<()> {
    say(&Report::Forecast { about })
}

/// Where a consumer stands in one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) node: String,
    pub(super) epoch: String,
    /// The number after the last one received or reported missed.
    pub(super) next: u64,
    pub(super) received: u64,
    pub(super) missed: u64,
}

/// All that a consumer got of one epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) node: String,
    pub(super) epoch: String,
    pub(super) received: Ranges,
    pub(super) missed: Ranges,
    /// Items that came again.
    pub(super) duplicates: u64,
    /// Items that came after a later one.
    pub(super) out_of_order: u64,
    /// The wrapping sum of [`rivermesh_weather::Reading::digest`] over the items received.
    pub(super) digest: u64,
}
