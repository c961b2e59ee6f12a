//! iroh-gossip's protocol state with its timers; knows nothing of links.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use iroh_gossip::proto::{
    Command, Config, Event, InEvent, Message, OutEvent, PeerData, Scope, State, Timer, TopicId,
};
use rand::{SeedableRng, rngs::StdRng};
use rivermesh_proto::{NetworkId, NodeId, limits};
use tokio::time::Instant;
use tracing::warn;

use super::screen::{self, Kind, MessageId, Priority};
use rivermesh_proto::wire;

/// Message ids remembered in each of two generations.
const REMEMBERED: usize = 4096;
/// How often leftovers of announced messages that never came are taken away.
const SWEEP: Duration = Duration::from_secs(30);

/// Longer than any node runs: a hundred years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Neighbours that a node has at most: beyond that, it refuses those who ask.
pub(super) const MOST: usize = 5;

/// What follows from something that happened.
#[derive(Debug)]
pub(super) enum Effect {
    /// Send this message, which has its length prefix.
    Send(NodeId, Bytes),
    /// A peer is a direct neighbour now.
    NeighbourUp(NodeId),
    /// A peer is no neighbour any more.
    NeighbourDown(NodeId),
    /// The gossip needs no connection to this peer any more.
    Release(NodeId),
}

/// The gossip of one network.
#[derive(Debug)]
pub(super) struct Gossip {
    local: NodeId,
    topic: [u8; 32],
    state: State<NodeId, StdRng>,
    timers: BTreeMap<(Instant, u64), Timer<NodeId>>,
    timers_made: u64,
    neighbours: HashSet<NodeId>,
    /// Broadcast messages found worth passing on: the newer ones, and the ones before.
    passed: [HashSet<MessageId>; 2],
    sweep_at: Instant,
}

impl Gossip {
    pub(super) fn new(local: NodeId, network: NetworkId, seed: u64, now: Instant) -> Self {
        let mut config = Config {
            max_message_size: limits::GOSSIP,
            ..Config::default()
        };
        // Timeouts for busy machines and wide areas: a premature graft costs a message twice.
        config.broadcast.graft_timeout_1 = Duration::from_millis(300);
        config.broadcast.graft_timeout_2 = Duration::from_millis(200);
        // Offers serve only where the tree is broken: a packet for each would be most of what an
        // idle network sends.
        config.broadcast.dispatch_timeout = Duration::from_millis(500);
        config.broadcast.cache_evict_interval = Duration::from_secs(10);
        // The catalog knows more peers than this would (see `leave_out`).
        config.membership.shuffle_interval = NEVER;
        config.membership.passive_view_capacity = 1;
        config.membership.active_view_capacity = MOST;
        let rng = StdRng::seed_from_u64(seed);
        let mut gossip = Self {
            local,
            topic: topic_of(network),
            state: State::new(local, PeerData::default(), config, rng),
            timers: BTreeMap::new(),
            timers_made: 0,
            neighbours: HashSet::new(),
            passed: Default::default(),
            sweep_at: now + SWEEP,
        };
        // Nobody is joined: this makes the protocol ready for neighbours.
        let ready = Command::Join(Vec::new());
        gossip.handle(InEvent::Command(gossip.topic.into(), ready), now);
        gossip
    }

    /// The direct neighbours.
    pub(super) fn neighbours(&self) -> &HashSet<NodeId> {
        &self.neighbours
    }

    pub(super) fn topic(&self) -> [u8; 32] {
        self.topic
    }

    /// Sends a record to the whole network.
    pub(super) fn broadcast(&mut self, content: Bytes, now: Instant) -> Vec<Effect> {
        self.handle(
            InEvent::Command(self.topic.into(), Command::Broadcast(content, Scope::Swarm)),
            now,
        )
    }

    /// Tells the neighbours that this node is none any more.
    pub(super) fn quit(&mut self, now: Instant) -> Vec<Effect> {
        self.handle(InEvent::Command(self.topic.into(), Command::Quit), now)
    }

    /// There is no connection to this peer.
    pub(super) fn disconnected(&mut self, peer: NodeId, now: Instant) -> Vec<Effect> {
        self.handle(InEvent::PeerDisconnected(peer), now)
    }

    /// A message came whose content, if any, is worth passing on.
    pub(super) fn receive(
        &mut self,
        peer: NodeId,
        message: Message<NodeId>,
        now: Instant,
    ) -> Vec<Effect> {
        self.handle(InEvent::RecvMessage(peer, message), now)
    }

    /// Whether a broadcast message was found worth passing on before.
    pub(super) fn was_passed(&self, id: &MessageId) -> bool {
        self.passed.iter().any(|ids| ids.contains(id))
    }

    /// Notes that a broadcast message is worth passing on.
    pub(super) fn pass(&mut self, id: MessageId) {
        if self.passed[0].len() >= REMEMBERED {
            self.passed.swap(0, 1);
            self.passed[0].clear();
        }
        self.passed[0].insert(id);
    }

    /// The message "you are not my neighbour".
    pub(super) fn disconnect(&self) -> Option<Bytes> {
        wire::encode(&screen::disconnect(self.topic), limits::GOSSIP)
            .ok()
            .map(Bytes::from)
    }

    /// The message "be my neighbour", which the gossip protocol sends only to peers that it heard of
    /// itself.
    pub(super) fn ask(&self, priority: Priority) -> Option<Bytes> {
        wire::encode(&screen::ask(self.topic, priority), limits::GOSSIP)
            .ok()
            .map(Bytes::from)
    }

    /// When [`Gossip::tick`] is to be called next.
    pub(super) fn next_deadline(&self) -> Instant {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        timer.map_or(self.sweep_at, |at| at.min(self.sweep_at))
    }

    /// Lets what is due happen.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let timer = entry.remove();
            effects.extend(self.handle(InEvent::TimerExpired(timer), now));
        }
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP;
            // The protocol forgets messages that were announced and never came only when some
            // neighbour goes: so one goes that never was.
            effects.extend(self.disconnected(self.local, now));
        }
        effects
    }

    fn handle(&mut self, event: InEvent<NodeId>, now: Instant) -> Vec<Effect> {
        let outputs: Vec<_> = self.state.handle(event, now, None).collect();
        let mut effects = Vec::with_capacity(outputs.len());
        for output in outputs {
            match output {
                // A hostile walk can lead to ourselves.
                OutEvent::SendMessage(to, _) if to == self.local => {}
                OutEvent::SendMessage(to, message) => {
                    match wire::encode(&message, limits::GOSSIP) {
                        Ok(bytes) if self.leave_out(to, &bytes) => {}
                        Ok(bytes) => effects.push(Effect::Send(to, bytes.into())),
                        Err(error) => warn!(%error, "a gossip message cannot be sent"),
                    }
                }
                OutEvent::EmitEvent(_, Event::NeighborUp(peer)) => {
                    self.neighbours.insert(peer);
                    effects.push(Effect::NeighbourUp(peer));
                }
                OutEvent::EmitEvent(_, Event::NeighborDown(peer)) => {
                    self.neighbours.remove(&peer);
                    effects.push(Effect::NeighbourDown(peer));
                }
                // The content has been judged and taken before the protocol saw it.
                OutEvent::EmitEvent(_, Event::Received(_)) | OutEvent::PeerData(..) => {}
                OutEvent::ScheduleTimer(delay, timer) => {
                    self.timers_made += 1;
                    self.timers.insert((now + delay, self.timers_made), timer);
                }
                OutEvent::DisconnectPeer(peer) => effects.push(Effect::Release(peer)),
            }
        }
        effects
    }
}

impl Gossip {
    /// Whether a message of the protocol is not sent. It looks for neighbours among the few peers
    /// that it heard of until it has as many as it can take, at each occasion; we look in the
    /// catalog until there are enough. So it neither asks nor tells others whom to ask.
    fn leave_out(&self, to: NodeId, message: &[u8]) -> bool {
        match Kind::of(message) {
            // To a neighbour it is the answer that it is one.
            Kind::Neighbour => !self.neighbours.contains(&to),
            Kind::Others => true,
            _ => false,
        }
    }
}

/// The gossip topic of a network: the id of the network itself, which is a hash already.
fn topic_of(network: NetworkId) -> [u8; 32] {
    *TopicId::from_bytes(*network.as_bytes()).as_bytes()
}
