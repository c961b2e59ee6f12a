//! The data frames of a subscription: many items in one run of bytes.
//!
//! A frame is `kind: u8`, `length of the body: u32 LE`, body. A sealed batch is a finished frame:
//! header and items in one [`Bytes`], the same bytes for every consumer, so fanning it out costs a
//! reference count each.
//!
//! | kind | body |
//! | --- | --- |
//! | 1 batch | `first: u64 LE`, `count: u32 LE`, `sent_at: u64 LE` (µs since the Unix epoch), then `count` items, each a LEB128 length and that many bytes |
//! | 3 gap | `from: u64 LE`, `to: u64 LE`: the items `from..to` are not held any more |
//! | 4 end | `code: u32 LE` (see [`crate::code`]): nothing follows |
//!
//! A batch names the whole range of sequence numbers it speaks for (`first..first + count`), and
//! [`Sequence`] holds a producer to it: what follows must begin exactly where the last frame ended.
//! (Kind 2 is left for batches that a filter has thinned out.)

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::{Seq, limits};

/// Bytes of a frame's header: its kind and the length of its body.
pub const HEADER: usize = 5;
/// Bytes of a batch's own words before the first item.
const BATCH_WORDS: usize = 8 + 4 + 8;
/// Bytes of the longest length prefix of an item (LEB128 of [`limits::ITEM`]).
const MAX_PREFIX: usize = 3;
const _: () = assert!(limits::ITEM < 1 << (7 * MAX_PREFIX));
const _: () = assert!(limits::FRAME >= HEADER + BATCH_WORDS + MAX_PREFIX + limits::ITEM);

const GAP_BYTES: usize = 16;
const END_BYTES: usize = 4;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Items.
    Batch,
    /// Items that the log does not hold any more.
    Gap,
    /// The end of the stream.
    End,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Gap => 3,
            Self::End => 4,
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
            3 => (Kind::Gap, len == GAP_BYTES),
            4 => (Kind::End, len == END_BYTES),
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
}

impl Frame {
    /// Reads a body whose header was [parsed](Header::parse) before.
    ///
    /// # Errors
    /// When the body is not valid; every item's bounds are checked here, once.
    pub fn parse(kind: Kind, body: Bytes) -> Result<Self, FrameError> {
        match kind {
            Kind::Batch => Batch::parse(body).map(Self::Batch),
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

/// A batch as it was read: its items have been checked, so that iterating cannot fail.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    body: Bytes,
    first: Seq,
    count: u32,
    sent_at_us: u64,
}

impl Batch {
    /// Reads the body of a batch.
    ///
    /// # Errors
    /// When the words are cut off, the range overflows, or an item reaches over the end.
    pub fn parse(body: Bytes) -> Result<Self, FrameError> {
        let words = (u64_at(&body, 0), u32_at(&body, 8), u64_at(&body, 12));
        let (Some(first), Some(count), Some(sent_at_us)) = words else {
            return Err(FrameError::Length {
                kind: Kind::Batch,
                got: body.len(),
            });
        };
        if count == 0 {
            return Err(FrameError::Empty);
        }
        first
            .checked_add(u64::from(count))
            .ok_or(FrameError::Overflow)?;
        let mut at = BATCH_WORDS;
        for index in 0..count {
            let (len, data) = read_prefix(&body, at).ok_or(FrameError::Item { index })?;
            if len > limits::ITEM {
                return Err(FrameError::ItemTooLarge { index, got: len });
            }
            at = data + len;
            if at > body.len() {
                return Err(FrameError::Item { index });
            }
        }
        if at != body.len() {
            return Err(FrameError::TrailingBytes {
                extra: body.len() - at,
            });
        }
        Ok(Self {
            body,
            first,
            count,
            sent_at_us,
        })
    }

    /// Reads a whole frame that this process sealed itself.
    #[must_use]
    pub fn of_frame(frame: &Bytes) -> Option<Self> {
        Self::parse(frame.slice(HEADER.min(frame.len())..)).ok()
    }

    /// The sequence number of the first item.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// The sequence number after the last item.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.first + u64::from(self.count)
    }

    /// The number of items, at least 1.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// When the first item was sent, in µs since the Unix epoch, by the producer's clock.
    #[must_use]
    pub fn sent_at_us(&self) -> u64 {
        self.sent_at_us
    }

    /// All bytes of the body, which items are slices of.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// A position before the first item, for [`Batch::next`].
    #[must_use]
    pub fn start(&self) -> Position {
        Position {
            index: 0,
            at: BATCH_WORDS,
        }
    }

    /// The item after `position` and its sequence number, and moves the position on.
    #[inline]
    pub fn next(&self, position: &mut Position) -> Option<(Seq, &[u8])> {
        if position.index >= self.count {
            return None;
        }
        let (len, data) = read_prefix(&self.body, position.at)?;
        let item = self.body.get(data..data + len)?;
        let seq = self.first + u64::from(position.index);
        position.index += 1;
        position.at = data + len;
        Some((seq, item))
    }

    /// The same batch without the items before `seq`, as a new frame (copied), or `None` where
    /// nothing is left.
    #[must_use]
    pub fn frame_from(&self, seq: Seq) -> Option<Bytes> {
        if seq >= self.end() {
            return None;
        }
        let skip = u32::try_from(seq.saturating_sub(self.first)).ok()?;
        let mut position = self.start();
        while position.index < skip {
            self.next(&mut position)?;
        }
        let items = &self.body[position.at..];
        let mut frame = BytesMut::zeroed(HEADER + BATCH_WORDS);
        let words = Words {
            first: self.first + u64::from(skip),
            count: self.count - skip,
            sent_at_us: self.sent_at_us,
        };
        words.write(&mut frame, items.len());
        frame.extend_from_slice(items);
        Some(frame.freeze())
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, end, bytes) = (self.first, self.end(), self.body.len());
        write!(f, "Batch({first}..{end}, {bytes} bytes)")
    }
}

/// A place between two items of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Position {
    index: u32,
    at: usize,
}

impl Position {
    /// How many items lie before this place.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }
}

struct Words {
    first: Seq,
    count: u32,
    sent_at_us: u64,
}

impl Words {
    fn write(&self, frame: &mut [u8], items: usize) {
        Header {
            kind: Kind::Batch,
            len: BATCH_WORDS + items,
        }
        .write(frame);
        let words = &mut frame[HEADER..HEADER + BATCH_WORDS];
        words[..8].copy_from_slice(&self.first.to_le_bytes());
        words[8..12].copy_from_slice(&self.count.to_le_bytes());
        words[12..].copy_from_slice(&self.sent_at_us.to_le_bytes());
    }
}

/// The open batch: items are encoded straight into the frame that will be sent.
///
/// Frames are cut from blocks of memory one after the other, so that a small batch costs its own
/// size and not that of a buffer.
#[derive(Debug)]
pub struct Builder {
    buf: BytesMut,
    /// Where the last whole item ends: what lies behind it was left by an `encode` that panicked.
    end: usize,
    count: u32,
    block: usize,
}

impl Builder {
    /// A builder that takes memory in blocks of this many bytes.
    #[must_use]
    pub fn new(block: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            end: 0,
            count: 0,
            block,
        }
    }

    /// Whether no item is in the open batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Items in the open batch.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the open batch's frame so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.end
    }

    /// Encodes one item into the open batch.
    ///
    /// # Errors
    /// Hands on the error of `encode`; the batch is then as it was before.
    #[inline]
    pub fn push<E>(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.end;
        self.buf.truncate(before);
        if before == 0 {
            if self.buf.capacity() < HEADER + BATCH_WORDS + 256 {
                self.buf.reserve(self.block);
            }
            self.buf.put_bytes(0, HEADER + BATCH_WORDS);
        }
        let prefix = self.buf.len();
        // Most items are below 128 bytes: one byte is left for the length, more is made only then.
        self.buf.put_u8(0);
        if let Err(error) = encode(&mut self.buf) {
            self.buf.truncate(before);
            return Err(error);
        }
        let len = self.buf.len() - prefix - 1;
        if len < 0x80 {
            self.buf[prefix] = len as u8;
        } else {
            self.widen(prefix, len);
        }
        self.end = self.buf.len();
        self.count += 1;
        Ok(())
    }

    /// Makes room for a length prefix of more than one byte, and writes it.
    fn widen(&mut self, prefix: usize, len: usize) {
        let mut bytes = [0; 10];
        let mut width = 0;
        let mut rest = len as u64;
        while rest >= 0x80 {
            bytes[width] = rest as u8 | 0x80;
            rest >>= 7;
            width += 1;
        }
        bytes[width] = rest as u8;
        width += 1;
        self.buf.put_bytes(0, width - 1);
        self.buf
            .copy_within(prefix + 1..prefix + 1 + len, prefix + width);
        self.buf[prefix..prefix + width].copy_from_slice(&bytes[..width]);
    }

    /// Ends the open batch and gives its frame; `None` where it is empty.
    pub fn seal(&mut self, first: Seq, sent_at_us: u64) -> Option<Bytes> {
        if self.count == 0 {
            return None;
        }
        let count = std::mem::take(&mut self.count);
        self.buf.truncate(std::mem::take(&mut self.end));
        let mut frame = self.buf.split();
        let items = frame.len() - HEADER - BATCH_WORDS;
        Words {
            first,
            count,
            sent_at_us,
        }
        .write(&mut frame, items);
        Some(frame.freeze())
    }
}

/// Holds the frames of one subscription to their order: each must begin where the last one ended.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    next: Seq,
}

impl Sequence {
    /// A sequence that begins at `next`.
    #[must_use]
    pub fn at(next: Seq) -> Self {
        Self { next }
    }

    /// The sequence number that the next frame must begin at.
    #[must_use]
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Takes a frame, or refuses it because it leaves a hole or goes back.
    ///
    /// # Errors
    /// [`FrameError::OutOfSequence`]; the sequence has not moved then.
    pub fn accept(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let (from, to) = match frame {
            Frame::Batch(batch) => (batch.first(), batch.end()),
            Frame::Gap { from, to } => (*from, *to),
            Frame::End { .. } => return Ok(()),
        };
        if from != self.next {
            return Err(FrameError::OutOfSequence {
                expected: self.next,
                got: from,
            });
        }
        self.next = to;
        Ok(())
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The length at `at`, and where its item begins. Only the shortest form of a length is valid.
#[inline]
fn read_prefix(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((usize::from(first), at + 1));
    }
    let mut len = usize::from(first & 0x7f);
    for width in 1..=MAX_PREFIX {
        let byte = *bytes.get(at + width)?;
        len |= usize::from(byte & 0x7f) << (7 * width);
        if byte < 0x80 {
            return (byte != 0).then_some((len, at + width + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests;
