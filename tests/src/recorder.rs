//! The oracle's journals, kept by the SDK's handles.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rivermesh::{
    Consumer, Delivery, Epoch, Event, Lag, Node, NodeId, Seq,
    consumer::{self, CommitError, LeaveReason, SubscribeError},
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::{
    cluster::DEADLINE,
    oracle::{ConsumerEnd, ConsumerEvent, ConsumerJournal, Digest, Leave},
};

pub use crate::driver::{Driver, Goal, STREAM, stream};

/// Something that a consumer saw besides items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A producer is followed.
    Joined(NodeId, Epoch, Seq),
    /// A producer is not followed any more.
    Left(NodeId, Epoch, LeaveReason),
    /// A producer began anew.
    Reset(NodeId, Epoch, Epoch),
    /// Items that will not come.
    Missed(NodeId, Epoch, Seq, Seq),
    /// A producer did not take the subscription.
    Refused(NodeId, SubscribeError),
}

/// Takes what a consumer gets, and journals it.
#[derive(Debug)]
pub struct Recorder {
    consumer: Consumer<Bytes>,
    journal: ConsumerJournal,
    next: HashMap<(NodeId, Epoch), Seq>,
    notes: Vec<Note>,
    items: watch::Sender<u64>,
    commits: Commits,
}

/// How a recorder commits what it has journalled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Commits {
    /// It does not.
    #[default]
    Never,
    /// Everything, at each item whose number is one less than a multiple of this.
    Every(u64),
    /// Each item by itself, as members of a group do.
    Each,
}

impl Recorder {
    /// A recorder of a consumer of [`STREAM`] that is set up further.
    ///
    /// # Panics
    /// When the consumer cannot be made.
    pub fn new(
        node: &Node,
        name: &str,
        setup: impl FnOnce(consumer::Builder<Bytes>) -> consumer::Builder<Bytes>,
    ) -> Self {
        match setup(node.consumer().stream(STREAM)).build() {
            Ok(consumer) => Self::of(consumer, name),
            Err(error) => panic!("the test's consumer cannot be made: {error:?}"),
        }
    }

    /// A recorder of this consumer, which must be new.
    #[must_use]
    pub fn of(consumer: Consumer<Bytes>, name: &str) -> Self {
        let journal = ConsumerJournal::new(name, consumer.stream().clone());
        Self::with_journal(consumer, journal)
    }

    /// A recorder that keeps this journal.
    #[must_use]
    pub fn with_journal(consumer: Consumer<Bytes>, journal: ConsumerJournal) -> Self {
        Self {
            consumer,
            journal,
            next: HashMap::new(),
            notes: Vec::new(),
            items: watch::Sender::new(0),
            commits: Commits::Never,
        }
    }

    /// The same that commits.
    #[must_use]
    pub fn committing(mut self, commits: Commits) -> Self {
        self.commits = commits;
        self
    }

    /// The consumer.
    #[must_use]
    pub const fn consumer(&self) -> &Consumer<Bytes> {
        &self.consumer
    }

    /// What was seen besides items.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Items taken.
    #[must_use]
    pub fn items(&self) -> u64 {
        *self.items.borrow()
    }

    /// The number of items taken, to wait on while the recorder runs by itself.
    #[must_use]
    pub fn watch_items(&self) -> watch::Receiver<u64> {
        self.items.subscribe()
    }

    /// Takes one event; false when there are no more.
    ///
    /// # Panics
    /// When an item cannot be decoded, which raw bytes always can.
    pub async fn step(&mut self) -> bool {
        let Some(event) = self.consumer.next_event().await else {
            return false;
        };
        self.take(event);
        true
    }

    /// Journals an event.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn take(&mut self, event: Event<Bytes>) {
        let (record, note) = match event {
            Event::Item(item) => return self.take_item(&item),
            // To others of a group, or by a filter, which tests of their own look at.
            Event::Filtered {
                producer,
                epoch,
                to,
                ..
            } if self.commits != Commits::Never => {
                self.next.insert((producer, epoch), to);
                return;
            }
            Event::Missed {
                producer,
                epoch,
                from,
                to,
            } => {
                self.next.insert((producer, epoch), to);
                let record = ConsumerEvent::Missed {
                    producer,
                    epoch,
                    from,
                    to,
                };
                (record, Some(Note::Missed(producer, epoch, from, to)))
            }
            Event::Reset { producer, old, new } => {
                let record = ConsumerEvent::Reset { producer, old, new };
                (record, Some(Note::Reset(producer, old, new)))
            }
            Event::Joined {
                producer,
                epoch,
                seq,
                ..
            } => {
                self.next.insert((producer, epoch), seq);
                let record = ConsumerEvent::Joined {
                    producer,
                    epoch,
                    seq,
                };
                (record, Some(Note::Joined(producer, epoch, seq)))
            }
            Event::Left {
                producer,
                epoch,
                reason,
            } => {
                let why = match reason {
                    LeaveReason::Ended => Leave::Ended,
                    LeaveReason::NotEligible | LeaveReason::Revoked => Leave::Cut,
                    _ => Leave::Lost,
                };
                let record = ConsumerEvent::Left {
                    producer,
                    epoch,
                    why,
                };
                (record, Some(Note::Left(producer, epoch, reason)))
            }
            Event::Refused {
                producer, error, ..
            } => (
                ConsumerEvent::Refused { producer },
                Some(Note::Refused(producer, error)),
            ),
            other => panic!("not expected of raw bytes: {other:?}"),
        };
        ok(self.journal.push(record));
        self.notes.extend(note);
    }

    fn take_item(&mut self, item: &Delivery<Bytes>) {
        let (producer, epoch, seq) = (item.producer, item.epoch, item.seq);
        self.items.send_modify(|items| *items += 1);
        let next = self.next.entry((producer, epoch)).or_default();
        // What another member of the group had comes out of order.
        *next = match self.commits {
            Commits::Each => (seq + 1).max(*next),
            _ => seq + 1,
        };
        ok(self.journal.push(ConsumerEvent::Received {
            producer,
            epoch,
            seq,
            payload: Digest::of(&item.item),
            at_us: Some(now_us()),
        }));
        let record = match self.commits {
            Commits::Each => ConsumerEvent::Acknowledged {
                producer,
                epoch,
                seq,
            },
            Commits::Every(items) if (seq + 1) % items == 0 => ConsumerEvent::Committed {
                producer,
                epoch,
                below: seq + 1,
            },
            _ => return,
        };
        // First the journal: what was committed is known then, even if we are killed next.
        ok(self.journal.push(record));
        match item.commit() {
            Ok(()) | Err(CommitError::Over) => {}
            Err(error) => panic!("{}: {error}", self.describe()),
        }
    }

    /// Takes events until the condition holds.
    ///
    /// # Panics
    /// When it does not within [`DEADLINE`], or there are no more events.
    pub async fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        self.until_within(DEADLINE, what, &mut condition).await;
    }

    /// As [`until`](Self::until), with a deadline of its own.
    ///
    /// # Panics
    /// When the condition does not hold by then, or there are no more events.
    pub async fn until_within(
        &mut self,
        within: Duration,
        what: &str,
        mut condition: impl FnMut(&Self) -> bool,
    ) {
        let deadline = Instant::now() + within;
        while !condition(self) {
            match tokio::time::timeout_at(deadline, self.step()).await {
                Ok(true) => {}
                Ok(false) => panic!("{}: no more events before {what}", self.describe()),
                Err(_) => panic!("{}: not within {within:?}: {what}", self.describe()),
            }
        }
    }

    /// Whether everything up to these ends has come or was reported missed.
    #[must_use]
    pub fn covers(&self, goals: &[Goal]) -> bool {
        goals.iter().all(|goal| {
            let life = (goal.producer, goal.epoch);
            self.next.get(&life).is_some_and(|next| *next >= goal.next)
        })
    }

    /// Takes events until everything up to these ends has come or was reported missed.
    ///
    /// # Panics
    /// When that takes longer than [`DEADLINE`].
    pub async fn cover(&mut self, goals: &[Goal]) {
        let what = format!("{goals:?}");
        self.until(&what, |recorder| recorder.covers(goals)).await;
    }

    /// Takes events in a task of its own until told the ends, and these are covered.
    #[must_use]
    pub fn spawn(self, goals: watch::Receiver<Option<Vec<Goal>>>) -> JoinHandle<Self> {
        tokio::spawn(self.run(goals))
    }

    async fn run(mut self, mut goals: watch::Receiver<Option<Vec<Goal>>>) -> Self {
        let mut told = std::pin::pin!(async move {
            let goals = goals.wait_for(Option::is_some).await;
            goals.ok().and_then(|goals| goals.clone())
        });
        let goals = loop {
            tokio::select! {
                more = self.step() => assert!(more, "{}: no more events", self.describe()),
                goals = &mut told => break goals.unwrap_or_default(),
            }
        };
        self.cover(&goals).await;
        self
    }

    /// The journal of a consumer that took everything.
    pub fn drained(self) -> ConsumerJournal {
        self.finish(ConsumerEnd::Drained)
    }

    /// The journal, with this end. The consumer is dropped.
    pub fn finish(mut self, end: ConsumerEnd) -> ConsumerJournal {
        ok(self.journal.finish(end));
        self.journal
    }

    /// Hands what is journalled to the system.
    pub fn flush(&mut self) {
        ok(self.journal.flush());
    }

    fn describe(&self) -> String {
        let notes = self.notes.len().saturating_sub(12);
        format!(
            "consumer {} after {} items, at {:?}, lately {:?}",
            self.journal.name(),
            self.items(),
            self.next,
            &self.notes[notes..]
        )
    }
}

/// Microseconds since the Unix epoch, as journals have them.
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// All lag policies: what a producer of a test allows that is about something else.
pub const ANY_LAG: [Lag; 4] = Lag::ALL;

pub(crate) fn ok<T>(result: std::io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the journal cannot be written: {error}"),
    }
}
