//! The bounded queue of batches between receivers and the program.
//!
//! Bounded twice: in bytes, by permits that travel with each batch, and in messages, for the small
//! ones. A full queue stops its receivers, which closes the QUIC window, which is felt at the
//! producer's cursor.

use std::sync::Arc;

use rivermesh_proto::{Epoch, NodeId, Seq, StreamName, batch::Batch, schema::Schema};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    commit::Commits,
    event::{LeaveReason, SubscribeError},
};

/// Messages that wait at most, whatever their bytes.
const MESSAGES: usize = 1024;

/// Where a batch comes from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) producer: NodeId,
    pub(super) stream: StreamName,
    pub(super) epoch: Epoch,
    /// The producer's schema, for a consumer that takes any.
    pub(super) schema: Option<Arc<Schema>>,
    /// For a consumer with a name: what it commits by.
    pub(super) commits: Option<Arc<Commits>>,
    /// Items before this may have been delivered before.
    pub(super) redelivers: Seq,
    /// Items stand outside of the order, and what lies between them is nothing to speak of.
    pub(super) is_again: bool,
}

impl Source {
    /// The same producer, for items that stand outside of the order.
    pub(super) fn again(&self) -> Self {
        Self {
            producer: self.producer,
            stream: self.stream.clone(),
            epoch: self.epoch,
            schema: self.schema.clone(),
            commits: self.commits.clone(),
            redelivers: Seq::MAX,
            is_again: true,
        }
    }
}

/// What receivers hand to the program.
#[derive(Debug)]
pub(super) enum Message {
    Batch {
        source: Arc<Source>,
        batch: Batch,
        held: OwnedSemaphorePermit,
    },
    Missed {
        source: Arc<Source>,
        from: Seq,
        to: Seq,
    },
    FilterChanged {
        source: Arc<Source>,
        seq: Seq,
    },
    Reset {
        producer: NodeId,
        old: Epoch,
        new: Epoch,
    },
    Joined {
        producer: NodeId,
        stream: StreamName,
        epoch: Epoch,
        seq: Seq,
    },
    Left {
        producer: NodeId,
        epoch: Epoch,
        reason: LeaveReason,
    },
    Refused {
        producer: NodeId,
        stream: StreamName,
        error: SubscribeError,
    },
}

/// The program dropped its consumer.
#[derive(Debug)]
pub(super) struct Dropped;

/// The receivers' end of the queue.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    messages: mpsc::Sender<Message>,
    bytes: Arc<Semaphore>,
    capacity: u32,
}

/// A queue of at most `capacity` bytes of batches, or one batch that is larger.
pub(super) fn new(capacity: u32) -> (Inbox, mpsc::Receiver<Message>) {
    let (messages, outlet) = mpsc::channel(MESSAGES);
    let bytes = Arc::new(Semaphore::new(capacity as usize));
    (
        Inbox {
            messages,
            bytes,
            capacity,
        },
        outlet,
    )
}

impl Inbox {
    /// Puts a batch in, waiting for room.
    pub(super) async fn batch(&self, source: Arc<Source>, batch: Batch) -> Result<(), Dropped> {
        let bytes = u32::try_from(batch.body().len())
            .unwrap_or(u32::MAX)
            .min(self.capacity);
        let held = Arc::clone(&self.bytes)
            .acquire_many_owned(bytes)
            .await
            .map_err(|_| Dropped)?;
        self.messages
            .send(Message::Batch {
                source,
                batch,
                held,
            })
            .await
            .map_err(|_| Dropped)
    }

    /// Puts anything else in, waiting for room.
    pub(super) async fn message(&self, message: Message) -> Result<(), Dropped> {
        self.messages.send(message).await.map_err(|_| Dropped)
    }

    /// Resolves when the program has dropped its consumer.
    pub(super) async fn dropped(&self) {
        self.messages.closed().await;
    }
}
