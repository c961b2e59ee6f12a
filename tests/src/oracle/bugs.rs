//! Bugs of a delivery, to be put into runs that were right.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use rivermesh_proto::{Epoch, NodeId, Seq};

use super::{
    ConsumerEvent::{Committed, Joined, Left, Missed, Received, Reset},
    sim, *,
};

/// A bug of the delivery, put into a run that was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    Drop,
    DropTail,
    Duplicate,
    Swap,
    GapOfDelivered,
    GapTooWideLeft,
    GapTooWideRight,
    GapTooNarrow,
    GapMissing,
    GapTwice,
    GapPastEnd,
    GapEmpty,
    WrongPayload,
    PayloadOfAnother,
    WrongEpoch,
    WrongProducer,
    Invented,
    AfterLeft,
    StaleEpoch,
    ResetMissing,
    ResetOfAnother,
    CommitAhead,
    JoinMissing,
    ProducerSilent,
}

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    Bug::Drop,
    Bug::DropTail,
    Bug::Duplicate,
    Bug::Swap,
    Bug::GapOfDelivered,
    Bug::GapTooWideLeft,
    Bug::GapTooWideRight,
    Bug::GapTooNarrow,
    Bug::GapMissing,
    Bug::GapTwice,
    Bug::GapPastEnd,
    Bug::GapEmpty,
    Bug::WrongPayload,
    Bug::PayloadOfAnother,
    Bug::WrongEpoch,
    Bug::WrongProducer,
    Bug::Invented,
    Bug::AfterLeft,
    Bug::StaleEpoch,
    Bug::ResetMissing,
    Bug::ResetOfAnother,
    Bug::CommitAhead,
    Bug::JoinMissing,
    Bug::ProducerSilent,
];

fn life(event: &ConsumerEvent) -> Option<(NodeId, Epoch)> {
    match *event {
        Received {
            producer, epoch, ..
        }
        | Missed {
            producer, epoch, ..
        } => Some((producer, epoch)),
        _ => None,
    }
}

fn seq(event: &ConsumerEvent) -> Seq {
    match *event {
        Received { seq, .. } => seq,
        _ => panic!("not an item: {event:?}"),
    }
}

impl Bug {
    /// Whether the judge named the bug rightly, not only something.
    pub(super) fn named_by(self, breach: &Breach) -> bool {
        match self {
            Self::Drop | Self::GapMissing | Self::GapTooNarrow => {
                matches!(
                    breach,
                    Breach::Hole { .. } | Breach::Tail { .. } | Breach::EmptyGap { .. }
                )
            }
            Self::DropTail => matches!(breach, Breach::Tail { .. }),
            Self::Duplicate => matches!(breach, Breach::Duplicate { .. }),
            Self::Swap => matches!(breach, Breach::OutOfOrder { .. } | Breach::FalseGap { .. }),
            Self::GapOfDelivered | Self::GapTooWideLeft | Self::GapTooWideRight => {
                matches!(breach, Breach::FalseGap { .. })
            }
            Self::GapTwice => matches!(breach, Breach::Overlap { .. }),
            Self::GapPastEnd | Self::Invented => matches!(breach, Breach::NeverAccepted { .. }),
            Self::GapEmpty => matches!(breach, Breach::EmptyGap { .. }),
            Self::WrongPayload | Self::PayloadOfAnother => matches!(breach, Breach::Payload { .. }),
            Self::WrongEpoch | Self::WrongProducer => {
                matches!(breach, Breach::UnknownEpoch | Breach::Payload { .. })
            }
            Self::AfterLeft => matches!(breach, Breach::NotThere),
            Self::StaleEpoch => matches!(breach, Breach::StaleEpoch),
            Self::ResetMissing => matches!(breach, Breach::NoReset { .. }),
            Self::ResetOfAnother => matches!(breach, Breach::BadReset { .. }),
            Self::CommitAhead => matches!(breach, Breach::Uncommitted { .. }),
            Self::JoinMissing => matches!(breach, Breach::NotThere),
            Self::ProducerSilent => matches!(breach, Breach::NeverJoined { .. }),
        }
    }

    /// Puts the bug into what the first (drained) consumer saw; `None` when the run offers no
    /// place for it.
    pub(super) fn plant(self, run: &mut Run, rng: &mut StdRng) -> Option<()> {
        let key = *run.key();
        let lives: Vec<_> = run
            .producers_mut()
            .iter()
            .map(|j| {
                (
                    (j.producer(), j.epoch()),
                    j.count(),
                    j.end() == Some(ProducerEnd::Finished),
                )
            })
            .collect();
        let finished = |l| {
            lives
                .iter()
                .any(|(life, _, finished)| *life == l && *finished)
        };
        let mut finished_lives: Vec<_> = lives.iter().filter(|l| l.2).copied().collect();

        let events = run.consumers_mut()[0].events().to_vec();
        let all = 0..events.len();
        let later_cover = |at: usize| {
            events[at + 1..]
                .iter()
                .find(|e| life(e).is_some() && life(e) == life(&events[at]))
        };
        let items: Vec<_> = all
            .clone()
            .filter(|at| matches!(events[*at], Received { .. }))
            .collect();
        let gaps: Vec<_> = all
            .clone()
            .filter(|at| matches!(events[*at], Missed { .. }))
            .collect();
        let resets: Vec<_> = all
            .clone()
            .filter(|at| matches!(events[*at], Reset { .. }))
            .collect();
        // Places where something that is taken away must be noticed.
        let owed = |at: usize| later_cover(at).is_some() || life(&events[at]).is_some_and(finished);
        let last_cover_of = |l| all.clone().rev().find(|at| life(&events[*at]) == Some(l));
        let mut out = events.clone();

        match self {
            Self::Drop => {
                let owed: Vec<_> = items.into_iter().filter(|at| owed(*at)).collect();
                out.remove(*owed.choose(rng)?);
            }
            Self::DropTail => {
                finished_lives.retain(|(l, ..)| last_cover_of(*l).is_some());
                let (l, ..) = *finished_lives.choose(rng)?;
                for _ in 0..rng.random_range(1..4) {
                    if let Some(at) = out.iter().rposition(|e| life(e) == Some(l)) {
                        out.remove(at);
                    }
                }
            }
            Self::Duplicate => {
                let at = *items.choose(rng)?;
                out.insert(rng.random_range(at + 1..=out.len()), events[at]);
            }
            Self::Swap => {
                let a = *items.choose(rng)?;
                let others: Vec<_> = items
                    .into_iter()
                    .filter(|b| *b != a && life(&events[*b]) == life(&events[a]))
                    .collect();
                out.swap(a, *others.choose(rng)?);
            }
            Self::GapOfDelivered => {
                let at = *items.choose(rng)?;
                let (producer, epoch) = life(&events[at])?;
                let from = seq(&events[at]);
                let gap = Missed {
                    producer,
                    epoch,
                    from,
                    to: from + 1,
                };
                out.insert(
                    if rng.random() {
                        at
                    } else {
                        rng.random_range(at..=out.len())
                    },
                    gap,
                );
            }
            Self::GapTooWideLeft | Self::GapTooWideRight => {
                let left = self == Self::GapTooWideLeft;
                let beside: Vec<_> = gaps
                    .into_iter()
                    .filter(|at| {
                        let Missed { from, to, .. } = events[*at] else {
                            return false;
                        };
                        let neighbour = if left { from.checked_sub(1) } else { Some(to) };
                        events.iter().any(|e| {
                            matches!(e, Received { seq, .. } if Some(*seq) == neighbour)
                                && life(e) == life(&events[*at])
                        })
                    })
                    .collect();
                let Missed { from, to, .. } = &mut out[*beside.choose(rng)?] else {
                    return None;
                };
                if left {
                    *from -= 1;
                } else {
                    *to += 1;
                }
            }
            Self::GapTooNarrow => {
                let owed: Vec<_> = gaps.into_iter().filter(|at| owed(*at)).collect();
                let Missed { from, to, .. } = &mut out[*owed.choose(rng)?] else {
                    return None;
                };
                if rng.random() {
                    *from += 1;
                } else {
                    *to -= 1;
                }
            }
            Self::GapMissing => {
                let owed: Vec<_> = gaps.into_iter().filter(|at| owed(*at)).collect();
                out.remove(*owed.choose(rng)?);
            }
            Self::GapTwice => {
                let at = *gaps.choose(rng)?;
                out.insert(at + 1, events[at]);
            }
            Self::GapPastEnd | Self::Invented => {
                finished_lives.retain(|(l, ..)| last_cover_of(*l).is_some());
                let (l @ (producer, epoch), count, _) = *finished_lives.choose(rng)?;
                let journal = run
                    .producers_mut()
                    .iter()
                    .find(|j| (j.producer(), j.epoch()) == l)?;
                let event = if self == Self::Invented {
                    sim::item(rng, &key, journal, count)
                } else {
                    Missed {
                        producer,
                        epoch,
                        from: count,
                        to: count + rng.random_range(1..4),
                    }
                };
                out.insert(last_cover_of(l)? + 1, event);
            }
            Self::GapEmpty => {
                let at = *items.choose(rng)?;
                let (producer, epoch) = life(&events[at])?;
                let from = seq(&events[at]);
                out.insert(
                    at,
                    Missed {
                        producer,
                        epoch,
                        from,
                        to: from - from.min(rng.random_range(0..2)),
                    },
                );
            }
            Self::WrongPayload => {
                let Received { payload, .. } = &mut out[*items.choose(rng)?] else {
                    return None;
                };
                *payload = Digest::of(&rng.random::<[u8; 40]>());
            }
            Self::PayloadOfAnother => {
                let a = *items.choose(rng)?;
                let Received { payload: other, .. } = events[*items.iter().find(|b| **b != a)?]
                else {
                    return None;
                };
                let Received { payload, .. } = &mut out[a] else {
                    return None;
                };
                *payload = other;
            }
            Self::WrongEpoch => {
                let at = *items.choose(rng)?;
                let (node, old) = life(&events[at])?;
                let own: Vec<_> = lives
                    .iter()
                    .map(|(l, ..)| *l)
                    .filter(|l| l.0 == node && l.1 != old)
                    .map(|l| l.1)
                    .chain([Epoch(rng.random())])
                    .collect();
                let Received { epoch, .. } = &mut out[at] else {
                    return None;
                };
                *epoch = *own.choose(rng)?;
            }
            Self::WrongProducer => {
                let at = *items.choose(rng)?;
                let Received { producer, .. } = &mut out[at] else {
                    return None;
                };
                *producer = sim::node_id(1_000 + rng.random_range(0..9));
            }
            Self::AfterLeft => {
                let at = *items.choose(rng)?;
                let (producer, epoch) = life(&events[at])?;
                out.insert(
                    at,
                    Left {
                        producer,
                        epoch,
                        why: Leave::Lost,
                    },
                );
            }
            Self::StaleEpoch => {
                let reset = *resets.choose(rng)?;
                let Reset { producer, old, .. } = events[reset] else {
                    return None;
                };
                let of_old: Vec<_> = items
                    .into_iter()
                    .filter(|at| life(&events[*at]) == Some((producer, old)))
                    .collect();
                let event = out.remove(*of_old.choose(rng)?);
                out.insert(rng.random_range(reset..=out.len()), event);
            }
            Self::ResetMissing => {
                let needed: Vec<_> = resets
                    .into_iter()
                    .filter(|at| {
                        let Reset { producer, old, new } = events[*at] else {
                            return false;
                        };
                        let ended = events.contains(&Left {
                            producer,
                            epoch: old,
                            why: Leave::Ended,
                        });
                        !ended && last_cover_of((producer, new)).is_some()
                    })
                    .collect();
                out.remove(*needed.choose(rng)?);
            }
            Self::ResetOfAnother => {
                let Reset { old, .. } = &mut out[*resets.choose(rng)?] else {
                    return None;
                };
                *old = Epoch(rng.random());
            }
            Self::CommitAhead => {
                let at = *items.choose(rng)?;
                let (producer, epoch) = life(&events[at])?;
                let below = seq(&events[at]) + 1;
                out.insert(
                    at,
                    Committed {
                        producer,
                        epoch,
                        below,
                    },
                );
            }
            Self::JoinMissing => {
                let l = life(&events[*items.choose(rng)?])?;
                out.retain(
                    |e| !matches!(*e, Joined { producer, epoch, .. } if (producer, epoch) == l),
                );
            }
            Self::ProducerSilent => {
                let ((node, _), ..) = *finished_lives.choose(rng)?;
                out.retain(|e| match *e {
                    Joined { producer, .. }
                    | Received { producer, .. }
                    | Missed { producer, .. }
                    | Reset { producer, .. }
                    | Left { producer, .. }
                    | Committed { producer, .. }
                    | ConsumerEvent::Acknowledged { producer, .. } => producer != node,
                    ConsumerEvent::Refused { .. } => true,
                });
            }
        }
        assert_ne!(out, events, "{self:?} changed nothing");
        *run.consumers_mut()[0].events_mut() = out;
        Some(())
    }
}
