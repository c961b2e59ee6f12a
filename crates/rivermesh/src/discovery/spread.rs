//! Carries gossip over links and judges what it brings.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
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

/// Peers that gossip waits to be connected to.
const PENDING: usize = 64;
/// Messages waiting for a connection to one peer.
const PENDING_MESSAGES: usize = 16;
/// Bad records that a peer may pass on before its connection is closed.
const STRIKES: u8 = 3;
/// How long a stream to a peer that is no neighbour is kept.
const UNUSED: Duration = Duration::from_secs(5);
/// Messages for a peer that is not connected yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    messages: VecDeque<Bytes>,
    /// Gossip needs the connection for these messages only.
    release: bool,
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

    pub(super) fn send(&mut self, peer: NodeId, mut bytes: Bytes) -> Vec<Effect> {
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
                self.membership.connected(peer, Instant::now());
                self.open(link, pending.messages);
                if pending.release {
                    self.outgoing.remove(&peer);
                }
            }
            Err(error) => {
                trace!(peer = %peer.fmt_short(), %error, "gossip cannot reach a peer");
                self.shared.meters.dials_failed.increment(1);
                let now = Instant::now();
                let effects = self.gossip.disconnected(peer, now);
                self.apply(effects);
                self.on_parting(peer, now);
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
        let parting = screened.parting;
        let effects = self.gossip.receive(peer, screened.message, now);
        self.apply(effects);
        if parting {
            self.on_parting(peer, now);
        }
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

    /// Ends streams to peers that are no neighbours and that nothing was sent to for a while.
    pub(super) fn let_go(&mut self, now: Instant) {
        let neighbours = self.gossip.neighbours();
        self.outgoing.retain(|peer, out| {
            neighbours.contains(peer) || now.duration_since(out.used_at) < UNUSED
        });
    }
}
