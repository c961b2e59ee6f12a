//! Carries gossip over links, judges what it brings, and keeps enough neighbours.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rand::{RngExt, seq::IteratorRandom};
use rivermesh_proto::{
    NodeId,
    catalog::{Refused, Source},
    code::Code,
    entry::SignedRecord,
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, sleep},
};
use tracing::{debug, trace};

use super::{
    gossip::Effect,
    neighbour::{self, Budget, Outgoing, QUEUE},
    screen::Screened,
    worker::{Input, Worker},
};
use crate::net::{ConnectError, Directory, Link, Reader, Use};

/// Neighbours below which a node looks for more. The protocol itself goes up to 5.
const ENOUGH: usize = 3;
/// Peers that gossip waits to be connected to.
const PENDING: usize = 64;
/// Messages waiting for a connection to one peer.
const PENDING_MESSAGES: usize = 16;
/// Bad records that a peer may pass on before its connection is closed.
const STRIKES: u8 = 3;
/// How long a stream to a peer that is no neighbour is kept.
const UNUSED: Duration = Duration::from_secs(5);
/// How long the answer to a request to join is waited for.
const JOINING: Duration = Duration::from_secs(1);
/// The wait before the next look for neighbours: the first one, and the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How often to look while there are enough neighbours.
const CONTENT: Duration = Duration::from_secs(10);

/// Messages for a peer that is not connected yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    messages: VecDeque<Bytes>,
    /// Gossip needs the connection for these messages only.
    release: bool,
}

/// Who is asked to become a neighbour, and who misbehaves.
#[derive(Debug)]
pub(super) struct Membership {
    joining: HashMap<NodeId, Instant>,
    strikes: HashMap<NodeId, u8>,
    /// When a peer was last told that it is no neighbour.
    told: HashMap<NodeId, Instant>,
    look_at: Instant,
    wait: Duration,
}

impl Membership {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            joining: HashMap::new(),
            strikes: HashMap::new(),
            told: HashMap::new(),
            look_at: now + LOOK.0,
            wait: LOOK.0,
        }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.look_at
    }

    pub(super) fn forget(&mut self, peer: NodeId) {
        self.joining.remove(&peer);
        self.strikes.remove(&peer);
        self.told.remove(&peer);
    }

    fn look_by(&mut self, at: Instant) {
        self.look_at = self.look_at.min(at);
    }
}

impl Worker {
    /// Carries out what the gossip protocol asks for.
    pub(super) fn apply(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send(peer, bytes) => effects.extend(self.send(peer, bytes)),
                Effect::NeighbourUp(peer) => self.on_neighbour_up(peer),
                Effect::NeighbourDown(peer) => self.on_neighbour_down(peer),
                Effect::Release(peer) => {
                    if let Some(pending) = self.pending.get_mut(&peer) {
                        pending.release = true;
                    }
                    self.outgoing.remove(&peer);
                }
            }
        }
    }

    /// As [`Worker::apply`], when this node leaves: the streams are still needed.
    pub(super) fn apply_last(&mut self, effects: Vec<Effect>) {
        let sends = effects
            .into_iter()
            .filter(|effect| matches!(effect, Effect::Send(..)));
        self.apply(sends.collect());
    }

    fn send(&mut self, peer: NodeId, mut bytes: Bytes) -> Vec<Effect> {
        if let Some(out) = self.outgoing.get_mut(&peer) {
            out.used_at = Instant::now();
            bytes = match out.queue.try_send(bytes) {
                Ok(()) => return Vec::new(),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    self.shared.meters.gossip_dropped.increment(1);
                    return Vec::new();
                }
                Err(mpsc::error::TrySendError::Closed(bytes)) => bytes,
            };
            self.outgoing.remove(&peer);
        }
        if let Some(link) = self.peers.get(peer) {
            self.open(link.hold(), [bytes]);
            return Vec::new();
        }
        if let Some(pending) = self.pending.get_mut(&peer) {
            pending.release = false;
            if pending.messages.len() < PENDING_MESSAGES {
                pending.messages.push_back(bytes);
            } else {
                self.shared.meters.gossip_dropped.increment(1);
            }
            return Vec::new();
        }
        if self.departed || self.pending.len() >= PENDING {
            self.shared.meters.gossip_dropped.increment(1);
            return self.gossip.disconnected(peer, Instant::now());
        }
        let pending = Pending {
            messages: [bytes].into(),
            release: false,
        };
        self.pending.insert(peer, pending);
        let (shared, peers) = (Arc::clone(&self.shared), self.peers.clone());
        let inputs = self.inputs.clone();
        self.tasks.spawn("gossip dial", async move {
            // The word of a new node may travel faster than its entry.
            for _ in 0..3 {
                if !shared.address(peer).is_empty() {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
            shared.meters.dials.increment(1);
            let result = peers.connect(peer).await;
            let _ = inputs.send(Input::Connected(peer, result)).await;
        });
        Vec::new()
    }

    /// Starts a stream to a peer.
    fn open(&mut self, link: Use, messages: impl IntoIterator<Item = Bytes>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        for message in messages {
            // The queue is empty, and larger than what may wait for a connection.
            let _ = queue.try_send(message);
        }
        let (end, ended) = oneshot::channel();
        let (peer, id) = (link.peer(), link.id());
        let writer = neighbour::write(Arc::clone(&self.shared), link, receiver, end);
        self.tasks.spawn("gossip writer", writer);
        let out = Outgoing {
            queue,
            link: id,
            used_at: Instant::now(),
            ended,
        };
        self.outgoing.insert(peer, out);
    }

    pub(super) fn on_connected(&mut self, peer: NodeId, result: Result<Use, ConnectError>) {
        let Some(pending) = self.pending.remove(&peer) else {
            return;
        };
        match result {
            Ok(link) => {
                self.open(link, pending.messages);
                if pending.release {
                    self.outgoing.remove(&peer);
                }
            }
            Err(error) => {
                trace!(peer = %peer.fmt_short(), %error, "gossip cannot reach a peer");
                self.shared.meters.dials_failed.increment(1);
                let effects = self.gossip.disconnected(peer, Instant::now());
                self.apply(effects);
            }
        }
    }

    /// The peer opened a gossip stream.
    pub(super) fn on_gossip_stream(&mut self, link: Arc<Link>, reader: Reader) {
        let peer = link.peer();
        let held = self.budgets.get(&peer).and_then(std::sync::Weak::upgrade);
        let budget = held.unwrap_or_else(|| {
            let config = &self.shared.config;
            let budget = Budget::new(config.gossip_rate, config.gossip_burst, Instant::now());
            let budget = Arc::new(Mutex::new(budget));
            self.budgets.retain(|_, budget| budget.strong_count() > 0);
            self.budgets.insert(peer, Arc::downgrade(&budget));
            budget
        });
        let (shared, inputs) = (Arc::clone(&self.shared), self.inputs.clone());
        let read = neighbour::read(shared, link, reader, self.gossip.topic(), budget, inputs);
        self.tasks.spawn("gossip reader", read);
    }

    /// A peer sent a message. Its content is judged before the protocol sees it, because the
    /// protocol passes on what it sees.
    pub(super) fn on_gossip(&mut self, link: &Arc<Link>, screened: Screened) {
        let (peer, now) = (link.peer(), Instant::now());
        if self.departed || link.is_closed() {
            return;
        }
        let stranger = screened.broadcast && !self.gossip.neighbours().contains(&peer);
        if let Some((id, content)) = &screened.content {
            if !self.gossip.was_passed(id) {
                if !self.judge(link, content) {
                    return;
                }
                self.gossip.pass(*id);
            }
            if stranger {
                self.disown(peer, now);
            }
        } else if stranger {
            return;
        }
        let effects = self.gossip.receive(peer, screened.message, now);
        self.apply(effects);
        if stranger {
            // The protocol has made it a branch of its tree, and would announce to it for ever.
            let effects = self.gossip.disconnected(peer, now);
            self.apply(effects);
        }
    }

    /// Whether a record that came by gossip is worth passing on.
    fn judge(&mut self, link: &Link, content: &[u8]) -> bool {
        let record = match SignedRecord::copy_from_slice(content) {
            Ok(record) => record,
            Err(error) => {
                self.strike(link, &Refused::Invalid(error));
                return false;
            }
        };
        match self.shared.admit(record.clone(), Source::Gossip) {
            Ok(admitted) => admitted.forward,
            // Known from a sync or a handshake; others may not have it yet.
            Err(Refused::Known) => self.shared.holds(&record),
            Err(error) => {
                if error.is_fault() {
                    self.strike(link, &error);
                }
                false
            }
        }
    }

    /// A peer passed on what it should have refused itself.
    fn strike(&mut self, link: &Link, why: &Refused) {
        let peer = link.peer();
        debug!(peer = %peer.fmt_short(), error = %why, "a bad record by gossip");
        let strikes = self.membership.strikes.entry(peer).or_default();
        *strikes += 1;
        if *strikes >= STRIKES {
            link.close(Code::Malformed);
        }
    }

    /// Tells a peer that takes us for its neighbour that we are none, at most once a second: else it
    /// would count on hearing from us.
    fn disown(&mut self, peer: NodeId, now: Instant) {
        let told = self.membership.told.get(&peer);
        if told.is_some_and(|at| now.duration_since(*at) < Duration::from_secs(1)) {
            return;
        }
        self.membership.told.insert(peer, now);
        if let Some(bytes) = self.gossip.disconnect() {
            let effects = self.send(peer, bytes);
            self.apply(effects);
        }
    }

    fn on_neighbour_up(&mut self, peer: NodeId) {
        let (now, count) = (Instant::now(), self.gossip.neighbours().len());
        trace!(peer = %peer.fmt_short(), count, "a new neighbour");
        self.shared.set_neighbours(count);
        self.shared.meters.neighbours_gained.increment(1);
        self.membership.joining.remove(&peer);
        if self.departed {
            return;
        }
        if count == 1 {
            // Nobody has heard what we said before.
            self.announce_by(now + Duration::from_millis(20));
        }
        if self.shared.local < peer {
            self.compare_with_neighbour(peer, now);
        }
    }

    fn on_neighbour_down(&mut self, peer: NodeId) {
        let count = self.gossip.neighbours().len();
        trace!(peer = %peer.fmt_short(), count, "a neighbour less");
        self.shared.set_neighbours(count);
        self.shared.meters.neighbours_lost.increment(1);
        let wait = LOOK.0.mul_f64(self.rng.random());
        self.membership.look_by(Instant::now() + wait);
    }

    /// Asks a peer to become a neighbour, unless there are enough.
    ///
    /// Who has none asks to join, which cannot be denied and makes a full peer drop another one. Who
    /// has some asks in a way that is granted only where there is room: else nodes that look for a
    /// third neighbour would take each other's for ever.
    pub(super) fn ask(&mut self, peer: NodeId, now: Instant) {
        let count = self.gossip.neighbours().len();
        if self.departed || count >= ENOUGH || self.gossip.neighbours().contains(&peer) {
            return;
        }
        let joining = &mut self.membership.joining;
        joining.retain(|_, at| now.duration_since(*at) < JOINING);
        if joining.contains_key(&peer) {
            return;
        }
        let first = joining.is_empty();
        joining.insert(peer, now);
        if count == 0 && first {
            let effects = self.gossip.join(vec![peer], now);
            self.apply(effects);
        } else if let Some(bytes) = self.gossip.ask() {
            let effects = self.send(peer, bytes);
            self.apply(effects);
        }
    }

    /// Asks again, where a request is out that may have been lost.
    pub(super) fn ask_again(&mut self, peer: NodeId, now: Instant) {
        if self.membership.joining.remove(&peer).is_some() {
            self.ask(peer, now);
        }
    }

    /// Looks for neighbours among the live peers, where there are too few.
    pub(super) fn keep_neighbours(&mut self, now: Instant) {
        if self.membership.look_at > now {
            return;
        }
        let missing = ENOUGH.saturating_sub(self.gossip.neighbours().len());
        let candidates = if missing == 0 {
            Vec::new()
        } else {
            let neighbours = self.gossip.neighbours();
            let snapshot = self.shared.snapshot();
            let others = snapshot
                .live()
                .filter(|peer| !peer.is_local())
                .map(|peer| peer.id());
            let others = others.filter(|peer| !neighbours.contains(peer));
            others.sample(&mut self.rng, missing)
        };
        if candidates.is_empty() {
            self.membership.wait = LOOK.0;
            self.membership.look_at = now + CONTENT.mul_f64(self.rng.random_range(0.8..1.2));
            return;
        }
        for peer in candidates {
            self.ask(peer, now);
        }
        let wait = self.membership.wait;
        self.membership.wait = (wait * 2).min(LOOK.1);
        self.membership.look_at = now + LOOK.0 / 2 + wait.mul_f64(self.rng.random());
    }

    /// Ends streams to peers that are no neighbours and that nothing was sent to for a while.
    pub(super) fn let_go(&mut self, now: Instant) {
        let neighbours = self.gossip.neighbours();
        self.outgoing.retain(|peer, out| {
            neighbours.contains(peer) || now.duration_since(out.used_at) < UNUSED
        });
    }
}
