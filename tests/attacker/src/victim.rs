//! What the attacked process is told and what it tells.
//!
//! It takes [`Args`] as its one argument, says `ready` and its address, and then takes one command a
//! line, each of which it answers with one line:
//!
//! | command | does | answer |
//! | --- | --- | --- |
//! | `send N` | produces so many items of [`DOWN`] | the number after the last |
//! | `cover N` | waits until it has all of [`UP`] below this number | `covered` |
//! | `guarded N` | produces so many items of [`GUARDED`], without waiting | `sent` |
//! | `stream T` | keeps its threads busy, and produces items of [`GUARDED`] all the while, until this time and until nobody consumes them; times are in microseconds since 1970, and each item is the time, little endian | `streaming` |
//! | `report` | | a [`Report`] |
//! | `peer ID` | looks into its catalog | a [`Seen`], or `null` |
//! | `end` | closes its journals | `ended` |

use std::{collections::BTreeSet, path::PathBuf};

use rivermesh::NodeId;
use serde::{Deserialize, Serialize};

/// The stream that the victim produces, and its honest peer consumes.
pub const DOWN: &str = "down";
/// The stream that the honest peer produces, and the victim consumes.
pub const UP: &str = "up";
/// A stream of the victim's that demands something of its consumers.
pub const GUARDED: &str = "guarded";
/// The file of the victim's journal of [`DOWN`], in its folder.
pub const SENT: &str = "sent";
/// The file of the victim's journal of [`UP`], in its folder.
pub const RECEIVED: &str = "received";

/// How the victim is set up; `None` leaves a limit at its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Connections in all.
    pub max_connections: Option<usize>,
    /// Handshakes at once, in all and from one address.
    pub max_handshakes: Option<usize>,
    /// Dials in flight.
    pub max_dials: Option<usize>,
    /// Gossip that one peer may send: messages a second, and at once.
    pub gossip: Option<(u32, u32)>,
    /// Nodes that the catalog lists.
    pub capacity: Option<usize>,
    /// How often round-trip times are read, in milliseconds.
    pub rtt_interval_ms: Option<u64>,
    /// The tag that consumers of [`GUARDED`] must have.
    pub tag: Option<String>,
    /// The round-trip time that consumers of [`GUARDED`] must be within, in milliseconds.
    pub rtt_ms: Option<u64>,
    /// The authority whose tickets consumers of [`GUARDED`] must show.
    pub authority: Option<NodeId>,
    /// The authority whose tickets producers of the bait must show.
    pub bait_authority: Option<NodeId>,
    /// Whether the victim consumes the bait.
    pub bait: Appetite,
    /// Bytes that wait for the program that consumes the bait.
    pub bait_bytes: Option<usize>,
}

/// What becomes of the bait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Appetite {
    /// Nobody consumes it.
    #[default]
    None,
    /// It is consumed.
    Reads,
    /// It is subscribed to, and the program never takes an item.
    Stuck,
}

/// What the process is told when it starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Args {
    /// The invite to join by, as text.
    pub invite: String,
    /// The seed of the payloads' key.
    pub seed: u64,
    /// Where the journals are to be.
    pub folder: PathBuf,
    /// The rest.
    pub settings: Settings,
}

/// What the process says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Nodes that its catalog lists, itself included.
    pub catalog: usize,
    /// Who consumes [`GUARDED`].
    pub guarded: Vec<NodeId>,
    /// When the last item was sent by `stream`, in microseconds since 1970; 0 if none was.
    pub streamed_us: u64,
    /// What came of the bait.
    pub bait: Counts,
}

/// Events of the bait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Items.
    pub items: u64,
    /// Items reported missed; stays at the greatest number.
    pub missed: u64,
    /// Items that could not be decoded.
    pub undecodable: u64,
    /// Producers that were followed.
    pub joined: u64,
    /// Refusals.
    pub refused: u64,
}

/// What the process's catalog says of a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// The revision of its entry.
    pub revision: u64,
    /// Whether it is thought to be running.
    pub live: bool,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// The smoothed round-trip time in microseconds.
    pub rtt_us: Option<u64>,
}
