//! The task per consumer: which producers to follow.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, atomic::Ordering},
};

use rivermesh_proto::{
    Epoch, Fingerprint, NodeId,
    catalog::{Peer, Snapshot},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tracing::error;

use super::{
    event::LeaveReason,
    inbox::{Inbox, Message},
    local::Local,
    receiver::{Outcome, Receiver, Wish},
    status::{Progress, Roster, Status},
};
use crate::{
    condition::{Condition, Predicate},
    net::Peers,
    producer::registry::Producers,
};

/// See the module.
pub(super) struct Worker {
    pub(super) wish: Arc<Wish>,
    pub(super) require: Vec<Predicate>,
    pub(super) online_when: Condition,
    pub(super) peers: Peers,
    pub(super) producers: Producers,
    pub(super) inbox: Inbox,
    pub(super) catalog: watch::Receiver<Snapshot>,
    pub(super) roster: Arc<Roster>,
    pub(super) status: watch::Sender<Status>,
}

/// What is known of one producer.
enum State {
    /// A receiver follows it; the sender ends that, with the reason to give.
    Followed(Option<oneshot::Sender<LeaveReason>>),
    /// There is no point in asking while it announces this, and, where it has refused, while what
    /// came with this change of the filter is wanted.
    Resting {
        announced: (Epoch, Fingerprint),
        refused: Option<u32>,
    },
}

/// A receiver's end.
type Ended = (NodeId, (Epoch, Fingerprint), Option<Outcome>);

impl Worker {
    /// Runs until the consumer is dropped.
    pub(super) async fn run(mut self) {
        let mut states: HashMap<NodeId, State> = HashMap::new();
        // Dropped with this task, and all receivers with it.
        let mut receivers: JoinSet<Ended> = JoinSet::new();
        let mut wanted = self.wish.wanted.clone();
        loop {
            let snapshot = self.catalog.borrow_and_update().clone();
            self.follow(&snapshot, &mut states, &mut receivers);
            self.publish(&snapshot);
            tokio::select! {
                () = self.inbox.dropped() => return,
                changed = self.catalog.changed() => if changed.is_err() { return },
                () = self.roster.changed.notified() => {}
                Ok(()) = wanted.changed() => {
                    let wanted = wanted.borrow_and_update().change;
                    states.retain(|_, state| match state {
                        State::Resting { refused, .. } => refused.is_none_or(|at| at == wanted),
                        State::Followed(_) => true,
                    });
                }
                Some(ended) = receivers.join_next() => match ended {
                    Ok(ended) => self.on_ended(ended, &mut states),
                    Err(panic) => {
                        // Which one it was is not told; the consumer as a whole cannot be trusted.
                        error!(%panic, stream = %self.wish.stream, "a receiver panicked");
                        return;
                    }
                },
            }
        }
    }

    fn on_ended(&self, ended: Ended, states: &mut HashMap<NodeId, State>) {
        let (producer, announced, outcome) = ended;
        self.roster.leave(producer);
        match outcome {
            Some(Outcome::Ended) => {
                let refused = None;
                states.insert(producer, State::Resting { announced, refused });
            }
            Some(Outcome::Hopeless { change }) => {
                if change == self.wish.wanted.borrow().change {
                    let refused = Some(change);
                    states.insert(producer, State::Resting { announced, refused });
                } else {
                    // It refused what is not wanted any more.
                    states.remove(&producer);
                }
            }
            Some(Outcome::Dropped) | None => {
                states.remove(&producer);
            }
        }
    }

    /// Starts to follow producers that have appeared, and leaves those that do not qualify.
    fn follow(
        &self,
        snapshot: &Snapshot,
        states: &mut HashMap<NodeId, State>,
        receivers: &mut JoinSet<Ended>,
    ) {
        for (producer, state) in &mut *states {
            let State::Followed(cancel) = state else {
                continue;
            };
            let reason = match snapshot.get(producer) {
                // One that said goodbye has sent all it had before: that is read first, and the
                // roster tells when the connection has ended.
                None if self.roster.is_connected(producer) => continue,
                None => LeaveReason::Gone,
                Some(peer) if !self.qualifies(peer) => LeaveReason::NotEligible,
                Some(_) => continue,
            };
            if let Some(cancel) = cancel.take() {
                // An error means that the receiver has just ended by itself.
                let _ = cancel.send(reason);
            }
        }
        states
            .retain(|id, state| matches!(state, State::Followed(_)) || snapshot.get(id).is_some());
        for peer in snapshot.producers_of(self.wish.stream.as_str()) {
            let Some(advert) = peer.produces(self.wish.stream.as_str()) else {
                continue;
            };
            let announced = (advert.epoch, advert.fingerprint);
            let slot = match states.entry(peer.id()) {
                hash_map::Entry::Occupied(slot) => match slot.get() {
                    State::Resting {
                        announced: before, ..
                    } if *before != announced => slot,
                    _ => continue,
                },
                hash_map::Entry::Vacant(slot) => slot.insert_entry(State::Resting {
                    announced,
                    refused: None,
                }),
            };
            if !self.qualifies(peer) {
                if peer.rtt().is_none() && !peer.is_local() {
                    // The requirement may be on a round-trip time that nobody has measured yet.
                    self.producers.discovery().probe(peer.id());
                }
                slot.remove();
                continue;
            }
            let (cancel, cancelled) = oneshot::channel();
            if self.start(peer, announced, cancelled, receivers) {
                *slot.into_mut() = State::Followed(Some(cancel));
            } else {
                slot.remove();
            }
        }
    }

    fn qualifies(&self, peer: &Peer) -> bool {
        self.require.iter().all(|predicate| predicate(peer))
    }

    /// Starts a receiver; false where the producer is this node and has just ended the stream.
    fn start(
        &self,
        peer: &Arc<Peer>,
        announced: (Epoch, Fingerprint),
        cancelled: oneshot::Receiver<LeaveReason>,
        receivers: &mut JoinSet<Ended>,
    ) -> bool {
        let producer = peer.id();
        let progress = Arc::new(Progress::new());
        let (inbox, roster) = (self.inbox.clone(), Arc::clone(&self.roster));
        let leave = Leave {
            producer,
            inbox,
            roster,
            progress: Arc::clone(&progress),
        };
        if peer.is_local() {
            let Some(core) = self.producers.get(&self.wish.stream) else {
                return false;
            };
            let local = Local {
                core,
                me: Arc::clone(peer),
                wish: Arc::clone(&self.wish),
                inbox: self.inbox.clone(),
                progress: Arc::clone(&progress),
                roster: Arc::clone(&self.roster),
                place: None,
                change: 0,
            };
            receivers.spawn(until_cancelled(local.run(), cancelled, leave, announced));
        } else {
            let receiver = Receiver {
                producer,
                wish: Arc::clone(&self.wish),
                peers: self.peers.clone(),
                inbox: self.inbox.clone(),
                catalog: self.catalog.clone(),
                progress: Arc::clone(&progress),
                roster: Arc::clone(&self.roster),
                place: None,
                change: 0,
            };
            receivers.spawn(until_cancelled(receiver.run(), cancelled, leave, announced));
        }
        self.roster.enter(producer, progress);
        true
    }

    fn publish(&self, snapshot: &Snapshot) {
        let connected = self.roster.connected();
        let producers: Vec<Arc<Peer>> = connected
            .iter()
            .filter_map(|id| snapshot.get(id).cloned())
            .collect();
        let online = self
            .online_when
            .is_met(producers.iter().map(|peer| &**peer));
        self.status.send_if_modified(|status| {
            let now = Status {
                online,
                closed: false,
                producers,
            };
            let changed = now != *status;
            *status = now;
            changed
        });
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.status.send_modify(|status| {
            status.closed = true;
            status.online = false;
            status.producers.clear();
        });
    }
}

/// What is needed to tell the program that a producer is left.
struct Leave {
    producer: NodeId,
    inbox: Inbox,
    roster: Arc<Roster>,
    progress: Arc<Progress>,
}

async fn until_cancelled(
    receiver: impl Future<Output = Outcome>,
    cancelled: oneshot::Receiver<LeaveReason>,
    leave: Leave,
    announced: (Epoch, Fingerprint),
) -> Ended {
    let producer = leave.producer;
    let reason = tokio::select! {
        biased;
        Ok(reason) = cancelled => reason,
        outcome = receiver => return (producer, announced, Some(outcome)),
    };
    leave.roster.set(producer, false);
    if leave.progress.joined.load(Ordering::Relaxed) {
        let epoch = Epoch(leave.progress.epoch.load(Ordering::Relaxed));
        // An error means that nobody wants to know any more.
        let _ = leave
            .inbox
            .message(Message::Left {
                producer,
                epoch,
                reason,
            })
            .await;
    }
    (producer, announced, None)
}
