//! What a consumer can be told besides items.

use std::time::{Duration, SystemTime};

use rivermesh_proto::{
    Epoch, NodeId, Seq, StreamName,
    filter::{FilterSource, Place},
    schema::Difference,
    subscribe::{LagSet, Refusal},
    ticket::Denied,
};
use thiserror::Error;

use super::commit::{Ack, CommitError};
use crate::DecodeError;

/// An item with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery<T> {
    /// The item.
    pub item: T,
    /// The node that sent it.
    pub producer: NodeId,
    /// The stream that it is of, for a consumer that takes several
    /// ([`streams`](super::Builder::streams)); `None` for one that takes one.
    pub stream: Option<StreamName>,
    /// The life of the stream that it belongs to.
    pub epoch: Epoch,
    /// Its place in that life.
    pub seq: Seq,
    /// Microseconds since 1970 at which the item's batch was begun, by the producer's clock: at or
    /// before the item was sent, and closer to it the more quickly items are taken.
    pub sent_at_us: u64,
    /// Whether the item may have been delivered before, to this consumer or to another one of its name.
    /// Always false for a consumer without a name.
    pub redelivered: bool,
    pub(super) ack: Ack,
}

impl<T> Delivery<T> {
    /// When the item's batch was begun, by the producer's clock.
    #[must_use]
    pub fn sent_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.sent_at_us)
    }

    /// Says that the program has done with the item, and, unless the consumer is a member of a group,
    /// with everything that its producer sent before. The items of a whole batch, where this is one.
    ///
    /// Does not wait: it is said to the producer at once, or within a millisecond together with
    /// others. What was not said when the consumer is dropped or the connection breaks comes again.
    ///
    /// # Errors
    /// When the consumer has no name, or the subscription is over; the item comes again then.
    pub fn commit(&self) -> Result<(), CommitError> {
        self.ack.commit()
    }
}

/// What happens on a stream, as its consumer sees it. For each producer, events are in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<T> {
    /// An item.
    Item(Delivery<T>),
    /// The items `from..to` of a producer will not come.
    Missed {
        /// The node that sent them.
        producer: NodeId,
        /// The life of the stream.
        epoch: Epoch,
        /// The first one.
        from: Seq,
        /// The one after the last.
        to: Seq,
    },
    /// The filter leaves out the items `from..to` of a producer. Only with a filter; together with
    /// items and what was missed it accounts for every number.
    Filtered {
        /// The node that sent them.
        producer: NodeId,
        /// The life of the stream.
        epoch: Epoch,
        /// The first one.
        from: Seq,
        /// The one after the last.
        to: Seq,
    },
    /// The filter that was set last holds at a producer from an item on. What comes before that
    /// was chosen by an older one.
    FilterChanged {
        /// The node.
        producer: NodeId,
        /// The life of the stream.
        epoch: Epoch,
        /// The first item that it holds for.
        seq: Seq,
    },
    /// A producer that was followed began anew; its items count from 0 again, as the
    /// [`Joined`](Event::Joined) that follows says. Whatever of its old life was not received by
    /// now is lost, and how much that was nobody knows.
    Reset {
        /// The node.
        producer: NodeId,
        /// The life that has ended.
        old: Epoch,
        /// The one that has begun.
        new: Epoch,
    },
    /// A producer is followed from here on.
    Joined {
        /// The node.
        producer: NodeId,
        /// The stream; other events name it by `epoch`.
        stream: StreamName,
        /// The life of its stream.
        epoch: Epoch,
        /// The number of the first item that will come or be reported missed.
        seq: Seq,
    },
    /// A producer is not followed any more.
    Left {
        /// The node.
        producer: NodeId,
        /// The life of its stream that was followed.
        epoch: Epoch,
        /// Why.
        reason: LeaveReason,
    },
    /// A producer did not take the subscription. It is asked again where that can help; the same
    /// refusal is not reported twice in a row.
    Refused {
        /// The node.
        producer: NodeId,
        /// The stream.
        stream: StreamName,
        /// Why.
        error: SubscribeError,
    },
    /// An item came whose bytes are not one of the consumer's type. It is skipped.
    Undecodable {
        /// The node that sent it.
        producer: NodeId,
        /// The life of the stream.
        epoch: Epoch,
        /// The item's number.
        seq: Seq,
        /// What is wrong with it.
        error: DecodeError,
    },
}

/// Why a producer is not followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It ended the stream.
    Ended,
    /// Its node has left the network, or is taken for dead.
    Gone,
    /// It does not meet this consumer's requirement any more.
    NotEligible,
    /// It does not admit this consumer any more. It is asked again, in case that changes.
    Revoked,
    /// This consumer fell behind, and had asked to be disconnected then. It subscribes anew.
    Lagged,
    /// It does not take the filter that was set. It is asked again when another one is set.
    Refused,
}

/// A producer did not take a subscription.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Its items have another shape.
    #[error("items of stream {stream} have another shape there: {difference}")]
    Schema {
        /// The stream.
        stream: String,
        /// The first place that differs.
        difference: Box<Difference>,
    },
    /// It has all the consumers it takes.
    #[error("the producer has all {max} consumers it takes")]
    Full {
        /// How many.
        max: u32,
    },
    /// It does not admit this node: it has no such stream, asks for a ticket that this node has not shown,
    /// or for something else that the node does not meet. Which of these, it does not tell.
    #[error(
        "the node does not admit this one: it has no such stream, or this node does not meet what it asks for"
    )]
    NotAdmitted,
    /// It does not allow the lag policy.
    #[error("the producer does not allow the lag policy; allowed: {allowed}")]
    LagNotAllowed {
        /// What it allows.
        allowed: LagSet,
    },
    /// It does not take the filter.
    #[error("the producer refuses the filter: {place}: {reason}")]
    Filter {
        /// Where the filter is at fault.
        place: Place,
        /// What is wrong with it, in the producer's words.
        reason: String,
        /// The names that exist there, where one was not found, the nearest first; at most 8.
        exists: Vec<String>,
    },
    /// It has no room for another filter.
    #[error("the producer has no room for another filter")]
    FiltersFull,
    /// [`Start::LastPerKey`](super::Start::LastPerKey) was asked for, and it does not keep the newest
    /// item of each key.
    #[error("the producer does not keep the newest item of each key")]
    NotCompacted,
    /// It does not produce the stream, for this node at least.
    #[error("the node does not produce the stream")]
    UnknownStream,
    /// It takes no consumers with a name.
    #[error("the producer does not take consumers with a name")]
    NamesNotAllowed,
    /// It knows as many names as it takes.
    #[error("the producer knows all {max} names of consumers it takes")]
    NamesFull {
        /// How many.
        max: u32,
    },
    /// Another node has the name now.
    #[error("another node has this consumer's name")]
    NameHeld,
    /// The name is used in another way, or its group has another filter.
    #[error("those that have this consumer's name use it in another way or have another filter")]
    NameDiffers,
    /// It does not show a ticket that this consumer asks its producers for.
    #[error("the node is not entitled to produce the stream: {reason}")]
    NotEntitled {
        /// What is wrong with what it shows.
        reason: Denied,
    },
    /// It cannot say now.
    #[error("the producer is busy or closing")]
    Busy,
}

impl SubscribeError {
    /// The message and, where a filter is at fault, the place in it on two further lines.
    #[must_use]
    pub fn report(&self) -> String {
        match self {
            Self::Filter { place, .. } => format!("{self}\n{}", place.excerpt()),
            _ => self.to_string(),
        }
    }

    /// `filter` is the one that was asked for.
    pub(super) fn of(
        refusal: &Refusal,
        stream: &str,
        difference: Option<Difference>,
        filter: Option<&FilterSource>,
    ) -> Self {
        match (refusal, difference) {
            (Refusal::Schema { .. }, Some(difference)) => Self::Schema {
                stream: stream.to_owned(),
                difference: Box::new(difference),
            },
            (Refusal::Full { max }, _) => Self::Full { max: *max },
            (Refusal::NotAdmitted, _) => Self::NotAdmitted,
            (Refusal::LagNotAllowed { allowed }, _) => Self::LagNotAllowed { allowed: *allowed },
            (Refusal::UnknownStream, _) => Self::UnknownStream,
            (Refusal::Filter { fault }, _) => Self::Filter {
                place: fault.place(filter.map_or("", FilterSource::as_str)),
                reason: fault.reason(),
                exists: fault.exists(),
            },
            (Refusal::FiltersFull, _) => Self::FiltersFull,
            (Refusal::NotCompacted, _) => Self::NotCompacted,
            (Refusal::NamesNotAllowed, _) => Self::NamesNotAllowed,
            (Refusal::NamesFull { max }, _) => Self::NamesFull { max: *max },
            (Refusal::NameHeld, _) => Self::NameHeld,
            (Refusal::NameDiffers, _) => Self::NameDiffers,
            _ => Self::Busy,
        }
    }
}
