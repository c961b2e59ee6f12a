//! Whole networks in virtual time: gossip that loses messages, syncs between random pairs, nodes that
//! crash, leave and come back with a clock that is behind. In the end all must agree.
//!
//! Everything follows from the seed, which is part of each failure's message.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use iroh_base::SecretKey;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IteratorRandom};
use rivermesh_proto::{
    NetworkId, NodeId,
    catalog::{Catalog, Change, Clock, Config, Source, announce_interval},
    entry::{Departure, Entry, Revisions, SignedRecord},
    sync::{Initiator, Party, Responder},
};

const WALL: u64 = 1_793_491_200_000_000;
const S: u64 = 1_000_000;
/// Links of each node in the gossip's tree.
const LINKS: usize = 4;

struct Node {
    key: SecretKey,
    catalog: Catalog,
    revisions: Revisions,
    /// What its wall clock is behind, in microseconds.
    behind: u64,
    started: u64,
    instance: u64,
    links: BTreeSet<usize>,
    inbox: VecDeque<SignedRecord>,
    announce_at: u64,
}

struct Sim {
    seed: u64,
    rng: StdRng,
    now: u64,
    loss: f64,
    nodes: BTreeMap<usize, Node>,
    /// Found dead by a neighbour at this time: (time, who finds, whom).
    findings: Vec<(u64, usize, usize)>,
    verified: usize,
}

fn key(n: usize) -> SecretKey {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    SecretKey::from_bytes(&bytes)
}

fn network() -> NetworkId {
    NetworkId::of("sim")
}

impl Node {
    fn clock(&self, now: u64) -> Clock {
        Clock {
            mono: Duration::from_secs(now - self.started),
            wall_us: WALL + now * S - self.behind,
        }
    }

    fn announce(&mut self, now: u64, above: Option<u64>) -> SignedRecord {
        let clock = self.clock(now);
        let revision = match above {
            Some(shown) => self.revisions.above(shown, clock.wall_us),
            None => self.revisions.next(clock.wall_us),
        };
        let every = announce_interval(self.catalog.view().len());
        let entry = Entry {
            network: network(),
            node: self.key.public(),
            name: String::new(),
            tags: BTreeSet::new(),
            addrs: Vec::new(),
            streams: Vec::new(),
            instance: self.instance,
            revision,
            refresh_s: u16::try_from(every.as_secs()).unwrap(),
        };
        let signed = entry.sign(&self.key).unwrap();
        self.catalog.announce(signed.clone(), clock).unwrap();
        self.announce_at = now + every.as_secs();
        signed
    }
}

impl Sim {
    fn new(seed: u64, loss: f64) -> Self {
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            now: 0,
            loss,
            nodes: BTreeMap::new(),
            findings: Vec::new(),
            verified: 0,
        }
    }

    /// Starts a node, which joins by a random other one.
    fn start(&mut self, n: usize, behind: u64) {
        let key = key(n);
        let mut node = Node {
            catalog: Catalog::new(key.public(), network(), Config::default()),
            key,
            revisions: Revisions::new(),
            behind,
            started: self.now,
            instance: self.rng.random(),
            links: BTreeSet::new(),
            inbox: VecDeque::new(),
            announce_at: 0,
        };
        node.announce(self.now, None);
        self.nodes.insert(n, node);
        self.link(n);
    }

    /// Ends a node without a word; its neighbours find out after 3 to 6 seconds.
    fn crash(&mut self, n: usize) {
        let node = self.nodes.remove(&n).unwrap();
        for other in node.links {
            let found = self.now + self.rng.random_range(3..6);
            self.findings.push((found, other, n));
        }
    }

    fn leave(&mut self, n: usize) {
        let now = self.now;
        let node = self.nodes.get_mut(&n).unwrap();
        let goodbye = Departure {
            network: network(),
            node: node.key.public(),
            revision: node.revisions.next(node.clock(now).wall_us),
        };
        let goodbye = goodbye.sign(&node.key).unwrap();
        self.flood(n, &goodbye);
        let node = self.nodes.remove(&n).unwrap();
        for other in node.links {
            let clock = self.nodes[&other].clock(now);
            let other = self.nodes.get_mut(&other).unwrap();
            other.links.remove(&n);
            other.catalog.disconnected(&node.key.public(), clock);
        }
    }

    /// Connects a node with others until it has its links.
    fn link(&mut self, n: usize) {
        while self.nodes[&n].links.len() < LINKS.min(self.nodes.len() - 1) {
            let others = self.nodes.keys().copied();
            let links = &self.nodes[&n].links;
            let Some(other) = others
                .filter(|other| *other != n && !links.contains(other))
                .choose(&mut self.rng)
            else {
                return;
            };
            self.handshake(n, other);
            self.handshake(other, n);
            self.sync(n, other);
        }
    }

    /// `n` shows itself to `other` on a new connection.
    fn handshake(&mut self, n: usize, other: usize) {
        let own = self.nodes[&n].key.public();
        let entry = self.nodes[&n].catalog.record(&own).unwrap().clone();
        let now = self.now;
        let host = self.nodes.get_mut(&other).unwrap();
        let clock = host.clock(now);
        host.links.insert(n);
        host.catalog.connected(own, clock);
        let source = Source::Handshake { peer: own };
        match host.catalog.admit(entry.clone(), source, clock) {
            Ok(_) => self.flood(other, &entry),
            Err(refused) => assert!(!refused.is_fault(), "{refused}"),
        }
    }

    fn sync(&mut self, a: usize, b: usize) {
        let mut one = self.nodes.remove(&a).unwrap();
        let mut two = self.nodes.remove(&b).unwrap();
        let (clock_a, clock_b) = (one.clock(self.now), two.clock(self.now));
        let (mut initiator, open) = Initiator::start(two.key.public(), &one.catalog);
        let mut responder = Responder::new(one.key.public());
        let mut next = Some(open);
        let (mut refute_a, mut refute_b) = (None, None);
        while let Some(message) = next {
            let bytes = message.encode();
            let answered = responder.handle(&bytes, &mut two.catalog, clock_b).unwrap();
            refute_b = refute_b.max(answered.refute);
            self.verified += answered.news.len();
            let Some(answer) = answered.send else { break };
            let bytes = answer.encode();
            let output = initiator.handle(&bytes, &mut one.catalog, clock_a).unwrap();
            refute_a = refute_a.max(output.refute);
            self.verified += output.news.len();
            next = output.send;
        }
        self.nodes.insert(a, one);
        self.nodes.insert(b, two);
        for (n, refute) in [(a, refute_a), (b, refute_b)] {
            if refute.is_some() {
                self.announce(n, refute);
            }
        }
    }

    fn announce(&mut self, n: usize, above: Option<u64>) {
        let signed = self.nodes.get_mut(&n).unwrap().announce(self.now, above);
        self.flood(n, &signed);
    }

    /// Sends to all linked nodes that the message reaches.
    fn flood(&mut self, from: usize, record: &SignedRecord) {
        for to in self.nodes[&from].links.clone() {
            if !self.rng.random_bool(self.loss)
                && let Some(to) = self.nodes.get_mut(&to)
            {
                to.inbox.push_back(record.clone());
            }
        }
    }

    fn deliver(&mut self) {
        loop {
            let waiting = self.nodes.iter().find(|(_, node)| !node.inbox.is_empty());
            let Some((&n, _)) = waiting else { return };
            let now = self.now;
            let node = self.nodes.get_mut(&n).unwrap();
            let record = node.inbox.pop_front().unwrap();
            let clock = node.clock(now);
            match node.catalog.admit(record.clone(), Source::Gossip, clock) {
                Ok(admitted) => {
                    self.verified += 1;
                    if admitted.forward {
                        self.flood(n, &record);
                    }
                    if admitted.refute.is_some() {
                        self.announce(n, admitted.refute);
                    }
                }
                Err(refused) => assert!(!refused.is_fault(), "{refused}"),
            }
        }
    }

    fn second(&mut self) {
        self.now += 1;
        let now = self.now;
        let (due, later) = self.findings.drain(..).partition(|(at, ..)| *at <= now);
        self.findings = later;
        let due: Vec<_> = due;
        for (_, n, dead) in due {
            self.find_lost(n, dead);
        }
        for n in self.nodes.keys().copied().collect::<Vec<_>>() {
            let node = self.nodes.get_mut(&n).unwrap();
            let clock = node.clock(now);
            for change in node.catalog.tick(clock) {
                assert!(!matches!(change, Change::Joined(_)));
            }
            if node.announce_at <= now {
                self.announce(n, None);
            }
            if (now + n as u64).is_multiple_of(10) {
                let links = self.nodes[&n].links.iter().copied();
                let alive = links.filter(|other| self.nodes.contains_key(other));
                if let Some(other) = alive.choose(&mut self.rng) {
                    self.sync(n, other);
                }
            }
            if self.nodes[&n].links.len() < LINKS {
                self.link(n);
            }
        }
        self.deliver();
    }

    /// `n` notices that its connection to `dead` is gone.
    fn find_lost(&mut self, n: usize, dead: usize) {
        // It may be back by now: then `n` has dialled it again.
        let back = self.nodes.get(&dead).is_some_and(|d| d.links.contains(&n));
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&n) else {
            return;
        };
        if back {
            return;
        }
        node.links.remove(&dead);
        let clock = node.clock(now);
        let dead = key(dead).public();
        node.catalog.disconnected(&dead, clock);
        if let Some(lost) = node.catalog.unreachable(&dead, clock) {
            let signed = lost.suspicion.sign(&node.key).unwrap();
            node.catalog.announce(signed.clone(), clock).unwrap();
            self.flood(n, &signed);
        }
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second();
        }
    }

    /// The nodes that all running nodes hold to be live, if they agree about them.
    fn agreed(&self) -> Result<BTreeSet<NodeId>, String> {
        let running: BTreeSet<NodeId> = self.nodes.values().map(|n| n.key.public()).collect();
        for (n, node) in &self.nodes {
            let live: BTreeSet<NodeId> = node.catalog.view().live().map(|p| p.id()).collect();
            if live != running {
                let more = live.difference(&running).count();
                let less = running.difference(&live).count();
                return Err(format!(
                    "seed {}, {} s: node {n} lists {more} that do not run, lacks {less} that do",
                    self.seed, self.now
                ));
            }
        }
        Ok(running)
    }

    /// Runs until all agree, at most so many seconds.
    fn run_until_agreed(&mut self, seconds: u64) -> u64 {
        let start = self.now;
        loop {
            match self.agreed() {
                Ok(_) => return self.now - start,
                Err(error) => assert!(self.now - start < seconds, "{error}"),
            }
            self.second();
        }
    }
}

#[test]
fn a_network_that_changes_agrees_again() {
    for seed in 1..=4 {
        let mut sim = Sim::new(seed, 0.1);
        for n in 0..12 {
            sim.start(n, 0);
        }
        sim.run_until_agreed(10);
        sim.crash(3);
        sim.run_until_agreed(15);
        sim.leave(5);
        sim.run_until_agreed(15);
        // Back, with a clock that is an hour behind, while others still hold the former life.
        sim.crash(4);
        sim.run(2);
        sim.start(4, 3600 * S);
        sim.run_until_agreed(10);
        // Back after all have dropped it, and after a goodbye.
        sim.run(120);
        assert!(sim.nodes.values().all(|n| n.catalog.view().len() == 10));
        sim.start(3, 3600 * S);
        sim.start(5, 3600 * S);
        sim.run_until_agreed(10);
        // A newcomer whose clock is behind, and chaos.
        sim.start(12, 3600 * S);
        for round in 0..10 {
            let victim = sim.nodes.keys().copied().choose(&mut sim.rng).unwrap();
            if round % 3 == 0 {
                sim.leave(victim);
            } else {
                sim.crash(victim);
            }
            let pause = sim.rng.random_range(0..20);
            sim.run(pause);
            let behind = sim.rng.random_range(0..7200) * S;
            sim.start(victim, behind);
        }
        sim.run_until_agreed(30);
        assert_eq!(sim.agreed().unwrap().len(), 13);
        // In quiet, all know the same.
        sim.loss = 0.0;
        sim.run(240);
        sim.run_until_agreed(0);
        let digests: Vec<_> = sim.nodes.values().map(|n| n.catalog.digest()).collect();
        assert!(
            digests.windows(2).all(|pair| pair[0] == pair[1]),
            "seed {seed}"
        );
        assert_eq!(digests[0].count(), 13, "seed {seed}: only who runs counts");
    }
}

#[test]
fn a_quiet_network_stays_complete_though_gossip_loses_half() {
    let mut sim = Sim::new(7, 0.5);
    for n in 0..12 {
        sim.start(n, 0);
    }
    sim.run_until_agreed(20);
    for _ in 0..300 {
        sim.second();
        sim.agreed().unwrap();
    }
    // Each of 12 hears 11 others every 15 s; each record is verified once.
    let bound = 12 * 12 * (320 / 15 + 3);
    assert!(sim.verified < bound, "{} verified", sim.verified);
}
