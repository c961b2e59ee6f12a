//! The metrics of discovery, looked up once.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use rivermesh_proto::catalog::Refused;

use super::screen::Kind;

/// Handles of all metrics on paths that run often.
pub(super) struct Meters {
    /// Nodes listed, the local one included.
    pub(super) members: Gauge,
    pub(super) neighbours: Gauge,
    pub(super) neighbours_gained: Counter,
    pub(super) neighbours_lost: Counter,
    /// Times that the node's own record was handed to gossip.
    pub(super) announcements: Counter,
    pub(super) admitted: Counter,
    /// In the order of [`Kind::ALL`].
    gossip_sent: [Counter; Kind::ALL.len()],
    pub(super) gossip_sent_bytes: Counter,
    pub(super) gossip_received: Counter,
    pub(super) gossip_received_bytes: Counter,
    /// Messages not sent because a neighbour did not take them.
    pub(super) gossip_dropped: Counter,
    pub(super) syncs: Counter,
    pub(super) syncs_failed: Counter,
    pub(super) dials: Counter,
    pub(super) dials_failed: Counter,
    /// Seconds, one value for each sample of each connection.
    pub(super) rtt: Histogram,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            members: gauge!("rivermesh_catalog_members"),
            neighbours: gauge!("rivermesh_gossip_neighbours"),
            neighbours_gained: counter!("rivermesh_gossip_neighbours_gained_total"),
            neighbours_lost: counter!("rivermesh_gossip_neighbours_lost_total"),
            announcements: counter!("rivermesh_announcements_total"),
            admitted: counter!("rivermesh_records_admitted_total"),
            gossip_sent: Kind::ALL.map(
                |kind| counter!("rivermesh_gossip_sent_messages_total", "kind" => kind.name()),
            ),
            gossip_sent_bytes: counter!("rivermesh_gossip_sent_bytes_total"),
            gossip_received: counter!("rivermesh_gossip_received_messages_total"),
            gossip_received_bytes: counter!("rivermesh_gossip_received_bytes_total"),
            gossip_dropped: counter!("rivermesh_gossip_dropped_messages_total"),
            syncs: counter!("rivermesh_syncs_total"),
            syncs_failed: counter!("rivermesh_syncs_failed_total"),
            dials: counter!("rivermesh_discovery_dials_total"),
            dials_failed: counter!("rivermesh_discovery_dials_failed_total"),
            rtt: histogram!("rivermesh_rtt_seconds"),
        }
    }

    /// Counts a gossip message that is sent.
    pub(super) fn gossip_sent(&self, message: &[u8]) {
        self.gossip_sent[Kind::of(message) as usize].increment(1);
        self.gossip_sent_bytes.increment(message.len() as u64);
    }
}

/// Counts a record that was not taken. Refusals are rare enough to look their counter up.
pub(super) fn refused(why: &Refused) {
    let reason = match why {
        Refused::Invalid(_) => "invalid",
        Refused::Network => "network",
        Refused::NotOwn => "not_own",
        Refused::Known => "known",
        Refused::Older { .. } => "older",
        Refused::Departed | Refused::Evicted => "gone",
        Refused::AheadOfClock { .. } | Refused::TooOld { .. } => "clock",
        Refused::Expired => "expired",
        Refused::Full => "full",
        _ => "suspicion",
    };
    counter!("rivermesh_records_refused_total", "reason" => reason).increment(1);
}
