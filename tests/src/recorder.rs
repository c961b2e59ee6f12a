//! The oracle's journals, kept by the SDK's handles.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rivermesh::{
    Consumer, Epoch, Event, Lag, Node, NodeId, Producer, SendError, Seq, StreamName, TrySendError,
    consumer::{self, LeaveReason, SubscribeError},
    producer,
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::{
    cluster::DEADLINE,
    oracle::{ConsumerEnd, ConsumerEvent, ConsumerJournal, Digest, Key, Leave, ProducerJournal},
};

/// The stream that tests use where the name does not matter.
pub const STREAM: &str = "oracle";

/// The name of [`STREAM`].
///
/// # Panics
/// Never.
#[must_use]
pub fn stream() -> StreamName {
    name(STREAM)
}

fn name(text: &str) -> StreamName {
    match StreamName::new(text) {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}

/// A life of a producer, and the number after its last item: what a consumer must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// The node.
    pub producer: NodeId,
    /// The life.
    pub epoch: Epoch,
    /// One past the last item.
    pub next: Seq,
}

/// Sends the oracle's payloads through a producer, and journals what was accepted.
#[derive(Debug)]
pub struct Driver {
    producer: Producer<Bytes>,
    journal: ProducerJournal,
    key: Key,
    size: usize,
}

impl Driver {
    /// A driver of a producer of [`STREAM`] that is set up further.
    ///
    /// # Panics
    /// When the stream cannot be produced.
    pub fn new(
        node: &Node,
        key: Key,
        setup: impl FnOnce(producer::Builder<Bytes>) -> producer::Builder<Bytes>,
    ) -> Self {
        match setup(node.producer().stream(STREAM)).build() {
            Ok(producer) => Self::of(producer, node.id(), key),
            Err(error) => panic!("the test's stream cannot be produced: {error:?}"),
        }
    }

    /// A driver of this producer, which must be new.
    #[must_use]
    pub fn of(producer: Producer<Bytes>, node: NodeId, key: Key) -> Self {
        let journal = ProducerJournal::new(node, producer.epoch(), producer.stream().clone());
        Self::with_journal(producer, journal, key)
    }

    /// A driver that keeps this journal.
    #[must_use]
    pub fn with_journal(producer: Producer<Bytes>, journal: ProducerJournal, key: Key) -> Self {
        Self {
            producer,
            journal,
            key,
            size: 64,
        }
    }

    /// The same with payloads of about this size in bytes: up to a quarter more, depending on the
    /// item's number.
    #[must_use]
    pub fn size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// The producer.
    #[must_use]
    pub const fn producer(&self) -> &Producer<Bytes> {
        &self.producer
    }

    /// Waits until exactly this many consumers are subscribed and known to the catalog.
    ///
    /// # Panics
    /// When that takes longer than [`DEADLINE`].
    pub async fn subscribed(&self, consumers: usize) {
        let mut status = self.producer.status();
        let met = status
            .wait_for(|status| status.consumers == consumers && status.peers.len() == consumers);
        if !matches!(tokio::time::timeout(DEADLINE, met).await, Ok(Ok(_))) {
            panic!("not {consumers} consumers: {:?}", self.producer.consumers());
        }
    }

    /// What a consumer must come to so far.
    #[must_use]
    pub fn goal(&self) -> Goal {
        Goal {
            producer: self.journal.producer(),
            epoch: self.journal.epoch(),
            next: self.journal.count(),
        }
    }

    fn payload(&mut self) -> (Seq, Bytes) {
        let seq = ok(self.journal.attempt());
        let spread = (self.size as u64 / 4).max(1);
        let size = self.size + usize::try_from(seq % spread).unwrap_or(0);
        (seq, self.key.payload(&self.journal.place(seq), size).into())
    }

    /// Sends one item, waiting as `send` does.
    ///
    /// # Errors
    /// As `send`.
    ///
    /// # Panics
    /// When the item got another number than the next one.
    pub async fn send_one(&mut self) -> Result<Seq, SendError<Bytes>> {
        let (seq, item) = self.payload();
        let sent = self.producer.send(item).await?;
        assert_eq!(sent, seq, "send gave another number");
        ok(self.journal.accepted());
        Ok(seq)
    }

    /// Sends one item if that is possible without waiting.
    ///
    /// # Errors
    /// As `try_send`.
    ///
    /// # Panics
    /// When the item got another number than the next one.
    pub fn try_send_one(&mut self) -> Result<Seq, TrySendError<Bytes>> {
        let (seq, item) = self.payload();
        let sent = self.producer.try_send(item)?;
        assert_eq!(sent, seq, "try_send gave another number");
        ok(self.journal.accepted());
        Ok(seq)
    }

    /// Sends this many items.
    ///
    /// # Panics
    /// When one cannot be sent, or waits for longer than [`DEADLINE`].
    pub async fn send(&mut self, items: u64) {
        for n in 0..items {
            match tokio::time::timeout(DEADLINE, self.send_one()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => panic!("item {n} of {items} was not sent: {error:?}"),
                Err(_) => panic!(
                    "item {n} of {items} waited for {DEADLINE:?}: {:?}, {:?}",
                    self.producer,
                    self.producer.consumers()
                ),
            }
        }
    }

    /// The journal, with its end: everything accepted must arrive. The producer is dropped, which
    /// ends the stream.
    pub fn finish(mut self) -> ProducerJournal {
        ok(self.journal.finish());
        self.journal
    }

    /// The journal of a producer that the test ends by force.
    #[must_use]
    pub fn killed(self) -> ProducerJournal {
        self.journal.killed()
    }
}

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
        }
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
            Event::Item(item) => {
                self.items.send_modify(|items| *items += 1);
                self.next.insert((item.producer, item.epoch), item.seq + 1);
                let record = ConsumerEvent::Received {
                    producer: item.producer,
                    epoch: item.epoch,
                    seq: item.seq,
                    payload: Digest::of(&item.item),
                    at_us: Some(now_us()),
                };
                (record, None)
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

fn ok<T>(result: std::io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the journal cannot be written: {error}"),
    }
}
