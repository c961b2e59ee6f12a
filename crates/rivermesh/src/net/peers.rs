//! All links: dialling, taking in, and letting go.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr,
    endpoint::{Connection, ConnectionError},
};
use metrics::{Counter, counter};
use rivermesh_proto::{
    NodeId,
    code::Code,
    handshake::{Hello, Role},
    wire::{self, StreamKind},
};
use thiserror::Error;
use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{debug, trace};

use super::{
    handshake::{self, Failure, Membership},
    link::{Link, Use},
    rivals::{self, Choice},
    stream::{self, Reader, Writer},
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

/// A peer could not be connected.
#[derive(Debug, Error, Clone)]
#[non_exhaustive]
pub enum ConnectError {
    /// The peer is this node itself.
    #[error("a node cannot connect to itself")]
    Myself,
    /// Nobody answered at the addresses known.
    #[error("no connection to {peer}: {reason}")]
    Unreachable {
        /// The peer.
        peer: NodeId,
        /// What the transport said.
        reason: String,
    },
    /// The peer did not answer in time.
    #[error("no answer from {peer} within {within:?}")]
    Timeout {
        /// The peer.
        peer: NodeId,
        /// How long was waited.
        within: Duration,
    },
    /// The peer, or this node, refused the handshake.
    #[error("handshake with {peer} failed: {reason}")]
    Handshake {
        /// The peer.
        peer: NodeId,
        /// What was wrong.
        reason: String,
        /// What the peer said when it closed the connection.
        code: Option<Code>,
    },
    /// The node shuts down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// The links of a node.
#[derive(Clone)]
pub(crate) struct Peers(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    membership: Membership,
    directory: Arc<dyn Directory>,
    pub(super) config: Config,
    links: Mutex<HashMap<NodeId, Arc<Link>>>,
    /// Links that others have replaced and that are still used: at most one for each peer.
    retired: Mutex<HashMap<NodeId, Arc<Link>>>,
    /// One lock per peer that is being dialed, so that two callers share one dial.
    dials: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<()>>>>,
    dial_places: Arc<Semaphore>,
    /// A link was taken in.
    arrived: Notify,
    events: mpsc::Sender<LinkEvent>,
    subscriptions: mpsc::Sender<Subscription>,
    desk: Desk,
    pub(super) tasks: Tasks,
    /// Links that this node dialed, and those that peers did.
    opened: [Counter; 2],
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

    /// The link to a peer, dialing it if need be. Callers for one peer share one dial.
    pub(crate) async fn connect(&self, peer: NodeId) -> Result<Use, ConnectError> {
        self.connect_at(peer, None).await
    }

    /// As [`Peers::connect`], with an address known from elsewhere than the catalog.
    pub(crate) async fn connect_at(
        &self,
        peer: NodeId,
        hint: Option<EndpointAddr>,
    ) -> Result<Use, ConnectError> {
        if peer == self.0.endpoint.id() {
            return Err(ConnectError::Myself);
        }
        if let Some(link) = self.get(peer) {
            return Ok(link.hold());
        }
        let turn = {
            let mut dials = lock(&self.0.dials);
            dials.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(dials.entry(peer).or_default())
        };
        let turn = tokio::select! {
            biased;
            link = self.arrival(peer) => return Ok(link),
            turn = turn.lock_owned() => turn,
        };
        // Many dials that lead nowhere may be in front of this one.
        let place = tokio::select! {
            biased;
            link = self.arrival(peer) => return Ok(link),
            place = Arc::clone(&self.0.dial_places).acquire_owned() => place,
        };
        let place = place.map_err(|_| ConnectError::ShuttingDown)?;
        let (done, dialed) = oneshot::channel();
        let (peers, within) = (self.clone(), self.0.config.dial_timeout);
        // A task of its own: a dial that is given up half way may close the one connection that the
        // peer has decided to keep.
        self.0.tasks.spawn("dial", async move {
            let _held = (turn, place);
            let result = timeout(within, peers.dial(peer, hint)).await;
            let result = result.unwrap_or(Err(ConnectError::Timeout { peer, within }));
            let _ = done.send(result);
        });
        // The peer may dial as well, and be quicker: after it was restarted it is, by seconds, when
        // our packets still go to where it was before.
        tokio::select! {
            biased;
            link = self.arrival(peer) => Ok(link),
            result = dialed => result.unwrap_or(Err(ConnectError::ShuttingDown)),
        }
    }

    /// Resolves when there is a link to the peer, whoever dialed it.
    async fn arrival(&self, peer: NodeId) -> Use {
        loop {
            let mut arrived = pin!(self.0.arrived.notified());
            // From here on a notification is kept for us, so looking before waiting loses none.
            arrived.as_mut().enable();
            if let Some(link) = self.get(peer) {
                return link.hold();
            }
            arrived.await;
        }
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

    /// Dials a peer, whether there is a link to it or not.
    pub(crate) async fn dial(
        &self,
        peer: NodeId,
        hint: Option<EndpointAddr>,
    ) -> Result<Use, ConnectError> {
        let mut address = self.0.directory.address(peer);
        if let Some(hint) = hint {
            address.addrs.extend(hint.addrs);
        }
        debug!(peer = %peer.fmt_short(), addrs = ?address.addrs, "dialing");
        let connection = self.0.endpoint.connect(address, wire::ALPN).await;
        let connection = connection.map_err(|error| ConnectError::Unreachable {
            peer,
            reason: error_chain(&error),
        })?;
        match self.establish(connection, Role::Dialer).await {
            Ok(link) => Ok(link),
            // Both sides dialed at once, and the other connection is the one that is kept.
            Err(Refusal::Duplicate(link)) => Ok(link),
            Err(Refusal::Failed { reason, code }) => {
                if code == Some(Code::Duplicate)
                    && let Some(link) = self.get(peer)
                {
                    return Ok(link.hold());
                }
                Err(ConnectError::Handshake { peer, reason, code })
            }
        }
    }

    /// Runs the handshake, admits the peer's entry and takes the connection into the links.
    pub(super) async fn establish(
        &self,
        connection: Connection,
        role: Role,
    ) -> Result<Use, Refusal> {
        let inner = &*self.0;
        let peer = connection.remote_id();
        let local = inner.endpoint.id();
        let hello = handshake::run(
            &connection,
            role,
            local,
            &inner.membership,
            inner.directory.hello(),
        )
        .await?;
        let link = Arc::new(Link::new(connection, hello.instance, role == Role::Dialer));
        if let Err(code) = inner.directory.admit(peer, hello.record, link.measure()) {
            link.close(code);
            return Err(Refusal::Failed {
                reason: code.to_string(),
                code: None,
            });
        }
        let held = link.hold();
        self.register(link)?;
        Ok(held)
    }

    /// Takes a new link in, unless another one to the same peer is kept instead.
    fn register(&self, link: Arc<Link>) -> Result<(), Refusal> {
        let local = self.0.endpoint.id();
        let (replaced, choice) = {
            let mut links = self.map();
            let rival = links.get(&link.peer()).filter(|rival| !rival.is_closed());
            // Many may have been in their handshake when there was room.
            let places = self.0.config.max_connections;
            if rival.is_none() && !link.dialed() && links.len() >= places {
                drop(links);
                link.close(Code::Busy);
                return Err(Refusal::Failed {
                    reason: Code::Busy.to_string(),
                    code: None,
                });
            }
            let choice = rival.map_or(Choice::New, |rival| rivals::choose(local, &link, rival));
            if let (Some(rival), Choice::Old) = (rival, choice) {
                let rival = rival.hold();
                drop(links);
                link.close(Code::Duplicate);
                return Err(Refusal::Duplicate(rival));
            }
            (links.insert(link.peer(), Arc::clone(&link)), choice)
        };
        self.0.arrived.notify_waiters();
        self.0.opened[usize::from(!link.dialed())].increment(1);
        if let Some(old) = replaced {
            trace!(peer = %link.peer().fmt_short(), ?choice, "a newer connection replaces the one before");
            match choice {
                Choice::Both => self.retire(old),
                _ => old.close(Code::Duplicate),
            }
        }
        self.0.tasks.spawn("link", self.clone().serve(link));
        Ok(())
    }

    /// Lets a link go that another one replaces, as soon as nobody uses it: a subscription on it may
    /// be one whose producer ends now, and could not be had again on the other link.
    fn retire(&self, link: Arc<Link>) {
        let before = lock(&self.0.retired).insert(link.peer(), Arc::clone(&link));
        if let Some(before) = before {
            before.close(Code::Duplicate);
        }
        link.retire();
        if link.is_closed() {
            self.forget(&link);
        }
    }

    fn forget(&self, link: &Link) {
        lock(&self.0.retired).retain(|_, retired| retired.id() != link.id());
    }

    /// Hands what the peer opens on a link to whom it concerns, until the link is lost.
    async fn serve(self, link: Arc<Link>) {
        if self
            .0
            .events
            .send(LinkEvent::Up(Arc::clone(&link)))
            .await
            .is_err()
        {
            return;
        }
        let error = tokio::select! {
            error = self.serve_streams(&link) => error,
            error = self.serve_uni_streams(&link) => error,
            never = self.0.desk.tell(&link) => match never {},
        };
        let graceful = matches!(
            error,
            ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed
        );
        debug!(peer = %link.peer().fmt_short(), %error, "link down");
        let last = {
            let mut links = self.map();
            let current = links
                .get(&link.peer())
                .is_some_and(|held| held.id() == link.id());
            if current {
                links.remove(&link.peer());
            }
            current
        };
        self.forget(&link);
        if last {
            let (peer, instance) = (link.peer(), link.instance());
            let code = stream::close_code(&error);
            let _ = self
                .0
                .events
                .send(LinkEvent::Down {
                    peer,
                    instance,
                    graceful,
                    code,
                })
                .await;
        }
    }

    async fn serve_streams(&self, link: &Arc<Link>) -> ConnectionError {
        loop {
            let (mut writer, mut reader) = match stream::accept(link.connection()).await {
                Ok(halves) => halves,
                Err(error) => return error,
            };
            // The kind is in the first packet of a stream, but a hostile peer may keep it back:
            // each stream waits for its own.
            let (link, inner) = (link.hold(), Arc::clone(&self.0));
            self.0.tasks.spawn("stream", async move {
                let kind = timeout(rivermesh_proto::limits::HANDSHAKE_PHASE, reader.kind()).await;
                match kind {
                    Ok(Ok(Some(
                        kind @ (StreamKind::Subscribe | StreamKind::Lag | StreamKind::Explain),
                    ))) => {
                        let asked = Subscription {
                            kind,
                            link,
                            writer,
                            reader,
                        };
                        let _ = inner.subscriptions.send(asked).await;
                    }
                    Ok(Ok(Some(StreamKind::Sync))) => {
                        let event = LinkEvent::Sync(Arc::clone(&link), writer, reader);
                        let _ = inner.events.send(event).await;
                    }
                    _ => {
                        reader.stop(Code::UnknownKind);
                        writer.reset(Code::UnknownKind);
                    }
                }
            });
        }
    }

    async fn serve_uni_streams(&self, link: &Arc<Link>) -> ConnectionError {
        loop {
            let mut reader = match stream::accept_uni(link.connection()).await {
                Ok(reader) => reader,
                Err(error) => return error,
            };
            let (link, inner) = (link.hold(), Arc::clone(&self.0));
            self.0.tasks.spawn("stream", async move {
                let kind = timeout(rivermesh_proto::limits::HANDSHAKE_PHASE, reader.kind()).await;
                match kind {
                    Ok(Ok(Some(StreamKind::Gossip))) => {
                        let event = LinkEvent::Gossip(Arc::clone(&link), reader);
                        let _ = inner.events.send(event).await;
                    }
                    Ok(Ok(Some(StreamKind::Revocations))) => inner.desk.hear(&link, reader).await,
                    _ => reader.stop(Code::UnknownKind),
                }
            });
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

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, Arc<Link>>> {
        lock(&self.0.links)
    }
}

/// A connection was not taken in.
pub(super) enum Refusal {
    /// This one is kept instead.
    Duplicate(Use),
    Failed {
        reason: String,
        code: Option<Code>,
    },
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let code = failure.closed_by_peer();
        let reason = match code {
            Some(code) => format!("the peer closed the connection: {code}"),
            None => error_chain(&failure),
        };
        Self::Failed { reason, code }
    }
}

/// A poisoned lock means that a task panicked while it held it; no invariant of the maps here
/// spans two statements, so they are used on.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error and its causes in one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
