//! Consumers with a name before the judge: the lives of one, or the members of a group.
//!
//! [`Run`](super::Run) judges each journal by itself; this holds all those of one name against what was
//! produced. What it demands:
//!
//! - nothing is lost: every item from the start on was received, and committed, by somebody;
//! - what was committed was received, by the one who committed it, before that;
//! - a payload is the one its place in the stream has, and nothing is invented;
//! - of one name that is not shared, a life begins where its predecessors had committed, or before;
//! - where nothing went wrong, nothing comes twice.

use std::collections::HashMap;

use rivermesh_proto::{Epoch, NodeId, Seq};
use thiserror::Error;

use super::{
    consumer::{ConsumerEvent, ConsumerJournal},
    payload::Key,
    producer::ProducerJournal,
    ranges::Ranges,
};

/// How the journals of a name belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They are the lives of one consumer, one after the other.
    Lives,
    /// They are members of a group, at the same time or not.
    Members,
}

/// What is demanded of a name.
#[derive(Clone, Copy, Debug)]
pub struct NameRules {
    /// How the journals belong together.
    pub kind: Kind,
    /// The first item that is owed.
    pub start: Seq,
    /// Whether an item may come more than once, because something went wrong.
    pub may_repeat: bool,
}

/// A promise to a name that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameBreach {
    /// Nobody received an item.
    #[error("item {seq} came to nobody")]
    Lost {
        /// The item.
        seq: Seq,
    },
    /// An item was received, and in the end nobody has committed it.
    #[error("item {seq} was committed by nobody")]
    Uncommitted {
        /// The item.
        seq: Seq,
    },
    /// A consumer committed what it had not received.
    #[error("{consumer} committed item {seq}, which it had not received")]
    CommittedUnseen {
        /// The consumer.
        consumer: String,
        /// The item.
        seq: Seq,
    },
    /// A payload is not the one of its place.
    #[error("{consumer} received another payload as item {seq}")]
    Payload {
        /// The consumer.
        consumer: String,
        /// The item.
        seq: Seq,
    },
    /// An item was never sent.
    #[error("{consumer} received item {seq}, which was never sent")]
    Invented {
        /// The consumer.
        consumer: String,
        /// The item.
        seq: Seq,
    },
    /// A life began behind what was committed before it.
    #[error("{consumer} began at {seq}, but only what is below {committed} was committed")]
    Skipped {
        /// The consumer.
        consumer: String,
        /// Where it began.
        seq: Seq,
        /// Where it had to begin at the latest.
        committed: Seq,
    },
    /// An item came twice, though nothing went wrong.
    #[error("item {seq} came twice")]
    Twice {
        /// The item.
        seq: Seq,
    },
}

/// What a name that kept its promises saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameReport {
    /// Items that came, each time counted.
    pub received: u64,
    /// Of these, items that had come before.
    pub repeated: u64,
    /// Items that each journal has.
    pub each: Vec<u64>,
}

type Life = (NodeId, Epoch);

/// What all journals together say of it.
#[derive(Default)]
struct Together {
    received: Ranges,
    committed: Ranges,
    /// Everything before this is committed.
    below: Seq,
}

/// Judges the journals of one name, the lives of one in their order.
///
/// # Errors
/// All promises that were broken.
pub fn judge(
    key: &Key,
    producers: &[&ProducerJournal],
    journals: &[&ConsumerJournal],
    rules: &NameRules,
) -> Result<NameReport, Vec<NameBreach>> {
    let mut lives: HashMap<Life, Vec<&ProducerJournal>> = HashMap::new();
    for journal in producers {
        let life = (journal.producer(), journal.epoch());
        lives.entry(life).or_default().push(journal);
    }
    let mut name = Name {
        key,
        rules,
        lives: &lives,
        all: HashMap::new(),
        breaches: Vec::new(),
        report: NameReport::default(),
    };
    for journal in journals {
        name.read(journal);
    }
    for journal in producers {
        name.check_whole(journal);
    }
    if name.breaches.is_empty() {
        Ok(name.report)
    } else {
        Err(name.breaches)
    }
}

struct Name<'a> {
    key: &'a Key,
    rules: &'a NameRules,
    /// Several where a log on disk went on with the epoch.
    lives: &'a HashMap<Life, Vec<&'a ProducerJournal>>,
    all: HashMap<Life, Together>,
    breaches: Vec<NameBreach>,
    report: NameReport,
}

impl Name<'_> {
    fn read(&mut self, journal: &ConsumerJournal) {
        let mut own: HashMap<Life, Ranges> = HashMap::new();
        let before = self.report.received;
        let consumer = || journal.name().to_owned();
        for event in journal.events() {
            match *event {
                ConsumerEvent::Joined {
                    producer,
                    epoch,
                    seq,
                } if self.rules.kind == Kind::Lives => {
                    let life = (producer, epoch);
                    let committed = self.all.entry(life).or_default().below;
                    let committed = committed.max(self.rules.start);
                    if seq > committed {
                        self.breaches.push(NameBreach::Skipped {
                            consumer: consumer(),
                            seq,
                            committed,
                        });
                    }
                }
                ConsumerEvent::Received {
                    producer,
                    epoch,
                    seq,
                    payload,
                    ..
                } => {
                    let life = (producer, epoch);
                    self.received(life, seq, payload, journal.name());
                    let own = own.entry(life).or_default();
                    own.insert(seq..seq + 1);
                }
                // What was never sent may be committed unseen. What was is lost all the same.
                ConsumerEvent::Missed {
                    producer,
                    epoch,
                    from,
                    to,
                } => own.entry((producer, epoch)).or_default().insert(from..to),
                ConsumerEvent::Committed {
                    producer,
                    epoch,
                    below,
                } => {
                    let life = (producer, epoch);
                    let all = self.all.entry(life).or_default();
                    // What a predecessor has committed need not come again.
                    let from = all.below.max(self.rules.start);
                    let own = own.entry(life).or_default();
                    if let Some(seq) = (from..below).find(|seq| !own.contains(*seq)) {
                        let consumer = consumer();
                        self.breaches
                            .push(NameBreach::CommittedUnseen { consumer, seq });
                    }
                    all.committed.insert(from..below.max(from));
                    all.below = all.below.max(below);
                }
                ConsumerEvent::Acknowledged {
                    producer,
                    epoch,
                    seq,
                } => {
                    let life = (producer, epoch);
                    let own = own.entry(life).or_default();
                    if !own.contains(seq) {
                        let consumer = consumer();
                        self.breaches
                            .push(NameBreach::CommittedUnseen { consumer, seq });
                    }
                    let all = self.all.entry(life).or_default();
                    all.committed.insert(seq..seq + 1);
                }
                _ => {}
            }
        }
        self.report.each.push(self.report.received - before);
    }

    fn received(&mut self, life: Life, seq: Seq, payload: super::Digest, consumer: &str) {
        self.report.received += 1;
        let consumer = || consumer.to_owned();
        let sent = |journal: &&&ProducerJournal| (journal.base()..journal.bound()).contains(&seq);
        match self.lives.get(&life).and_then(|all| all.iter().find(sent)) {
            Some(journal) => {
                if self
                    .key
                    .verify_digest(&journal.place(seq), payload)
                    .is_err()
                {
                    let consumer = consumer();
                    self.breaches.push(NameBreach::Payload { consumer, seq });
                }
            }
            None => {
                let consumer = consumer();
                self.breaches.push(NameBreach::Invented { consumer, seq });
            }
        }
        let all = self.all.entry(life).or_default();
        if all.received.contains(seq) {
            self.report.repeated += 1;
            if !self.rules.may_repeat {
                self.breaches.push(NameBreach::Twice { seq });
            }
        }
        all.received.insert(seq..seq + 1);
    }

    fn check_whole(&mut self, journal: &ProducerJournal) {
        let life = (journal.producer(), journal.epoch());
        let all = self.all.entry(life).or_default();
        let mut owed = self.rules.start.max(journal.base())..journal.count();
        if let Some(seq) = owed.clone().find(|seq| !all.received.contains(*seq)) {
            self.breaches.push(NameBreach::Lost { seq });
        }
        if let Some(seq) = owed.find(|seq| !all.committed.contains(*seq)) {
            self.breaches.push(NameBreach::Uncommitted { seq });
        }
    }
}

#[cfg(test)]
mod tests {
    use rivermesh_proto::StreamName;

    use super::*;
    use crate::oracle::{ConsumerEnd, Digest, sim};

    const ITEMS: u64 = 100;

    struct World {
        key: Key,
        producer: ProducerJournal,
    }

    impl World {
        fn new() -> Self {
            let stream = StreamName::new("s").unwrap();
            let mut producer = ProducerJournal::new(sim::node_id(1), Epoch(1), stream);
            producer.attempt_many(ITEMS).unwrap();
            producer.accepted_many(ITEMS).unwrap();
            producer.finish().unwrap();
            Self {
                key: Key::from_seed(1),
                producer,
            }
        }

        fn journal(&self, name: &str, events: Vec<ConsumerEvent>) -> ConsumerJournal {
            let mut journal = ConsumerJournal::new(name, self.producer.stream().clone());
            for event in events {
                journal.push(event).unwrap();
            }
            journal.finish(ConsumerEnd::Stopped).unwrap();
            journal
        }

        fn joined(&self, seq: Seq) -> ConsumerEvent {
            let (producer, epoch) = (self.producer.producer(), self.producer.epoch());
            ConsumerEvent::Joined {
                producer,
                epoch,
                seq,
            }
        }

        fn item(&self, seq: Seq) -> ConsumerEvent {
            let payload = self.key.payload(&self.producer.place(seq), 40);
            ConsumerEvent::Received {
                producer: self.producer.producer(),
                epoch: self.producer.epoch(),
                seq,
                payload: Digest::of(&payload),
                at_us: None,
            }
        }

        fn committed(&self, below: Seq) -> ConsumerEvent {
            ConsumerEvent::Committed {
                producer: self.producer.producer(),
                epoch: self.producer.epoch(),
                below,
            }
        }

        fn done(&self, seq: Seq) -> ConsumerEvent {
            ConsumerEvent::Acknowledged {
                producer: self.producer.producer(),
                epoch: self.producer.epoch(),
                seq,
            }
        }

        fn judge(
            &self,
            kind: Kind,
            may_repeat: bool,
            lives: [Vec<ConsumerEvent>; 2],
        ) -> Result<NameReport, Vec<NameBreach>> {
            let [first, second] = lives;
            let (a, b) = (self.journal("a", first), self.journal("b", second));
            let rules = NameRules {
                kind,
                start: 0,
                may_repeat,
            };
            judge(&self.key, &[&self.producer], &[&a, &b], &rules)
        }

        /// The first life commits up to 40 and gets 10 more, the second goes on at 40.
        fn lives(&self) -> [Vec<ConsumerEvent>; 2] {
            let mut first = vec![self.joined(0)];
            first.extend((0..50).map(|seq| self.item(seq)));
            first.push(self.committed(40));
            let mut second = vec![self.joined(40)];
            second.extend((40..ITEMS).map(|seq| self.item(seq)));
            second.push(self.committed(ITEMS));
            [first, second]
        }

        /// One has the even items and one the odd ones, and one of each goes to the other.
        fn members(&self) -> [Vec<ConsumerEvent>; 2] {
            let both = |seq| [self.item(seq), self.done(seq)];
            let mut first: Vec<_> = (0..ITEMS).step_by(2).flat_map(both).collect();
            let second: Vec<_> = (1..ITEMS).step_by(2).flat_map(both).collect();
            first.push(self.item(7));
            [first, second]
        }
    }

    #[test]
    fn what_is_right_passes() {
        let world = World::new();
        let report = world.judge(Kind::Lives, true, world.lives()).unwrap();
        assert_eq!((report.received, report.repeated), (110, 10));
        assert_eq!(report.each, [50, 60]);
        let report = world.judge(Kind::Members, true, world.members()).unwrap();
        assert_eq!((report.received, report.repeated), (101, 1));
    }

    /// Every bug that is put into what was right is found, by its name.
    #[test]
    fn every_bug_is_caught() {
        let world = World::new();
        type Bug = fn(&World, &mut [Vec<ConsumerEvent>; 2]);
        let drop_item: Bug = |world, [_, second]| second.retain(|event| *event != world.item(77));
        let wrong: Bug = |world, [_, second]| {
            for event in second {
                if *event == world.item(77) {
                    let ConsumerEvent::Received { seq, .. } = event else {
                        continue;
                    };
                    *seq = 78;
                }
            }
        };
        let found = |kind, bug: Bug| {
            let mut journals = match kind {
                Kind::Lives => world.lives(),
                Kind::Members => world.members(),
            };
            bug(&world, &mut journals);
            world.judge(kind, true, journals).unwrap_err()
        };
        for kind in [Kind::Lives, Kind::Members] {
            assert!(found(kind, drop_item).contains(&NameBreach::Lost { seq: 77 }));
            let consumer = "b".to_owned();
            let payload = NameBreach::Payload { consumer, seq: 78 };
            assert!(found(kind, wrong).contains(&payload));
            let invented = found(kind, |world, [first, _]| {
                first.push(world.item(ITEMS));
            });
            let consumer = "a".to_owned();
            assert_eq!(
                invented,
                [NameBreach::Invented {
                    consumer,
                    seq: ITEMS
                }]
            );
        }
        let no_commit = found(Kind::Lives, |world, [_, second]| {
            second.retain(|event| *event != world.committed(ITEMS));
        });
        assert_eq!(no_commit, [NameBreach::Uncommitted { seq: 40 }]);
        let no_commit = found(Kind::Members, |world, [_, second]| {
            second.retain(|event| *event != world.done(33));
        });
        assert_eq!(no_commit, [NameBreach::Uncommitted { seq: 33 }]);
        let ahead = found(Kind::Lives, |world, [first, _]| {
            first.push(world.committed(60));
        });
        let unseen = |consumer: &str, seq| NameBreach::CommittedUnseen {
            consumer: consumer.to_owned(),
            seq,
        };
        assert_eq!(ahead, [unseen("a", 50)]);
        let ahead = found(Kind::Members, |world, [first, _]| {
            first.insert(0, world.done(0));
        });
        assert_eq!(ahead, [unseen("a", 0)]);
        let skipped = found(Kind::Lives, |world, [_, second]| {
            second[0] = world.joined(50);
            second.retain(|event| !(40..50).any(|seq| *event == world.item(seq)));
        });
        let (consumer, seq, committed) = ("b".to_owned(), 50, 40);
        let breach = NameBreach::Skipped {
            consumer,
            seq,
            committed,
        };
        assert!(skipped.contains(&breach), "{skipped:?}");
        let twice = world.judge(Kind::Members, false, world.members());
        assert_eq!(twice, Err(vec![NameBreach::Twice { seq: 7 }]));
    }
}
