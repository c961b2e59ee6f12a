//! A running member of a network.
//!
//! | file | story |
//! | --- | --- |
//! | `builder` | how a node is set up, and started |
//! | `explain` | why a peer receives a stream, or does not, as a program asks for it |
//! | `key` | files with secrets: a node's identity, a network's key |

mod builder;
mod explain;
mod key;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use iroh::{Endpoint, EndpointAddr};
use rivermesh_proto::{
    NetworkId, NetworkKey, NodeId, catalog::Snapshot, code::Code, invite::Invite,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

pub use self::{
    builder::{Builder, SpawnError},
    explain::{Explanation, Part, Step},
    key::{KeyFileError, check_private, make_key, read_key, read_network_key},
};
pub use crate::producer::question::AskError;
use crate::{
    Datum,
    admission::{self, Grant, GrantError, RevocationList, RevokeError, Ticket},
    consumer::{self, ConsumeError, Consumer},
    discovery::{self, ChangeError, Discovery, SyncError},
    net::Peers,
    producer::{self, Behind, ProduceError, Producer, explain::Witness, registry::Producers},
    stream,
    task::Tasks,
};

/// How long closing the endpoint may take, so that peers hear of it.
const CLOSE: Duration = Duration::from_secs(3);

/// A running member of a network. Clones are handles of the same node.
///
/// When the last handle is dropped, the node stops at once: its peers see their connections closed.
/// [`shutdown`](Node::shutdown) is the graceful way. Producers and consumers do not keep the node
/// running.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    network: NetworkId,
    key: Option<NetworkKey>,
    /// Whether peers prove a key.
    keyed: bool,
    endpoint: Endpoint,
    discovery: Discovery,
    peers: Peers,
    producers: Producers,
    streams: stream::Config,
    tasks: Tasks,
}

impl Inner {
    fn witness(&self) -> Witness {
        Witness {
            peers: self.peers.clone(),
            keyed: self.keyed,
        }
    }
}

impl Node {
    /// Sets up a node of the network with this name.
    pub fn builder(network: impl Into<String>) -> Builder {
        Builder::new(network.into())
    }

    /// The node's identity.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner.endpoint.id()
    }

    /// The network's name.
    #[must_use]
    pub fn network_name(&self) -> &str {
        &self.inner.name
    }

    /// The network's id, a hash of its name.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        self.inner.network
    }

    /// Where the node can be reached, as far as it knows.
    #[must_use]
    pub fn addr(&self) -> EndpointAddr {
        self.inner.endpoint.addr()
    }

    /// The iroh endpoint underneath, for what this crate does not offer.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// A string to give to whoever should join: the network's name and this node's addresses. It
    /// does not contain the network key; see [`invite_with_key`](Node::invite_with_key).
    #[must_use]
    pub fn invite(&self) -> Invite {
        self.make_invite(None)
    }

    /// As [`invite`](Node::invite), with the network key: the string is a secret then.
    #[must_use]
    pub fn invite_with_key(&self) -> Invite {
        self.make_invite(self.inner.key.clone())
    }

    fn make_invite(&self, key: Option<NetworkKey>) -> Invite {
        let nodes = [self.address_to_tell()];
        // Only the name could be refused, and it was checked when the node was made.
        match Invite::fitting(&self.inner.name, key, nodes) {
            Ok(invite) => invite,
            Err(error) => unreachable!("the network's name was checked: {error}"),
        }
    }

    /// The addresses that the node's entry tells, which know of loopback and wildcards.
    fn address_to_tell(&self) -> EndpointAddr {
        let told = self.catalog().get(&self.id()).map(|me| me.addrs().to_vec());
        let addrs = told.filter(|addrs| !addrs.is_empty());
        match addrs {
            Some(addrs) => EndpointAddr::from_parts(self.id(), addrs),
            None => self.addr(),
        }
    }

    /// The members of the network as this node knows them now, itself included. Costs a reference
    /// count.
    #[must_use]
    pub fn catalog(&self) -> Snapshot {
        self.inner.discovery.snapshot()
    }

    /// The catalog as a watch; changes within 5 ms come as one.
    #[must_use]
    pub fn watch_catalog(&self) -> watch::Receiver<Snapshot> {
        self.inner.discovery.watch()
    }

    /// Who the other members are, then what happens to them.
    #[must_use]
    pub fn events(&self) -> discovery::Events {
        self.inner.discovery.events()
    }

    /// Changes the node's tags and tells the network.
    ///
    /// # Errors
    /// When the tags break a limit; they are as before then.
    pub fn edit_tags(&self, edit: impl FnOnce(&mut BTreeSet<String>)) -> Result<(), ChangeError> {
        self.inner.discovery.edit_tags(edit)
    }

    /// Replaces all tags. See [`edit_tags`](Node::edit_tags).
    ///
    /// # Errors
    /// When the tags break a limit.
    pub fn set_tags<S: Into<String>>(
        &self,
        tags: impl IntoIterator<Item = S>,
    ) -> Result<(), ChangeError> {
        self.edit_tags(|all| *all = tags.into_iter().map(Into::into).collect())
    }

    /// Adds a tag. See [`edit_tags`](Node::edit_tags).
    ///
    /// # Errors
    /// When the tags break a limit.
    pub fn add_tag(&self, tag: impl Into<String>) -> Result<(), ChangeError> {
        self.edit_tags(|all| {
            all.insert(tag.into());
        })
    }

    /// Removes a tag. See [`edit_tags`](Node::edit_tags).
    ///
    /// # Errors
    /// When the node is leaving the network.
    pub fn remove_tag(&self, tag: &str) -> Result<(), ChangeError> {
        self.edit_tags(|all| {
            all.remove(tag);
        })
    }

    /// Connects to another node of the network, to learn from it whom it knows. Tries again while
    /// no peer at all is found. False when too many such calls wait.
    pub fn dial(&self, addr: EndpointAddr) -> bool {
        self.inner.discovery.dial(addr)
    }

    /// Closes the connection to a peer, if there is one, and says whether there was. The peer is
    /// not shut out: whoever needs it connects again at once, and subscriptions resume.
    pub fn disconnect(&self, peer: NodeId) -> bool {
        let link = self.inner.peers.get(peer);
        if let Some(link) = &link {
            link.close(Code::Idle);
        }
        link.is_some()
    }

    /// Compares catalogs with a peer now. This happens by itself, too; cancelling does not stop it.
    ///
    /// # Errors
    /// When the peer cannot be reached or breaks the rules.
    pub async fn sync_with(&self, peer: NodeId) -> Result<(), SyncError> {
        self.inner.discovery.sync_with(peer).await
    }

    /// Produces the stream that the type names, or takes another handle where this node produces
    /// it already.
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub fn produce<T: Datum>(&self) -> Result<Producer<T>, ProduceError<T>> {
        self.producer().open()
    }

    /// Sets up a stream to produce.
    pub fn producer<T: Datum>(&self) -> producer::Builder<T> {
        producer::Builder::new(self.inner.producers.clone())
    }

    /// Consumes the stream that the type names.
    ///
    /// # Errors
    /// See [`ConsumeError`].
    pub fn consume<T: Datum>(&self) -> Result<Consumer<T>, ConsumeError> {
        self.consumer().build()
    }

    /// Sets up a consumer.
    pub fn consumer<T: Datum>(&self) -> consumer::Builder<T> {
        let Inner {
            peers,
            producers,
            streams,
            ..
        } = &*self.inner;
        consumer::Builder::new(peers.clone(), producers.clone(), streams.retry)
    }

    /// Asks a node that produces a stream how far behind the consumers with a name are, groups included, as
    /// [`Producer::named`] tells its program. Who may ask is who may subscribe; where that takes a
    /// ticket, who is subscribed.
    ///
    /// # Errors
    /// When the node cannot be reached, does not produce the stream, or does not admit this node.
    pub async fn lag(&self, producer: NodeId, stream: &str) -> Result<Vec<Behind>, AskError> {
        let Inner {
            peers, producers, ..
        } = &*self.inner;
        producers.ask_lag(peers, producer, stream).await
    }

    /// Makes of a ticket that this node holds one for another node that allows no more, without
    /// asking anybody.
    ///
    /// # Errors
    /// When the ticket is not this node's, or the grant goes beyond it.
    pub fn delegate(&self, ticket: &Ticket, grant: &Grant) -> Result<Ticket, GrantError> {
        admission::delegate(ticket, self.inner.endpoint.secret_key(), grant)
    }

    /// Takes a list of revoked tickets, and tells the nodes that this one is connected to, which
    /// tell theirs. Says whether it was news. Whoever is subscribed by a ticket that it revokes is
    /// cut.
    ///
    /// A list reaches the nodes that are connected, directly or through others that trust its
    /// authority or have a place for it; each has 8 places for authorities that it does not trust.
    /// A node that is cut off from the network hears of it when it is connected again; until
    /// then a revoked ticket counts there for as long as it lasts. What a node has heard of it forgets when it
    /// ends, unless it [keeps](Builder::revocations) it.
    ///
    /// # Errors
    /// When the list is for another network, or the node has no place for it.
    pub fn revoke(&self, list: RevocationList) -> Result<bool, RevokeError> {
        self.inner.producers.desk().take(list, None)
    }

    /// Leaves the network: ends all produced streams, gives consumers up to
    /// [`stream::Config::drain`] to read the rest, says goodbye, and closes the node for all its
    /// handles. A second call waits for the first to be done.
    ///
    /// If this is cancelled, the node stops when its last handle is dropped.
    pub async fn shutdown(&self) {
        let Inner {
            producers,
            discovery,
            streams,
            tasks,
            ..
        } = &*self.inner;
        if !tasks.token().is_cancelled() {
            producers.close_all();
            producers.drained(Instant::now() + streams.drain).await;
            discovery.depart().await;
            tasks.cancel();
        }
        tasks.ended().await;
    }

    /// Resolves when the node has been shut down.
    pub async fn closed(&self) {
        self.inner.tasks.token().cancelled().await;
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id().fmt_short().to_string())
            .field("network", &self.inner.name)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.producers.close_all();
        // The closing task, started with the node, does the rest.
        self.tasks.cancel();
    }
}

/// Closes what is left when a node is cancelled, so that peers hear of it at once.
async fn close_when_cancelled(
    tasks: Tasks,
    peers: Peers,
    producers: Producers,
    endpoint: Endpoint,
) {
    tasks.token().cancelled().await;
    producers.close_all();
    peers.close_all(Code::Done);
    // An error means that some peer did not confirm in time; it will notice by its idle timeout.
    let _ = timeout(CLOSE, endpoint.close()).await;
}

impl Producers {
    /// Waits until no consumer is subscribed any more, or the deadline.
    async fn drained(&self, deadline: Instant) {
        for mut status in self.statuses() {
            let empty = status.wait_for(|status| status.consumers == 0);
            // An error means that the deadline has passed, or the stream is gone.
            let _ = timeout_at(deadline, empty).await;
        }
    }
}

#[cfg(test)]
mod tests;
