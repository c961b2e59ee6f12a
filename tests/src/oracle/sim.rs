//! Deliveries that keep every promise, made up from a seed, to test the judge with.

use std::collections::VecDeque;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rivermesh_proto::{Epoch, NodeId, Seq, StreamName};

use super::*;

/// A valid node id; the same for the same number.
pub(super) fn node_id(number: u64) -> NodeId {
    let mut bytes = [0; 32];
    StdRng::seed_from_u64(number).fill(&mut bytes);
    loop {
        // About every second string of bytes is a point of the curve.
        if let Ok(id) = NodeId::from_bytes(&bytes) {
            return id;
        }
        bytes[0] = bytes[0].wrapping_add(1);
    }
}

/// How large the made-up run is. The numbers are upper bounds.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) producers: u64,
    pub(super) consumers: u64,
    pub(super) lives: u64,
    pub(super) items: u64,
}

/// Rules under which a simulated run must pass.
pub(super) fn rules() -> Rules {
    Rules {
        min_items: 1,
        min_faults: 0,
        ..Rules::default()
    }
}

/// A run in which everything that may happen does happen at times, and every promise is kept.
pub(super) fn run(seed: u64, shape: &Shape) -> Run {
    let mut rng = StdRng::seed_from_u64(seed);
    let key = Key::from_seed(seed);
    let mut run = Run::new(key);
    let stream = StreamName::new("sim").unwrap();

    let producers: Vec<Vec<ProducerJournal>> = (0..rng.random_range(1..=shape.producers))
        .map(|number| {
            let lives = rng.random_range(1..=shape.lives);
            (0..lives)
                .map(|life| {
                    let last = life + 1 == lives;
                    let journal =
                        ProducerJournal::new(node_id(number), Epoch(rng.random()), stream.clone());
                    live(&mut rng, journal, shape.items, last)
                })
                .collect()
        })
        .collect();

    for number in 0..rng.random_range(1..=shape.consumers) {
        let mut parts: Vec<VecDeque<ConsumerEvent>> = producers
            .iter()
            .map(|lives| hear(&mut rng, &key, lives))
            .collect();
        let mut journal = ConsumerJournal::new(&format!("consumer-{number}"), stream.clone());
        // Producers are independent, so any merge of what each said is a possible order.
        while let Some(part) = pick(&mut rng, &mut parts) {
            if let Some(event) = part.pop_front() {
                journal.push(event).unwrap();
            }
        }
        // The first consumer always drains: mutations need one whose tail is demanded.
        if number > 0 && rng.random_ratio(1, 4) {
            let cut = rng.random_range(0..=journal.events().len());
            journal.events_mut().truncate(cut);
            if rng.random() {
                journal.finish(ConsumerEnd::Stopped).unwrap();
            } else {
                journal = journal.killed();
            }
        } else {
            journal.finish(ConsumerEnd::Drained).unwrap();
        }
        run.consumer(journal);
    }
    producers.into_iter().flatten().for_each(|journal| {
        run.producer(journal);
    });
    run
}

fn pick<'a>(
    rng: &mut StdRng,
    parts: &'a mut Vec<VecDeque<ConsumerEvent>>,
) -> Option<&'a mut VecDeque<ConsumerEvent>> {
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        return None;
    }
    let at = rng.random_range(0..parts.len());
    parts.get_mut(at)
}

/// One life of a producer; all but the last may be killed, with an item in doubt.
fn live(rng: &mut StdRng, mut journal: ProducerJournal, items: u64, last: bool) -> ProducerJournal {
    for _ in 0..rng.random_range(2..=items.max(2)) {
        journal.attempt().unwrap();
        journal.accepted().unwrap();
    }
    if last || rng.random() {
        if rng.random_ratio(1, 4) {
            journal.attempt().unwrap(); // refused by `send`
        }
        journal.finish().unwrap();
        return journal;
    }
    if rng.random() {
        journal.attempt().unwrap();
    }
    journal.killed()
}

/// What a consumer hears from the lives of one producer.
fn hear(rng: &mut StdRng, key: &Key, lives: &[ProducerJournal]) -> VecDeque<ConsumerEvent> {
    let mut events = VecDeque::new();
    let mut before: Option<(Epoch, bool)> = None;
    for journal in lives {
        let finished = journal.end() == Some(ProducerEnd::Finished);
        // A short life may pass unseen, unless it finished and so is demanded.
        if !finished && rng.random_ratio(1, 4) {
            continue;
        }
        let (producer, epoch) = (journal.producer(), journal.epoch());
        let start = rng.random_range(0..journal.count());
        let joined = ConsumerEvent::Joined {
            producer,
            epoch,
            seq: start,
        };
        match before {
            None => events.push_back(joined),
            Some((old, ended)) => {
                let reset = ConsumerEvent::Reset {
                    producer,
                    old,
                    new: epoch,
                };
                let joined_first = rng.random();
                if joined_first {
                    events.push_back(joined);
                }
                if !ended || rng.random() {
                    events.push_back(reset);
                }
                if !joined_first {
                    events.push_back(joined);
                }
            }
        }
        cover(rng, key, journal, start, &mut events);
        let why = if finished { Leave::Ended } else { Leave::Lost };
        let leaves = rng.random();
        if leaves {
            events.push_back(ConsumerEvent::Left {
                producer,
                epoch,
                why,
            });
        }
        before = Some((epoch, leaves && finished));
    }
    events
}

/// Items, gaps and broken connections from `start` to where the life ends for this consumer.
fn cover(
    rng: &mut StdRng,
    key: &Key,
    journal: &ProducerJournal,
    start: Seq,
    events: &mut VecDeque<ConsumerEvent>,
) {
    let (producer, epoch) = (journal.producer(), journal.epoch());
    let end = match journal.end() {
        Some(ProducerEnd::Finished) => journal.count(),
        // What was in doubt may have arrived; what was accepted last may not.
        _ => rng.random_range(start..=journal.bound()),
    };
    let mut seq = start;
    while seq < end {
        match rng.random_range(0..20) {
            0 => {
                let to = rng.random_range(seq + 1..=end.min(seq + 8));
                events.push_back(ConsumerEvent::Missed {
                    producer,
                    epoch,
                    from: seq,
                    to,
                });
                seq = to;
            }
            1 => {
                if rng.random() {
                    let why = Leave::Lost;
                    events.push_back(ConsumerEvent::Left {
                        producer,
                        epoch,
                        why,
                    });
                }
                // The gap of an outage may follow a joining at its end or at its start.
                let to = rng.random_range(seq..=end.min(seq + 8));
                let at = if rng.random() { seq } else { to };
                events.push_back(ConsumerEvent::Joined {
                    producer,
                    epoch,
                    seq: at,
                });
                if seq < to {
                    events.push_back(ConsumerEvent::Missed {
                        producer,
                        epoch,
                        from: seq,
                        to,
                    });
                }
                seq = to;
            }
            2 => {
                let below = rng.random_range(0..=seq);
                events.push_back(ConsumerEvent::Committed {
                    producer,
                    epoch,
                    below,
                });
            }
            _ => {
                events.push_back(item(rng, key, journal, seq));
                seq += 1;
            }
        }
    }
}

/// An item as it should be.
pub(super) fn item(
    rng: &mut StdRng,
    key: &Key,
    journal: &ProducerJournal,
    seq: Seq,
) -> ConsumerEvent {
    let payload = key.payload(&journal.place(seq), rng.random_range(32..200));
    ConsumerEvent::Received {
        producer: journal.producer(),
        epoch: journal.epoch(),
        seq,
        payload: Digest::of(&payload),
        at_us: None,
    }
}
