//! The task per consumer: which producers to follow.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, atomic::Ordering},
};

use rivermesh_proto::{
    Epoch, Fingerprint, StreamName,
    catalog::{Peer, Snapshot},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tracing::error;

use super::{
    commit::Kept,
    event::LeaveReason,
    inbox::{Inbox, Message},
    local::Local,
    pattern::{Followee, Streams},
    receiver::{Outcome, Receiver, Wish},
    start::{Left, Start},
    status::{Progress, Roster, Status},
};
use crate::{
    condition::{Condition, Predicate},
    net::Peers,
    producer::registry::Producers,
};

/// See the module.
pub(super) struct Worker {
    /// What is asked for; of another stream where there are several.
    pub(super) wish: Arc<Wish>,
    pub(super) streams: Arc<Streams>,
    pub(super) start: Start,
    /// Where producers were left.
    pub(super) left: Left,
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
type Ended = (Followee, (Epoch, Fingerprint), Option<Outcome>);

impl Worker {
    /// Runs until the consumer is dropped.
    pub(super) async fn run(mut self) {
        let mut states: HashMap<Followee, State> = HashMap::new();
        // Dropped with this task, and all receivers with it.
        let mut receivers: JoinSet<Ended> = JoinSet::new();
        let mut wanted = self.wish.wanted.clone();
        loop {
            let snapshot = self.catalog.borrow_and_update().clone();
            let left_out = self.follow(&snapshot, &mut states, &mut receivers);
            self.publish(&snapshot, left_out);
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

    fn on_ended(&mut self, ended: Ended, states: &mut HashMap<Followee, State>) {
        let (followee, announced, outcome) = ended;
        let progress = self.roster.leave(&followee);
        match outcome {
            Some(Outcome::Ended) => {
                let refused = None;
                states.insert(followee, State::Resting { announced, refused });
            }
            Some(Outcome::Hopeless { change }) => {
                if change == self.wish.wanted.borrow().change {
                    let refused = Some(change);
                    states.insert(followee, State::Resting { announced, refused });
                } else {
                    // It refused what is not wanted any more.
                    states.remove(&followee);
                }
            }
            Some(Outcome::Dropped) | None => {
                states.remove(&followee);
                if let Some(place) = progress.and_then(|progress| progress.place()) {
                    self.left.note(followee, place);
                }
            }
        }
    }

    /// Starts to follow producers that have appeared, and leaves those that do not qualify. Gives
    /// how many were left out because there are too many.
    fn follow(
        &mut self,
        snapshot: &Snapshot,
        states: &mut HashMap<Followee, State>,
        receivers: &mut JoinSet<Ended>,
    ) -> usize {
        self.leave(snapshot, states);
        let streams = Arc::clone(&self.streams);
        let followed = |state: &&State| matches!(state, State::Followed(_));
        let mut room = streams
            .max()
            .saturating_sub(states.values().filter(followed).count());
        let mut left_out = 0;
        for (peer, advert) in streams.produced(snapshot) {
            let announced = (advert.epoch, advert.fingerprint);
            let wanted = self
                .wish
                .fingerprint
                .is_none_or(|ours| ours == advert.fingerprint);
            if streams.are_many() && !wanted {
                // Of a pattern those are meant that have this type.
                continue;
            }
            let followee = (peer.id(), advert.name.clone());
            let slot = match states.entry(followee) {
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
            if room == 0 {
                left_out += 1;
                slot.remove();
                continue;
            }
            let (cancel, cancelled) = oneshot::channel();
            if self.start(peer, &advert.name, announced, cancelled, receivers) {
                *slot.into_mut() = State::Followed(Some(cancel));
                room -= 1;
            } else {
                slot.remove();
            }
        }
        left_out
    }

    /// Leaves the producers that are gone or do not qualify any more, and forgets those that rest and
    /// do not announce the stream any more.
    fn leave(&self, snapshot: &Snapshot, states: &mut HashMap<Followee, State>) {
        for (followee, state) in &mut *states {
            let State::Followed(cancel) = state else {
                continue;
            };
            let reason = match snapshot.get(&followee.0) {
                // One that said goodbye has sent all it had before: that is read first, and the
                // roster tells when the connection has ended.
                None if self.roster.is_connected(followee) => continue,
                None => LeaveReason::Gone,
                Some(peer) if !self.qualifies(peer) => LeaveReason::NotEligible,
                Some(_) => continue,
            };
            if let Some(cancel) = cancel.take() {
                // An error means that the receiver has just ended by itself.
                let _ = cancel.send(reason);
            }
        }
        states.retain(|(id, stream), state| {
            let announces = |peer: &Arc<Peer>| peer.produces(stream.as_str()).is_some();
            matches!(state, State::Followed(_)) || snapshot.get(id).is_some_and(announces)
        });
    }

    fn qualifies(&self, peer: &Peer) -> bool {
        self.require.iter().all(|predicate| predicate(peer))
    }

    /// Starts a receiver; false where the producer is this node and has just ended the stream.
    fn start(
        &mut self,
        peer: &Arc<Peer>,
        stream: &StreamName,
        announced: (Epoch, Fingerprint),
        cancelled: oneshot::Receiver<LeaveReason>,
        receivers: &mut JoinSet<Ended>,
    ) -> bool {
        let producer = peer.id();
        let followee = (producer, stream.clone());
        let start = self.left.start(&followee, announced.0, self.start);
        let wish = if *stream == self.wish.stream {
            Arc::clone(&self.wish)
        } else {
            Arc::new(Wish {
                stream: stream.clone(),
                ..(*self.wish).clone()
            })
        };
        let progress = Arc::new(Progress::new());
        let (inbox, roster) = (self.inbox.clone(), Arc::clone(&self.roster));
        let leave = Leave {
            followee: followee.clone(),
            inbox,
            roster,
            progress: Arc::clone(&progress),
        };
        if peer.is_local() {
            let Some(core) = self.producers.get(stream) else {
                return false;
            };
            let local = Local {
                core,
                me: Arc::clone(peer),
                wish,
                inbox: self.inbox.clone(),
                progress: Arc::clone(&progress),
                roster: Arc::clone(&self.roster),
                place: None,
                start,
                thinned: 0,
                change: 0,
                kept: Kept::default(),
            };
            receivers.spawn(until_cancelled(local.run(), cancelled, leave, announced));
        } else {
            let receiver = Receiver {
                producer,
                wish,
                peers: self.peers.clone(),
                inbox: self.inbox.clone(),
                catalog: self.catalog.clone(),
                progress: Arc::clone(&progress),
                roster: Arc::clone(&self.roster),
                place: None,
                start,
                thinned: 0,
                change: 0,
                kept: Kept::default(),
            };
            receivers.spawn(until_cancelled(receiver.run(), cancelled, leave, announced));
        }
        self.roster.enter(followee, progress);
        true
    }

    fn publish(&self, snapshot: &Snapshot, left_out: usize) {
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
                left_out,
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
    followee: Followee,
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
    let reason = tokio::select! {
        biased;
        Ok(reason) = cancelled => reason,
        outcome = receiver => return (leave.followee, announced, Some(outcome)),
    };
    leave.roster.set(&leave.followee, false);
    if leave.progress.joined.load(Ordering::Relaxed) {
        let epoch = Epoch(leave.progress.epoch.load(Ordering::Relaxed));
        // An error means that nobody wants to know any more.
        let _ = leave
            .inbox
            .message(Message::Left {
                producer: leave.followee.0,
                epoch,
                reason,
            })
            .await;
    }
    (leave.followee, announced, None)
}
