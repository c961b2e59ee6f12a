//! One consumer's journal against the producers of its stream.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use rivermesh_proto::{Epoch, NodeId, Seq};

use super::{
    consumer::{ConsumerEnd, ConsumerEvent, ConsumerJournal, Leave},
    payload::{Digest, Key},
    producer::{ProducerEnd, ProducerJournal},
    ranges::Ranges,
    rules::{Rejoin, Revocation, Rules, Tail},
    verdict::{Breach, Report, Violation},
};

/// The producers' journals of one stream.
pub(super) type Lives<'a> = HashMap<(NodeId, Epoch), &'a ProducerJournal>;

/// One producer in one epoch, as this consumer saw it.
#[derive(Debug, Default)]
struct Track {
    /// The number that is due.
    next: Seq,
    /// The number that was due before the last redelivery.
    redelivered: Seq,
    received: Ranges,
    missed: Ranges,
    left: Option<Leave>,
}

/// Walks over one journal.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    key: &'a Key,
    rules: &'a Rules,
    lives: &'a Lives<'a>,
    journal: &'a ConsumerJournal,
    revocations: Vec<&'a Revocation>,
    tracks: HashMap<(NodeId, Epoch), Track>,
    current: HashMap<NodeId, Epoch>,
    over: HashSet<(NodeId, Epoch)>,
    refused: HashSet<NodeId>,
    event: Option<usize>,
    pub(super) report: Report,
    pub(super) violations: Vec<Violation>,
    /// An item without a time came from a producer that had revoked.
    pub(super) untimed: bool,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        key: &'a Key,
        rules: &'a Rules,
        lives: &'a Lives<'a>,
        journal: &'a ConsumerJournal,
        revocations: &'a [Revocation],
    ) -> Self {
        Self {
            key,
            rules,
            lives,
            journal,
            revocations: revocations
                .iter()
                .filter(|revocation| revocation.consumer == journal.name())
                .collect(),
            tracks: HashMap::new(),
            current: HashMap::new(),
            over: HashSet::new(),
            refused: HashSet::new(),
            event: None,
            report: Report::default(),
            violations: Vec::new(),
            untimed: false,
        }
    }

    pub(super) fn run(mut self) -> Self {
        for (index, event) in self.journal.events().iter().enumerate() {
            self.event = Some(index);
            self.on_event(event);
        }
        self.event = None;
        match self.journal.end() {
            Some(ConsumerEnd::Drained) => self.check_tails(),
            Some(ConsumerEnd::Stopped | ConsumerEnd::Killed) => {}
            None => self.breach(None, Breach::Unfinished),
        }
        self
    }

    fn on_event(&mut self, event: &ConsumerEvent) {
        match *event {
            ConsumerEvent::Joined {
                producer,
                epoch,
                seq,
            } => self.on_joined((producer, epoch), seq),
            ConsumerEvent::Received {
                producer,
                epoch,
                seq,
                payload,
                at_us,
            } => {
                self.report.received += 1;
                self.on_received((producer, epoch), seq, payload);
                self.check_revoked((producer, epoch), seq, at_us);
            }
            ConsumerEvent::Missed {
                producer,
                epoch,
                from,
                to,
            } => self.on_missed((producer, epoch), from..to),
            ConsumerEvent::Reset { producer, old, new } => self.on_reset(producer, old, new),
            ConsumerEvent::Left {
                producer,
                epoch,
                why,
            } => self.on_left((producer, epoch), why),
            ConsumerEvent::Refused { producer } => {
                self.refused.insert(producer);
            }
            ConsumerEvent::Committed {
                producer,
                epoch,
                below,
            } => {
                let next = self
                    .tracks
                    .get(&(producer, epoch))
                    .map_or(0, |track| track.next.max(track.redelivered));
                if below > next {
                    self.breach(Some((producer, epoch)), Breach::Uncommitted { below, next });
                }
            }
            ConsumerEvent::Acknowledged {
                producer,
                epoch,
                seq,
            } => {
                let track = self.tracks.get(&(producer, epoch));
                if !track.is_some_and(|track| track.received.contains(seq)) {
                    let (below, next) = (seq + 1, track.map_or(0, |track| track.next));
                    self.breach(Some((producer, epoch)), Breach::Uncommitted { below, next });
                }
            }
        }
    }

    fn on_joined(&mut self, life: (NodeId, Epoch), seq: Seq) {
        let Some(bound) = self.bound(life) else {
            return self.breach(Some(life), Breach::UnknownEpoch);
        };
        if self.over.contains(&life) {
            return self.breach(Some(life), Breach::StaleEpoch);
        }
        if seq > bound {
            self.breach(Some(life), Breach::NeverAccepted { seq, bound });
        }
        self.refused.remove(&life.0);
        match self.current.get(&life.0).copied() {
            None => {
                self.current.insert(life.0, life.1);
            }
            // The old life ended well, so its successor need not be called a reset.
            Some(current) if current != life.1 && self.ended((life.0, current)) => {
                self.over.insert((life.0, current));
                self.current.insert(life.0, life.1);
            }
            // Else the reset may follow the joining, but must come before what is delivered.
            Some(_) => {}
        }
        if let Some(track) = self.tracks.get_mut(&life) {
            self.report.rejoins += 1;
            let left = track.left.take();
            match self.rules.rejoin {
                Rejoin::Resumes => {}
                Rejoin::StartsAnew if left.is_none() => {}
                Rejoin::StartsAnew if seq < track.next => {
                    let next = track.next;
                    self.breach(Some(life), Breach::OutOfOrder { seq, next });
                }
                Rejoin::StartsAnew => track.next = seq,
                Rejoin::Redelivers => {
                    if seq < track.next {
                        track.redelivered = track.redelivered.max(track.next);
                        track.next = seq;
                    }
                }
            }
        } else {
            self.report.joins += 1;
            if self.rules.from_start && seq != 0 {
                self.breach(Some(life), Breach::LateStart { seq });
            }
            self.tracks.insert(
                life,
                Track {
                    next: seq,
                    ..Track::default()
                },
            );
        }
    }

    fn on_received(&mut self, life: (NodeId, Epoch), seq: Seq, payload: Digest) {
        let Some(journal) = self.lives.get(&life) else {
            return self.breach(Some(life), Breach::UnknownEpoch);
        };
        let bound = journal.bound();
        if seq >= bound {
            self.breach(Some(life), Breach::NeverAccepted { seq, bound });
        }
        if let Err(error) = self.key.verify_digest(&journal.place(seq), payload) {
            self.breach(Some(life), Breach::Payload { seq, error });
        }
        self.check_there(life, seq);
        let Some(track) = self.tracks.get_mut(&life) else {
            return;
        };
        let next = track.next;
        // In a redelivery the due number itself may be one that was received before.
        let again = seq < next && track.received.contains(seq);
        let missed = track.missed.contains(seq);
        track.received.insert(seq..seq.saturating_add(1));
        track.next = next.max(seq.saturating_add(1));
        if missed {
            self.breach(Some(life), Breach::FalseGap { seq });
        } else if again {
            self.breach(Some(life), Breach::Duplicate { seq });
        } else if seq < next {
            self.breach(Some(life), Breach::OutOfOrder { seq, next });
        } else if seq > next {
            self.breach(
                Some(life),
                Breach::Hole {
                    from: next,
                    to: seq,
                },
            );
        }
    }

    fn on_missed(&mut self, life: (NodeId, Epoch), range: Range<Seq>) {
        let (from, to) = (range.start, range.end);
        let Some(bound) = self.bound(life) else {
            return self.breach(Some(life), Breach::UnknownEpoch);
        };
        if range.is_empty() {
            return self.breach(Some(life), Breach::EmptyGap { from, to });
        }
        self.report.gaps += 1;
        self.report.missed += to - from;
        if !self.rules.may_miss {
            self.breach(Some(life), Breach::Missed { from, to });
        }
        if to > bound {
            self.breach(Some(life), Breach::NeverAccepted { seq: to - 1, bound });
        }
        self.check_there(life, from);
        let Some(track) = self.tracks.get_mut(&life) else {
            return;
        };
        let next = track.next;
        let delivered = track.received.first_in(range.clone());
        track.missed.insert(range);
        track.next = next.max(to);
        if let Some(seq) = delivered {
            self.breach(Some(life), Breach::FalseGap { seq });
        } else if from < next {
            self.breach(Some(life), Breach::Overlap { from, to, next });
        } else if from > next {
            self.breach(
                Some(life),
                Breach::Hole {
                    from: next,
                    to: from,
                },
            );
        }
    }

    fn on_reset(&mut self, producer: NodeId, old: Epoch, new: Epoch) {
        self.report.resets += 1;
        let current = self.current.get(&producer).copied();
        // Reported after the joining of a life whose predecessor had ended well.
        let announced = current == Some(new) && self.over.contains(&(producer, old));
        let fits = current == Some(old) || announced;
        if old == new || !fits || self.over.contains(&(producer, new)) {
            self.breach(
                Some((producer, new)),
                Breach::BadReset { old, new, current },
            );
        }
        if self.bound((producer, new)).is_none() {
            self.breach(Some((producer, new)), Breach::UnknownEpoch);
        }
        if old != new {
            self.over.insert((producer, old));
        }
        self.current.insert(producer, new);
    }

    fn on_left(&mut self, life: (NodeId, Epoch), why: Leave) {
        if why == Leave::Lost {
            self.report.losses += 1;
        }
        match self.tracks.get_mut(&life) {
            // A second reason does not make an end that was final less final.
            Some(track) if track.left.is_none() => track.left = Some(why),
            Some(_) => {}
            None => self.breach(Some(life), Breach::NotThere),
        }
    }

    /// Whether this life may deliver now; brings it up if it may not, to go on judging.
    fn check_there(&mut self, life: (NodeId, Epoch), at: Seq) {
        if self.over.contains(&life) {
            self.breach(Some(life), Breach::StaleEpoch);
        } else if let Some(current) = self.current.get(&life.0).copied()
            && current != life.1
        {
            self.breach(Some(life), Breach::NoReset { current });
            self.over.insert((life.0, current));
            self.current.insert(life.0, life.1);
        }
        match self.tracks.get_mut(&life) {
            Some(track) if track.left.is_none() => {}
            Some(_) => self.breach(Some(life), Breach::NotThere),
            None => {
                self.tracks.insert(
                    life,
                    Track {
                        next: at,
                        ..Track::default()
                    },
                );
                self.current.entry(life.0).or_insert(life.1);
                self.breach(Some(life), Breach::NotThere);
            }
        }
    }

    fn check_revoked(&mut self, life: (NodeId, Epoch), seq: Seq, at_us: Option<u64>) {
        let grace = u64::try_from(self.rules.revocation_grace.as_micros()).unwrap_or(u64::MAX);
        let mut late = None;
        for revocation in self.revocations.iter().filter(|r| r.producer == life.0) {
            match at_us {
                None => self.untimed = true,
                Some(at)
                    if at > revocation.from_us.saturating_add(grace)
                        && revocation.until_us.is_none_or(|until| at < until) =>
                {
                    late = Some(at - revocation.from_us);
                }
                Some(_) => {}
            }
        }
        if let Some(late_us) = late {
            self.breach(Some(life), Breach::AfterRevocation { seq, late_us });
        }
    }

    fn check_tails(&mut self) {
        let mut lives: Vec<_> = self
            .lives
            .iter()
            .filter(|(_, journal)| journal.end() == Some(ProducerEnd::Finished))
            .map(|(life, journal)| (*life, journal.count()))
            .collect();
        lives.sort_unstable();
        for (life, accepted) in lives {
            let mut revoked = self
                .revocations
                .iter()
                .filter(|r| r.producer == life.0)
                .peekable();
            // A refusal that nobody ordered excuses nothing.
            let may_refuse = self.rules.may_refuse || revoked.peek().is_some();
            if revoked.any(|r| r.until_us.is_none()) {
                continue;
            }
            match self.tracks.get(&life) {
                Some(track) => {
                    let due = match track.left {
                        Some(Leave::Cut) => !may_refuse,
                        Some(Leave::Lost) => self.rules.tail == Tail::Always,
                        Some(Leave::Ended) | None => true,
                    };
                    let from = track.next;
                    if due && from < accepted {
                        self.breach(Some(life), Breach::Tail { from, to: accepted });
                    }
                }
                None if may_refuse && self.refused.contains(&life.0) => {}
                None if self.rules.everyone_joins && accepted > 0 => {
                    self.breach(Some(life), Breach::NeverJoined { accepted });
                }
                None => {}
            }
        }
    }

    fn bound(&self, life: (NodeId, Epoch)) -> Option<Seq> {
        self.lives.get(&life).map(|journal| journal.bound())
    }

    fn ended(&self, life: (NodeId, Epoch)) -> bool {
        self.tracks
            .get(&life)
            .is_some_and(|track| track.left == Some(Leave::Ended))
    }

    fn breach(&mut self, life: Option<(NodeId, Epoch)>, breach: Breach) {
        self.violations.push(Violation {
            stream: self.journal.stream().clone(),
            consumer: Some(self.journal.name().to_owned()),
            producer: life.map(|(producer, _)| producer),
            epoch: life.map(|(_, epoch)| epoch),
            event: self.event,
            breach,
        });
    }
}
