//! Dialing for discovery: bootstrap peers, nodes of the same machine, probes, lost ones; and telling
//! the network of a peer that cannot be reached any more.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use iroh::EndpointAddr;
use rand::{RngExt, seq::IteratorRandom};
use rivermesh_proto::{NodeId, code::Code};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::{
    shared::Shared,
    worker::{Input, Worker},
};
use crate::net::{ConnectError, Peers, Use};

/// Contacts that refuse this node and are told to the log, at most.
const SHUT_OUT: usize = 64;
/// Addresses that are tried for as long as no peer is found. The oldest gives way.
const CONTACTS: usize = 64;
/// Probes that wait for the budget.
const PROBES: usize = 256;
/// The wait before a contact is tried again: the first one, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long to wait for the goodbye of a peer that closed its connection.
const GOODBYE: Duration = Duration::from_millis(300);

/// Whom to dial, and when.
#[derive(Debug)]
pub(super) struct Contacts {
    known: VecDeque<Contact>,
    dialing: HashSet<NodeId>,
    /// Contacts that do not take this node for a member, told to the log once each.
    shut_out: HashSet<NodeId>,
    /// Peers whose connection was lost, and that are being dialed again.
    redialing: HashSet<NodeId>,
    probes: VecDeque<NodeId>,
    probing: HashSet<NodeId>,
    probe_at: Instant,
    heal_at: Instant,
    /// When to compare with any peer, if nobody is missing; not set before the size of the network is
    /// known.
    stray_at: Option<Instant>,
}

/// An address that this node was told of.
#[derive(Debug)]
struct Contact {
    addr: EndpointAddr,
    tried: bool,
    next_at: Instant,
    wait: Duration,
}

impl Contacts {
    pub(super) fn new(shared: &Shared, bootstrap: Vec<EndpointAddr>, now: Instant) -> Self {
        let mut contacts = Self {
            known: VecDeque::new(),
            dialing: HashSet::new(),
            shut_out: HashSet::new(),
            redialing: HashSet::new(),
            probes: VecDeque::new(),
            probing: HashSet::new(),
            probe_at: now,
            heal_at: now + shared.config.heal_interval,
            stray_at: None,
        };
        for addr in bootstrap.into_iter().filter(|addr| addr.id != shared.local) {
            contacts.add(shared, addr, now);
        }
        contacts
    }

    fn add(&mut self, shared: &Shared, addr: EndpointAddr, now: Instant) {
        shared.hint(addr.clone());
        self.known.retain(|contact| contact.addr.id != addr.id);
        if self.known.len() >= CONTACTS {
            self.known.pop_front();
        }
        self.known.push_back(Contact {
            addr,
            tried: false,
            next_at: now,
            wait: RETRY.0,
        });
    }

    pub(super) fn next_deadline(&self, neighbours: usize) -> Option<Instant> {
        let due = self
            .known
            .iter()
            .filter(|contact| neighbours == 0 || !contact.tried);
        let contact = due.map(|contact| contact.next_at).min();
        let probe = (!self.probes.is_empty()).then_some(self.probe_at);
        [contact, probe, Some(self.heal_at)]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Worker {
    /// Dials contacts, probes and lost peers whose time has come.
    pub(super) fn dial_what_is_due(&mut self, now: Instant) {
        let alone = self.gossip.neighbours().is_empty();
        let mut due = Vec::new();
        for contact in &mut self.contacts.known {
            if contact.next_at <= now && (alone || !contact.tried) {
                due.push(contact.addr.clone());
                contact.tried = true;
                contact.next_at = now + RETRY.0 / 2 + contact.wait.mul_f64(self.rng.random());
                contact.wait = (contact.wait * 2).min(RETRY.1);
            }
        }
        for addr in due {
            self.contact(addr);
        }
        self.probe_within_budget(now);
        if self.contacts.heal_at <= now {
            let around = self.rng.random_range(0.5..1.5);
            self.contacts.heal_at = now + self.shared.config.heal_interval.mul_f64(around);
            self.heal(now);
        }
    }

    /// A program names an address.
    pub(super) fn on_dial(&mut self, addr: EndpointAddr) {
        if addr.id != self.shared.local && !self.departed {
            let now = Instant::now();
            self.contacts.add(&self.shared, addr, now);
            self.dial_what_is_due(now);
        }
    }

    /// Nodes of this machine were found.
    pub(super) fn on_met(&mut self, addrs: Vec<EndpointAddr>) {
        for addr in addrs {
            if addr.id != self.shared.local && self.peers.get(addr.id).is_none() {
                self.contact(addr);
            }
        }
    }

    /// Connects to a node to learn whom it knows.
    fn contact(&mut self, addr: EndpointAddr) {
        let peer = addr.id;
        if self.departed || !self.contacts.dialing.insert(peer) {
            return;
        }
        let (shared, peers) = (Arc::clone(&self.shared), self.peers.clone());
        let inputs = self.inputs.clone();
        self.tasks.spawn("contact", async move {
            shared.meters.dials.increment(1);
            let result = peers.connect_at(peer, Some(addr)).await;
            let _ = inputs.send(Input::Contacted(peer, result)).await;
        });
    }

    pub(super) fn on_contacted(&mut self, peer: NodeId, result: Result<Use, ConnectError>) {
        self.contacts.dialing.remove(&peer);
        match result {
            Ok(_link) => {
                self.contacts.shut_out.remove(&peer);
                let known = self.contacts.known.iter_mut();
                if let Some(contact) = known.into_iter().find(|contact| contact.addr.id == peer) {
                    contact.wait = RETRY.0;
                }
                let now = Instant::now();
                self.compare_unless_recent(peer, now);
                self.reconcile.begin_with(peer, &self.shared.config, now);
                self.ask(peer, now);
            }
            Err(error) => {
                self.shared.meters.dials_failed.increment(1);
                debug!(peer = %peer.fmt_short(), %error, "a contact cannot be reached");
                if let ConnectError::Handshake { code, .. } = error
                    && code == Some(Code::Unauthorized)
                {
                    self.on_shut_out(peer);
                }
            }
        }
    }

    /// A contact refused this node as no member of the network. It is tried again, in case that
    /// changes, but whoever runs this node should know.
    fn on_shut_out(&mut self, peer: NodeId) {
        let told = &mut self.contacts.shut_out;
        if told.len() < SHUT_OUT && told.insert(peer) {
            let peer = peer.fmt_short();
            warn!(%peer, "a node refuses this one: it has another network key, or another network");
        }
    }

    /// Tries to reach somebody who may be in a part of the network that was cut off: a contact that is
    /// not listed, an unreachable peer, or one that was dropped for being unreachable.
    ///
    /// Where nobody is missing, gossip may still have come apart in two without anybody noticing,
    /// since both parts list all. So, much more rarely, catalogs are compared with any live peer.
    fn heal(&mut self, now: Instant) {
        let snapshot = self.shared.snapshot();
        let live = |id| snapshot.get(&id).is_some_and(|peer| peer.is_live());
        let contacts = self
            .contacts
            .known
            .iter()
            .map(|contact| contact.addr.clone())
            .filter(|addr| !live(addr.id));
        let unreachable = snapshot
            .iter()
            .filter(|peer| !peer.is_live())
            .map(|peer| EndpointAddr::from_parts(peer.id(), peer.addrs().iter().cloned()));
        let lost = self.shared.lost();
        let dropped = lost
            .into_iter()
            .filter(|addr| snapshot.get(&addr.id).is_none());
        let all = contacts.chain(unreachable).chain(dropped);
        let away = all.filter(|addr| self.peers.get(addr.id).is_none());
        if let Some(addr) = away.choose(&mut self.rng) {
            self.contact(addr);
        } else if self.contacts.stray_at.is_none_or(|at| at <= now) {
            let around = self.rng.random_range(0.5..1.5);
            let every = self.shared.config.stray_interval(snapshot.len());
            let first = self.contacts.stray_at.is_none();
            self.contacts.stray_at = Some(now + every.mul_f64(around));
            if first {
                return;
            }
            let others = snapshot.live().filter(|peer| !peer.is_local());
            let others = others.filter(|peer| !self.gossip.neighbours().contains(&peer.id()));
            if let Some(peer) = others.choose(&mut self.rng) {
                self.contact(EndpointAddr::from_parts(
                    peer.id(),
                    peer.addrs().iter().cloned(),
                ));
            }
        }
    }

    pub(super) fn on_probe(&mut self, peer: NodeId) {
        let contacts = &mut self.contacts;
        if peer != self.shared.local
            && contacts.probes.len() < PROBES
            && contacts.probing.insert(peer)
        {
            contacts.probes.push_back(peer);
            self.probe_within_budget(Instant::now());
        }
    }

    fn probe_within_budget(&mut self, now: Instant) {
        while self.contacts.probe_at <= now {
            let Some(peer) = self.contacts.probes.pop_front() else {
                return;
            };
            if let Some(link) = self.peers.get(peer) {
                self.contacts.probing.remove(&peer);
                if let Some(rtt) = link.measure() {
                    self.shared.measured(peer, rtt);
                }
                continue;
            }
            let every = Duration::from_secs(1) / self.shared.config.probes_per_second;
            self.contacts.probe_at = now + every;
            let (shared, peers) = (Arc::clone(&self.shared), self.peers.clone());
            let inputs = self.inputs.clone();
            self.tasks.spawn("probe", async move {
                shared.meters.dials.increment(1);
                // The handshake measures; the link is closed when nobody uses it.
                if let Err(error) = peers.connect(peer).await {
                    debug!(peer = %peer.fmt_short(), %error, "a peer cannot be probed");
                }
                let _ = inputs.send(Input::Probed(peer)).await;
            });
        }
    }

    pub(super) fn on_probed(&mut self, peer: NodeId) {
        self.contacts.probing.remove(&peer);
    }

    /// A peer's connection is gone: finds out whether the peer is.
    pub(super) fn look_after(
        &mut self,
        peer: NodeId,
        instance: u64,
        graceful: bool,
        code: Option<Code>,
    ) {
        // What we closed ourselves, or what was idle or double, says nothing of the peer.
        let closed_by_peer = code.is_some_and(|code| code != Code::Idle && code != Code::Duplicate);
        let same = self.shared.read(|catalog| {
            let listed = catalog.view().get(&peer);
            listed.is_some_and(|peer| peer.is_live() && peer.instance() == instance)
        });
        if self.departed || !same || (graceful && !closed_by_peer) {
            return;
        }
        if !self.contacts.redialing.insert(peer) {
            return;
        }
        let (shared, peers) = (Arc::clone(&self.shared), self.peers.clone());
        let (inputs, jitter) = (self.inputs.clone(), self.rng.random_range(0.0..0.1));
        self.tasks.spawn("redial", async move {
            let goodbye = if graceful { GOODBYE } else { Duration::ZERO };
            sleep(goodbye + Duration::from_secs_f64(jitter)).await;
            let reached = redial(&shared, &peers, peer).await;
            let _ = inputs.send(Input::Redialed(peer, reached)).await;
        });
    }

    pub(super) fn on_redialed(&mut self, peer: NodeId, reached: bool) {
        self.contacts.redialing.remove(&peer);
        if self.departed || reached || self.peers.get(peer).is_some() {
            return;
        }
        if let Some(suspicion) = self.shared.unreachable(peer) {
            info!(peer = %peer.fmt_short(), "a peer cannot be reached any more");
            let bytes = suspicion.as_bytes().clone();
            let effects = self.gossip.broadcast(bytes, Instant::now());
            self.apply(effects);
        }
    }
}

/// Tries twice to reach a peer again; also true when there is nothing to find out any more.
async fn redial(shared: &Shared, peers: &Peers, peer: NodeId) -> bool {
    let within = shared.config.suspicion_timeout;
    let deadline = Instant::now() + within;
    for attempt in 0..2 {
        let listed =
            shared.read(|catalog| catalog.view().get(&peer).is_some_and(|peer| peer.is_live()));
        if !listed {
            return true;
        }
        shared.meters.dials.increment(1);
        let dial = peers.connect(peer);
        let result = if attempt == 0 {
            timeout(within / 2, dial).await
        } else {
            timeout_at(deadline, dial).await
        };
        match result {
            // Whoever says no has the peer's key, and runs.
            Ok(Ok(_) | Err(ConnectError::Handshake { code: Some(_), .. })) => return true,
            Ok(Err(_)) => {
                shared.meters.dials_failed.increment(1);
                let pause = Duration::from_millis(rand::rng().random_range(50..200));
                sleep(pause).await;
            }
            Err(_) => shared.meters.dials_failed.increment(1),
        }
    }
    false
}
