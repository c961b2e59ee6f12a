//! What an item holds, and how it is checked.
//!
//! `number: u64, due: u64, filler…`, little endian. The filler differs from item to item and is
//! known to both sides, so that an item whose end is another item's is found out.

use bytes::{BufMut, Bytes, BytesMut};

use crate::spec::MIN_SIZE;

/// Set in the number of an item that only asks whether consumers are there. Such items are not
/// part of the sequence.
pub(crate) const PROBE: u64 = 1 << 63;

/// Items after which the filler repeats.
const FILLERS: usize = 4096;
/// Bytes at the end of an item that are checked.
const TAIL: usize = 8;
/// Bytes taken from the allocator at once for small items.
const SLAB: usize = 64 * 1024;

/// Bytes that items are filled with.
#[derive(Clone, Debug)]
pub(crate) struct Filler {
    bytes: Vec<u8>,
    size: usize,
}

impl Filler {
    /// For items of `size` bytes. Bounded by the bounds on a size in [`crate::spec`].
    pub(crate) fn new(size: u32) -> Self {
        let size = size.saturating_sub(MIN_SIZE) as usize;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let bytes = (0..size + FILLERS).map(|_| {
            // xorshift64*: what it must be is cheap, the same in both processes, and not
            // compressible.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        });
        Self {
            bytes: bytes.collect(),
            size,
        }
    }

    #[inline]
    fn of(&self, number: u64) -> &[u8] {
        let at = (number as usize) % FILLERS;
        &self.bytes[at..at + self.size]
    }
}

/// One item that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    number: u64,
    due_ns: u64,
    filler: &'a Filler,
}

impl<'a> Item<'a> {
    /// `due_ns` is 0 where there is no schedule.
    #[inline]
    pub(crate) fn new(number: u64, due_ns: u64, filler: &'a Filler) -> Self {
        Self {
            number,
            due_ns,
            filler,
        }
    }

    /// Bytes of the item.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an item is never empty")]
    pub fn len(&self) -> usize {
        MIN_SIZE as usize + self.filler.size
    }

    /// Appends the item: for adapters that write into memory of their own.
    #[inline]
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64_le(self.number);
        out.put_u64_le(self.due_ns);
        out.put_slice(self.filler.of(self.number));
    }

    /// Hands the item's bytes on, in two parts: for adapters whose peer asks an item to write itself.
    ///
    /// # Errors
    /// Those of `put`.
    #[inline]
    pub fn write<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut head = [0; MIN_SIZE as usize];
        head[..8].copy_from_slice(&self.number.to_le_bytes());
        head[8..].copy_from_slice(&self.due_ns.to_le_bytes());
        put(&head)?;
        put(self.filler.of(self.number))
    }

    /// The item as `Bytes` of its own: for peers that take those.
    #[inline]
    #[must_use]
    pub fn bytes(&self, slab: &mut Slab) -> Bytes {
        let slab = &mut slab.0;
        if slab.capacity() < self.len() {
            slab.reserve(self.len().max(SLAB));
        }
        self.put(slab);
        slab.split().freeze()
    }

    /// The item as a vector: for peers that take those.
    #[inline]
    #[must_use]
    pub fn vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.due_ns.to_le_bytes());
        out.extend_from_slice(self.filler.of(self.number));
        out
    }
}

/// Where [`Item::bytes`] takes memory from: many small items share one allocation.
#[derive(Debug, Default)]
pub struct Slab(BytesMut);

/// What a received item says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) due_ns: u64,
}

/// Reads a received item; nothing if its length or its end is wrong.
#[inline]
pub(crate) fn check(item: &[u8], filler: &Filler) -> Option<Seen> {
    if item.len() != MIN_SIZE as usize + filler.size {
        return None;
    }
    let (number, rest) = item.split_first_chunk::<8>()?;
    let (due, rest) = rest.split_first_chunk::<8>()?;
    let number = u64::from_le_bytes(*number);
    let wanted = filler.of(number);
    let from = filler.size.saturating_sub(TAIL);
    (rest[from..] == wanted[from..]).then(|| Seen {
        number,
        due_ns: u64::from_le_bytes(*due),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_comes_back() {
        for size in [16, 20, 32, 4096] {
            let filler = Filler::new(size);
            let item = Item::new(77, 5, &filler);
            let seen = Seen {
                number: 77,
                due_ns: 5,
            };
            let mut slab = Slab::default();
            let bytes = item.bytes(&mut slab);
            assert_eq!(bytes.len(), size as usize);
            assert_eq!(bytes, item.vec());
            assert_eq!(check(&bytes, &filler), Some(seen));
            assert_eq!(check(&bytes[1..], &filler), None);
        }
    }

    #[test]
    fn the_end_of_another_item_is_found_out() {
        let filler = Filler::new(64);
        let (mut one, two) = (
            Item::new(1, 0, &filler).vec(),
            Item::new(2, 0, &filler).vec(),
        );
        one[40..].copy_from_slice(&two[40..]);
        assert_eq!(check(&one, &filler), None);
    }
}
