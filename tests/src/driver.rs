//! Sending the oracle's payloads, with its journal.

use bytes::Bytes;
use rivermesh::{
    Durability, Epoch, Node, NodeId, Producer, SendError, Seq, StreamName, TrySendError, producer,
};

use crate::{
    cluster::DEADLINE,
    oracle::{Key, ProducerJournal},
    recorder::ok,
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

    /// Sends this many items and waits until they outlive the process. None of them counts as accepted
    /// before that.
    ///
    /// # Panics
    /// When one cannot be sent or stored, or waits for longer than [`DEADLINE`].
    pub async fn send_kept(&mut self, items: u64) {
        for seq in ok(self.journal.attempt_many(items)) {
            let item = self.key.payload(&self.journal.place(seq), self.size).into();
            // A write takes all that was sent before.
            let kept = if seq + 1 == self.journal.count() + items {
                Durability::Buffered
            } else {
                Durability::Memory
            };
            let sent = self.producer.send_with(item, kept);
            match tokio::time::timeout(DEADLINE, sent).await {
                Ok(Ok(sent)) => assert_eq!(sent, seq, "send gave another number"),
                other => panic!("item {seq} was not kept: {other:?}"),
            }
        }
        ok(self.journal.accepted_many(items));
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
