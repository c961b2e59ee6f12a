//! All links of a node: what is known of them, and letting go those that nothing uses.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use iroh::{Endpoint, EndpointAddr};
use metrics::{Counter, counter};
use rivermesh_proto::{NodeId, code::Code, handshake::Hello, wire::StreamKind};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::{MissedTickBehavior, interval},
};

use super::{
    handshake::Membership,
    link::{Link, Use},
    stream::{Reader, Writer},
};
use crate::{admission::Desk, task::Tasks};

/// Limits on connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections in all, both directions. More incoming ones are refused. Default 4,096.
    pub max_connections: usize,
    /// Incoming connections that may be in their handshake at once. Default 256. A further one
    /// takes the place of the oldest, so that peers who keep silent cannot keep others out.
    pub max_handshakes: usize,
    /// Incoming connections in their handshake from one IP address. Default 128; as above. A handshake
    /// that gives way has cost its time for nothing: where many nodes of one machine start
    /// together, too few places make that most of what is done.
    pub max_handshakes_per_address: usize,
    /// Dials in flight. Default 16.
    pub max_dials: usize,
    /// How long a dial may take, handshake included. Default 5 s.
    pub dial_timeout: Duration,
    /// How long a connection that nothing uses is kept. Default 15 s.
    pub idle_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_handshakes: 256,
            max_handshakes_per_address: 128,
            max_dials: 16,
            dial_timeout: Duration::from_secs(5),
            idle_after: Duration::from_secs(15),
        }
    }
}

/// What connections need to know of the catalog.
pub(crate) trait Directory: Send + Sync + 'static {
    /// What this node says of itself in a handshake.
    fn hello(&self) -> Hello;
    /// Takes the entry that a peer showed in a handshake, and the round-trip time measured in it,
    /// or tells why the peer is not welcome.
    fn admit(&self, peer: NodeId, record: Bytes, rtt: Option<Duration>) -> Result<(), Code>;
    /// Where a peer can be reached, as far as this node knows.
    fn address(&self, peer: NodeId) -> EndpointAddr;
}

/// What happens on links, for discovery.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A peer is connected; it may have been before, on a link that this one replaces.
    Up(Arc<Link>),
    /// The last link to a peer is gone. `graceful` when the peer, or this node, closed it; `code` is
    /// what the peer said when it did.
    Down {
        peer: NodeId,
        instance: u64,
        graceful: bool,
        code: Option<Code>,
    },
    /// The peer opened its gossip stream.
    Gossip(Arc<Link>, Reader),
    /// The peer asks to compare catalogs.
    Sync(Arc<Link>, Writer, Reader),
}

/// A peer asks for a stream, or how far those are that consume it.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// What it asks for.
    pub(crate) kind: StreamKind,
    pub(crate) link: Use,
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
}

/// The links of a node.
#[derive(Clone)]
pub(crate) struct Peers(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    pub(super) membership: Membership,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) config: Config,
    pub(super) links: Mutex<HashMap<NodeId, Arc<Link>>>,
    /// Links that others have replaced and that are still used: at most one for each peer.
    pub(super) retired: Mutex<HashMap<NodeId, Arc<Link>>>,
    /// One lock per peer that is being dialed, so that two callers share one dial.
    pub(super) dials: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<()>>>>,
    pub(super) dial_places: Arc<Semaphore>,
    /// A link was taken in.
    pub(super) arrived: Notify,
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) subscriptions: mpsc::Sender<Subscription>,
    pub(super) desk: Desk,
    pub(super) tasks: Tasks,
    /// Links that this node dialed, and those that peers did.
    pub(super) opened: [Counter; 2],
    pub(super) refused: Counter,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("links", &self.count())
            .finish_non_exhaustive()
    }
}

/// What [`Peers::spawn`] is given.
pub(crate) struct Parts {
    pub(crate) endpoint: Endpoint,
    pub(crate) membership: Membership,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) config: Config,
    pub(crate) events: mpsc::Sender<LinkEvent>,
    pub(crate) subscriptions: mpsc::Sender<Subscription>,
    pub(crate) desk: Desk,
    pub(crate) tasks: Tasks,
}

impl Peers {
    /// Starts to accept connections.
    pub(crate) fn spawn(parts: Parts) -> Self {
        let Parts {
            endpoint,
            membership,
            directory,
            config,
            events,
            subscriptions,
            desk,
            tasks,
        } = parts;
        let peers = Self(Arc::new(Inner {
            endpoint,
            membership,
            directory,
            dial_places: Arc::new(Semaphore::new(config.max_dials)),
            arrived: Notify::new(),
            config,
            links: Mutex::default(),
            retired: Mutex::default(),
            dials: Mutex::default(),
            events,
            subscriptions,
            desk,
            tasks: tasks.clone(),
            opened: ["dialed", "accepted"]
                .map(|side| counter!("rivermesh_links_opened_total", "side" => side)),
            refused: counter!("rivermesh_handshakes_refused_total"),
        }));
        tasks.spawn("accept", super::accept::run(peers.clone()));
        tasks.spawn("reap", peers.clone().reap_loop());
        peers
    }

    /// The link to a peer, where there is one.
    pub(crate) fn get(&self, peer: NodeId) -> Option<Arc<Link>> {
        self.map()
            .get(&peer)
            .filter(|link| !link.is_closed())
            .cloned()
    }

    /// All links.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.map().values().cloned().collect()
    }

    /// How many there are, those included that others have replaced.
    pub(crate) fn count(&self) -> usize {
        self.map().len() + lock(&self.0.retired).len()
    }

    /// Closes all links.
    pub(crate) fn close_all(&self, code: Code) {
        for link in self.links() {
            link.close(code);
        }
        for link in lock(&self.0.retired).values() {
            link.close(code);
        }
    }

    /// Closes links that nothing has used for two looks in a row.
    async fn reap_loop(self) {
        let mut ticks = interval(self.0.config.idle_after);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unused_before: Vec<usize> = Vec::new();
        loop {
            ticks.tick().await;
            let unused: Vec<_> = self
                .links()
                .into_iter()
                .filter(|link| !link.is_used())
                .collect();
            for link in unused
                .iter()
                .filter(|link| unused_before.contains(&link.id()))
            {
                link.close(Code::Idle);
            }
            unused_before = unused.iter().map(|link| link.id()).collect();
        }
    }

    pub(super) fn map(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, Arc<Link>>> {
        lock(&self.0.links)
    }
}

/// A poisoned lock means that a task panicked while it held it; no invariant of the maps here
/// spans two statements, so they are used on.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
