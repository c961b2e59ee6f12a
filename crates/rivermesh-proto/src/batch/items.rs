//! Reading a batch.

use bytes::{Bytes, BytesMut};

use super::{BATCH_WORDS, FrameError, HEADER, Header, Kind, MAX_PREFIX, u32_at, u64_at};
use crate::{Seq, limits};

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

pub(super) struct Words {
    pub(super) first: Seq,
    pub(super) count: u32,
    pub(super) sent_at_us: u64,
}

impl Words {
    pub(super) fn write(&self, frame: &mut [u8], items: usize) {
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
