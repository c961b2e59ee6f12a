//! Batches that a filter has thinned out.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::{BATCH_WORDS, HEADER, Header, Kind, THINNED_WORDS, items::read_prefix, u64_at};
use crate::Seq;

/// Bytes of the longest number of items that are left out (LEB128 of a `u64`).
const MAX_SKIP: usize = 10;

/// An item of a sealed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its sequence number.
    pub seq: Seq,
    /// Where in the frame it begins, its length included.
    pub offset: usize,
}

/// A frame that speaks for `range` and has some items of a sealed batch: a copy of their bytes.
/// `None` where the picks do not rise, lie outside of the range, or name no item.
#[must_use]
pub fn thinned(
    frame: &[u8],
    range: Range<Seq>,
    picks: impl Iterator<Item = Pick> + Clone,
) -> Option<Bytes> {
    cut(Kind::Thinned, frame, range, picks)
}

/// A frame of items that another member of a group had, from the first to the last of them.
/// `None` where the picks do not rise, or name no item, or there is none.
#[must_use]
pub fn redelivered(frame: &[u8], picks: impl Iterator<Item = Pick> + Clone) -> Option<Bytes> {
    let (first, last) = (picks.clone().next()?, picks.clone().last()?);
    let range = first.seq..last.seq.checked_add(1)?;
    cut(Kind::Redelivered, frame, range, picks)
}

fn cut(
    kind: Kind,
    frame: &[u8],
    range: Range<Seq>,
    picks: impl Iterator<Item = Pick> + Clone,
) -> Option<Bytes> {
    let (mut bytes, mut count, mut next) = (THINNED_WORDS, 0u32, range.start);
    for pick in picks.clone() {
        let item = item(frame, pick.offset)?;
        bytes += skip_len(pick.seq.checked_sub(next)?) + item.len();
        next = pick.seq.checked_add(1)?;
        count += 1;
    }
    if range.is_empty() || next > range.end {
        return None;
    }
    // In a frame that was thinned out itself it stands behind one more word.
    let words = match frame.first() {
        Some(&thin) if thin == Kind::Batch.byte() => BATCH_WORDS,
        _ => THINNED_WORDS,
    };
    let sent_at_us = u64_at(frame, HEADER + words - 8)?;
    let mut out = begin(kind, bytes, &range, count, sent_at_us);
    let mut next = range.start;
    for pick in picks {
        put_skip(&mut out, pick.seq - next);
        out.put_slice(item(frame, pick.offset)?);
        next = pick.seq + 1;
    }
    Some(out.freeze())
}

/// A frame that says of `range`, which is not empty, that a filter has left out all of it.
#[must_use]
pub fn filtered(range: Range<Seq>) -> Bytes {
    begin(Kind::Thinned, THINNED_WORDS, &range, 0, 0).freeze()
}

fn begin(kind: Kind, body: usize, range: &Range<Seq>, count: u32, sent_at_us: u64) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEADER + body);
    out.put_bytes(0, HEADER);
    Header { kind, len: body }.write(&mut out);
    out.put_u64_le(range.start);
    out.put_u64_le(range.end);
    out.put_u32_le(count);
    out.put_u64_le(sent_at_us);
    out
}

/// An item with its length, as it stands in a frame.
fn item(frame: &[u8], offset: usize) -> Option<&[u8]> {
    let (len, data) = read_prefix(frame, offset)?;
    frame.get(offset..data + len)
}

fn skip_len(skip: u64) -> usize {
    // A number of n bits takes a byte for each 7 of them.
    (64 - (skip | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_skip(out: &mut BytesMut, mut skip: u64) {
    while skip >= 0x80 {
        out.put_u8(skip as u8 | 0x80);
        skip >>= 7;
    }
    out.put_u8(skip as u8);
}

/// How many are left out, at `at`, and where the item's length begins. Only the shortest form is
/// valid.
#[inline]
pub(super) fn read_skip(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u64::from(first), at + 1));
    }
    let mut skip = u64::from(first & 0x7f);
    for width in 1..MAX_SKIP {
        let byte = *bytes.get(at + width)?;
        let part = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if width == MAX_SKIP - 1 && byte > 1 {
            return None;
        }
        skip |= part << (7 * width);
        if byte < 0x80 {
            return (byte != 0).then_some((skip, at + width + 1));
        }
    }
    None
}
