//! Comparing catalogs with peers: when, and with whom.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use rand::{RngExt, seq::IteratorRandom};
use rivermesh_proto::{NodeId, code::Code};
use tokio::{sync::oneshot, time::Instant};
use tracing::debug;

use super::{
    Config, SyncError,
    exchange::{initiate, respond},
    worker::{Input, Worker},
};
use crate::net::{Link, Reader, Writer};

/// A peer is not compared with again within this time for being a contact or the first neighbour.
const RECENT: Duration = Duration::from_secs(5);

/// A node that is new compares again with its contact after this part of [`Config::sync_min`], and
/// then each time after twice as long.
const NEW: u32 = 8;

/// When to compare, and what is in progress.
#[derive(Debug)]
pub(super) struct Reconcile {
    /// Whom this node, which is new, came through: a contact hears of all who come through it before
    /// gossip does, since many of them have no neighbours yet.
    contact: Option<NodeId>,
    /// Peers that this node is comparing with.
    asking: HashSet<NodeId>,
    /// Peers that compare with this node.
    answering: HashSet<NodeId>,
    recent: HashMap<NodeId, Instant>,
    next_at: Instant,
    wait: Duration,
}

impl Reconcile {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            contact: None,
            asking: HashSet::new(),
            answering: HashSet::new(),
            recent: HashMap::new(),
            next_at: now + config.sync_min,
            wait: config.sync_min,
        }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.next_at
    }

    /// Has the node compare soon, and sooner in the beginning, with the peer that it came through.
    pub(super) fn begin_with(&mut self, contact: NodeId, config: &Config, now: Instant) {
        if self.contact.is_none() {
            self.contact = Some(contact);
            self.wait = config.sync_min / NEW;
            self.next_at = now + self.wait;
        }
    }

    /// The peer is not connected any more.
    pub(super) fn forget(&mut self, peer: NodeId) {
        self.recent.remove(&peer);
    }
}

impl Worker {
    /// Compares with a random neighbour when it is time to, or with the contact of a new node.
    pub(super) fn compare_now_and_then(&mut self, now: Instant) {
        if self.reconcile.next_at > now {
            return;
        }
        let wait = self
            .reconcile
            .wait
            .mul_f64(self.rng.random_range(0.75..1.25));
        self.reconcile.next_at = now + wait;
        let neighbours = self.gossip.neighbours().iter();
        let neighbour = neighbours.choose(&mut self.rng).copied();
        let reconcile = &mut self.reconcile;
        let is_new = reconcile.wait < self.shared.config.sync_min;
        let contact = reconcile.contact.filter(|_| is_new);
        if is_new {
            reconcile.wait *= 2;
        }
        let links = contact.into_iter().chain(neighbour);
        if let Some(link) = links.filter_map(|peer| self.peers.get(peer)).next() {
            self.sync_with(link);
        }
    }

    /// Compares with a contact or the first neighbour, unless that has just been done or begun.
    pub(super) fn compare_unless_recent(&mut self, peer: NodeId, now: Instant) {
        let recent = &mut self.reconcile.recent;
        recent.retain(|_, at| now.duration_since(*at) < RECENT);
        if recent.contains_key(&peer) {
            return;
        }
        if let Some(link) = self.peers.get(peer) {
            self.sync_with(link);
        }
    }

    /// Starts to compare, unless that is in progress or there is no place.
    pub(super) fn sync_with(&mut self, link: Arc<Link>) {
        let peer = link.peer();
        let asking = &mut self.reconcile.asking;
        if self.departed || asking.len() >= self.shared.config.max_syncs || !asking.insert(peer) {
            return;
        }
        self.reconcile.recent.insert(peer, Instant::now());
        let (shared, inputs) = (Arc::clone(&self.shared), self.inputs.clone());
        self.tasks.spawn("sync", async move {
            let result = initiate(&shared, &link).await;
            let _ = inputs.send(Input::Synced(peer, result)).await;
        });
    }

    pub(super) fn on_synced(&mut self, peer: NodeId, result: Result<bool, SyncError>) {
        self.reconcile.asking.remove(&peer);
        match result {
            Ok(true) => self.on_learnt(peer),
            Ok(false) if self.reconcile.wait < self.shared.config.sync_min => {}
            Ok(false) => {
                let most = self.shared.config.sync_max;
                self.reconcile.wait = (self.reconcile.wait * 2).min(most);
            }
            Err(error) => {
                self.reconcile.recent.remove(&peer);
                debug!(peer = %peer.fmt_short(), %error, "comparing catalogs failed");
            }
        }
    }

    /// A comparison told something that gossip should have told: there may be more to learn.
    fn on_learnt(&mut self, peer: NodeId) {
        let now = Instant::now();
        let config = &self.shared.config;
        self.reconcile.wait = self.reconcile.wait.min(config.sync_min);
        let soon = config.sync_min.mul_f64(self.rng.random_range(0.5..1.0));
        self.reconcile.next_at = self.reconcile.next_at.min(now + soon);
        self.ask_stranger(peer, now);
        self.membership.look_by(now);
    }

    /// Whether to wait with what cannot be refused: a comparison may still tell of others.
    pub(super) fn is_comparing(&self) -> bool {
        !self.reconcile.asking.is_empty()
    }

    /// The program asks for a comparison; it is not counted among the automatic ones.
    pub(super) fn on_sync_asked(
        &mut self,
        peer: NodeId,
        reply: oneshot::Sender<Result<(), SyncError>>,
    ) {
        let (shared, peers) = (Arc::clone(&self.shared), self.peers.clone());
        self.tasks.spawn("sync", async move {
            let result = match peers.connect(peer).await {
                Ok(link) => initiate(&shared, &link).await,
                Err(error) => Err(error.into()),
            };
            let _ = reply.send(result.map(drop));
        });
    }

    /// A peer asks to compare; it may do so once at a time.
    pub(super) fn on_sync_stream(
        &mut self,
        link: Arc<Link>,
        mut writer: Writer,
        mut reader: Reader,
    ) {
        let peer = link.peer();
        if !self.reconcile.answering.insert(peer) {
            writer.reset(Code::Refused);
            reader.stop(Code::Refused);
            return;
        }
        let (shared, inputs) = (Arc::clone(&self.shared), self.inputs.clone());
        self.tasks.spawn("sync answer", async move {
            let result = respond(&shared, &link, writer, reader).await;
            let learnt = result.unwrap_or_else(|error| {
                debug!(peer = %peer.fmt_short(), %error, "a peer's comparison failed");
                false
            });
            let _ = inputs.send(Input::Answered(peer, learnt)).await;
        });
    }

    pub(super) fn on_answered(&mut self, peer: NodeId, learnt: bool) {
        self.reconcile.answering.remove(&peer);
        if learnt && !self.departed {
            self.on_learnt(peer);
        }
    }
}
