//! Items that arrived together, handed to the program whole.

use std::{fmt, iter::FusedIterator, marker::PhantomData, ops::Range, sync::Arc};

use rivermesh_proto::{
    Epoch, NodeId, Seq, StreamName,
    batch::{self, Position},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    commit::{Ack, CommitError},
    inbox::Source,
};
use crate::{Datum, DecodeError, Payload, View};

/// Items of one producer that arrived together, still in the bytes that they came in.
///
/// Going through it costs no allocation, reference count or queue operation per item: with
/// [`views`](Batch::views) the items borrow from the batch, with [`payloads`](Batch::payloads)
/// their bytes do. Made by [`Consumer::recv_batch`](super::Consumer::recv_batch).
///
/// A batch has at least one item and at most 64 KiB, or one larger item. For as long as it is held it takes its
/// room in the consumer's buffer (`buffer_bytes`): who holds many keeps further ones from being
/// read.
pub struct Batch<T> {
    source: Arc<Source>,
    batch: batch::Batch,
    /// Items before this place have been handed out already.
    position: Position,
    /// The number after those items, and after what is known to be left out.
    next: Seq,
    /// Room in the inbox that is given back with the batch.
    _held: OwnedSemaphorePermit,
    item: PhantomData<fn() -> T>,
}

impl<T> Batch<T> {
    pub(super) fn new(
        source: Arc<Source>,
        batch: batch::Batch,
        held: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            source,
            position: batch.start(),
            next: batch.first(),
            batch,
            _held: held,
            item: PhantomData,
        }
    }

    /// The number of items.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        left(&self.batch, &self.position)
    }

    /// The numbers it speaks for, among them those of its items. The others were left out by the
    /// filter, or, in a group, are for other members; of items that come a second time in a group it is
    /// from the first to the last.
    #[must_use]
    pub fn range(&self) -> Range<Seq> {
        self.next..self.batch.end()
    }

    /// The node that sent the items.
    #[must_use]
    pub fn producer(&self) -> NodeId {
        self.source.producer
    }

    /// The stream that they are of.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.source.stream
    }

    /// The life of the stream that they belong to.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.source.epoch
    }

    /// Microseconds since 1970 at which the batch was begun, by the producer's clock: at or before
    /// each of its items was sent.
    #[must_use]
    pub fn sent_at_us(&self) -> u64 {
        self.batch.sent_at_us()
    }

    /// Whether any of the items may have been delivered before, as
    /// [`Delivery::redelivered`](super::Delivery::redelivered) says.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.next < self.source.redelivers
    }

    /// Says that the program has done with the items of the batch, as
    /// [`Delivery::commit`](super::Delivery::commit) does with one.
    ///
    /// # Errors
    /// When the consumer has no name, or the subscription is over; the items come again then.
    pub fn commit(&self) -> Result<(), CommitError> {
        self.ack(self.next, self.batch.end()).commit()
    }

    /// What these items are committed by.
    #[inline]
    pub(super) fn ack(&self, from: Seq, to: Seq) -> Ack {
        Ack::new(self.source.commits.as_ref(), from, to)
    }

    /// Whether the items stand outside of the order.
    pub(super) fn is_again(&self) -> bool {
        self.source.is_again
    }

    /// Whether items before this number may have been delivered before.
    #[inline]
    pub(super) fn redelivers(&self) -> Seq {
        self.source.redelivers
    }

    /// The items' numbers and bytes, in order.
    pub fn payloads(&self) -> Payloads<'_> {
        Payloads {
            batch: &self.batch,
            position: self.position,
            source: &self.source,
        }
    }

    /// Takes the next item off; nothing where none is left.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Seq, Payload<'_>)> {
        let (seq, data) = self.batch.next(&mut self.position)?;
        self.next = seq + 1;
        let schema = self.source.schema.as_ref();
        Some((seq, Payload::new(self.batch.body(), data, schema)))
    }

    /// Passes over what the filter left out before the next item, or behind the last.
    #[inline]
    pub(super) fn pass_filtered(&mut self) -> Option<Range<Seq>> {
        if self.batch.filtered() == 0 || self.source.is_again {
            return None;
        }
        let to = self.first().unwrap_or(self.batch.end());
        let from = std::mem::replace(&mut self.next, to);
        (from < to).then_some(from..to)
    }

    /// The number of the first item, if there is one.
    pub(super) fn first(&self) -> Option<Seq> {
        self.payloads().next().map(|(seq, _)| seq)
    }
}

impl<T: Datum> Batch<T> {
    /// The items, in order, each made from its bytes as [`recv`](super::Consumer::recv) does.
    ///
    /// One that is not of the consumer's type is an error, and the iterator goes on after it.
    pub fn iter(&self) -> impl Iterator<Item = Result<T, DecodeError>> + use<'_, T> {
        self.payloads().map(|(_, payload)| T::decode(payload))
    }
}

impl<T: View> Batch<T> {
    /// The items as they lie in the batch: `&[u8]` of a stream of `Bytes`, `&str` of one of
    /// `String`, and what a type's [`View`] says.
    ///
    /// One that is not of the consumer's type is an error, and the iterator goes on after it.
    pub fn views(&self) -> impl Iterator<Item = Result<T::View<'_>, DecodeError>> + use<'_, T> {
        self.payloads().map(|(_, payload)| T::view(payload))
    }
}

impl<T> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("producer", &self.source.producer)
            .field("epoch", &self.source.epoch)
            .field("first", &self.first())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The items of a [`Batch`] as numbers and bytes. Made by [`Batch::payloads`].
#[derive(Clone)]
pub struct Payloads<'a> {
    batch: &'a batch::Batch,
    position: Position,
    source: &'a Source,
}

impl<'a> Iterator for Payloads<'a> {
    type Item = (Seq, Payload<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Seq, Payload<'a>)> {
        let (seq, data) = self.batch.next(&mut self.position)?;
        let schema = self.source.schema.as_ref();
        Some((seq, Payload::new(self.batch.body(), data, schema)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = left(self.batch, &self.position);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Payloads<'_> {}

impl FusedIterator for Payloads<'_> {}

impl fmt::Debug for Payloads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payloads")
            .field("left", &left(self.batch, &self.position))
            .finish_non_exhaustive()
    }
}

fn left(batch: &batch::Batch, position: &Position) -> usize {
    (batch.count() - position.index()) as usize
}
