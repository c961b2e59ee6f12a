//! Reading a batch.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{
    BATCH_WORDS, FrameError, HEADER, Header, Kind, MAX_PREFIX, Pick, THINNED_WORDS,
    thin::read_skip, u32_at, u64_at,
};
use crate::{Seq, limits};

/// A batch as it was read: its items have been checked, so that iterating cannot fail.
///
/// It speaks for a range of sequence numbers, and has an item for each of them, or, where a filter
/// has thinned it out, for some: the others were sent, and are not among what the consumer asked
/// for.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    body: Bytes,
    first: Seq,
    end: Seq,
    count: u32,
    sent_at_us: u64,
    is_thinned: bool,
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
        let end = first
            .checked_add(u64::from(count))
            .ok_or(FrameError::Overflow)?;
        let batch = Self {
            body,
            first,
            end,
            count,
            sent_at_us,
            is_thinned: false,
        };
        batch.check()?;
        Ok(batch)
    }

    /// Reads the body of a batch that a filter has thinned out.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and when an item has a number that the range does not have.
    pub fn parse_thinned(body: Bytes) -> Result<Self, FrameError> {
        let range = (u64_at(&body, 0), u64_at(&body, 8));
        let words = (u32_at(&body, 16), u64_at(&body, 20));
        let ((Some(first), Some(end)), (Some(count), Some(sent_at_us))) = (range, words) else {
            return Err(FrameError::Length {
                kind: Kind::Thinned,
                got: body.len(),
            });
        };
        if first >= end {
            return Err(FrameError::Empty);
        }
        let batch = Self {
            body,
            first,
            end,
            count,
            sent_at_us,
            is_thinned: true,
        };
        batch.check()?;
        Ok(batch)
    }

    /// Walks all items once.
    fn check(&self) -> Result<(), FrameError> {
        let end = if self.is_thinned {
            self.check_thinned()?
        } else {
            self.check_plain()?
        };
        if end != self.body.len() {
            return Err(FrameError::TrailingBytes {
                extra: self.body.len() - end,
            });
        }
        Ok(())
    }

    /// Gives where the last item ends. What every item that is received passes through: it looks at
    /// nothing but lengths.
    fn check_plain(&self) -> Result<usize, FrameError> {
        let mut at = BATCH_WORDS;
        for index in 0..self.count {
            let item = read_prefix(&self.body, at).ok_or(FrameError::Item { index })?;
            at = self.check_item(index, item)?;
        }
        Ok(at)
    }

    fn check_thinned(&self) -> Result<usize, FrameError> {
        let mut at = self.start();
        for index in 0..self.count {
            let item = self.head(&mut at).ok_or(FrameError::Item { index })?;
            if at.seq >= self.end {
                return Err(FrameError::OutOfRange { index });
            }
            let end = self.check_item(index, item)?;
            at.pass(end);
        }
        Ok(at.at)
    }

    /// Gives where the item ends.
    #[inline]
    fn check_item(&self, index: u32, (len, data): (usize, usize)) -> Result<usize, FrameError> {
        if len > limits::ITEM {
            return Err(FrameError::ItemTooLarge { index, got: len });
        }
        let end = data + len;
        if end > self.body.len() {
            return Err(FrameError::Item { index });
        }
        Ok(end)
    }

    /// Reads a whole frame that this process sealed itself, thinned out or not.
    #[must_use]
    pub fn of_frame(frame: &Bytes) -> Option<Self> {
        let header = Header::parse(*frame.first_chunk::<HEADER>()?).ok()?;
        let body = frame.slice(HEADER..);
        match header.kind {
            Kind::Batch => Self::parse(body).ok(),
            Kind::Thinned | Kind::Redelivered => Self::parse_thinned(body).ok(),
            _ => None,
        }
    }

    /// Which items a whole frame holds that this process sealed itself, without a look at them; `None`
    /// where a filter has thinned it out.
    #[must_use]
    pub fn range_of(frame: &[u8]) -> Option<Range<Seq>> {
        let header = Header::parse(*frame.first_chunk::<HEADER>()?).ok()?;
        let (first, count) = (u64_at(frame, HEADER)?, u32_at(frame, HEADER + 8)?);
        let end = first.checked_add(u64::from(count))?;
        (header.kind == Kind::Batch && first < end).then_some(first..end)
    }

    /// The first sequence number it speaks for.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// The sequence number after the last one it speaks for.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.end
    }

    /// The number of items: at least 1, or, where a filter has thinned it out, any.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many of the numbers it speaks for have no item, because of the filter.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        // Each item has a number of its own in the range: `check` has seen to it.
        self.end - self.first - u64::from(self.count)
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
        let at = if self.is_thinned {
            THINNED_WORDS
        } else {
            BATCH_WORDS
        };
        Position {
            index: 0,
            at,
            seq: self.first,
        }
    }

    /// The item after `position` and its sequence number, and moves the position on.
    #[inline]
    pub fn next(&self, position: &mut Position) -> Option<(Seq, &[u8])> {
        if position.index >= self.count {
            return None;
        }
        if self.is_thinned {
            return self.next_thinned(position);
        }
        let (len, data) = read_prefix(&self.body, position.at)?;
        let item = self.body.get(data..data + len)?;
        // Not kept in the position: of numbers without gaps the index is enough.
        let seq = self.first + u64::from(position.index);
        position.index += 1;
        position.at = data + len;
        Some((seq, item))
    }

    /// As [`next`](Self::next), with where the item stands in the frame.
    pub fn next_pick(&self, position: &mut Position) -> Option<(Pick, &[u8])> {
        let mut at = *position;
        if self.is_thinned {
            self.head(&mut at)?;
        }
        let offset = at.offset();
        let (seq, item) = self.next(position)?;
        Some((Pick { seq, offset }, item))
    }

    fn next_thinned(&self, position: &mut Position) -> Option<(Seq, &[u8])> {
        let mut at = *position;
        let (len, data) = self.head(&mut at)?;
        let item = self.body.get(data..data + len)?;
        let seq = at.seq;
        at.pass(data + len);
        *position = at;
        Some((seq, item))
    }

    /// Of a batch that was thinned out: the length of the item behind a position and where its bytes
    /// begin. The position takes the item's number and the place of its length.
    fn head(&self, at: &mut Position) -> Option<(usize, usize)> {
        let (skip, behind) = read_skip(&self.body, at.at)?;
        at.seq = at.seq.checked_add(skip)?;
        at.at = behind;
        read_prefix(&self.body, at.at)
    }

    /// The same batch without the items before `seq`, as a new frame (copied), or `None` where
    /// nothing is left, or a filter has thinned it out.
    #[must_use]
    pub fn frame_from(&self, seq: Seq) -> Option<Bytes> {
        if seq >= self.end() || self.is_thinned {
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
    /// Where the next item begins in the body.
    at: usize,
    /// Of a batch that was thinned out: the number that the next item has, if none before it was left
    /// out.
    seq: Seq,
}

impl Position {
    /// How many items lie before this place.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Where in the frame the next item begins, its length included: what a [`Pick`](super::Pick)
    /// names.
    #[must_use]
    pub fn offset(&self) -> usize {
        HEADER + self.at
    }

    #[inline]
    fn pass(&mut self, end: usize) {
        self.index += 1;
        self.at = end;
        self.seq = self.seq.saturating_add(1);
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
pub(super) fn read_prefix(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
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
