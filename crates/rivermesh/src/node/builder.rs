//! How a node is set up, and started.

use std::{collections::BTreeSet, mem, net::SocketAddr, path::PathBuf, sync::Arc};

use iroh::{Endpoint, EndpointAddr, SecretKey};
use rivermesh_proto::{
    NetworkId, NetworkKey,
    invite::{Invite, InviteError},
};
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Inner, KeyFileError, Node, close_when_cancelled, key};
use crate::{
    ConnectionConfig, EndpointError, Relay, Transport,
    admission::{Desk, Shelf, ShelfError},
    discovery::{self, ChangeError, Discovery, Local, Rendezvous},
    net::{
        endpoint::{self, Options},
        handshake::Membership,
        peers::{Parts, Peers},
    },
    producer::{explain::Witness, registry::Producers},
    stream,
    task::Tasks,
};

/// Things that happened on links and wait for discovery.
const LINK_EVENTS: usize = 1024;
/// Peers that ask for streams and wait to be served.
const SUBSCRIPTIONS: usize = 1024;

/// A node could not be started. Nothing runs then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The network's name is empty, too long or has control characters.
    #[error("not a network name")]
    Name(#[source] InviteError),
    /// An invite is for another network.
    #[error("the invite is for network {invited:?}, the node for {ours:?}")]
    OtherNetwork {
        /// The invite's network.
        invited: String,
        /// The node's.
        ours: String,
    },
    /// The key file cannot be used.
    #[error("the node has no identity")]
    KeyFile(#[source] KeyFileError),
    /// The file of revocation lists cannot be used.
    #[error("what is revoked cannot be kept")]
    Revocations(#[source] ShelfError),
    /// Name or tags break a limit.
    #[error("the node's entry cannot be made")]
    Entry(#[source] ChangeError),
    /// The socket could not be bound.
    #[error("the node has no endpoint")]
    Endpoint(#[source] EndpointError),
}

/// What of a node has to be made before anything of it runs, because it may fail.
struct Made {
    network: NetworkId,
    discovery: Discovery,
    endpoint: Endpoint,
    desk: Desk,
    shelf: Option<Shelf>,
}

/// Sets up a node. Made by [`Node::builder`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    network: String,
    network_key: Option<NetworkKey>,
    further_keys: Vec<NetworkKey>,
    secret_key: Option<SecretKey>,
    key_file: Option<PathBuf>,
    revocations: Option<PathBuf>,
    name: String,
    tags: BTreeSet<String>,
    invites: Vec<Invite>,
    bootstrap: Vec<EndpointAddr>,
    bind: Vec<SocketAddr>,
    relay: Relay,
    mdns: bool,
    dht: bool,
    transport: Transport,
    connections: ConnectionConfig,
    discovery: discovery::Config,
    streams: stream::Config,
}

impl Builder {
    pub(super) fn new(network: String) -> Self {
        Self {
            network,
            network_key: None,
            further_keys: Vec::new(),
            secret_key: None,
            key_file: None,
            revocations: None,
            name: String::new(),
            tags: BTreeSet::new(),
            invites: Vec::new(),
            bootstrap: Vec::new(),
            bind: Vec::new(),
            relay: Relay::default(),
            mdns: false,
            dht: false,
            transport: Transport::default(),
            connections: ConnectionConfig::default(),
            discovery: discovery::Config::default(),
            streams: stream::Config::default(),
        }
    }

    /// The secret that members prove to each other before anything else is said. Default: none;
    /// then **anybody** who can reach a node and knows the network's name can join, read every
    /// stream that does not `require` otherwise, and produce any stream.
    pub fn network_key(mut self, key: NetworkKey) -> Self {
        self.network_key = Some(key);
        self
    }

    /// Another key that is accepted from peers, while a network changes its key. Repeatable.
    pub fn also_accept(mut self, key: NetworkKey) -> Self {
        self.further_keys.push(key);
        self
    }

    /// The node's identity. Default: a new one.
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// The file that keeps the node's identity: 64 hexadecimal digits, made with mode 0600 where
    /// it does not exist, refused where others than its owner can read or change it (on Unix).
    /// [`secret_key`](Self::secret_key) goes
    /// before it.
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_file = Some(path.into());
        self
    }

    /// The file in which the node keeps the lists of revoked tickets that it hears of, made where it does not
    /// exist. Default: none; then a node that was restarted and is alone takes tickets that were
    /// revoked before, for as long as they last.
    ///
    /// Kept are the lists of authorities that a producer or consumer of this node trusts, and those given
    /// to [`Node::revoke`]. A list is in the file within moments of being heard of, and what is in memory
    /// alone is written by [`Node::shutdown`]. The file is text, a list a line, as `rivermesh
    /// ticket revoke` prints them; it is no secret, but who can change it can make the node forget. One
    /// that cannot be read, or written, is an error at the start. No two nodes may share one.
    pub fn revocations(mut self, path: impl Into<PathBuf>) -> Self {
        self.revocations = Some(path.into());
        self
    }

    /// The node's name for people, at most 64 bytes. Need not be unique.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A tag, at most 64 bytes; a node has at most 64. Repeatable.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.insert(tag.into());
        self
    }

    /// Several tags. Repeatable.
    pub fn tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Joins through the nodes of an invite, and takes its network key where none is set.
    /// Repeatable.
    pub fn join(mut self, invite: Invite) -> Self {
        self.invites.push(invite);
        self
    }

    /// Joins through this node. Repeatable.
    pub fn bootstrap(mut self, node: EndpointAddr) -> Self {
        self.bootstrap.push(node);
        self
    }

    /// The address to bind, once for IPv4 and once for IPv6 at most; port 0 takes a free one.
    /// Default: all addresses of both, free ports.
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.bind.push(addr);
        self
    }

    /// How relays are used. Default: not at all.
    pub fn relay(mut self, relay: Relay) -> Self {
        self.relay = relay;
        self
    }

    /// How nodes of the same machine find each other. Default: through a folder of the user.
    pub fn rendezvous(mut self, rendezvous: Rendezvous) -> Self {
        self.discovery.rendezvous = rendezvous;
        self
    }

    /// Whether nodes of the local network find each other's addresses by multicast DNS. Default:
    /// no. Needs the cargo feature `mdns`.
    pub fn mdns(mut self, on: bool) -> Self {
        self.mdns = on;
        self
    }

    /// Whether addresses are published to, and looked up in, the BitTorrent mainline DHT. Default:
    /// no. Needs the cargo feature `dht`.
    pub fn dht(mut self, on: bool) -> Self {
        self.dht = on;
        self
    }

    /// QUIC settings: a [`Transport`], or a [`Profile`](crate::Profile) for a kind of network.
    pub fn transport(mut self, transport: impl Into<Transport>) -> Self {
        self.transport = transport.into();
        self
    }

    /// Limits on connections.
    pub fn connections(mut self, connections: ConnectionConfig) -> Self {
        self.connections = connections;
        self
    }

    /// Settings of discovery, all at once: call it before [`rendezvous`](Self::rendezvous).
    pub fn discovery(mut self, discovery: discovery::Config) -> Self {
        self.discovery = discovery;
        self
    }

    /// Settings of streams.
    pub fn streams(mut self, streams: stream::Config) -> Self {
        self.streams = streams;
        self
    }

    /// Starts the node. Waits for no relay, DNS server or peer.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub async fn spawn(mut self) -> Result<Node, SpawnError> {
        // The rules for a network's name are those of the invites it must fit in.
        Invite::new(&self.network, None, Vec::new()).map_err(SpawnError::Name)?;
        self.take_invites()?;
        let network = NetworkId::of(&self.network);
        let desk = Desk::new(network);
        let shelf = self.revocations.take().map(|path| Shelf::open(path, &desk));
        let shelf = shelf.transpose().map_err(SpawnError::Revocations)?;
        let secret_key = self.identity()?;
        let local = Local {
            secret_key: secret_key.clone(),
            network,
            name: mem::take(&mut self.name),
            tags: mem::take(&mut self.tags),
            instance: rand::random(),
            wall_behind: std::time::Duration::ZERO,
        };
        let config = self.discovery.clone();
        let discovery = Discovery::new(local, config).map_err(SpawnError::Entry)?;
        let options = Options {
            secret_key,
            bind: mem::take(&mut self.bind),
            relay: mem::take(&mut self.relay),
            transport: mem::take(&mut self.transport),
            mdns: self.mdns,
            dht: self.dht,
        };
        // Binding takes 16 KiB of state, which the futures of callers would have to carry.
        let endpoint = Box::pin(endpoint::bind(options))
            .await
            .map_err(SpawnError::Endpoint)?;
        discovery.locate(&endpoint).map_err(SpawnError::Entry)?;
        Ok(self.start(Made {
            network,
            discovery,
            endpoint,
            desk,
            shelf,
        }))
    }

    /// Starts the tasks of a node; nothing can fail any more.
    fn start(self, made: Made) -> Node {
        let Made {
            network,
            discovery,
            endpoint,
            desk,
            shelf,
        } = made;
        let tasks = Tasks::new();
        let (events, links) = mpsc::channel(LINK_EVENTS);
        let (subscriptions, asked) = mpsc::channel(SUBSCRIPTIONS);
        let keys: Vec<_> = self
            .network_key
            .iter()
            .cloned()
            .chain(self.further_keys)
            .collect();
        let keyed = !keys.is_empty();
        if let Some(shelf) = shelf {
            let keeping = shelf.keep(desk.clone(), tasks.token().clone());
            tasks.spawn_last("revocations", keeping);
        }
        let peers = Peers::spawn(Parts {
            endpoint: endpoint.clone(),
            membership: Membership { network, keys },
            directory: discovery.directory(),
            config: self.connections,
            events,
            subscriptions,
            desk: desk.clone(),
            tasks: tasks.clone(),
        });
        discovery.start(peers.clone(), links, &endpoint, self.bootstrap, &tasks);
        let drain = self.streams.drain;
        let producers = Producers::new(discovery.clone(), desk, drain, tasks.clone());
        let witness = Witness {
            peers: peers.clone(),
            keyed,
        };
        tasks.spawn("subscriptions", producers.clone().serve(asked, witness));
        let closing = close_when_cancelled(
            tasks.clone(),
            peers.clone(),
            producers.clone(),
            endpoint.clone(),
        );
        tasks.spawn_last("closing", closing);
        let inner = Inner {
            name: self.network,
            network,
            key: self.network_key,
            keyed,
            endpoint,
            discovery,
            peers,
            producers,
            streams: self.streams,
            tasks,
        };
        Node {
            inner: Arc::new(inner),
        }
    }

    fn take_invites(&mut self) -> Result<(), SpawnError> {
        for invite in mem::take(&mut self.invites) {
            if invite.network() != self.network {
                return Err(SpawnError::OtherNetwork {
                    invited: invite.network().to_owned(),
                    ours: self.network.clone(),
                });
            }
            if self.network_key.is_none() {
                self.network_key = invite.key().cloned();
            }
            self.bootstrap.extend(invite.nodes().iter().cloned());
        }
        Ok(())
    }

    fn identity(&mut self) -> Result<SecretKey, SpawnError> {
        match (self.secret_key.take(), self.key_file.take()) {
            (Some(key), _) => Ok(key),
            (None, Some(path)) => key::load_or_make(&path).map_err(SpawnError::KeyFile),
            (None, None) => Ok(SecretKey::generate()),
        }
    }
}
