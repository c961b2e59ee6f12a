//! The knobs of discovery.

use std::{path::PathBuf, time::Duration};

use rivermesh_proto::{catalog, limits};

/// How a node finds the nodes of its network that run on the same machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rendezvous {
    /// Through a folder of this user: `$XDG_RUNTIME_DIR/rivermesh`, or `rivermesh-<user id>` in
    /// the folder for temporary files where that is not set.
    #[default]
    Default,
    /// Not at all.
    Off,
    /// Through this folder. It is created if need be, and must belong to the user and be writable
    /// by nobody else.
    Dir(PathBuf),
}

/// How a node finds others, and how it keeps its catalog.
///
/// The defaults serve networks of two nodes as well as of some thousand: what depends on the size
/// of the network adapts to it. Values out of range are held to the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The shortest time between two announcements of an unchanged entry; the time grows with the
    /// network, by a second for each node. Default 30 s, at least 5 s. A shorter time makes
    /// peers notice a silent death sooner that nobody has noticed by its connection; it costs a
    /// message of some 300 bytes to every node of the network.
    pub announce_min: Duration,
    /// The longest time between two announcements. Default and most 1 hour.
    pub announce_max: Duration,
    /// How long an unreachable node stays listed. Default 60 s.
    pub forget_after: Duration,
    /// How many nodes the catalog lists. Default and most 10,000, of at most 3 KiB each; a larger entry
    /// counts for up to four.
    pub capacity: usize,
    /// Events kept for a subscriber that is slow to take them; it is told how many it missed.
    /// Default 1,024.
    pub events: usize,
    /// Time between two comparisons of the catalog with that of a random neighbour, while they
    /// find differences. Default 1 s. A new node begins with an eighth of it.
    pub sync_min: Duration,
    /// The same, while they find none. Default 30 s; a comparison costs a few hundred bytes then.
    pub sync_max: Duration,
    /// Comparisons in progress at once, those that peers ask for included. Default 8. Each takes
    /// up to some 300 KiB.
    pub max_syncs: usize,
    /// Connections made each second only to measure the round-trip time to a peer that somebody
    /// asked for. Default 4.
    pub probes_per_second: u32,
    /// How often the round-trip times of live connections are read. Default 2 s. Sends nothing.
    pub rtt_interval: Duration,
    /// How the nodes of one machine find each other.
    pub rendezvous: Rendezvous,
    /// How long a node tries to reach a peer again, whose connection was lost, before it tells the
    /// network that the peer is unreachable. Default 1.5 s.
    pub suspicion_timeout: Duration,
    /// How long a departing node waits until its neighbours have the news. Default 500 ms. If none has it by then,
    /// it waits up to 3 s more until one has, who passes it on.
    pub departure_deadline: Duration,
    /// What one neighbour may send by gossip in a second, in messages; a message that names further
    /// messages or nodes counts more. Default 500. Who sends more is read more slowly.
    pub gossip_rate: u32,
    /// What one neighbour may send at once beyond that. Default 2,000.
    pub gossip_burst: u32,
    /// About how often a node tries to reach a node that it lost or was told of at the start, so
    /// that two halves of a network find each other again. Default 30 s.
    pub heal_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            announce_min: Duration::from_secs(30),
            announce_max: Duration::from_secs(3600),
            forget_after: Duration::from_secs(60),
            capacity: limits::CATALOG,
            events: 1024,
            sync_min: Duration::from_secs(1),
            sync_max: Duration::from_secs(30),
            max_syncs: 8,
            probes_per_second: 4,
            rtt_interval: Duration::from_secs(2),
            rendezvous: Rendezvous::Default,
            suspicion_timeout: Duration::from_millis(1500),
            departure_deadline: Duration::from_millis(500),
            gossip_rate: 500,
            gossip_burst: 2000,
            heal_interval: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// The same with every value in its range.
    pub(super) fn in_range(mut self) -> Self {
        const TICK: Duration = Duration::from_millis(10);
        let (least, most) = (Duration::from_secs(5), Duration::from_secs(3600));
        self.announce_min = self.announce_min.clamp(least, most);
        self.announce_max = self.announce_max.clamp(self.announce_min, most);
        self.capacity = self.capacity.clamp(1, limits::CATALOG);
        self.events = self.events.clamp(1, 1 << 20);
        self.sync_min = self.sync_min.max(TICK);
        self.sync_max = self.sync_max.max(self.sync_min);
        self.max_syncs = self.max_syncs.max(1);
        self.probes_per_second = self.probes_per_second.clamp(1, 1000);
        self.rtt_interval = self.rtt_interval.max(TICK);
        self.gossip_rate = self.gossip_rate.max(1);
        // One message of the largest size must fit.
        self.gossip_burst = self.gossip_burst.max(256);
        self.heal_interval = self.heal_interval.max(TICK);
        self
    }

    /// How often a node announces itself in a network of `members`.
    pub(super) fn announce_interval(&self, members: usize) -> Duration {
        catalog::announce_interval(members).clamp(self.announce_min, self.announce_max)
    }

    /// How often a node compares catalogs with any other one of `members`: twice as long as between two
    /// of its announcements, so that a part of the network that gossip does not reach hears of the
    /// others before it takes them for dead, after 3 of their announcements.
    pub(super) fn stray_interval(&self, members: usize) -> Duration {
        self.heal_interval.max(self.announce_interval(members) * 2)
    }

    pub(super) fn catalog(&self) -> catalog::Config {
        catalog::Config {
            capacity: self.capacity,
            forget_after: self.forget_after,
            ..catalog::Config::default()
        }
    }
}
