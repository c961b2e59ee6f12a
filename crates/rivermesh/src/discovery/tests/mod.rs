//! Nodes with real endpoints on loopback, discovery only.

mod cost;
mod forming;
mod hostile;
mod liveness;
mod tally;

use std::{collections::BTreeSet, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use iroh::{Endpoint, EndpointAddr, SecretKey};
use rivermesh_proto::{Epoch, Fingerprint, NetworkId, NodeId, StreamName, entry::StreamAdvert};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use self::tally::Tally;
use super::{Config, Discovery, Event, Events, Local, Rendezvous};
use crate::{
    net::{
        ConnectError, Peers, Subscription,
        endpoint::{self, Options, Relay},
        handshake::Membership,
        peers,
    },
    task::Tasks,
};

/// How long to wait for what should take far less.
const SOON: Duration = Duration::from_secs(30);

/// What a test's node is made of.
struct Recipe {
    network: &'static str,
    key: SecretKey,
    name: String,
    bootstrap: Vec<EndpointAddr>,
    behind: Duration,
    config: Config,
    tally: Tally,
}

impl Recipe {
    fn new(network: &'static str) -> Self {
        Self {
            network,
            key: SecretKey::generate(),
            name: String::new(),
            bootstrap: Vec::new(),
            behind: Duration::ZERO,
            config: Config {
                rendezvous: Rendezvous::Off,
                ..Config::default()
            },
            tally: Tally::default(),
        }
    }

    fn tally(mut self, tally: &Tally) -> Self {
        self.tally = tally.clone();
        self
    }

    fn key(mut self, key: &SecretKey) -> Self {
        self.key = key.clone();
        self
    }

    fn bootstrap(mut self, addr: EndpointAddr) -> Self {
        self.bootstrap.push(addr);
        self
    }

    fn meet_in(mut self, dir: &Path) -> Self {
        self.config.rendezvous = Rendezvous::Dir(dir.to_owned());
        self
    }

    async fn start(self) -> TestNode {
        let endpoint = endpoint::bind(Options {
            secret_key: self.key.clone(),
            bind: vec![(Ipv4Addr::LOCALHOST, 0).into()],
            relay: Relay::Disabled,
            transport: crate::Transport::default(),
            mdns: false,
            dht: false,
        });
        let endpoint = endpoint.await.unwrap();
        let network = NetworkId::of(self.network);
        let local = Local {
            secret_key: self.key,
            network,
            name: self.name,
            tags: BTreeSet::new(),
            instance: rand::random(),
            wall_behind: self.behind,
        };
        let discovery = self
            .tally
            .over(|| Discovery::new(local, self.config))
            .unwrap();
        discovery.locate(&endpoint).unwrap();
        let tasks = Tasks::new();
        let (events, links) = mpsc::channel(64);
        let (subscriptions, subscribed) = mpsc::channel(1);
        let parts = peers::Parts {
            endpoint: endpoint.clone(),
            membership: Membership {
                network,
                keys: Vec::new(),
            },
            directory: discovery.directory(),
            config: peers::Config::default(),
            events,
            subscriptions,
            desk: crate::admission::Desk::new(network),
            tasks: tasks.clone(),
        };
        let peers = self.tally.over(|| Peers::spawn(parts));
        let events = discovery.events();
        discovery.start(peers.clone(), links, &endpoint, self.bootstrap, &tasks);
        TestNode {
            discovery,
            peers,
            endpoint,
            tasks,
            events,
            _subscribed: subscribed,
        }
    }
}

struct TestNode {
    discovery: Discovery,
    peers: Peers,
    endpoint: Endpoint,
    tasks: Tasks,
    /// From before the start.
    events: Events,
    _subscribed: mpsc::Receiver<Subscription>,
}

impl TestNode {
    fn id(&self) -> NodeId {
        self.endpoint.id()
    }

    fn addr(&self) -> EndpointAddr {
        self.endpoint.addr()
    }

    fn tag(&self, tag: &str) {
        self.discovery
            .edit_tags(|tags| tags.extend([tag.to_owned()]))
            .unwrap();
    }

    fn lists(&self, node: NodeId) -> bool {
        self.discovery.snapshot().get(&node).is_some()
    }

    fn sees_live(&self, node: NodeId) -> bool {
        self.discovery
            .snapshot()
            .get(&node)
            .is_some_and(|peer| peer.is_live())
    }

    fn live(&self) -> usize {
        self.discovery.snapshot().live().count()
    }

    /// The next event that `wanted` wants.
    async fn event<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.next().await.expect("the node runs");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        timeout(SOON, found)
            .await
            .expect("an event that was waited for")
    }

    /// The events that are there now.
    fn events_so_far(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(Some(event)) = futures::FutureExt::now_or_never(self.events.next()) {
            events.push(event);
        }
        events
    }

    async fn stop(self) {
        self.discovery.depart().await;
        self.tasks.cancel();
        self.endpoint.close().await;
        self.tasks.ended().await;
    }
}

/// Waits until something holds; panics with `what` after `within`.
async fn until(what: &str, within: Duration, holds: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

async fn complete(nodes: &[TestNode], within: Duration) -> Duration {
    let all = nodes.len();
    let start = Instant::now();
    while !nodes.iter().all(|node| node.live() == all) {
        if start.elapsed() >= within {
            let counts: Vec<_> = nodes.iter().map(TestNode::live).collect();
            panic!("catalogs of {all} not complete: {counts:?}");
        }
        sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// A network of nodes that know the first one.
async fn network(name: &'static str, size: usize) -> Vec<TestNode> {
    counted_network(name, size, &Tally::default()).await
}

/// The same, with the metrics of all nodes in one tally.
async fn counted_network(name: &'static str, size: usize, tally: &Tally) -> Vec<TestNode> {
    let recipe = || Recipe::new(name).tally(tally);
    let first = recipe().start().await;
    let addr = first.addr();
    let others = (1..size).map(|_| recipe().bootstrap(addr.clone()).start());
    let others = futures::future::join_all(others).await;
    [first].into_iter().chain(others).collect()
}

async fn stop_all(nodes: Vec<TestNode>) {
    futures::future::join_all(nodes.into_iter().map(TestNode::stop)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_meet_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let a = Recipe::new("folder").meet_in(dir.path()).start().await;
    let b = Recipe::new("folder").meet_in(dir.path()).start().await;
    let nodes = vec![a, b];
    complete(&nodes, SOON).await;
    stop_all(nodes).await;
    let left = std::fs::read_dir(dir.path().join(NetworkId::of("folder").to_string())).unwrap();
    assert_eq!(left.count(), 0, "files are removed at the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_nodes_complete_through_one_and_each_joins_once() {
    let mut nodes = network("ten", 10).await;
    complete(&nodes, SOON).await;
    for node in &mut nodes {
        let own = node.id();
        let mut joined = BTreeSet::new();
        for event in node.events_so_far() {
            match event {
                Event::Joined(peer) => assert!(joined.insert(peer.id()), "joined twice"),
                Event::Updated(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        assert_eq!(joined.len(), 9);
        assert!(!joined.contains(&own));
    }
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_exactly() {
    let mut nodes = network("changes", 4).await;
    complete(&nodes, SOON).await;
    let changing = nodes[3].id();
    for node in &mut nodes {
        node.events_so_far();
    }
    nodes[3].tag("eu");
    for node in &mut nodes[..3] {
        let updated = |event: &Event| match event {
            Event::Updated(peer) if peer.id() == changing => Some(Arc::clone(peer)),
            _ => None,
        };
        let peer = node.event(updated).await;
        assert!(peer.has_tag("eu"));
        assert!(
            node.discovery
                .snapshot()
                .get(&changing)
                .unwrap()
                .has_tag("eu")
        );
    }
    // The same again is no change; two at once are one announcement or two, the last one counts.
    nodes[3].tag("eu");
    let stream = |name: &str| StreamAdvert {
        name: StreamName::new(name).unwrap(),
        fingerprint: Fingerprint([1; 8]),
        epoch: Epoch(1),
    };
    nodes[3].discovery.add_stream(stream("b")).unwrap();
    nodes[3].discovery.add_stream(stream("a")).unwrap();
    nodes[3]
        .discovery
        .remove_stream(&StreamName::new("b").unwrap());
    for node in &nodes[..3] {
        until("the stream is known", SOON, || {
            let snapshot = node.discovery.snapshot();
            snapshot.producers_of("a").count() == 1 && snapshot.producers_of("b").count() == 0
        })
        .await;
    }
    for node in &mut nodes[..3] {
        let updates = node.events_so_far();
        assert!((1..=3).contains(&updates.len()), "{updates:?}");
        assert!(
            updates
                .iter()
                .all(|event| matches!(event, Event::Updated(_))),
            "{updates:?}"
        );
    }
    let too_long = nodes[0]
        .discovery
        .edit_tags(|tags| tags.extend(["x".repeat(1000)]));
    assert!(matches!(too_long, Err(super::ChangeError::Limit(_))));
    assert!(
        nodes[0]
            .discovery
            .snapshot()
            .get(&nodes[0].id())
            .unwrap()
            .tags()
            .is_empty()
    );
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let a = Recipe::new("one").meet_in(dir.path()).start().await;
    let b = Recipe::new("two")
        .meet_in(dir.path())
        .bootstrap(a.addr())
        .start()
        .await;
    let refused = b.peers.connect_at(a.id(), Some(a.addr())).await;
    assert!(
        matches!(refused, Err(ConnectError::Handshake { .. })),
        "{refused:?}"
    );
    assert!(!a.lists(b.id()) && !b.lists(a.id()));
    assert_eq!((a.live(), b.live()), (1, 1));
    stop_all(vec![a, b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_networks_that_grew_apart_become_one() {
    let mut left = network("halves", 4).await;
    let right = network("halves", 4).await;
    complete(&left, SOON).await;
    complete(&right, SOON).await;
    assert!(left[0].discovery.dial(right[2].addr()));
    left.extend(right);
    complete(&left, SOON).await;
    left[0].discovery.sync_with(left[7].id()).await.unwrap();
    stop_all(left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_trip_times_are_measured_when_asked_for() {
    let nodes = network("rtt", 12).await;
    complete(&nodes, SOON).await;
    for node in &nodes[1..] {
        nodes[0].discovery.probe(node.id());
    }
    until("all round-trip times are known", SOON, || {
        let snapshot = nodes[0].discovery.snapshot();
        snapshot.within_rtt(Duration::from_secs(5)).count() == 11
    })
    .await;
    stop_all(nodes).await;
}
