//! The one task that owns the state of discovery.
//!
//! It takes one input at a time and never awaits anything else: what takes time is a task of its own
//! that hands its result back as an input.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use iroh::EndpointAddr;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rivermesh_proto::{NodeId, catalog::Snapshot, code::Code};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use super::{
    SyncError,
    contact::Contacts,
    gossip::Gossip,
    membership::Membership,
    neighbour::{Budget, Outgoing},
    reconcile::Reconcile,
    screen::Screened,
    shared::Shared,
    spread::Pending,
};
use crate::{
    net::{ConnectError, Link, LinkEvent, Peers, Use},
    task::Tasks,
};

/// How often the round-trip time to a peer is read that was connected a moment ago, and for how long:
/// until there are enough samples for it to be known.
const YOUNG: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Changes of the node's own entry within this time are announced together.
const COALESCE: Duration = Duration::from_millis(20);

/// How long a node that leaves waits beyond [`Config::departure_deadline`](super::Config) for one neighbour
/// to have the news, where none has it.
pub(super) const LAST: Duration = Duration::from_secs(3);

/// Changes of the catalog within this time are held against the connections together: with many of
/// both, each change would cost a look at all connections.
const COMPARE: Duration = Duration::from_millis(20);

/// What a program asks for.
#[derive(Debug)]
pub(super) enum Command {
    Dial(EndpointAddr),
    Probe(NodeId),
    Sync(NodeId, oneshot::Sender<Result<(), SyncError>>),
    Depart(oneshot::Sender<()>),
}

/// What tasks hand to the worker.
#[derive(Debug)]
pub(super) enum Input {
    Command(Command),
    /// A message of a peer, within its budget.
    Gossip(Arc<Link>, Box<Screened>),
    /// A connection that gossip asked for.
    Connected(NodeId, Result<Use, ConnectError>),
    /// A connection for learning whom the peer knows.
    Contacted(NodeId, Result<Use, ConnectError>),
    /// A connection for measuring the round-trip time is made, or not.
    Probed(NodeId),
    /// A peer whose connection was lost is reached again, or not.
    Redialed(NodeId, bool),
    /// A comparison of catalogs that this node asked for has ended: whether it told anything that
    /// gossip should have told.
    Synced(NodeId, Result<bool, SyncError>),
    /// A comparison of catalogs that a peer asked for has ended; as above.
    Answered(NodeId, bool),
    /// Nodes found on this machine.
    Met(Vec<EndpointAddr>),
}

/// Which life of a peer a connection leads to.
struct Life {
    /// As the peer said in the handshake.
    instance: u64,
    /// As the catalog said when the connection was made. It may know of a life before or after.
    listed: Option<u64>,
    since: Instant,
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) peers: Peers,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) tasks: Tasks,
    pub(super) rng: StdRng,
    pub(super) gossip: Gossip,
    pub(super) outgoing: HashMap<NodeId, Outgoing>,
    pub(super) pending: HashMap<NodeId, Pending>,
    /// What each peer that gossips may still send.
    pub(super) budgets: HashMap<NodeId, Weak<Mutex<Budget>>>,
    pub(super) membership: Membership,
    pub(super) reconcile: Reconcile,
    pub(super) contacts: Contacts,
    /// Each connected peer.
    connected: HashMap<NodeId, Life>,
    announce_at: Instant,
    /// When to announce a change of our own entry.
    flush_at: Option<Instant>,
    rtt_at: Instant,
    /// When to hold the catalog against the connections, where it has changed.
    restarts_at: Option<Instant>,
    /// Whether the node's first entry was announced to neighbours.
    introduced: bool,
    pub(super) departed: bool,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        peers: Peers,
        inputs: mpsc::Sender<Input>,
        tasks: Tasks,
        bootstrap: Vec<EndpointAddr>,
    ) -> Self {
        let now = Instant::now();
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let gossip = Gossip::new(shared.local, shared.network, rng.random(), now);
        let interval = shared.config.announce_interval(1);
        Self {
            contacts: Contacts::new(&shared, bootstrap, now),
            membership: Membership::new(now),
            reconcile: Reconcile::new(&shared.config, now),
            // Others wait for three intervals. So nodes that start together need not announce
            // themselves together.
            announce_at: now + interval.mul_f64(rng.random_range(0.5..2.0)),
            rtt_at: now + shared.config.rtt_interval,
            shared,
            peers,
            inputs,
            tasks,
            rng,
            gossip,
            outgoing: HashMap::new(),
            pending: HashMap::new(),
            budgets: HashMap::new(),
            connected: HashMap::new(),
            flush_at: None,
            restarts_at: None,
            introduced: false,
            departed: false,
        }
    }

    /// Runs until the links end or the task is cancelled.
    pub(super) async fn run(
        mut self,
        mut links: mpsc::Receiver<LinkEvent>,
        mut inputs: mpsc::Receiver<Input>,
    ) {
        let shared = Arc::clone(&self.shared);
        let mut catalog = shared.snapshots.subscribe();
        self.on_time(Instant::now());
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                event = links.recv() => match event {
                    Some(event) => self.on_link(event),
                    None => return,
                },
                Some(input) = inputs.recv() => self.on_input(input),
                Ok(()) = catalog.changed() => {
                    self.restarts_at.get_or_insert_with(|| Instant::now() + COMPARE);
                }
                () = shared.renewed.notified() => self.on_renewed(),
                () = sleep_until(deadline) => self.on_time(Instant::now()),
            }
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(link) => self.on_up(&link),
            LinkEvent::Down {
                peer,
                instance,
                graceful,
                code,
            } => {
                self.on_down(peer, instance, graceful, code);
            }
            LinkEvent::Gossip(link, reader) => self.on_gossip_stream(link, reader),
            LinkEvent::Sync(link, writer, reader) => self.on_sync_stream(link, writer, reader),
        }
    }

    fn on_input(&mut self, input: Input) {
        match input {
            Input::Command(Command::Dial(addr)) => self.on_dial(addr),
            Input::Command(Command::Probe(peer)) => self.on_probe(peer),
            Input::Command(Command::Sync(peer, reply)) => self.on_sync_asked(peer, reply),
            Input::Command(Command::Depart(reply)) => self.on_depart(reply),
            Input::Gossip(link, screened) => self.on_gossip(&link, *screened),
            Input::Connected(peer, result) => self.on_connected(peer, result),
            Input::Contacted(peer, result) => self.on_contacted(peer, result),
            Input::Probed(peer) => self.on_probed(peer),
            Input::Redialed(peer, reached) => self.on_redialed(peer, reached),
            Input::Synced(peer, result) => self.on_synced(peer, result),
            Input::Answered(peer, learnt) => self.on_answered(peer, learnt),
            Input::Met(addrs) => self.on_met(addrs),
        }
    }

    fn on_up(&mut self, link: &Arc<Link>) {
        let (peer, now) = (link.peer(), Instant::now());
        self.shared.connected(peer);
        self.sample(link);
        let life = Life {
            instance: link.instance(),
            listed: self.shared.instance(peer),
            since: now,
        };
        self.rtt_at = self.rtt_at.min(now + YOUNG.0);
        let before = self.connected.insert(peer, life);
        if before.is_some_and(|before| before.instance != link.instance()) {
            // The peer's process is another one, which knows nothing of being a neighbour.
            self.outgoing.remove(&peer);
            let effects = self.gossip.disconnected(peer, now);
            self.apply(effects);
        } else if self
            .outgoing
            .get(&peer)
            .is_some_and(|out| out.link != link.id())
        {
            // Another connection is kept; a request to join may have been lost with this one.
            self.outgoing.remove(&peer);
            self.ask_again(peer, now);
        }
        if self.shared.take_outdated(peer) {
            self.sync_with(Arc::clone(link));
        }
        if link.dialed() && self.gossip.neighbours().is_empty() {
            self.ask(peer, now);
        }
    }

    fn on_down(&mut self, peer: NodeId, instance: u64, graceful: bool, code: Option<Code>) {
        if self.peers.get(peer).is_some() {
            return;
        }
        self.connected.remove(&peer);
        self.budgets.remove(&peer);
        self.membership.forget(peer);
        self.reconcile.forget(peer);
        self.shared.disconnected(peer);
        self.outgoing.remove(&peer);
        let effects = self.gossip.disconnected(peer, Instant::now());
        self.apply(effects);
        self.look_after(peer, instance, graceful, code);
    }

    /// Gives up connections to lives of peers that others know to be over. The transport would
    /// notice only by silence, and nobody dials a peer while it seems to be connected.
    fn give_up_restarted(&self, catalog: &Snapshot) {
        for (peer, life) in &self.connected {
            let Some(listed) = catalog.get(peer).map(|peer| peer.instance()) else {
                continue;
            };
            if listed != life.instance
                && Some(listed) != life.listed
                && let Some(link) = self.peers.get(*peer)
                && link.instance() == life.instance
            {
                debug!(peer = %peer.fmt_short(), "the peer was restarted");
                link.close(Code::Duplicate);
            }
        }
    }

    fn on_renewed(&mut self) {
        self.announce_by(Instant::now() + COALESCE);
    }

    /// Has our own entry announced at this time, unless it is to be announced before anyway.
    pub(super) fn announce_by(&mut self, at: Instant) {
        self.flush_at = Some(self.flush_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn next_deadline(&self) -> Instant {
        let catalog = self
            .shared
            .read(rivermesh_proto::catalog::Catalog::next_deadline);
        [
            catalog.map(|mono| self.shared.instant(mono)),
            self.flush_at,
            self.restarts_at,
            self.contacts.next_deadline(self.gossip.neighbours().len()),
            Some(self.gossip.next_deadline()),
            Some(self.membership.next_deadline()),
            Some(self.reconcile.next_deadline()),
            Some(self.announce_at),
            // What other tasks change in the catalog is looked at this often.
            Some(self.rtt_at),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.rtt_at)
    }

    fn on_time(&mut self, now: Instant) {
        self.shared.tick();
        if self.gossip.next_deadline() <= now {
            let effects = self.gossip.tick(now);
            self.apply(effects);
        }
        if self.announce_at <= now {
            self.refresh(now);
        }
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush_at = None;
            if self.shared.refreshes_too_often() {
                // What goes to all anyway may as well tell the right time, so that the node needs
                // not announce itself again soon only for what it did not know when it started.
                self.renew(now, 0.5..1.0);
            } else if !self.introduced && !self.gossip.neighbours().is_empty() {
                // It goes to all for the first time, so the next time may be as far off as they expect.
                self.introduced = true;
                let wait = self
                    .shared
                    .interval()
                    .mul_f64(self.rng.random_range(0.5..1.0));
                self.announce_at = self.announce_at.max(now + wait);
            }
            if let Some(record) = self.shared.record() {
                self.shared.meters.announcements.increment(1);
                let effects = self.gossip.broadcast(record.as_bytes().clone(), now);
                self.apply(effects);
            }
        }
        if self.restarts_at.is_some_and(|at| at <= now) {
            self.restarts_at = None;
            self.give_up_restarted(&self.shared.snapshot());
        }
        if self.rtt_at <= now {
            for link in self.peers.links() {
                self.sample(&link);
            }
            self.rtt_at = now + self.until_next_sample(now);
            self.let_go(now);
        }
        if self.departed {
            return;
        }
        self.keep_neighbours(now);
        self.compare_now_and_then(now);
        self.dial_what_is_due(now);
    }

    /// Announces our own entry again, before others begin to wonder.
    fn refresh(&mut self, now: Instant) {
        if self.renew(now, 0.8..1.0) {
            self.announce_by(now);
        }
    }

    /// Signs our own entry again, and sets when to do so next, in parts of the interval. False once
    /// the node has departed.
    fn renew(&mut self, now: Instant, next: Range<f64>) -> bool {
        let interval = self.shared.refresh();
        let wait = interval.map(|interval| interval.mul_f64(self.rng.random_range(next)));
        self.announce_at = now + wait.unwrap_or(Duration::from_secs(3600));
        interval.is_some()
    }

    /// How long until round-trip times are read again.
    fn until_next_sample(&self, now: Instant) -> Duration {
        let mut young = self
            .connected
            .iter()
            .filter(|(_, life)| now.duration_since(life.since) < YOUNG.1)
            .map(|(peer, _)| *peer)
            .peekable();
        let usual = self.shared.config.rtt_interval;
        if young.peek().is_none() {
            return usual;
        }
        let unknown = self.shared.read(|catalog| {
            let listed = |peer| catalog.view().get(&peer).cloned();
            young.filter_map(listed).any(|peer| peer.rtt().is_none())
        });
        if unknown { usual.min(YOUNG.0) } else { usual }
    }

    fn sample(&self, link: &Link) {
        if let Some(rtt) = link.measure() {
            self.shared.measured(link.peer(), rtt);
        }
    }

    fn on_depart(&mut self, reply: oneshot::Sender<()>) {
        let now = Instant::now();
        self.departed = true;
        self.flush_at = None;
        if let Some(record) = self.shared.depart() {
            let effects = self.gossip.broadcast(record.as_bytes().clone(), now);
            self.apply(effects);
            let effects = self.gossip.quit(now);
            self.apply_last(effects);
        }
        // Taking the queues away ends the streams after what is queued.
        let ended = self.outgoing.drain().map(|(_, out)| out.ended).collect();
        let within = self.shared.config.departure_deadline;
        self.tasks.spawn("departure", async move {
            told(ended, within).await;
            let _ = reply.send(());
        });
    }
}

/// Waits until all neighbours have the news, for as long as is allowed; or, where nobody has it by then, until
/// one has, who passes it on.
async fn told(mut ended: FuturesUnordered<oneshot::Receiver<()>>, within: Duration) {
    let mut some = false;
    let all = async {
        while let Some(end) = ended.next().await {
            some |= end.is_ok();
        }
    };
    if timeout(within, all).await.is_err() && !some {
        let one = async {
            while let Some(end) = ended.next().await {
                if end.is_ok() {
                    return;
                }
            }
        };
        let _ = timeout(LAST, one).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a departure takes whose neighbours have the news after so many milliseconds, or never.
    async fn departure(neighbours: &[Option<u64>]) -> Duration {
        let began = Instant::now();
        let ended = FuturesUnordered::new();
        for after in neighbours.iter().copied() {
            let (end, ended_at) = oneshot::channel();
            ended.push(ended_at);
            tokio::spawn(async move {
                match after {
                    Some(ms) => {
                        sleep_until(began + Duration::from_millis(ms)).await;
                        let _ = end.send(());
                    }
                    None => {
                        std::future::pending::<()>().await;
                        drop(end);
                    }
                }
            });
        }
        told(ended, Duration::from_millis(500)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_waits_for_all_a_while_and_for_one_longer() {
        let ms = Duration::from_millis;
        assert_eq!(departure(&[]).await, ms(0));
        assert_eq!(departure(&[Some(10), Some(20)]).await, ms(20));
        assert_eq!(departure(&[Some(10), None]).await, ms(500));
        assert_eq!(departure(&[Some(1200), None, Some(2000)]).await, ms(1200));
        assert_eq!(departure(&[None]).await, ms(500) + LAST);
    }
}
