//! What the handle, the worker and its tasks share: the catalog, the node's own entry, and the ways
//! in which changes are told.
//!
//! One mutex guards all of it. It is held for look-ups, for signing and for checking signatures
//! (some 50 µs each, up to a page of a sync at once), never while anything is awaited.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use iroh::{EndpointAddr, SecretKey, TransportAddr};
use rivermesh_proto::{
    NetworkId, NodeId,
    catalog::{Admitted, Catalog, Change, Clock, Refused, Rtt, Snapshot, Source},
    entry::{Departure, Entry, EntryError, Revisions, SignedRecord},
    limits,
    rtt::Steady,
    sync::{Output, SyncError},
};
use thiserror::Error;
use tokio::{
    sync::{Notify, Semaphore, broadcast, watch},
    time::Instant,
};
use tracing::{debug, warn};

use super::{Config, Event, Events, exchange::Desk, meters, meters::Meters, place::is_one};

/// Addresses of peers that are known from elsewhere than the catalog.
const HINTS: usize = 1024;
/// The size of network that a node reckons with until it knows better.
const UNKNOWN: usize = 200;
/// Peers that showed an outdated record and are still to be told.
const OUTDATED: usize = 256;

/// The node's own entry was not changed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// The entry would break a limit; the source names it.
    #[error("the node's entry would break a limit")]
    Limit(#[from] EntryError),
    /// The node has said goodbye to the network.
    #[error("the node is leaving the network")]
    Departed,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) local: NodeId,
    pub(super) network: NetworkId,
    pub(super) meters: Meters,
    key: SecretKey,
    state: Mutex<State>,
    pub(super) snapshots: watch::Sender<Snapshot>,
    pub(super) events: broadcast::Sender<Event>,
    /// The catalog is newer than the snapshot in the watch.
    pub(super) changed: Notify,
    /// The node's own entry is newer than what was announced.
    pub(super) renewed: Notify,
    /// Gossip neighbours at the moment.
    pub(super) neighbours: AtomicUsize,
    /// Places for syncs that peers ask for.
    pub(super) answers: Semaphore,
    pub(super) desk: Desk,
    origin: Instant,
    /// How much the wall clock is behind, for tests.
    wall_behind: Duration,
}

#[derive(Debug)]
struct State {
    catalog: Catalog,
    entry: Entry,
    record: SignedRecord,
    revisions: Revisions,
    departed: bool,
    hints: HashMap<NodeId, EndpointAddr>,
    rtts: HashMap<NodeId, Steady>,
    /// Peers that came with a record older than what is known of them.
    outdated: HashSet<NodeId>,
    /// Where peers were that are not listed any more because nobody could reach them.
    lost: Vec<EndpointAddr>,
}

/// Who the local node is.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) secret_key: SecretKey,
    pub(crate) network: NetworkId,
    pub(crate) name: String,
    pub(crate) tags: BTreeSet<String>,
    /// A random number for this life of the node.
    pub(crate) instance: u64,
    /// How far to set the wall clock back; zero but in tests.
    pub(crate) wall_behind: Duration,
}

impl Shared {
    pub(super) fn new(local: Local, config: Config) -> Result<Self, ChangeError> {
        let config = config.in_range();
        let id = local.secret_key.public();
        let catalog = Catalog::new(id, local.network, config.catalog());
        let mut revisions = Revisions::new();
        let origin = Instant::now();
        let entry = Entry {
            network: local.network,
            node: id,
            name: local.name,
            tags: local.tags,
            addrs: Vec::new(),
            streams: Vec::new(),
            instance: local.instance,
            revision: revisions.next(wall_us(local.wall_behind)),
            // The size of the network is not known yet. Nodes that start together and had said too
            // little would all have to sign, and everybody to verify, a second time at once.
            refresh_s: seconds(config.announce_interval(UNKNOWN)),
        };
        let record = entry.sign(&local.secret_key)?;
        let state = State {
            catalog,
            entry,
            record: record.clone(),
            revisions,
            departed: false,
            hints: HashMap::new(),
            rtts: HashMap::new(),
            outdated: HashSet::new(),
            lost: Vec::new(),
        };
        let shared = Self {
            local: id,
            network: local.network,
            meters: Meters::new(),
            key: local.secret_key,
            state: Mutex::new(state),
            snapshots: watch::Sender::new(Snapshot::default()),
            events: broadcast::Sender::new(config.events),
            changed: Notify::new(),
            renewed: Notify::new(),
            neighbours: AtomicUsize::new(0),
            answers: Semaphore::new(config.max_syncs),
            desk: Desk::new(),
            origin,
            wall_behind: local.wall_behind,
            config,
        };
        {
            let mut state = shared.lock();
            let now = shared.clock();
            if let Err(error) = state.catalog.announce(record, now) {
                warn!(%error, "the node's own entry was refused");
            }
            shared.snapshots.send_replace(state.catalog.snapshot());
        }
        Ok(shared)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock ends the node's discovery; what was locked is used on for reading.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clock(&self) -> Clock {
        Clock {
            mono: self.origin.elapsed(),
            wall_us: wall_us(self.wall_behind),
        }
    }

    /// The moment that the catalog's clock calls `mono`.
    pub(super) fn instant(&self, mono: Duration) -> Instant {
        self.origin + mono
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.lock().catalog.snapshot()
    }

    /// Hands a record to the catalog and tells what came of it.
    pub(super) fn admit(&self, record: SignedRecord, source: Source) -> Result<Admitted, Refused> {
        let mut state = self.lock();
        let admitted = state.catalog.admit(record, source, self.clock());
        match &admitted {
            Ok(admitted) => {
                self.meters.admitted.increment(1);
                self.tell(
                    &mut state,
                    admitted.displaced.iter().chain(&admitted.change),
                );
                self.refute(&mut state, admitted.refute);
            }
            Err(error) => meters::refused(error),
        }
        admitted
    }

    /// Whether exactly this record is what the catalog has of its node.
    pub(super) fn holds(&self, record: &SignedRecord) -> bool {
        let state = self.lock();
        let node = NodeId::from_bytes(&record.node_bytes());
        node.is_ok_and(|node| state.catalog.record(&node) == Some(record))
    }

    /// Lets a step of a sync work on the catalog.
    pub(super) fn sync<F>(&self, step: F) -> Result<Output, SyncError>
    where
        F: FnOnce(&mut Catalog, Clock) -> Result<Output, SyncError>,
    {
        let mut state = self.lock();
        let output = step(&mut state.catalog, self.clock())?;
        self.meters.admitted.increment(output.news.len() as u64);
        self.tell(&mut state, &output.changes);
        self.refute(&mut state, output.refute);
        Ok(output)
    }

    /// Reads from the catalog.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Catalog) -> T) -> T {
        read(&self.lock().catalog)
    }

    /// Reads from the catalog as it is at this moment.
    pub(super) fn read_now<T>(&self, read: impl FnOnce(&Catalog, Clock) -> T) -> T {
        let state = self.lock();
        read(&state.catalog, self.clock())
    }

    /// Lets time pass in the catalog.
    pub(super) fn tick(&self) {
        let mut state = self.lock();
        let changes = state.catalog.tick(self.clock());
        self.tell(&mut state, &changes);
    }

    /// The life of a peer that the catalog lists.
    pub(super) fn instance(&self, peer: NodeId) -> Option<u64> {
        self.read(|catalog| catalog.view().get(&peer).map(|peer| peer.instance()))
    }

    pub(super) fn connected(&self, peer: NodeId) {
        let mut state = self.lock();
        let change = state.catalog.connected(peer, self.clock());
        self.tell(&mut state, &change);
    }

    pub(super) fn disconnected(&self, peer: NodeId) {
        self.lock().catalog.disconnected(&peer, self.clock());
    }

    /// Notes that a peer could not be reached; gives the suspicion to gossip, if others should know.
    pub(super) fn unreachable(&self, peer: NodeId) -> Option<SignedRecord> {
        let mut state = self.lock();
        let now = self.clock();
        let lost = state.catalog.unreachable(&peer, now)?;
        self.tell(&mut state, [&lost.change]);
        let record = lost.suspicion.sign(&self.key);
        let record = record
            .inspect_err(|error| warn!(%error, "cannot sign a suspicion"))
            .ok()?;
        if let Err(error) = state.catalog.announce(record.clone(), now) {
            debug!(%error, "the catalog did not take a suspicion");
        }
        Some(record)
    }

    /// Takes a measured round-trip time, and tells of it when it is to be told: see [`Steady`].
    pub(super) fn measured(&self, peer: NodeId, sample: Duration) {
        self.meters.rtt.record(sample);
        let mut state = self.lock();
        let state = &mut *state;
        if state.catalog.view().get(&peer).is_none() {
            return;
        }
        let steady = state.rtts.entry(peer).or_default();
        let Some(smoothed) = steady.on_sample(sample) else {
            return;
        };
        let estimator = steady.estimator();
        if let (Some(variance), Some(min)) = (estimator.variance(), estimator.minimum()) {
            let rtt = Rtt {
                smoothed,
                min,
                variance,
            };
            state.catalog.set_rtt(&peer, rtt);
            self.changed.notify_one();
        }
    }

    /// Changes the node's own entry, signs it anew and has it announced. On an error the entry is
    /// as it was.
    pub(super) fn change(&self, change: impl FnOnce(&mut Entry)) -> Result<(), ChangeError> {
        let mut state = self.lock();
        if state.departed {
            return Err(ChangeError::Departed);
        }
        let mut entry = state.entry.clone();
        change(&mut entry);
        if !entry.same_content(&state.entry) {
            self.renew(&mut state, entry, 0)?;
            self.renewed.notify_one();
        }
        Ok(())
    }

    /// Signs the node's entry again, so that others see that it lives; gives the time within which
    /// to do so again. `None` once the node has departed.
    pub(super) fn refresh(&self) -> Option<Duration> {
        let mut state = self.lock();
        if state.departed {
            return None;
        }
        let interval = self.config.announce_interval(state.catalog.view().len());
        let entry = Entry {
            refresh_s: seconds(interval),
            ..state.entry.clone()
        };
        if let Err(error) = self.renew(&mut state, entry, 0) {
            warn!(%error, "cannot sign the node's own entry");
        }
        Some(interval)
    }

    /// How often to announce the node in a network of the size that is known now.
    pub(super) fn interval(&self) -> Duration {
        let members = self.lock().catalog.view().len();
        self.config.announce_interval(members)
    }

    /// Whether the node's entry tells others to expect the next one much sooner than it will come.
    pub(super) fn refreshes_too_often(&self) -> bool {
        let interval = self.interval();
        let state = self.lock();
        !state.departed && seconds(interval) > state.entry.refresh_s.saturating_mul(3) / 2
    }

    /// The node's own entry as it was signed last; `None` once the node has departed.
    pub(super) fn record(&self) -> Option<SignedRecord> {
        let state = self.lock();
        (!state.departed).then(|| state.record.clone())
    }

    /// Takes the node off its own list; gives the goodbye to gossip.
    pub(super) fn depart(&self) -> Option<SignedRecord> {
        let mut state = self.lock();
        if state.departed {
            return None;
        }
        state.departed = true;
        let now = self.clock();
        let revision = state.revisions.next(now.wall_us);
        let departure = Departure {
            network: self.network,
            node: self.local,
            revision,
        };
        let record = departure.sign(&self.key);
        let record = record
            .inspect_err(|error| warn!(%error, "cannot sign a departure"))
            .ok()?;
        match state.catalog.announce(record.clone(), now) {
            Ok(change) => self.tell(&mut state, &change),
            Err(error) => debug!(%error, "the catalog did not take the departure"),
        }
        Some(record)
    }

    /// Remembers where a peer may be, from elsewhere than its entry.
    pub(super) fn hint(&self, addr: EndpointAddr) {
        let mut state = self.lock();
        if state.hints.len() < HINTS || state.hints.contains_key(&addr.id) {
            state.hints.insert(addr.id, addr);
        }
    }

    /// The life of this node, and its own entry as it was signed last.
    pub(super) fn own(&self) -> (u64, SignedRecord) {
        let state = self.lock();
        (state.entry.instance, state.record.clone())
    }

    /// Where a peer can be reached, as far as its entry and others have told.
    pub(super) fn addresses(&self, peer: NodeId) -> EndpointAddr {
        let state = self.lock();
        let listed = state.catalog.view().get(&peer);
        let listed = listed
            .into_iter()
            .flat_map(|peer| peer.addrs().iter().filter(|addr| is_one(addr)).cloned());
        let hinted = state
            .hints
            .get(&peer)
            .into_iter()
            .flat_map(|hint| hint.addrs.iter().cloned());
        EndpointAddr::from_parts(peer, listed.chain(hinted))
    }

    /// Notes that the peer has to be shown a record of itself.
    pub(super) fn set_outdated(&self, peer: NodeId) {
        let outdated = &mut self.lock().outdated;
        if outdated.len() < OUTDATED {
            outdated.insert(peer);
        }
    }

    /// Whether the peer has to be shown a record of itself; asking takes the mark away.
    pub(super) fn take_outdated(&self, peer: NodeId) -> bool {
        self.lock().outdated.remove(&peer)
    }

    /// Where peers were that are not listed any more because nobody could reach them.
    pub(super) fn lost(&self) -> Vec<EndpointAddr> {
        self.lock().lost.clone()
    }

    /// How many gossip neighbours there are.
    pub(super) fn set_neighbours(&self, count: usize) {
        self.neighbours.store(count, Ordering::Relaxed);
        // Exact up to 2^52.
        #[expect(clippy::cast_precision_loss, reason = "a count of neighbours is small")]
        self.meters.neighbours.set(count as f64);
    }

    fn refute(&self, state: &mut State, shown: Option<u64>) {
        let Some(shown) = shown.filter(|_| !state.departed) else {
            return;
        };
        let entry = state.entry.clone();
        match self.renew(state, entry, shown) {
            Ok(()) => self.renewed.notify_one(),
            Err(error) => warn!(%error, "cannot sign the node's own entry"),
        }
    }

    /// Signs an entry of our own with the next revision, which is above `shown`.
    fn renew(&self, state: &mut State, entry: Entry, shown: u64) -> Result<(), ChangeError> {
        let now = self.clock();
        let revision = state.revisions.above(shown, now.wall_us);
        let entry = Entry { revision, ..entry };
        let record = entry.sign(&self.key)?;
        match state.catalog.announce(record.clone(), now) {
            Ok(change) => self.tell(state, &change),
            Err(error) => warn!(%error, "the catalog did not take the node's own entry"),
        }
        state.entry = entry;
        state.record = record;
        Ok(())
    }

    /// Who is listed, and every change after that: events are sent under the same lock.
    pub(super) fn subscribe(&self) -> Events {
        let state = self.lock();
        Events::new(state.catalog.view().iter(), self.events.subscribe())
    }

    /// Tells subscribers of changes, in the order in which they were made: the lock is held.
    fn tell<'a>(&self, state: &mut State, changes: impl IntoIterator<Item = &'a Change>) {
        let mut any = false;
        for change in changes {
            any = true;
            if let Change::Left(peer) = change {
                state.rtts.remove(&peer.id());
                if !peer.is_live() && !peer.addrs().is_empty() {
                    if state.lost.len() >= 64 {
                        state.lost.remove(0);
                    }
                    let addrs = peer.addrs().iter().cloned();
                    state.lost.push(EndpointAddr::from_parts(peer.id(), addrs));
                }
            }
            if let Some(event) = Event::of(change) {
                // An error only says that nobody listens.
                let _ = self.events.send(event);
            }
        }
        if any {
            #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
            self.meters.members.set(state.catalog.view().len() as f64);
            self.changed.notify_one();
        }
    }
}

/// The addresses to tell others, from what the endpoint found out: relays first, then as many IP
/// addresses as an entry has room for. `bound` stands in where nothing was found.
pub(super) fn told_addrs(
    addr: &EndpointAddr,
    bound: &[std::net::SocketAddr],
) -> Vec<TransportAddr> {
    let relays = addr.relay_urls().cloned().map(TransportAddr::Relay);
    let mut addrs: Vec<_> = relays
        .chain(addr.ip_addrs().copied().map(TransportAddr::Ip))
        .collect();
    if addrs.is_empty() {
        addrs.extend(bound.iter().copied().map(TransportAddr::Ip));
    }
    addrs.truncate(limits::ADDRS);
    addrs
}

fn wall_us(behind: Duration) -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.saturating_sub(behind).as_micros()).unwrap_or(u64::MAX)
}

fn seconds(duration: Duration) -> u16 {
    u16::try_from(duration.as_secs()).unwrap_or(u16::MAX)
}
