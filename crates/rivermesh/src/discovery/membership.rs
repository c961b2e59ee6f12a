//! Neighbours: whom to ask, how many, and when to look for more.
//!
//! The gossip protocol's own way to join (HyParView) takes a newcomer in by force, at its contact and at
//! as many further nodes as it has neighbours: where a network forms, all are full, so each newcomer costs
//! five others a neighbour, and each of these looks for another one, with a connection every time. Here
//! a newcomer learns from its contact who else there is, and asks a few of them in a way that is
//! granted only where there is room. Nodes are content with fewer neighbours than they have room
//! for, so there mostly is.

use std::{collections::HashMap, time::Duration};

use rand::{RngExt, seq::IteratorRandom};
use rivermesh_proto::NodeId;
use tokio::time::Instant;
use tracing::trace;

use super::{gossip::MOST, screen::Priority, worker::Worker};

/// Neighbours below which a node looks for more. Those who ask it may make it [`MOST`].
const ENOUGH: usize = 3;
/// How long the answer to a request is waited for, once there is a connection.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a peer that had no room is not asked again.
const FULL: Duration = Duration::from_secs(10);
/// How long a node looks for a peer with room before it asks in a way that cannot be refused.
const ALONE: Duration = Duration::from_secs(1);
/// Refusals in a row after which the next peer is not asked at once.
const REFUSALS: u32 = 3;
/// The wait before the next look for neighbours: the first one, and the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How often to look while there are enough neighbours.
const CONTENT: Duration = Duration::from_secs(10);

/// Who is asked to become a neighbour, and who misbehaves.
#[derive(Debug)]
pub(super) struct Membership {
    /// Who has been asked and did not answer yet; since when there is a connection.
    asked: HashMap<NodeId, Instant>,
    /// Who had no room, and when it said so.
    full: HashMap<NodeId, Instant>,
    /// Refusals since there was a new neighbour, or nobody to ask.
    refusals: u32,
    pub(super) strikes: HashMap<NodeId, u8>,
    /// When a peer was last told that it is no neighbour.
    pub(super) told: HashMap<NodeId, Instant>,
    /// Since when there has been no neighbour, where there is none.
    alone_since: Instant,
    look_at: Instant,
    wait: Duration,
}

impl Membership {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            asked: HashMap::new(),
            full: HashMap::new(),
            refusals: 0,
            strikes: HashMap::new(),
            told: HashMap::new(),
            alone_since: now,
            look_at: now + LOOK.0,
            wait: LOOK.0,
        }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.look_at
    }

    pub(super) fn forget(&mut self, peer: NodeId) {
        self.asked.remove(&peer);
        self.full.remove(&peer);
        self.strikes.remove(&peer);
        self.told.remove(&peer);
    }

    /// From now on the answer of a peer is waited for, that was asked while it was not connected.
    pub(super) fn connected(&mut self, peer: NodeId, now: Instant) {
        if let Some(at) = self.asked.get_mut(&peer) {
            *at = now;
        }
    }

    /// Has the node look for neighbours at this time, unless it does before anyway.
    pub(super) fn look_by(&mut self, at: Instant) {
        self.look_at = self.look_at.min(at);
    }
}

impl Worker {
    pub(super) fn on_neighbour_up(&mut self, peer: NodeId) {
        let (now, count) = (Instant::now(), self.gossip.neighbours().len());
        trace!(peer = %peer.fmt_short(), count, "a new neighbour");
        self.shared.set_neighbours(count);
        self.shared.meters.neighbours_gained.increment(1);
        self.membership.asked.remove(&peer);
        self.membership.full.remove(&peer);
        self.membership.refusals = 0;
        if count == 1 && !self.departed {
            // Nobody has heard what we said before, nor have we heard what others said since we
            // compared with our contact.
            self.announce_by(now + Duration::from_millis(20));
            self.compare_unless_recent(peer, now);
        }
    }

    pub(super) fn on_neighbour_down(&mut self, peer: NodeId) {
        let count = self.gossip.neighbours().len();
        trace!(peer = %peer.fmt_short(), count, "a neighbour less");
        self.shared.set_neighbours(count);
        self.shared.meters.neighbours_lost.increment(1);
        let now = Instant::now();
        if count == 0 {
            self.membership.alone_since = now;
        }
        let wait = LOOK.0.mul_f64(self.rng.random());
        self.membership.look_by(now + wait);
    }

    /// A peer says that it is no neighbour of ours, or will not become one.
    pub(super) fn on_parting(&mut self, peer: NodeId, now: Instant) {
        let membership = &mut self.membership;
        membership.full.insert(peer, now);
        if membership.asked.remove(&peer).is_some() {
            membership.refusals += 1;
            if membership.refusals <= REFUSALS {
                self.look_for_neighbours(now);
            }
        }
    }

    /// Asks a peer to become a neighbour, if there are too few and it was not asked already.
    pub(super) fn ask(&mut self, peer: NodeId, now: Instant) {
        if self.missing() > 0 && !self.membership.full.contains_key(&peer) {
            self.ask_with(peer, Priority::Low, now);
        }
    }

    /// Asks a peer that knew what we did not, and so may belong to a part of the network that gossip
    /// does not reach from here.
    pub(super) fn ask_stranger(&mut self, peer: NodeId, now: Instant) {
        let room = self.gossip.neighbours().len() + self.membership.asked.len() < MOST;
        if room && self.peers.get(peer).is_some() && !self.membership.full.contains_key(&peer) {
            self.ask_with(peer, Priority::Low, now);
        }
    }

    /// Asks again, where a request is out that may have been lost.
    pub(super) fn ask_again(&mut self, peer: NodeId, now: Instant) {
        if self.membership.asked.remove(&peer).is_some() {
            self.ask(peer, now);
        }
    }

    fn ask_with(&mut self, peer: NodeId, priority: Priority, now: Instant) {
        let own = self.departed || peer == self.shared.local;
        if own || self.gossip.neighbours().contains(&peer) {
            return;
        }
        if self.membership.asked.insert(peer, now).is_none()
            && let Some(bytes) = self.gossip.ask(priority)
        {
            let effects = self.send(peer, bytes);
            self.apply(effects);
        }
    }

    /// How many more neighbours to ask for. Those that answer late may make it more than enough.
    fn missing(&self) -> usize {
        let asked = self.membership.asked.len();
        ENOUGH.saturating_sub(self.gossip.neighbours().len() + asked)
    }

    /// Looks for neighbours when it is time to.
    pub(super) fn keep_neighbours(&mut self, now: Instant) {
        if self.membership.look_at <= now {
            self.membership.refusals = 0;
            self.look_for_neighbours(now);
        }
    }

    /// Looks for neighbours among the live peers, where there are too few.
    pub(super) fn look_for_neighbours(&mut self, now: Instant) {
        let (membership, pending) = (&mut self.membership, &self.pending);
        let waits = |peer: &NodeId, at: Instant| {
            pending.contains_key(peer) || now.duration_since(at) < ANSWER
        };
        membership.asked.retain(|peer, at| waits(peer, *at));
        let fresh = |at: Instant, within| now.duration_since(at) < within;
        membership.full.retain(|_, at| fresh(*at, FULL));
        if self.gossip.neighbours().len() >= ENOUGH {
            self.membership.wait = LOOK.0;
            self.membership.look_at = now + CONTENT.mul_f64(self.rng.random_range(0.8..1.2));
            return;
        }
        for (peer, priority) in self.candidates(now) {
            self.ask_with(peer, priority, now);
        }
        let wait = self.membership.wait;
        self.membership.wait = (wait * 2).min(LOOK.1);
        self.membership.look_at = now + LOOK.0 / 2 + wait.mul_f64(self.rng.random());
    }

    /// Whom to ask now: peers that are connected anyway before others.
    ///
    /// Who has had no neighbour for a while, and found nobody with room, asks in the way that cannot
    /// be denied and makes a full peer drop another neighbour, which has most likely enough others.
    fn candidates(&mut self, now: Instant) -> Vec<(NodeId, Priority)> {
        let missing = self.missing();
        if missing == 0 {
            return Vec::new();
        }
        let (neighbours, membership) = (self.gossip.neighbours(), &self.membership);
        let snapshot = self.shared.snapshot();
        let others: Vec<_> = snapshot
            .live()
            .filter(|peer| !peer.is_local())
            .map(|peer| peer.id())
            .filter(|peer| !neighbours.contains(peer) && !membership.asked.contains_key(peer))
            .collect();
        let (full, maybe): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|peer| membership.full.contains_key(peer));
        let (near, far): (Vec<_>, Vec<_>) = maybe
            .into_iter()
            .partition(|peer| self.peers.get(*peer).is_some());
        let mut chosen = near.into_iter().sample(&mut self.rng, missing);
        chosen.extend(
            far.into_iter()
                .sample(&mut self.rng, missing - chosen.len()),
        );
        let alone = neighbours.is_empty()
            && membership.asked.is_empty()
            && now.duration_since(membership.alone_since) > ALONE
            && !self.is_comparing();
        if alone && !full.is_empty() && chosen.is_empty() {
            let one = full.into_iter().sample(&mut self.rng, 1);
            return one.into_iter().map(|peer| (peer, Priority::High)).collect();
        }
        chosen
            .into_iter()
            .map(|peer| (peer, Priority::Low))
            .collect()
    }
}
