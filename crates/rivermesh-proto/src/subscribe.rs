//! Asking for a stream, and the answer.
//!
//! The consumer opens a bidirectional stream, writes the kind byte, and one [`Subscribe`]. The
//! producer writes one [`Reply`]; after [`Reply::Accepted`] it goes on with data frames (see
//! [`batch`](crate::batch)), after [`Reply::Refused`] the stream is over. Both messages are control
//! messages of at most [`limits::CONTROL`] bytes.
//!
//! The consumer says [`Update::Ready`] when it has the reply, and not before: only then does
//! the producer count it. A consumer that loses the connection sooner does not know where it was to
//! begin, and asks anew, for what is produced from then on; so nothing may be sent on its account.
//! Its side of the stream stays open, for further [`Update`]s; it may end it when it will never send
//! one.
//!
//! Who is admitted is decided elsewhere; this module is only what the two sides say.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    filter::{Fault, FilterSource},
    ids::{Epoch, Fingerprint, Seq, StreamName},
    limits,
    named::{Acknowledged, Named},
    ticket::Credential,
    wire::{self, DecodeError, EncodeError},
};

/// A consumer's request for one stream of one producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The stream.
    pub stream: StreamName,
    /// The shape of items that the consumer reads. `None` takes any shape and asks for the schema,
    /// which then comes with [`Accepted`].
    pub fingerprint: Option<Fingerprint>,
    /// The first item that is wanted.
    pub start: Start,
    /// What is to happen when the consumer falls behind.
    pub lag: Lag,
    /// Which items are wanted; `None` for all. Whether it is a filter at all, and fits the stream,
    /// the producer finds out.
    pub filter: Option<FilterSource>,
    /// Whether items may be left out that a newer one of their key has replaced.
    pub superseded: Superseded,
    /// For a consumer that acknowledges: its name. What is not acknowledged under the name comes
    /// first, whatever `start` says, which counts for a name that the producer does not know.
    pub named: Option<Named>,
    /// What entitles the consumer, if it has anything of the kind.
    pub credential: Option<Credential>,
}

/// What a consumer says on its side of the stream after [`Reply::Accepted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Update {
    /// It has the reply and knows where it begins. This comes first, and once.
    Ready,
    /// It wants another filter. The producer answers by a frame
    /// ([`Frame::Filter`](crate::batch::Frame::Filter)) between the items for which the old one and
    /// those for which the new one holds, or ends the stream with
    /// [`Frame::Refused`](crate::batch::Frame::Refused).
    Filter {
        /// A number for the answer to name. Of several changes that wait, the producer may answer
        /// the last alone.
        change: u32,
        /// Which items are wanted; `None` for all.
        filter: Option<FilterSource>,
    },
    /// It has done with everything before this. Only of a consumer that has its name alone. One that
    /// names what was never sent to the name breaks the protocol.
    Commit {
        /// One past the last item.
        upto: Seq,
    },
    /// It has done with these items. Only of a member of a group. One that names what was never
    /// sent to it breaks the protocol.
    Acknowledge {
        /// Which items.
        items: Acknowledged,
    },
    /// It has a newer credential than the one it has shown. The producer goes by it from now on if
    /// it is good, and by the one before if it is not; it does not answer.
    Credential(Credential),
}

/// The first item that a consumer wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Start {
    /// What is produced from now on.
    #[default]
    Latest,
    /// What comes after the items that were received or reported missed already. What the log does
    /// not hold any more is reported as one gap; if the epoch is over, the producer starts at the
    /// oldest item it holds of its present one.
    Resume {
        /// The epoch that was being read.
        epoch: Epoch,
        /// The first sequence number not yet received or reported missed.
        next: Seq,
    },
    /// The oldest item that the producer keeps for those who come later.
    Earliest,
    /// The item of this number of the present epoch. What is not kept any more of those from there
    /// on is reported as one gap. One that was not sent yet is as [`Latest`](Self::Latest).
    At {
        /// Its number.
        seq: Seq,
    },
    /// What was sent at this time or later, by the producer's clock, and up to one batch of what
    /// was sent before it.
    Since {
        /// Microseconds since the Unix epoch.
        at_us: u64,
    },
    /// What was sent within this time before the request, by the producer's clock alone, and up to
    /// one batch of what was sent before it.
    Ago {
        /// Microseconds.
        us: u64,
    },
    /// The newest item of each key, in the order of their numbers, and then what is produced from
    /// now on. Only where the producer keeps these ([`Refusal::NotCompacted`]).
    LastPerKey,
    /// As [`Resume`](Self::Resume), for a consumer that is not through with the part of which it
    /// gets the newest item of each key ([`Accepted::thinned`]).
    Rest {
        /// The epoch that was being read.
        epoch: Epoch,
        /// The first sequence number not yet received, left out or reported missed.
        next: Seq,
        /// Where that part ends.
        until: Seq,
    },
}

/// What becomes of items of which the log has a newer one with the same key.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Superseded {
    /// They are sent like all others. The default.
    #[default]
    Send,
    /// While the consumer is behind they are left out, as if by a filter: of each key it gets the
    /// newest item. While it is not, it gets them all.
    LeaveOut,
}

/// What happens when the producer's log has to move past the position of a consumer.
///
/// The consumer asks for one, the producer allows some ([`LagSet`]). Whichever it is, no item goes
/// missing in silence.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum Lag {
    /// The consumer goes on at the oldest item the log still holds, and gets an exact gap for what
    /// it lost. The default.
    #[default]
    Skip,
    /// The consumer goes on at the newest item, and gets an exact gap for all between: for those
    /// who would rather be current than complete.
    Newest,
    /// The subscription ends with [`Code::Lagged`](crate::code::Code::Lagged).
    Disconnect,
    /// The log does not move: the producer waits for this consumer. One such consumer that does
    /// not read stops the stream for all, so producers allow it only on purpose.
    Block,
}

impl Lag {
    /// All policies, in the order of their numbers on the wire.
    pub const ALL: [Self; 4] = [Self::Skip, Self::Newest, Self::Disconnect, Self::Block];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skip => "skip",
            Self::Newest => "newest",
            Self::Disconnect => "disconnect",
            Self::Block => "block",
        })
    }
}

/// A set of lag policies. On the wire one byte, bit 0 for [`Lag::Skip`] and so on; other bits are
/// refused.
///
/// The default is what a producer allows when it says nothing: all but [`Lag::Block`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LagSet(u8);

impl LagSet {
    /// The set of no policy.
    pub const EMPTY: Self = Self(0);
    /// The set of all policies.
    pub const ALL: Self = Self(0b1111);

    /// This set and `lag`.
    #[must_use]
    pub const fn with(self, lag: Lag) -> Self {
        Self(self.0 | lag.bit())
    }

    /// This set without `lag`.
    #[must_use]
    pub const fn without(self, lag: Lag) -> Self {
        Self(self.0 & !lag.bit())
    }

    /// Whether `lag` is in the set.
    #[must_use]
    pub const fn contains(self, lag: Lag) -> bool {
        self.0 & lag.bit() != 0
    }

    /// Whether no policy is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The policies of the set, in the order of [`Lag::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Lag> {
        Lag::ALL.into_iter().filter(move |lag| self.contains(*lag))
    }
}

impl Default for LagSet {
    fn default() -> Self {
        Self::ALL.without(Lag::Block)
    }
}

impl FromIterator<Lag> for LagSet {
    fn from_iter<I: IntoIterator<Item = Lag>>(lags: I) -> Self {
        lags.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Display for LagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (n, lag) in self.iter().enumerate() {
            write!(f, "{}{lag}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for LagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LagSet({self})")
    }
}

impl Serialize for LagSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for LagSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = u8::deserialize(deserializer)?;
        if bits & !Self::ALL.0 != 0 {
            return Err(de::Error::custom("unknown lag policy"));
        }
        Ok(Self(bits))
    }
}

/// A producer's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Data frames follow.
    Accepted(Accepted),
    /// Nothing follows.
    Refused(Refusal),
}

/// What a consumer has to know before the first data frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The present life of the producer. If it is not the one of [`Start::Resume`], all positions
    /// the consumer knew are void.
    pub epoch: Epoch,
    /// The first sequence number that data frames or gaps will speak of.
    pub start: Seq,
    /// The lag policy in force: the one that was asked for.
    pub lag: Lag,
    /// Of the items before this number only the newest of each key will come, because the producer
    /// keeps no others or no others were asked for. 0 where there are none such.
    pub thinned: Seq,
    /// The schema of the stream, encoded, if it was asked for; at most [`limits::SCHEMA`] bytes.
    #[serde(deserialize_with = "optional_schema")]
    pub schema: Option<Bytes>,
    /// Items before this number may have been sent to the consumer's name before; 0 where it has
    /// none, or shares it.
    pub redelivers: Seq,
    /// What entitles the producer, if it has anything of the kind.
    pub credential: Option<Credential>,
}

/// Why a producer does not accept a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The node does not produce the stream, or the consumer may not know that it does.
    #[error("the peer does not produce this stream")]
    UnknownStream,
    /// The fingerprints differ.
    #[error("the stream's items have another shape than the consumer's type")]
    Schema {
        /// The producer's schema, encoded, for telling what differs; at most [`limits::SCHEMA`]
        /// bytes.
        #[serde(deserialize_with = "required_schema")]
        schema: Bytes,
    },
    /// The producer has as many consumers as it takes.
    #[error("the producer has all {max} consumers it takes")]
    Full {
        /// How many it takes.
        max: u32,
    },
    /// The consumer does not meet the producer's requirement, has no ticket for the stream, or there is no
    /// such stream.
    #[error("the consumer is not admitted to the stream, or there is no such stream")]
    NotAdmitted,
    /// The producer does not allow the lag policy that was asked for.
    #[error("the producer does not allow this lag policy; allowed: {allowed}")]
    LagNotAllowed {
        /// What it allows.
        allowed: LagSet,
    },
    /// The node has no room for another subscription at the moment.
    #[error("the peer is busy")]
    Busy,
    /// The stream is just being closed.
    #[error("the producer is closing the stream")]
    Closed,
    /// The filter cannot be read, or does not fit the stream's items.
    #[error("the producer refuses the filter: {fault}")]
    Filter {
        /// What is wrong with it, and where.
        fault: Fault,
    },
    /// The producer has as many different filters as it takes.
    #[error("the producer has no room for another filter")]
    FiltersFull,
    /// [`Start::LastPerKey`] was asked for, and the producer does not keep the newest item of each
    /// key.
    #[error("the producer does not keep the newest item of each key")]
    NotCompacted,
    /// The producer keeps nothing for consumers with a name.
    #[error("the producer does not take consumers with a name")]
    NamesNotAllowed,
    /// The producer knows as many names as it takes.
    #[error("the producer knows all {max} names of consumers it takes")]
    NamesFull {
        /// How many it takes.
        max: u32,
    },
    /// Another node has the name.
    #[error("another node has this consumer's name")]
    NameHeld,
    /// The name is of another kind, or its group has another filter.
    #[error("those that have this consumer's name use it in another way or have another filter")]
    NameDiffers,
}

impl Refusal {
    /// Whether the same request may be accepted later, as long as the catalog still shows the peer
    /// as a producer of the stream. Where this is false, only another request or a new version of
    /// one of the two programs can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            // The first and the last: a stream may be made anew before the catalog told of its end.
            Self::UnknownStream
            | Self::Full { .. }
            | Self::NotAdmitted
            | Self::Busy
            | Self::Closed
            | Self::FiltersFull
            | Self::NamesFull { .. }
            | Self::NameHeld
            | Self::NameDiffers => true,
            Self::Schema { .. }
            | Self::LagNotAllowed { .. }
            | Self::Filter { .. }
            | Self::NotCompacted
            | Self::NamesNotAllowed => false,
        }
    }
}

impl Subscribe {
    /// The message with its length prefix.
    ///
    /// # Errors
    /// Never: name, filter and credential are within their limits.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        wire::encode(self, limits::CONTROL)
    }

    /// Reads the message from a body, without prefix.
    ///
    /// # Errors
    /// When the body is not exactly one such message.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(body)
    }
}

impl Update {
    /// The message with its length prefix.
    ///
    /// # Errors
    /// Never: filter and credential are within their limits.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        wire::encode(self, limits::CONTROL)
    }

    /// Reads the message from a body, without prefix.
    ///
    /// # Errors
    /// When the body is not exactly one such message.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(body)
    }
}

impl Reply {
    /// The message with its length prefix.
    ///
    /// # Errors
    /// When it is over [`limits::CONTROL`]: never with a schema within [`limits::SCHEMA`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        wire::encode(self, limits::CONTROL)
    }

    /// Reads the message from a body, without prefix.
    ///
    /// # Errors
    /// When the body is not exactly one such message.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(body)
    }
}

fn required_schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let schema = Bytes::deserialize(deserializer)?;
    if schema.len() > limits::SCHEMA {
        return Err(de::Error::custom("schema over the limit"));
    }
    Ok(schema)
}

fn optional_schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    let schema = Option::<Bytes>::deserialize(deserializer)?;
    if schema.as_ref().is_some_and(|s| s.len() > limits::SCHEMA) {
        return Err(de::Error::custom("schema over the limit"));
    }
    Ok(schema)
}
