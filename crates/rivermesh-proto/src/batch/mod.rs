//! The data frames of a subscription: many items in one run of bytes.
//!
//! A frame is `kind: u8`, `length of the body: u32 LE`, body. A sealed batch is a finished frame:
//! header and items in one [`Bytes`], the same bytes for every consumer, so fanning it out costs a
//! reference count each.
//!
//! | kind | body |
//! | --- | --- |
//! | 1 batch | `first: u64 LE`, `count: u32 LE`, `sent_at: u64 LE` (µs since the Unix epoch), then `count` items, each a LEB128 length and that many bytes |
//! | 2 thinned batch | `first: u64 LE`, `end: u64 LE`, `count: u32 LE`, `sent_at: u64 LE`, then `count` items, each a LEB128 number of items that the filter left out before it, a LEB128 length and that many bytes |
//! | 3 gap | `from: u64 LE`, `to: u64 LE`: the items `from..to` are not held any more |
//! | 4 end | `code: u32 LE` (see [`crate::code`]): nothing follows |
//! | 5 filter | `change: u32 LE`, `from: u64 LE`: from there on the consumer's filter of this number holds |
//! | 6 refused | a [`Refusal`], as a control message has it: the filter that was asked for cannot hold; nothing follows |
//! | 7 redelivered | as kind 2, with at least one item: what another member of the group had and did not acknowledge |
//!
//! A batch names the whole range of sequence numbers it speaks for (`first..first + count`, or
//! `first..end` where a filter has thinned it out), and [`Sequence`] holds a producer to it: what
//! follows must begin exactly where the last frame ended. So a consumer knows of every number
//! whether its item was received, left out by the filter, or missed.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::{Seq, limits, subscribe::Refusal, wire};

mod builder;
mod items;
mod sequence;
mod spares;
mod thin;

pub use self::{
    builder::Builder,
    items::{Batch, Position},
    sequence::Sequence,
    thin::{Pick, filtered, redelivered, thinned},
};

/// Bytes of a frame's header: its kind and the length of its body.
pub const HEADER: usize = 5;
/// Bytes of a batch's own words before the first item.
const BATCH_WORDS: usize = 8 + 4 + 8;
/// Bytes of a thinned batch's own words before the first item.
const THINNED_WORDS: usize = 8 + 8 + 4 + 8;
/// Where in a frame of kind 1 the first item begins, its length included.
pub const FIRST: usize = HEADER + BATCH_WORDS;
/// Bytes of the longest length prefix of an item (LEB128 of [`limits::ITEM`]).
const MAX_PREFIX: usize = 3;
const _: () = assert!(limits::ITEM < 1 << (7 * MAX_PREFIX));
const _: () = assert!(limits::FRAME >= HEADER + THINNED_WORDS + 10 + MAX_PREFIX + limits::ITEM);

const GAP_BYTES: usize = 16;
const END_BYTES: usize = 4;
const FILTER_BYTES: usize = 4 + 8;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Items.
    Batch,
    /// Items, and which were left out by the filter.
    Thinned,
    /// Items that the log does not hold any more.
    Gap,
    /// The end of the stream.
    End,
    /// From where on a filter holds.
    Filter,
    /// The end of the stream: a filter cannot hold.
    Refused,
    /// Items that another member of the group had and did not acknowledge.
    Redelivered,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Thinned => 2,
            Self::Gap => 3,
            Self::End => 4,
            Self::Filter => 5,
            Self::Refused => 6,
            Self::Redelivered => 7,
        }
    }
}

/// Bytes are not a valid frame.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The kind is not known.
    #[error("unknown kind of frame {0:#04x}")]
    UnknownKind(u8),
    /// The body's length does not fit the kind.
    #[error("a frame of kind {kind:?} cannot have a body of {got} bytes")]
    Length {
        /// The frame's kind.
        kind: Kind,
        /// Bytes that it claims.
        got: usize,
    },
    /// An item reaches over the end of the batch.
    #[error("item {index} of the batch is cut off or has a length that is no valid prefix")]
    Item {
        /// The item's index in the batch.
        index: u32,
    },
    /// An item is over the limit.
    #[error("item {index} of the batch has {got} bytes, the limit is {limit}", limit = limits::ITEM)]
    ItemTooLarge {
        /// The item's index in the batch.
        index: u32,
        /// Bytes that it claims.
        got: usize,
    },
    /// Bytes follow the last item.
    #[error("{extra} bytes follow the last item of the batch")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// A batch without items, or a gap without a width.
    #[error("the frame speaks for no sequence number")]
    Empty,
    /// The range of sequence numbers overflows.
    #[error("the range of sequence numbers overflows")]
    Overflow,
    /// An item of a thinned batch has a number beyond the batch's range.
    #[error("item {index} of the batch lies beyond the range that the batch speaks for")]
    OutOfRange {
        /// The item's index in the batch.
        index: u32,
    },
    /// The reason of a refusal cannot be read.
    #[error("the refusal is malformed")]
    Refusal(#[from] wire::DecodeError),
    /// The frame does not begin where the last one ended.
    #[error("the frame begins at {got}, expected {expected}")]
    OutOfSequence {
        /// Where it must begin.
        expected: Seq,
        /// Where it begins.
        got: Seq,
    },
}

/// The header of a frame, checked against the limits: its length may be used to take memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame says.
    pub kind: Kind,
    /// Bytes of the body.
    pub len: usize,
}

impl Header {
    /// Reads and checks a header.
    ///
    /// # Errors
    /// When the kind is unknown or the length impossible for it.
    pub fn parse(bytes: [u8; HEADER]) -> Result<Self, FrameError> {
        let len = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
        let (kind, fits) = match bytes[0] {
            1 => (
                Kind::Batch,
                (BATCH_WORDS..=limits::FRAME - HEADER).contains(&len),
            ),
            2 => (
                Kind::Thinned,
                (THINNED_WORDS..=limits::FRAME - HEADER).contains(&len),
            ),
            3 => (Kind::Gap, len == GAP_BYTES),
            4 => (Kind::End, len == END_BYTES),
            5 => (Kind::Filter, len == FILTER_BYTES),
            6 => (Kind::Refused, (1..=limits::CONTROL).contains(&len)),
            7 => (
                Kind::Redelivered,
                (THINNED_WORDS..=limits::FRAME - HEADER).contains(&len),
            ),
            other => return Err(FrameError::UnknownKind(other)),
        };
        if fits {
            Ok(Self { kind, len })
        } else {
            Err(FrameError::Length { kind, got: len })
        }
    }

    fn write(self, out: &mut [u8]) {
        out[0] = self.kind.byte();
        out[1..HEADER].copy_from_slice(&(self.len as u32).to_le_bytes());
    }
}

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Items.
    Batch(Batch),
    /// The items `from..to` are not held any more.
    Gap {
        /// The first item missed.
        from: Seq,
        /// The first item after the gap.
        to: Seq,
    },
    /// The end of the stream, with a number of [`crate::code::Code`].
    End {
        /// Why the stream ended.
        code: u32,
    },
    /// A filter that the consumer changed to holds.
    Filter {
        /// The number that the consumer gave the change.
        change: u32,
        /// The first sequence number it holds for.
        from: Seq,
    },
    /// A filter that the consumer changed to cannot hold, which ends the subscription.
    Refused(Refusal),
    /// Items that another member of the group had and did not acknowledge. They stand outside of
    /// the order of the others, and say nothing of the numbers between them.
    Redelivered(Batch),
}

impl Frame {
    /// Reads a body whose header was [parsed](Header::parse) before.
    ///
    /// # Errors
    /// When the body is not valid; every item's bounds are checked here, once.
    pub fn parse(kind: Kind, body: Bytes) -> Result<Self, FrameError> {
        match kind {
            Kind::Batch => Batch::parse(body).map(Self::Batch),
            Kind::Thinned => Batch::parse_thinned(body).map(Self::Batch),
            Kind::Gap => {
                let (from, to) = (u64_at(&body, 0), u64_at(&body, 8));
                let (Some(from), Some(to), GAP_BYTES) = (from, to, body.len()) else {
                    return Err(FrameError::Length {
                        kind,
                        got: body.len(),
                    });
                };
                if from >= to {
                    return Err(FrameError::Empty);
                }
                Ok(Self::Gap { from, to })
            }
            Kind::End => match u32_at(&body, 0) {
                Some(code) if body.len() == END_BYTES => Ok(Self::End { code }),
                _ => Err(FrameError::Length {
                    kind,
                    got: body.len(),
                }),
            },
            Kind::Filter => match (u32_at(&body, 0), u64_at(&body, 4)) {
                (Some(change), Some(from)) if body.len() == FILTER_BYTES => {
                    Ok(Self::Filter { change, from })
                }
                _ => Err(FrameError::Length {
                    kind,
                    got: body.len(),
                }),
            },
            Kind::Refused => Ok(Self::Refused(wire::decode(&body)?)),
            Kind::Redelivered => match Batch::parse_thinned(body)? {
                batch if batch.count() == 0 => Err(FrameError::Empty),
                batch => Ok(Self::Redelivered(batch)),
            },
        }
    }
}

/// A whole gap frame.
#[must_use]
pub fn gap(from: Seq, to: Seq) -> Bytes {
    let mut frame = [0; HEADER + GAP_BYTES];
    Header {
        kind: Kind::Gap,
        len: GAP_BYTES,
    }
    .write(&mut frame);
    frame[HEADER..HEADER + 8].copy_from_slice(&from.to_le_bytes());
    frame[HEADER + 8..].copy_from_slice(&to.to_le_bytes());
    Bytes::copy_from_slice(&frame)
}

/// A whole end frame.
#[must_use]
pub fn end(code: u32) -> Bytes {
    let mut frame = [0; HEADER + END_BYTES];
    Header {
        kind: Kind::End,
        len: END_BYTES,
    }
    .write(&mut frame);
    frame[HEADER..].copy_from_slice(&code.to_le_bytes());
    Bytes::copy_from_slice(&frame)
}

/// A whole frame that says from where on a changed filter holds.
#[must_use]
pub fn filter(change: u32, from: Seq) -> Bytes {
    let mut frame = BytesMut::zeroed(HEADER);
    let kind = Kind::Filter;
    let len = FILTER_BYTES;
    Header { kind, len }.write(&mut frame);
    frame.put_u32_le(change);
    frame.put_u64_le(from);
    frame.freeze()
}

/// A whole frame that refuses a changed filter.
///
/// # Errors
/// When the refusal is over [`limits::CONTROL`]: never with parts within their limits.
pub fn refused(refusal: &Refusal) -> Result<Bytes, wire::EncodeError> {
    let message = wire::encode(refusal, limits::CONTROL)?;
    let body = &message[wire::PREFIX..];
    let mut frame = BytesMut::zeroed(HEADER);
    Header {
        kind: Kind::Refused,
        len: body.len(),
    }
    .write(&mut frame);
    frame.put_slice(body);
    Ok(frame.freeze())
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
