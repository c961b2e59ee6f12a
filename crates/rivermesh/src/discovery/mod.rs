//! Discovery: how a node finds the others of its network, and keeps its catalog of them.
//!
//! A `Discovery` is a handle to the catalog and to one worker task. Everything that can be decided
//! without I/O is decided in `rivermesh_proto` (records, catalog, sync) and in iroh-gossip's
//! protocol state; here is what moves their messages over the node's links, and keeps time.
//!
//! | file | story |
//! | --- | --- |
//! | `config`, `event` | knobs, and what a program hears |
//! | `directory` | what connections ask of the catalog |
//! | `shared` | the catalog and the node's own entry, behind one short lock |
//! | `worker` | the one task that owns the rest of the state; it never awaits a peer |
//! | `gossip`, `screen` | iroh-gossip's protocol with its timers; what may reach it |
//! | `membership` | whom to ask to become a neighbour, and when |
//! | `spread` | carries gossip over links and judges what it brings |
//! | `neighbour` | the tasks that write to and read from one neighbour |
//! | `reconcile`, `exchange` | comparing catalogs with peers: when, and how |
//! | `contact` | dialing: bootstrap peers, probes, lost ones; telling the network of dead ones |
//! | `rendezvous` | the folder in which nodes of one machine find each other |
//! | `place` | which addresses of an entry are dialed |
//! | `meters` | metrics |

mod config;
mod contact;
mod directory;
mod event;
mod exchange;
mod gossip;
mod membership;
mod meters;
mod neighbour;
mod place;
mod reconcile;
mod rendezvous;
mod screen;
mod shared;
mod spread;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh::{Endpoint, EndpointAddr, Watcher};
use rivermesh_proto::{NodeId, StreamName, catalog::Snapshot, entry::StreamAdvert};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};

pub(crate) use self::shared::Local;
pub use self::{
    config::{Config, Rendezvous},
    event::{Event, Events},
    shared::ChangeError,
};
use self::{
    shared::Shared,
    worker::{Command, Input, Worker},
};
use crate::{
    net::{ConnectError, Directory, LinkEvent, Peers},
    task::Tasks,
};

/// Inputs waiting for the worker.
const INPUTS: usize = 1024;
/// The shortest time between two snapshots in the watch.
const PUBLISH: Duration = Duration::from_millis(5);

/// Comparing catalogs with a peer failed. What was learnt until then stays.
#[derive(Debug, Error, Clone)]
#[non_exhaustive]
pub enum SyncError {
    /// The peer could not be connected.
    #[error("no connection for comparing catalogs")]
    Connect(#[from] ConnectError),
    /// The connection broke, the peer broke the rules or took too long.
    #[error("comparing catalogs with {peer} failed: {reason}")]
    Failed {
        /// The peer.
        peer: NodeId,
        /// What went wrong.
        reason: String,
    },
    /// The node shuts down, or has not been started.
    #[error("the node's discovery is not running")]
    Stopped,
}

/// A node's discovery. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Discovery {
    shared: Arc<Shared>,
    inputs: mpsc::Sender<Input>,
    /// Taken when the worker starts.
    receiver: Arc<Mutex<Option<mpsc::Receiver<Input>>>>,
}

impl Discovery {
    /// A discovery that does nothing yet but answer questions.
    ///
    /// # Errors
    /// When name or tags break a limit.
    pub(crate) fn new(local: Local, config: Config) -> Result<Self, ChangeError> {
        let (inputs, receiver) = mpsc::channel(INPUTS);
        let shared = Arc::new(Shared::new(local, config)?);
        Ok(Self {
            shared,
            inputs,
            receiver: Arc::new(Mutex::new(Some(receiver))),
        })
    }

    /// What connections need to know of the catalog.
    pub(crate) fn directory(&self) -> Arc<dyn Directory> {
        Arc::clone(&self.shared) as Arc<dyn Directory>
    }

    /// Tells others where the endpoint is; to be called before its first connection.
    pub(crate) fn locate(&self, endpoint: &Endpoint) -> Result<(), ChangeError> {
        set_addrs(&self.shared, endpoint)
    }

    /// Starts to find peers. A second call does nothing.
    pub(crate) fn start(
        &self,
        peers: Peers,
        links: mpsc::Receiver<LinkEvent>,
        endpoint: &Endpoint,
        bootstrap: Vec<EndpointAddr>,
        tasks: &Tasks,
    ) {
        let receiver = self
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(receiver) = receiver else { return };
        let shared = Arc::clone(&self.shared);
        tasks.spawn("snapshots", publish(Arc::clone(&shared)));
        tasks.spawn(
            "addresses",
            watch_addrs(Arc::clone(&shared), endpoint.clone()),
        );
        let sockets = endpoint.bound_sockets();
        let meet = rendezvous::run(Arc::clone(&shared), sockets, self.inputs.clone());
        tasks.spawn("rendezvous", meet);
        let worker = Worker::new(shared, peers, self.inputs.clone(), tasks.clone(), bootstrap);
        tasks.spawn("discovery", worker.run(links, receiver));
    }

    /// The catalog at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The catalog, whenever it changes; several changes within 5 ms come as one.
    pub(crate) fn watch(&self) -> watch::Receiver<Snapshot> {
        self.shared.snapshots.subscribe()
    }

    /// Who is listed, then what happens to peers.
    pub(crate) fn events(&self) -> Events {
        self.shared.subscribe()
    }

    /// Tells the network that this node produces a stream.
    pub(crate) fn add_stream(&self, advert: StreamAdvert) -> Result<(), ChangeError> {
        self.shared.change(|entry| {
            entry.streams.retain(|other| other.name != advert.name);
            entry.streams.push(advert);
            entry.streams.sort_by(|a, b| a.name.cmp(&b.name));
        })
    }

    /// Tells the network that this node does not produce a stream any more.
    pub(crate) fn remove_stream(&self, name: &StreamName) {
        // Less than was allowed is allowed; a node that departed tells nothing any more.
        let _ = self
            .shared
            .change(|entry| entry.streams.retain(|advert| advert.name != *name));
    }

    /// Changes the node's tags.
    pub(crate) fn edit_tags(
        &self,
        edit: impl FnOnce(&mut BTreeSet<String>),
    ) -> Result<(), ChangeError> {
        self.shared.change(|entry| edit(&mut entry.tags))
    }

    /// Connects to a node, to learn from it whom it knows. Tries again for as long as no peer at
    /// all is found. False when too many such calls wait.
    pub(crate) fn dial(&self, addr: EndpointAddr) -> bool {
        self.inputs
            .try_send(Input::Command(Command::Dial(addr)))
            .is_ok()
    }

    /// Asks for the round-trip time to a peer, connecting to it if need be and the budget allows.
    pub(crate) fn probe(&self, peer: NodeId) {
        // When there is no room, whoever wants to know asks again.
        let _ = self.inputs.try_send(Input::Command(Command::Probe(peer)));
    }

    /// Compares catalogs with a peer now. Cancelling does not stop it.
    pub(crate) async fn sync_with(&self, peer: NodeId) -> Result<(), SyncError> {
        let (reply, answer) = oneshot::channel();
        let command = Input::Command(Command::Sync(peer, reply));
        self.inputs
            .send(command)
            .await
            .map_err(|_| SyncError::Stopped)?;
        answer.await.map_err(|_| SyncError::Stopped)?
    }

    /// Says goodbye to the network. Returns when the neighbours have the news, or as
    /// [`Config::departure_deadline`] says.
    pub(crate) async fn depart(&self) {
        let (reply, answer) = oneshot::channel();
        let within = self.shared.config.departure_deadline + worker::LAST;
        let told = async {
            if self
                .inputs
                .send(Input::Command(Command::Depart(reply)))
                .await
                .is_ok()
            {
                let _ = answer.await;
            }
        };
        // An error only says that some neighbour is slow to take the news.
        let _ = tokio::time::timeout(within, told).await;
    }
}

/// Puts the catalog into the watch when it has changed, but not all the time.
async fn publish(shared: Arc<Shared>) {
    loop {
        shared.changed.notified().await;
        shared.snapshots.send_replace(shared.snapshot());
        sleep(PUBLISH).await;
    }
}

/// Tells the network when the node's addresses change.
async fn watch_addrs(shared: Arc<Shared>, endpoint: Endpoint) {
    let mut addrs = endpoint.watch_addr();
    loop {
        if let Err(error) = set_addrs(&shared, &endpoint) {
            tracing::debug!(%error, "the node's addresses were not announced");
        }
        if addrs.updated().await.is_err() {
            return;
        }
    }
}

fn set_addrs(shared: &Shared, endpoint: &Endpoint) -> Result<(), ChangeError> {
    let bound = rendezvous::reachable_here(&endpoint.bound_sockets());
    let addrs = shared::told_addrs(&endpoint.addr(), &bound);
    shared.change(|entry| entry.addrs = addrs)
}
